"""The techniques `compare` shows: one line each in `TECHNIQUES`, one short function where needed.

Every technique starts from the same `Reduced` picture and returns one `scale` times as large. All
arrays are float32 `(height, width, channels)`; the numbers are computed by `upsample_rs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import upsample_rs as us

if TYPE_CHECKING:
    from collections.abc import Callable

    from upsample_rs._types import Array, InterpolateMode, ResizeMethod


# The method of `upsample_rs.resize` that each mode is; those of `interpolate` by its names.
METHODS: dict[str, ResizeMethod] = {
    "nearest": "nearest",
    "nearest-exact": "nearest",
    "bilinear": "linear",
    "bicubic": "cubic",
    "lanczos": "lanczos3",
    "area": "area",
    "box": "box",
    "hamming": "hamming",
    "mitchell": "mitchell",
    "gaussian": "gaussian",
    "lanczos2": "lanczos2",
    "lanczos4": "lanczos4",
    "lanczos5": "lanczos5",
}
MODES = tuple(METHODS)
UNFILTERED = ("nearest", "nearest-exact", "area")


@dataclass(frozen=True)
class Reduced:
    """A picture made `scale` times smaller, in the two ways the techniques start from."""

    scale: int
    small: Array
    """Each pixel is a weighted mean: the antialiased bilinear reduction."""
    maxima: Array
    """Each pixel is the largest of its `scale` x `scale` block, channel by channel."""
    indices: Array
    """Where in the picture each of `maxima` was."""

    @property
    def channels(self) -> int:
        """The number of channels."""
        return int(self.small.shape[-1])


@dataclass(frozen=True)
class Technique:
    """One way to make a picture larger."""

    name: str
    """What `--methods` calls it."""
    title: str
    """What the table and the sheet call it."""
    restore: Callable[[Reduced], Array]
    """From the reduced picture to one of the size before."""


def extend(picture: Array, scale: int) -> Array:
    """Repeat the bottom row and the right column until `scale` divides both sides."""
    height, width, _ = picture.shape
    below, right = -height % scale, -width % scale
    return np.pad(picture, ((0, below), (0, right), (0, 0)), mode="edge")


def reduce(picture: Array, scale: int) -> Reduced:
    """Make a picture `scale` times smaller.

    Parameters
    ----------
    picture : array of float32, (height, width, channels)
        `scale` divides its height and width.
    scale : int
        How many times smaller.

    Returns
    -------
    Reduced
        The mean and the maximum of every block.
    """
    height, width, _ = picture.shape
    size = (height // scale, width // scale)
    small = us.interpolate(picture, size, mode="bilinear", antialias=True, channels_last=True)
    maxima, indices = us.max_pool2d(picture, scale, return_indices=True, channels_last=True)
    return Reduced(scale, small, maxima, indices)


def tent(scale: int) -> tuple[Array, int]:
    """Make the kernel with which a transposed convolution interpolates linearly along one axis.

    Parameters
    ----------
    scale : int
        The stride.

    Returns
    -------
    kernel : array of float32
        A triangle whose copies, `scale` apart, sum to 1 everywhere between them.
    padding : int
        How much of the result to drop at both ends, so that it is `scale` times as long.
    """
    length = 2 * scale - scale % 2
    distance = np.abs(np.arange(length) - (length - 1) / 2)
    return (1 - distance / scale).astype(np.float32), scale // 2


def interpolated(mode: InterpolateMode) -> Callable[[Reduced], Array]:
    """Make the technique that is `interpolate` in this mode."""

    def restore(reduced: Reduced) -> Array:
        factors = (reduced.scale, reduced.scale)
        return us.interpolate(reduced.small, scale_factor=factors, mode=mode, channels_last=True)

    return restore


def filtered(method: ResizeMethod) -> Callable[[Reduced], Array]:
    """Make the technique that is `resize` by this method."""

    def restore(reduced: Reduced) -> Array:
        factors = (reduced.scale, reduced.scale)
        return us.resize(reduced.small, scale=factors, axes=(0, 1), method=method)

    return restore


def nailed(reduced: Reduced) -> Array:
    """Put each pixel at the top left of its block and zeros around it."""
    return us.bed_of_nails(reduced.small, reduced.scale, channels_last=True)


def unpooled(reduced: Reduced) -> Array:
    """Put each maximum back where it was and zeros around it."""
    return us.max_unpool2d(reduced.maxima, reduced.indices, reduced.scale, channels_last=True)


def transposed(reduced: Reduced) -> Array:
    """Stamp a pyramid for every pixel and add the stamps up, each channel by itself."""
    side, padding = tent(reduced.scale)
    return us.conv_transpose2d(
        reduced.small,
        for_each_channel(np.outer(side, side), reduced),
        stride=reduced.scale,
        padding=padding,
        groups=reduced.channels,
        channels_last=True,
    )


def nailed_and_convolved(reduced: Reduced) -> Array:
    """Convolve the bed of nails with the same pyramid, as one triangle down and one across."""
    side, padding = tent(reduced.scale)
    around = (len(side) - 1 - padding, padding)
    down = us.conv2d(
        nailed(reduced),
        for_each_channel(side[:, np.newaxis], reduced),
        padding=(around, (0, 0)),
        groups=reduced.channels,
        channels_last=True,
    )
    return us.conv2d(
        down,
        for_each_channel(side[np.newaxis], reduced),
        padding=((0, 0), around),
        groups=reduced.channels,
        channels_last=True,
    )


def for_each_channel(kernel: Array, reduced: Reduced) -> Array:
    """Repeat a kernel once per channel, as a convolution in as many groups takes it."""
    return np.broadcast_to(kernel, (reduced.channels, 1, *kernel.shape))


TECHNIQUES = (
    Technique("nearest", "nearest", interpolated("nearest")),
    Technique("bilinear", "bilinear", interpolated("bilinear")),
    Technique("bicubic", "bicubic", interpolated("bicubic")),
    Technique("lanczos", "Lanczos", interpolated("lanczos")),
    Technique("mitchell", "Mitchell", filtered("mitchell")),
    Technique("gaussian", "Gaussian", filtered("gaussian")),
    Technique("hamming", "Hamming", filtered("hamming")),
    Technique("bed-of-nails", "bed of nails", nailed),
    Technique("max-unpool", "max unpooling", unpooled),
    Technique("conv-transpose", "transposed convolution", transposed),
    Technique("nails-conv", "bed of nails + convolution", nailed_and_convolved),
)
