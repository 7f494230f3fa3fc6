"""What may be written after `upsample-rs`, and what each word becomes."""

from __future__ import annotations

import argparse
import math
import re
from typing import Any, NoReturn

import upsample_rs as us
from upsample_rs.cli.errors import CommandError
from upsample_rs.cli.techniques import MODES, TECHNIQUES, Technique

LARGEST_COMPARE_SCALE = 64
DEFAULT_SHEET = "upsample-rs-compare.png"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which takes no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False} | options)

    def error(self, message: str) -> NoReturn:
        """Raise the message instead of printing the usage before it."""
        raise CommandError(f"{message} (see {self.prog} --help)")


def build_parser() -> Parser:
    """Make the parser of the whole command line.

    Returns
    -------
    Parser
        Its result has `command` and that command's values.
    """
    parser = Parser(
        prog="upsample-rs",
        description="Upsampling techniques on pictures, and worked examples of each.",
    )
    parser.add_argument("--version", action="version", version=f"upsample-rs {us.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_compare(commands)
    _add_tour(commands)
    _add_resize(commands)
    return parser


def _add_compare(commands: argparse._SubParsersAction[Parser]) -> None:
    names = ", ".join(t.name for t in TECHNIQUES)
    text = (
        "Reduce a picture, bring it back with every technique, and write one sheet that shows the "
        f"results side by side. Techniques: {names}."
    )
    command = commands.add_parser(
        "compare", help="bring a reduced picture back, side by side", description=text
    )
    command.add_argument(
        "image",
        metavar="IMAGE",
        nargs="?",
        help="a PNG, JPEG, TIFF or WebP file (default: the photograph shipped with the package)",
    )
    command.add_argument(
        "--scale",
        type=compare_scale,
        default=4,
        metavar="N",
        help=f"reduce and bring back N times, 2 to {LARGEST_COMPARE_SCALE} (default: 4)",
    )
    command.add_argument(
        "--methods",
        type=techniques,
        default=TECHNIQUES,
        metavar="A,B,...",
        help="the techniques to show, in this order (default: all)",
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        default=DEFAULT_SHEET,
        help="the sheet: .png, .jpg, .tif or .webp (default: %(default)s)",
    )


def _add_tour(commands: argparse._SubParsersAction[Parser]) -> None:
    commands.add_parser(
        "tour",
        help="print a small worked example of every technique",
        description="Print a small worked example of every technique, computed as you watch.",
    )


def _add_resize(commands: argparse._SubParsersAction[Parser]) -> None:
    command = commands.add_parser(
        "resize",
        help="resize one picture, or an array of any size",
        description=(
            "Resize one picture, or an array larger than memory: a .npy file, a stack of TIFF "
            "pages or a Zarr array. OUT is replaced only once the new file is complete."
        ),
    )
    command.add_argument(
        "input", metavar="IN", help="a PNG, JPEG, TIFF or WebP file, a .npy file or a .zarr store"
    )
    command.add_argument(
        "output", metavar="OUT", help=".png, .jpg, .jpeg, .tif, .tiff, .webp, .npy or .zarr"
    )
    target = command.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--scale", type=factor, metavar="S", help="times as large, such as 2 or 0.5"
    )
    target.add_argument(
        "--size",
        type=size,
        metavar="HxW",
        help="height x width in pixels; of an array, one length for each axis",
    )
    command.add_argument(
        "--axes",
        type=axes,
        metavar="A,B,...",
        help="which axes of an array to resize (default: the last two)",
    )
    command.add_argument("--mode", choices=MODES, default="bilinear", help="default: %(default)s")
    command.add_argument(
        "--antialias",
        action="store_true",
        help="when shrinking, widen the filter to what a new pixel covers (not nearest, area)",
    )


def compare_scale(text: str) -> int:
    """Read the scale of `compare`: a whole number from 2 up."""
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 2 <= int(text) <= LARGEST_COMPARE_SCALE:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 2 to {LARGEST_COMPARE_SCALE}, not {text!r}"
        )
    return int(text)


def techniques(text: str) -> tuple[Technique, ...]:
    """Read a list of techniques' names separated by commas."""
    known = {t.name: t for t in TECHNIQUES}
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"no technique {name!r}; choose from {', '.join(known)}"
            )
    return tuple(known[name] for name in dict.fromkeys(names))


def factor(text: str) -> float:
    """Read the scale of `resize`: a positive finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value


def size(text: str) -> tuple[int, ...]:
    """Read `HxW`: whole numbers from 1 up, two of a picture."""
    parts = re.split("[xX]", text)
    lens = [int(part) if re.fullmatch(r"[0-9]{1,9}", part) else 0 for part in parts]
    if not all(lens):
        raise argparse.ArgumentTypeError(f"must be HEIGHTxWIDTH, such as 480x640, not {text!r}")
    return tuple(lens)


def axes(text: str) -> tuple[int, ...]:
    """Read numbers of axes separated by commas."""
    if not re.fullmatch(r"-?[0-9]{1,2}(,-?[0-9]{1,2})*", text):
        raise argparse.ArgumentTypeError(f"must be numbers of axes, such as 0,1, not {text!r}")
    return tuple(map(int, text.split(",")))
