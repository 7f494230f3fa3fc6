"""`upsample-rs resize`: one picture in, one picture out; arrays are in `volumes.py`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import upsample_rs as us
from upsample_rs.cli import volumes
from upsample_rs.cli.errors import CommandError, reason
from upsample_rs.cli.output import check_fits, check_output, is_opaque, write_picture
from upsample_rs.cli.pictures import Picture, read_picture
from upsample_rs.cli.techniques import METHODS, UNFILTERED

if TYPE_CHECKING:
    import argparse

    from upsample_rs._types import Array

MOST_PIXELS = 1 << 28
ABSURD = 1e9  # where a side is no longer worth an exact number


def run(arguments: argparse.Namespace) -> None:
    """Resize `arguments.input` into `arguments.output`."""
    if arguments.antialias and arguments.mode in UNFILTERED:
        raise CommandError(f"--antialias needs a --mode with a filter, not {arguments.mode}")
    if volumes.is_volume(arguments):
        volumes.run(arguments)
        return
    if arguments.size is not None and len(arguments.size) != 2:
        text = "x".join(map(str, arguments.size))
        raise CommandError(f"--size must be HEIGHTxWIDTH, such as 480x640, not {text!r}")
    check_output(arguments.output)
    picture = read_picture(arguments.input)
    if picture.frames > 1:
        sys.stderr.write(
            f"upsample-rs: note: {arguments.input!r} holds {picture.frames} pictures; "
            "only the first is resized\n"
        )
    size = output_size(picture, arguments.scale, arguments.size)
    check_fits(arguments.output, picture, size)
    options = options_of(arguments.mode) | {"antialias": arguments.antialias}
    if arguments.scale is None:
        options["size"] = size
    else:
        options["scale"] = (arguments.scale, arguments.scale)
    try:
        pixels = resized(picture, options)
    except (ValueError, OverflowError) as error:
        raise CommandError(reason(error)) from error
    write_picture(arguments.output, Picture(pixels, picture.icc_profile))


def options_of(mode: str) -> dict[str, Any]:
    """Return the arguments of `upsample_rs.resize` that make a mode."""
    options: dict[str, Any] = {"axes": (0, 1), "method": METHODS[mode]}
    if mode == "nearest":
        options |= {"coordinates": "asymmetric", "nearest_rounding": "floor"}
    return options


def output_size(
    picture: Picture, scale: float | None, size: tuple[int, int] | None
) -> tuple[int, int]:
    """Return the height and width asked for.

    Parameters
    ----------
    picture : Picture
        What is resized.
    scale : float or None
        Times as large; fractions of a pixel are dropped.
    size : (int, int) or None
        Height and width, where no scale is given.

    Returns
    -------
    (int, int)
        Both at least 1.

    Raises
    ------
    CommandError
        If no pixel would be left, or more than `MOST_PIXELS`.
    """
    height, width = picture.pixels.shape[:2]
    if scale is not None:
        size = (int(min(height * scale, ABSURD)), int(min(width * scale, ABSURD)))
    assert size is not None
    if min(size) < 1:
        raise CommandError(f"--scale {scale:g} leaves no pixel of {height}x{width}")
    if size[0] * size[1] > MOST_PIXELS:
        raise CommandError(
            f"{size[0]}x{size[1]} pixels are too many: at most {MOST_PIXELS} are written"
        )
    return size


def resized(picture: Picture, options: dict[str, Any]) -> Array:
    """Resize samples, in their own type where no pixel is transparent.

    Parameters
    ----------
    picture : Picture
        What is resized.
    options : dict
        The arguments of `upsample_rs.resize`.

    Returns
    -------
    array
        Samples of the same type.
    """
    if options["method"] == "nearest" or is_opaque(picture):
        return us.resize(picture.pixels, **options)
    # Colour counts only as far as it shows: weighted by its opacity, resized, weighed back.
    # Otherwise whatever lies hidden under transparent pixels would bleed into their neighbours.
    real = np.float32 if picture.bits == 8 else np.float64
    weighted = picture.pixels.astype(real)
    weighted[..., :-1] *= weighted[..., -1:] / picture.peak
    mixed = us.resize(weighted, **options)
    share = mixed[..., -1:] / picture.peak
    np.divide(mixed[..., :-1], share, out=mixed[..., :-1], where=share > 0)
    levels: Array = np.floor(np.clip(mixed, 0, picture.peak) + real(0.5))
    return levels.astype(picture.pixels.dtype)
