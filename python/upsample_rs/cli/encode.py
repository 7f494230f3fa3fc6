"""PNG and TIFF with 16 bits per sample, which Pillow does not write for colour.

Both formats are written in their plainest form: one deflated stream of rows. Any reader takes it.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upsample_rs._types import Array

ROWS_AT_ONCE = 256
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
PNG_FILTER_UP = 2

# TIFF tags and field types, by the names of the TIFF 6.0 specification.
SHORT, LONG, UNDEFINED = 3, 4, 7
IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE, COMPRESSION = 256, 257, 258, 259
PHOTOMETRIC, STRIP_OFFSETS, SAMPLES_PER_PIXEL = 262, 273, 277
ROWS_PER_STRIP, STRIP_BYTE_COUNTS, EXTRA_SAMPLES, ICC_PROFILE = 278, 279, 338, 34675
DEFLATE = 8
BLACK_IS_ZERO, RGB = 1, 2
UNASSOCIATED_ALPHA = 2


def write_png16(file: IO[bytes], pixels: Array, profile: bytes | None) -> None:
    """Write a 16-bit PNG.

    Parameters
    ----------
    file : file
        Open for writing bytes.
    pixels : array of uint16, (height, width, channels)
        1 to 4 channels: grey, grey + alpha, RGB, RGBA.
    profile : bytes, optional
        An ICC profile.
    """

    def chunk(name: bytes, body: bytes) -> None:
        file.write(struct.pack(">I", len(body)) + name + body)
        file.write(struct.pack(">I", zlib.crc32(name + body)))

    height, width, channels = pixels.shape
    file.write(PNG_SIGNATURE)
    header = (width, height, 16, PNG_COLOUR_TYPES[channels], 0, 0, 0)
    chunk(b"IHDR", struct.pack(">IIBBBBB", *header))
    if profile:
        chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
    for part in deflated(png_rows(pixels)):
        chunk(b"IDAT", part)
    chunk(b"IEND", b"")


def png_rows(pixels: Array) -> Iterator[bytes]:
    """Yield the rows as PNG stores them: big-endian, each as its difference to the row above."""
    height = len(pixels)
    above = np.zeros((1, pixels[0].size * 2), np.uint8)
    for start in range(0, height, ROWS_AT_ONCE):
        block = pixels[start : start + ROWS_AT_ONCE].astype(">u2")
        rows = np.frombuffer(block.tobytes(), np.uint8).reshape(len(block), -1)
        filtered = rows - np.concatenate([above, rows[:-1]])
        yield np.insert(filtered, 0, PNG_FILTER_UP, axis=1).tobytes()
        above = rows[-1:]


def write_tiff16(file: IO[bytes], pixels: Array, profile: bytes | None) -> None:
    """Write a 16-bit TIFF.

    Parameters
    ----------
    file : file
        Open for writing bytes.
    pixels : array of uint16, (height, width, channels)
        1, 3 or 4 channels: grey, RGB, RGBA.
    profile : bytes, optional
        An ICC profile.
    """
    height, width, channels = pixels.shape
    header = struct.calcsize("<2sHI")
    file.write(bytes(header))
    for part in deflated(tiff_rows(pixels)):
        file.write(part)
    end = file.tell()
    file.write(bytes(end % 2))
    fields = {
        IMAGE_WIDTH: (LONG, [width]),
        IMAGE_LENGTH: (LONG, [height]),
        BITS_PER_SAMPLE: (SHORT, [16] * channels),
        COMPRESSION: (SHORT, [DEFLATE]),
        PHOTOMETRIC: (SHORT, [RGB if channels > 1 else BLACK_IS_ZERO]),
        STRIP_OFFSETS: (LONG, [header]),
        SAMPLES_PER_PIXEL: (SHORT, [channels]),
        ROWS_PER_STRIP: (LONG, [height]),
        STRIP_BYTE_COUNTS: (LONG, [end - header]),
    }
    if channels == 4:
        fields[EXTRA_SAMPLES] = (SHORT, [UNASSOCIATED_ALPHA])
    if profile:
        fields[ICC_PROFILE] = (UNDEFINED, list(profile))
    directory = file.tell()
    file.write(tiff_directory(directory, fields))
    file.seek(0)
    file.write(struct.pack("<2sHI", b"II", 42, directory))


def tiff_rows(pixels: Array) -> Iterator[bytes]:
    """Yield the rows as they are stored here: little-endian."""
    for start in range(0, len(pixels), ROWS_AT_ONCE):
        yield pixels[start : start + ROWS_AT_ONCE].astype("<u2").tobytes()


def tiff_directory(position: int, fields: dict[int, tuple[int, list[int]]]) -> bytes:
    """Lay out the directory of a TIFF: entries of 12 bytes, then the values too long for one.

    Parameters
    ----------
    position : int
        Where in the file the directory will stand.
    fields : dict
        The field type and the values of each tag, by ascending tag.

    Returns
    -------
    bytes
        The directory and its long values.
    """
    entries, long_values = b"", b""
    beyond = position + 2 + 12 * len(fields) + 4
    for tag, (kind, values) in fields.items():
        letter = {SHORT: "H", LONG: "I", UNDEFINED: "B"}[kind]
        body = struct.pack(f"<{len(values)}{letter}", *values)
        if len(body) > 4:
            place = beyond + len(long_values)
            long_values += body + bytes(len(body) % 2)
            body = struct.pack("<I", place)
        entries += struct.pack("<HHI4s", tag, kind, len(values), body)
    return struct.pack("<H", len(fields)) + entries + bytes(4) + long_values


def deflated(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Compress a stream of bytes as one zlib stream, in parts that are not empty."""
    stream = zlib.compressobj(6)
    for part in parts:
        if packed := stream.compress(part):
            yield packed
    yield stream.flush()
