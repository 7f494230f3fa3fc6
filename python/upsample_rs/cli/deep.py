"""16 bits per sample through Pillow, which holds colour at 8.

Of a 16-bit colour file Pillow keeps the high byte of every sample. Which byte it keeps is said by a
"raw mode" given to its decoder, so the same file is decoded twice, once for the high bytes and once
for the low ones, and the samples are put together here. Grey at 16 bits Pillow reads itself.
"""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image, ImageFile

from upsample_rs.cli.errors import CommandError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.uint16]

READ = "8 and 16 bit grey, RGB and RGBA are read"
OPAQUE = np.uint16(65535)
BYTE = np.uint16(256)
BITS_TAG = 258
PHOTOMETRIC_TAG = 262
PLANAR_TAG = 284
WHITE_IS_ZERO = 0
OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
COLOUR_MODES = ("RGB;16", "RGBA;16", "RGBX;16")


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Tell whether the file holds more than 8 bits per sample, whatever Pillow would make of it."""
    return image.mode.startswith("I;16") or ";16" in raw_mode(image) or bits(image) > 8


def raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how the file's samples lie, in Pillow's words, such as `RGB;16B`; `""` if unknown."""
    if not image.tile:
        return ""
    arguments = image.tile[0].args
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def bits(image: ImageFile.ImageFile) -> int:
    """Return the bits per sample a TIFF declares; 0 for other files."""
    declared = getattr(image, "tag_v2", {}).get(BITS_TAG, (0,))
    return int(max(declared))


def read_deep(file: IO[bytes], image: ImageFile.ImageFile) -> Samples:
    """Decode a 16-bit picture without losing a bit.

    Parameters
    ----------
    file : file
        What `image` was opened from.
    image : PIL.ImageFile.ImageFile
        Opened, not yet decoded. It is decoded here.

    Returns
    -------
    array of uint16, (height, width) or (height, width, channels)
        A colour declared transparent has become an alpha channel.

    Raises
    ------
    CommandError
        If the samples lie in a way this cannot read.
    """
    how = raw_mode(image)
    if image.mode in ("I;16", "I;16B") and bits(image) in (0, 16):
        samples = grey(image)
    elif how == "LA;16B":
        # Four bytes per pixel: taken for RGBA, each lands in a channel of its own.
        four = decoded(file, "RGBA").astype(np.uint16)
        image.load()
        samples = four[..., ::2] * BYTE + four[..., 1::2]
    elif how[:-1] in COLOUR_MODES and not separate_planes(image):
        low = decoded(file, how[:-1] + OTHER_BYTE[how[-1]])
        image.load()
        samples = np.asarray(image) * BYTE + low
    else:
        kind = "separate planes" if separate_planes(image) else f"Pillow's {how or image.mode}"
        raise CommandError(f"cannot read {file.name!r}: samples stored as {kind}; {READ}")
    return with_transparency(samples, image.info.get("transparency"))


def grey(image: ImageFile.ImageFile) -> Samples:
    """Decode 16-bit grey; Pillow leaves the rare kind in which 0 is white as it is."""
    image.load()
    samples = np.asarray(image).astype(np.uint16)
    white_is_zero = getattr(image, "tag_v2", {}).get(PHOTOMETRIC_TAG) == WHITE_IS_ZERO
    return OPAQUE - samples if white_is_zero else samples


def decoded(file: IO[bytes], mode: str) -> NDArray[np.uint8]:
    """Decode the whole file as if its samples lay as `mode` says."""
    file.seek(0)
    with Image.open(file) as image:
        image.tile = [tile._replace(args=renamed(tile.args, mode)) for tile in image.tile]
        image.load()
        return cast("NDArray[np.uint8]", np.asarray(image))


def renamed(arguments: Any, mode: str) -> Any:
    """Put `mode` in place of the raw mode in a decoder's arguments."""
    return (mode, *arguments[1:]) if isinstance(arguments, tuple) else mode


def separate_planes(image: ImageFile.ImageFile) -> bool:
    """Tell whether a TIFF stores each channel in a plane of its own."""
    return bool(getattr(image, "tag_v2", {}).get(PLANAR_TAG, 1) != 1)


def with_transparency(samples: Samples, colour: object) -> Samples:
    """Add an alpha channel that is 0 where a sample is the colour a PNG declares transparent."""
    if not isinstance(colour, (int, tuple)):
        return samples
    whole = samples.reshape(*samples.shape[:2], -1)
    opaque = (whole != np.asarray(colour)).any(axis=-1, keepdims=True)
    return np.concatenate([whole, opaque * OPAQUE], axis=-1, dtype=np.uint16)
