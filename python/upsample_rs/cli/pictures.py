"""From a file to an array: PNG, JPEG, TIFF and WebP, 8 and 16 bits per sample."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from upsample_rs.cli.deep import READ, is_deep, read_deep
from upsample_rs.cli.errors import CommandError, reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upsample_rs._types import Array

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP")
KINDS = {1: "grey", 2: "grey + alpha", 3: "RGB", 4: "RGBA"}
ORIENTATION_TAG = 0x0112
STANDARD_ERROR = 2

# What each of Pillow's modes becomes, without and with a colour declared transparent.
PLAIN_MODES = {
    "1": ("L", "LA"),
    "L": ("L", "LA"),
    "LA": ("LA", "LA"),
    "La": ("LA", "LA"),
    "P": ("RGB", "RGBA"),
    "PA": ("RGBA", "RGBA"),
    "RGB": ("RGB", "RGBA"),
    "RGBA": ("RGBA", "RGBA"),
    "RGBa": ("RGBA", "RGBA"),
    "RGBX": ("RGB", "RGB"),
    "CMYK": ("RGB", "RGB"),
    "YCbCr": ("RGB", "RGB"),
}


@dataclass(frozen=True)
class Picture:
    """Samples as the file holds them, upright."""

    pixels: Array
    """uint8 or uint16, (height, width, channels); 1 to 4 channels, see `KINDS`."""
    icc_profile: bytes | None = None
    """The colour profile, carried from file to file."""
    frames: int = 1
    """How many pictures the file held; this is the first."""

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is opacity."""
        return self.pixels.shape[2] in (2, 4)

    @property
    def bits(self) -> int:
        """Bits per sample, 8 or 16."""
        return self.pixels.dtype.itemsize * 8

    @property
    def peak(self) -> int:
        """The largest value of a sample."""
        return (1 << self.bits) - 1

    @property
    def description(self) -> str:
        """Such as `451 x 300 pixels, 8-bit RGB`."""
        height, width, channels = self.pixels.shape
        return f"{width} x {height} pixels, {self.bits}-bit {KINDS[channels]}"


def read_picture(path: str) -> Picture:
    """Read the first picture of a file.

    Parameters
    ----------
    path : str
        A PNG, JPEG, TIFF or WebP file; what it is is told by its content, not its name.

    Returns
    -------
    Picture
        Upright (an EXIF orientation is applied), palettes turned into RGB.

    Raises
    ------
    CommandError
        If the file cannot be read, is damaged, is of another kind, or is too large to be honest.
    """
    try:
        with silence():
            return _read(path)
    except (CommandError, MemoryError):
        raise
    except UnidentifiedImageError:
        why = "not a PNG, JPEG, TIFF or WebP picture, or damaged, or of a kind Pillow cannot read"
    except Image.DecompressionBombError as error:
        why = reason(error)
    except Exception as error:
        # A damaged file can make a decoder raise almost anything: struct.error, KeyError, ...
        known = isinstance(error, OSError) and error.errno is not None
        why = reason(error) if known else f"damaged or cut short ({reason(error)})"
    raise CommandError(f"cannot read {path!r}: {why}")


@contextmanager
def silence() -> Iterator[None]:
    """Keep others off standard error while a file is read.

    Pillow warns of large pictures and odd metadata; libtiff complains past Python.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kept = os.dup(STANDARD_ERROR)
        except OSError:  # there is none
            yield
            return
        try:
            with open(os.devnull, "wb") as void:
                os.dup2(void.fileno(), STANDARD_ERROR)
            yield
        finally:
            os.dup2(kept, STANDARD_ERROR)
            os.close(kept)


def _read(path: str) -> Picture:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise CommandError(f"cannot read {path!r}: the file is empty")
        with Image.open(file, formats=FORMATS) as image:
            frames = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
            kept_profile = image.mode != "CMYK"
            pixels = read_deep(file, image) if is_deep(image) else read_plain(path, image)
            if pixels.ndim == 2:
                pixels = pixels[..., np.newaxis]
            profile = image.info.get("icc_profile") if kept_profile else None
            upright = turned(pixels, orientation(image))
    return Picture(np.ascontiguousarray(upright), profile or None, int(frames))


def read_plain(path: str, image: Image.Image) -> Array:
    """Decode a picture of at most 8 bits per sample."""
    if image.mode not in PLAIN_MODES:
        raise CommandError(f"cannot read {path!r}: samples stored as Pillow's {image.mode}; {READ}")
    image.load()
    mode = PLAIN_MODES[image.mode]["transparency" in image.info]
    return np.asarray(image if image.mode == mode else image.convert(mode))


def orientation(image: Image.Image) -> object:
    """Return the EXIF orientation of a loaded picture; 1, upright, if there is none to be read."""
    try:
        return image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # as above: metadata beyond repair is no reason to refuse a sound picture
        return 1


def turned(pixels: Array, orientation: object) -> Array:
    """Turn samples upright.

    Parameters
    ----------
    pixels : array, (height, width, channels)
        As stored.
    orientation : object
        1 to 8 as in EXIF: which sides of the picture the stored first row and column are. Anything
        else counts as 1.

    Returns
    -------
    array
        A view of `pixels`.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return pixels[rows, columns]
