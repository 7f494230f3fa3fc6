"""The pictures of docs/moving.md, drawn by the rules they show.

``python docs/figures_moves.py`` writes them to docs/images/moves; a test holds the files to this
script. It needs nothing but Python. An element keeps its number and the colour of its channel.
"""

from __future__ import annotations

from pathlib import Path

IMAGES = Path(__file__).parent / "images" / "moves"

CELL, MARGIN, TOP, GAP = 38, 24, 84, 30  # pixels: side of an element; around, above, between arrays
INK, PALE, PAPER = "#1f2937", "#9ca3af", "#ffffff"
COLOURS = ["#2563eb", "#dc2626", "#059669", "#d97706"]
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"


def text(x: float, y: float, words: str, size: int = 13, anchor: str = "start") -> str:
    """Return a line of text."""
    return (
        f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}' fill='{INK}' "
        f"text-anchor='{anchor}'>{words}</text>"
    )


def cell(x: float, y: float, words: str, colour: str) -> str:
    """Return an element: its number on its colour."""
    box = f"x='{x:g}' y='{y:g}' width='{CELL}' height='{CELL}'"
    return f"<rect {box} fill='{colour}' fill-opacity='0.25' stroke='{PALE}'/>" + text(
        x + CELL / 2, y + CELL / 2 + 5, words, anchor="middle"
    )


def frame(x: float, y: float, columns: int, rows: int) -> str:
    """Return the outline of a block of elements."""
    size = f"width='{columns * CELL}' height='{rows * CELL}'"
    return f"<rect x='{x:g}' y='{y:g}' {size} fill='none' stroke='{INK}' stroke-width='2'/>"


def arrow(x: float, y: float) -> str:
    """Return an arrow to the right, one gap long."""
    end = x + GAP
    return (
        f"<path d='M{x:g} {y:g} H{end:g} m-8 -5 l8 5 l-8 5' fill='none' stroke='{INK}' "
        "stroke-width='2'/>"
    )


def picture(title: str, captions: list[str], width: float, height: float, body: list[str]) -> str:
    """Return an SVG of arrays under a title and some lines."""
    width, height = width + 2 * MARGIN, TOP + height + MARGIN
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:g}' height='{height:g}' "
            f"viewBox='0 0 {width:g} {height:g}' role='img'>",
            f"<title>{title}</title>",
            f"<rect width='{width:g}' height='{height:g}' rx='8' fill='{PAPER}'/>",
            text(MARGIN, 28, title, 16),
            *(text(MARGIN, 50 + 18 * i, words) for i, words in enumerate(captions)),
            *body,
            "</svg>",
            "",
        ]
    )


def shuffle() -> str:
    """Return the picture of pixel_shuffle: four channels of 2 x 3 become one of 4 x 6."""
    r, height, width = 2, 2, 3
    body = []
    for c in range(r * r):
        left = MARGIN + (c % 2) * (width * CELL + GAP / 2)
        top = TOP + (c // 2) * (height * CELL + GAP / 2)
        for h in range(height):
            for w in range(width):
                number = (c * height + h) * width + w
                body.append(cell(left + w * CELL, top + h * CELL, str(number), COLOURS[c]))
    left = MARGIN + 2 * width * CELL + GAP
    middle = TOP + height * CELL + GAP / 4
    body.append(arrow(left, middle))
    left += 1.5 * GAP
    top = TOP + GAP / 4
    for y in range(r * height):
        for x in range(r * width):
            c = (y % r) * r + x % r
            number = (c * height + y // r) * width + x // r
            body.append(cell(left + x * CELL, top + y * CELL, str(number), COLOURS[c]))
    for h in range(height):
        for w in range(width):
            body.append(frame(left + w * r * CELL, top + h * r * CELL, r, r))
    captions = [
        "Left: four channels of 2 x 3 elements. Right: one of 4 x 6; every block (framed)",
        "has one element of each channel. pixel_unshuffle goes the other way.",
    ]
    total = left - MARGIN + r * width * CELL
    return picture("pixel_shuffle(x, 2)", captions, total, 2 * height * CELL + GAP / 2, body)


def columns() -> str:
    """Return the picture of unfold: the windows of 2 x 2 on 3 x 3 elements as columns."""
    side, k = 3, 2
    out = side - k + 1
    body = []
    top = TOP + CELL / 2
    for h in range(side):
        for w in range(side):
            number = h * side + w
            body.append(cell(MARGIN + w * CELL, top + h * CELL, str(number), PALE))
    body.append(frame(MARGIN + CELL, top, k, k))
    left = MARGIN + side * CELL + GAP / 2
    body.append(arrow(left, top + 1.5 * CELL))
    left += 1.5 * GAP
    for tap in range(k * k):
        for window in range(out * out):
            number = (window // out + tap // k) * side + window % out + tap % k
            place = (left + window * CELL, TOP + tap * CELL)
            body.append(cell(*place, str(number), COLOURS[tap]))
    body.append(frame(left + CELL, TOP, 1, k * k))
    captions = [
        "A column for each of four windows, a row for each element of a window.",
        "fold adds up what has the same number: element 4 four times.",
    ]
    total = max(left - MARGIN + out * out * CELL, 440)
    return picture("unfold(x, 2)", captions, total, k * k * CELL, body)


def figures() -> dict[str, str]:
    """Return every picture by file name."""
    return {"shuffle.svg": shuffle(), "unfold.svg": columns()}


def main() -> None:
    """Write every picture."""
    IMAGES.mkdir(exist_ok=True)
    for name, drawing in figures().items():
        (IMAGES / name).write_text(drawing, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
