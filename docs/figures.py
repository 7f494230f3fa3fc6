"""The pictures of docs/pooling.md, drawn by the rules they show.

``python docs/figures.py`` writes them to docs/images; a test holds the files to this script. It
needs nothing but Python. A picture is one axis: its elements in a row, padding dashed beside them,
and below, line by line, the places of each window.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

IMAGES = Path(__file__).parent / "images"

CELL, GAP = 34, 10  # pixels: side of a cell; between two lines
LEFT, TOP, RIGHT = 78, 76, 190
INK, PALE, PAPER = "#1f2937", "#9ca3af", "#ffffff"
BLUE, LIGHT, RED = "#93c5fd", "#e5e7eb", "#fca5a5"
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"


class Window(NamedTuple):
    """One line of a picture: where a window has its places, and what is said about it."""

    places: list[int]
    note: str


class Axis(NamedTuple):
    """One picture: an axis and its windows."""

    title: str
    caption: str
    length: int
    pad: tuple[int, int]
    windows: list[Window]


def sliding(
    title: str,
    caption: str,
    length: int,
    kernel: int,
    stride: int,
    pad: tuple[int, int] = (0, 0),
    dilation: int = 1,
    ceil_mode: bool = False,
    counted: bool = False,
) -> Axis:
    """Windows by the rule of pooling; with `counted`, their two divisors are told."""
    room = length + sum(pad) - dilation * (kernel - 1) - 1
    count = room // stride + 1
    if ceil_mode and room % stride and count * stride < length + pad[0]:
        count += 1
    windows = []
    for o in range(count):
        first = o * stride - pad[0]
        places = [first + k * dilation for k in range(kernel)]
        inside = sum(0 <= p < length for p in places)
        padded = sum(p < length + pad[1] for p in places)
        note = f"divisor {padded}, or {inside}" if counted else ""
        windows.append(Window(places, note))
    return Axis(title, caption, length, pad, windows)


def adaptive(title: str, caption: str, length: int, count: int) -> Axis:
    """Bins of adaptive pooling."""
    windows = []
    for o in range(count):
        start, end = o * length // count, -(-(o + 1) * length // count)
        windows.append(Window(list(range(start, end)), f"{start} to {end}"))
    return Axis(title, caption, length, (0, 0), windows)


def text(x: float, y: float, words: str, *, size: int = 14, anchor: str = "start") -> str:
    """Return a line of text."""
    return (
        f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}' fill='{INK}' "
        f"text-anchor='{anchor}'>{words}</text>"
    )


def cell(x: float, y: float, fill: str, *, dashed: bool, words: str = "") -> str:
    """Return one place, with a word in it."""
    dashes = " stroke-dasharray='4 3'" if dashed else ""
    stroke = PALE if dashed else INK
    box = (
        f"<rect x='{x:g}' y='{y:g}' width='{CELL}' height='{CELL}' rx='3' fill='{fill}' "
        f"stroke='{stroke}'{dashes}/>"
    )
    return box + (text(x + CELL / 2, y + CELL / 2 + 5, words, anchor="middle") if words else "")


def draw(axis: Axis) -> str:
    """Return the picture as SVG."""
    before, after = axis.pad
    last = max([axis.length + after - 1, *(p for w in axis.windows for p in w.places)])
    width = LEFT + (before + last + 1) * CELL + RIGHT
    height = TOP + (len(axis.windows) + 1) * (CELL + GAP) + GAP
    left = LEFT + before * CELL
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' role='img'>",
        f"<title>{axis.title}</title>",
        f"<rect width='{width}' height='{height}' rx='8' fill='{PAPER}'/>",
        text(GAP * 2, 30, axis.title, size=16),
        text(GAP * 2, 52, axis.caption, size=13),
        text(GAP * 2, TOP + CELL / 2 + 5, "x"),
    ]
    for place in range(-before, axis.length + after):
        inside = 0 <= place < axis.length
        name = str(place) if inside else ""
        parts.append(cell(left + place * CELL, TOP, PAPER, dashed=not inside, words=name))
    for o, window in enumerate(axis.windows):
        y = TOP + (o + 1) * (CELL + GAP)
        parts.append(text(GAP * 2, y + CELL / 2 + 5, f"y[{o}]"))
        for place in window.places:
            inside = 0 <= place < axis.length
            fill = BLUE if inside else LIGHT if place < axis.length + after else RED
            parts.append(cell(left + place * CELL, y, fill, dashed=not inside))
        if window.note:
            beside = LEFT + (before + last + 1) * CELL + 2 * GAP
            parts.append(text(beside, y + CELL / 2 + 5, window.note, size=13))
    return "\n".join([*parts, "</svg>"]) + "\n"


def figures() -> dict[str, str]:
    """Return every picture by file name."""
    axes = {
        "pool_stride": sliding(
            "kernel_size=3, stride=2",
            "Windows of 3 elements, 2 apart: neighbours share one.",
            9,
            3,
            2,
        ),
        "pool_dilation": sliding(
            "kernel_size=3, stride=1, dilation=2",
            "A window takes every second element.",
            9,
            3,
            1,
            dilation=2,
        ),
        "pool_padding": sliding(
            "kernel_size=3, stride=2, padding=1",
            "Grey: padding. Never a maximum, nothing to a sum; a divisor counts it, or not.",
            7,
            3,
            2,
            (1, 1),
            counted=True,
        ),
        "pool_ceil_mode": sliding(
            "kernel_size=3, stride=2, padding=1, ceil_mode=True",
            "Red: beyond the padding. No divisor counts it.",
            6,
            3,
            2,
            (1, 1),
            ceil_mode=True,
            counted=True,
        ),
        "pool_adaptive": adaptive(
            "output_size=4",
            "Bins of 10 elements in 4: floor(i*10/4) to ceil((i+1)*10/4); neighbours may overlap.",
            10,
            4,
        ),
    }
    return {f"{name}.svg": draw(axis) for name, axis in axes.items()}


def main() -> None:
    """Write every picture."""
    for name, picture in figures().items():
        (IMAGES / name).write_text(picture, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
