"""What of a picture is shown on the sheet: the whole at one ratio, a window of it at one zoom.

Everything is shown at the same two sizes, so that only the techniques differ from panel to panel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import upsample_rs as us

if TYPE_CHECKING:
    from upsample_rs._types import Array
    from upsample_rs.cli.techniques import Reduced


BOX_WIDTH = 372
WHOLE_HEIGHTS = (150, 460)
CROP_HEIGHT = 264
ZOOM_TIMES_SCALE = 15
CHECKER = 8
CHECKER_SHADES = (1.0, 0.8)


@dataclass(frozen=True)
class Window:
    """A part of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def shrunk(self, times: int) -> Window:
        """Return the same part of a picture so many times smaller."""
        sides = (-(-side // times) for side in (self.height, self.width))
        return Window(self.top // times, self.left // times, *sides)


@dataclass(frozen=True)
class Frame:
    """How all pictures of one sheet are shown."""

    window: Window
    """The part of the original shown enlarged."""
    zoom: int
    """How many times."""
    ratio: float
    """How large the whole is shown: 0.5 is half the original's width; a whole number above 1."""
    whole_height: int
    """The height of the box for the whole, in pixels of the sheet."""

    def whole(self, picture: Array) -> Array:
        """Show the whole of a picture.

        Parameters
        ----------
        picture : array of float, (height, width, channels)
            See `real`. One smaller than the original is shown that much smaller.

        Returns
        -------
        array of uint8, (height, width, 3)
            Fits the box.
        """
        if self.ratio >= 1:
            return visible(enlarged(picture, int(self.ratio)))
        size = [max(1, round(side * self.ratio)) for side in picture.shape[:2]]
        return visible(
            us.interpolate(picture, size, mode="bilinear", antialias=True, channels_last=True)
        )

    def crop(self, picture: Array, shrunk: int = 1) -> Array:
        """Show the window of a picture that is `shrunk` times smaller than the original."""
        part = self.window.shrunk(shrunk)
        rows = slice(part.top, part.top + part.height)
        columns = slice(part.left, part.left + part.width)
        return visible(enlarged(picture[rows, columns], self.zoom))


def frame(reduced: Reduced, size: tuple[int, int]) -> Frame:
    """Decide how to show a picture and its likes.

    Parameters
    ----------
    reduced : Reduced
        The picture made smaller. The more, the less the window is enlarged, so that it always
        holds about as many pixels of the reduced picture.
    size : (int, int)
        Height and width of the original.

    Returns
    -------
    Frame
        Its window lies where the picture has its strongest edges.
    """
    height, width = size
    least, most = WHOLE_HEIGHTS
    whole_height = min(max(round(BOX_WIDTH * height / width), least), most)
    ratio = min(BOX_WIDTH / width, whole_height / height)
    zoom = max(1, round(ZOOM_TIMES_SCALE / reduced.scale))
    sides = min(height, CROP_HEIGHT // zoom), min(width, BOX_WIDTH // zoom)
    window = find_window(reduced, size, sides)
    zoom = min(CROP_HEIGHT // sides[0], BOX_WIDTH // sides[1])
    return Frame(window, zoom, ratio if ratio < 1 else float(int(ratio)), whole_height)


def find_window(reduced: Reduced, size: tuple[int, int], sides: tuple[int, int]) -> Window:
    """Find the window with the strongest edges.

    Parameters
    ----------
    reduced : Reduced
        Where edges are looked for: those that survive the reduction are what techniques restore.
    size : (int, int)
        Height and width of the original.
    sides : (int, int)
        Height and width of the window.

    Returns
    -------
    Window
        Inside the original.
    """
    small, scale = reduced.small, reduced.scale
    edges = np.square(np.diff(small, axis=0, append=small[-1:]))
    edges += np.square(np.diff(small, axis=1, append=small[:, -1:]))
    sums = edges.sum(axis=-1, dtype=np.float64).cumsum(axis=0).cumsum(axis=1)
    sums = np.pad(sums, ((1, 0), (1, 0)))
    rows, columns = (max(1, side // scale) for side in sides)
    inside = sums[rows:] - sums[:-rows]
    inside = inside[:, columns:] - inside[:, :-columns]
    row, column = divmod(int(inside.argmax()), inside.shape[1])
    top, left = min(row * scale, size[0] - sides[0]), min(column * scale, size[1] - sides[1])
    return Window(top, left, *sides)


def enlarged(picture: Array, zoom: int) -> Array:
    """Make every pixel a square of `zoom` x `zoom`."""
    return us.interpolate(picture, scale_factor=(zoom, zoom), mode="nearest", channels_last=True)


def real(pixels: Array) -> Array:
    """Turn samples into numbers from 0 to 1.

    Parameters
    ----------
    pixels : array of uint8 or uint16, (height, width, channels)
        1 to 4 channels: grey, grey + alpha, RGB, RGBA.

    Returns
    -------
    array of float32, (height, width, channels)
        Colour is weighted by its opacity, so that what is hidden counts for nothing.
    """
    numbers = pixels.astype(np.float32)
    numbers /= np.iinfo(pixels.dtype).max
    if pixels.shape[2] in (2, 4):
        numbers[..., :-1] *= numbers[..., -1:]
    return numbers


def visible(numbers: Array) -> Array:
    """Turn numbers from 0 to 1 into what a screen shows, transparency over a checkerboard.

    Parameters
    ----------
    numbers : array of float, (height, width, channels)
        See `real`.

    Returns
    -------
    array of uint8, (height, width, 3)
        RGB.
    """
    height, width, channels = numbers.shape
    if channels in (2, 4):
        rows, columns = np.arange(height)[:, None, None], np.arange(width)[:, None]
        shades = np.asarray(CHECKER_SHADES)[(rows // CHECKER + columns // CHECKER) % 2]
        numbers = numbers[..., :-1] + (1 - numbers[..., -1:]) * shades
    levels = np.floor(np.clip(numbers, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.broadcast_to(levels, (height, width, 3))
