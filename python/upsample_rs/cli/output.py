"""From an array to a file, all or nothing: an existing file is replaced by a complete one or kept.

The new file is written beside the old one under a passing name and renamed over it at the end.
Nothing of the picture is given up on the way: what a format cannot hold is refused.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import stat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from upsample_rs.cli.encode import write_png16, write_tiff16
from upsample_rs.cli.errors import CommandError, reason
from upsample_rs.cli.pictures import Picture

if TYPE_CHECKING:
    from collections.abc import Callable

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383}
OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "WEBP": {"lossless": True, "exact": True},
}


def check_output(path: str) -> str:
    """Find out before any work is done whether `path` can be written.

    Parameters
    ----------
    path : str
        The file to be made or replaced.

    Returns
    -------
    str
        The format its suffix stands for.

    Raises
    ------
    CommandError
        If the suffix is unknown, or the file or its directory cannot be written.
    """
    kind = SUFFIXES.get(Path(path).suffix.lower())
    if kind is None:
        raise CommandError(f"cannot write {path!r}: the name must end in {', '.join(SUFFIXES)}")
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            raise CommandError(f"cannot write {path!r}: it is not a regular file")
        if not target.parent.is_dir():
            raise CommandError(
                f"cannot write {path!r}: there is no directory {str(target.parent)!r}"
            )
        writable = [target.parent] + [target] * target.exists()
        if not all(os.access(place, os.W_OK) for place in writable):
            raise CommandError(f"cannot write {path!r}: permission denied")
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot write {path!r}: {reason(error)}") from error
    return kind


def check_fits(path: str, picture: Picture, size: tuple[int, int]) -> None:
    """Refuse what the format of `path` cannot hold.

    Parameters
    ----------
    path : str
        The file to be written.
    picture : Picture
        Tells the kind of samples.
    size : (int, int)
        Height and width to be written.

    Raises
    ------
    CommandError
        Naming what does not fit and which formats hold it.
    """
    kind = check_output(path)
    if picture.bits == 16 and kind in ("JPEG", "WEBP"):
        raise CommandError(
            f"cannot write {path!r}: {kind} holds 8 bits per sample and the picture has 16; "
            "write .png or .tif"
        )
    if kind == "JPEG" and picture.has_alpha and not is_opaque(picture):
        raise CommandError(
            f"cannot write {path!r}: JPEG holds no transparency; write .png, .tif or .webp"
        )
    longest = LONGEST_SIDE.get(kind, max(size))
    if max(size) > longest:
        raise CommandError(
            f"cannot write {path!r}: {size[0]}x{size[1]} pixels, and {kind} holds at most "
            f"{longest} along a side"
        )


def is_opaque(picture: Picture) -> bool:
    """Tell whether no pixel lets anything through."""
    return not picture.has_alpha or bool((picture.pixels[..., -1] == picture.peak).all())


def write_picture(path: str, picture: Picture) -> None:
    """Write a picture in the format its name's suffix stands for.

    Parameters
    ----------
    path : str
        The file to be made or replaced.
    picture : Picture
        8 bits per sample, or 16 for PNG and TIFF.

    Raises
    ------
    CommandError
        If it cannot be written; a file that was there is then as it was.
    """
    kind = check_output(path)
    check_fits(path, picture, (picture.pixels.shape[0], picture.pixels.shape[1]))
    picture = suited(picture, kind)

    def encode(file: IO[bytes]) -> None:
        if picture.bits == 16:
            write = write_png16 if kind == "PNG" else write_tiff16
            write(file, picture.pixels, picture.icc_profile)
        else:
            grey = picture.pixels.shape[2] == 1
            image = Image.fromarray(picture.pixels[..., 0] if grey else picture.pixels)
            # In memory first: libtiff and libjpeg tell of a full disk less clearly than we do.
            whole = io.BytesIO()
            image.save(whole, format=kind, icc_profile=picture.icc_profile, **OPTIONS[kind])
            file.write(whole.getbuffer())

    try:
        replace(Path(os.path.realpath(path)), encode)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot write {path!r}: {reason(error)}") from error


def suited(picture: Picture, kind: str) -> Picture:
    """Give a picture the channels its format knows, with nothing lost.

    Parameters
    ----------
    picture : Picture
        See `check_fits`.
    kind : str
        The format. JPEG has no alpha; WebP no grey; 16-bit TIFF no grey + alpha that many read.

    Returns
    -------
    Picture
        Its samples contiguous; a profile made for grey does not go with RGB.
    """
    pixels, profile = picture.pixels, picture.icc_profile
    channels = pixels.shape[2]
    if kind == "JPEG" and picture.has_alpha:
        pixels = pixels[..., :-1]
    elif channels < 3 and (
        kind == "WEBP" or (kind == "TIFF" and (channels, picture.bits) == (2, 16))
    ):
        pixels, profile = pixels[..., [0, 0, 0, 1][: channels + 2]], None
    return Picture(np.ascontiguousarray(pixels), profile)


def replace(target: Path, encode: Callable[[IO[bytes]], None]) -> None:
    """Make or replace `target` with what `encode` writes, or leave everything as it was.

    Parameters
    ----------
    target : Path
        A regular file or nothing yet; links have been followed.
    encode : callable
        Writes the whole content to the binary file it is given.
    """
    passing = target.with_name(f".upsample-rs-{secrets.token_hex(8)}.tmp")
    try:
        with open(passing, "xb") as file:
            encode(file)
        if target.exists():
            shutil.copymode(target, passing)
        passing.replace(target)
    except BaseException:  # Ctrl-C too
        passing.unlink(missing_ok=True)
        raise
