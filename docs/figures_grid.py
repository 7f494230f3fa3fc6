"""The pictures of docs/grid.md, drawn by the rules they show.

``python docs/figures_grid.py`` writes them to docs/images/grid; a test holds the files to this
script. It needs nothing but Python.
"""

from __future__ import annotations

import math
from pathlib import Path

IMAGES = Path(__file__).parent / "images" / "grid"

CELL, MARGIN, WIDTH = 54, 28, 13  # pixels: side of an element; around it all. Elements across
INK, PALE, PAPER = "#1f2937", "#9ca3af", "#ffffff"
RED = "#dc2626"
SHADES = ("#1e3a8a", "#2563eb", "#60a5fa", "#bfdbfe")  # of the four elements of the axis
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"


def text(
    x: float, y: float, words: str, size: int = 13, fill: str = INK, middle: bool = True
) -> str:
    """Return a line of text, by its middle or its start."""
    anchor = " text-anchor='middle'" if middle else ""
    return (
        f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}' fill='{fill}'{anchor}>{words}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, width: float = 1.5) -> str:
    """Return a red line."""
    return (
        f"<line x1='{x1:g}' y1='{y1:g}' x2='{x2:g}' y2='{y2:g}' stroke='{RED}' "
        f"stroke-width='{width:g}'/>"
    )


def left(element: float) -> float:
    """Return where an element begins; the axis has elements 0 to 3."""
    return MARGIN + (element + (WIDTH - 4) / 2) * CELL


def element(at: int, top: float, shade: int | None, dashed: bool) -> list[str]:
    """Return an element, in the colour of the one it repeats; none is a zero."""
    fill, number = (PAPER, "0") if shade is None else (SHADES[shade], f"x[{shade}]")
    ink = PAPER if shade in (0, 1) else INK
    opacity = "0.35" if dashed and shade is not None else "1"
    dashes = " stroke-dasharray='4 3'" if dashed else ""
    return [
        f"<rect x='{left(at):g}' y='{top:g}' width='{CELL}' height='{CELL * 0.6:g}' fill='{fill}' "
        f"fill-opacity='{opacity}' stroke='{PALE}'{dashes}/>",
        text(left(at) + CELL / 2, top + CELL * 0.37, number, 12, INK if dashed else ink),
    ]


def picture(title: str, height: float, parts: list[str]) -> str:
    """Return an SVG."""
    width = WIDTH * CELL + 2 * MARGIN
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height:g}' "
            f"viewBox='0 0 {width} {height:g}' role='img'>",
            f"<title>{title}</title>",
            f"<rect width='{width}' height='{height:g}' rx='8' fill='{PAPER}'/>",
            text(MARGIN, 28, title, 16, middle=False),
            *parts,
            "</svg>",
            "",
        ]
    )


def place(coordinate: float, align: bool) -> float:
    """Return the place of a coordinate on an axis of four elements."""
    return (coordinate + 1) * 3 / 2 if align else ((coordinate + 1) * 4 - 1) / 2


def coordinates() -> str:
    """Return the picture of four elements and the coordinates along them, by both rules."""
    parts = []
    for align, top in ((False, 80), (True, 200)):
        parts.append(text(MARGIN, top - 14, f"align_corners={align}", middle=False))
        for i in range(4):
            parts += element(i, top, i, False)
        base = top + CELL * 0.6 + 14
        parts.append(line(left(-1.5), base, left(5.5), base))
        for c in (-1.5, -1, -0.5, 0, 0.5, 1, 1.5):
            x = left(place(c, align) + 0.5)
            long = c in (-1, 1)
            parts += [
                line(x, top if long else base - 5, x, base + 5, 2 if long else 1.5),
                text(x, base + 20, f"{c:g}", 13 if long else 12, RED),
            ]
    return picture("Coordinates along an axis of four elements", 300, parts)


def mirrored(at: int, align: bool) -> int:
    """Return which of four elements is met at a place, counted on beyond the ends."""
    period = 6 if align else 8
    at %= period
    return at if at < 4 else period - at - (0 if align else 1)


def outside() -> str:
    """Return the picture of what lies outside, by each padding mode."""
    rows = [
        ('"zeros"', lambda at: None, None),
        ('"border"', lambda at: min(max(at, 0), 3), None),
        ('"reflection"', lambda at: mirrored(at, False), (0.0, 4.0)),
        ('"reflection", align_corners=True', lambda at: mirrored(at, True), (0.5, 3.5)),
    ]
    parts = []
    for row, (name, repeats, mirrors) in enumerate(rows):
        top = 74 + row * 78
        parts.append(text(MARGIN, top - 8, name, middle=False))
        first = -math.floor((WIDTH - 4) / 2)
        for at in range(first, first + WIDTH - 1):
            inside = 0 <= at < 4
            parts += element(at, top, at if inside else repeats(at), not inside)
        for x in mirrors or ():
            parts.append(line(left(x), top - 7, left(x), top + CELL * 0.6 + 7, 2))
    return picture("What lies outside an axis of four elements", 74 + 4 * 78 - 12, parts)


def figures() -> dict[str, str]:
    """Return every picture by file name."""
    return {"coordinates.svg": coordinates(), "outside.svg": outside()}


def main() -> None:
    """Write every picture."""
    IMAGES.mkdir(exist_ok=True)
    for name, drawing in figures().items():
        (IMAGES / name).write_text(drawing, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
