"""The pictures of docs/roi.md, drawn by the rules they show.

``python docs/figures_roi.py`` writes them to docs/images/roi; a test holds the files to this
script. It needs nothing but Python. Every picture is one box on the elements of a small image.
"""

from __future__ import annotations

import math
from pathlib import Path

IMAGES = Path(__file__).parent / "images" / "roi"

CELL, MARGIN, TOP = 46, 24, 84  # pixels: side of an element; around the image; above it
ROWS, COLUMNS = 6, 9  # of the image
BOX = (1.3, 0.6, 7.1, 4.8)  # x1, y1, x2, y2
BINS = (2, 3)  # along H and W
INK, PALE, PAPER = "#1f2937", "#9ca3af", "#ffffff"
BLUE, RED = "#2563eb", "#dc2626"
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"


def text(x: float, y: float, words: str, size: int = 13) -> str:
    """Return a line of text."""
    return f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}' fill='{INK}'>{words}</text>"


def rect(x: float, y: float, width: float, height: float, fill: str, stroke: str) -> str:
    """Return a rectangle, its fill see-through; places and sizes in elements."""
    x, y = MARGIN + x * CELL, TOP + y * CELL
    size = f"width='{width * CELL:g}' height='{height * CELL:g}'"
    return f"<rect x='{x:g}' y='{y:g}' {size} fill='{fill}' fill-opacity='0.18' stroke='{stroke}'/>"


def line(x1: float, y1: float, x2: float, y2: float, width: float) -> str:
    """Return a red line; places in elements."""
    x1, x2 = (MARGIN + x * CELL for x in (x1, x2))
    y1, y2 = (TOP + y * CELL for y in (y1, y2))
    return (
        f"<line x1='{x1:g}' y1='{y1:g}' x2='{x2:g}' y2='{y2:g}' stroke='{RED}' "
        f"stroke-width='{width:g}'/>"
    )


def dot(x: float, y: float, radius: float, fill: str) -> str:
    """Return a dot; its place in elements."""
    x, y = MARGIN + x * CELL, TOP + y * CELL
    return f"<circle cx='{x:g}' cy='{y:g}' r='{radius:g}' fill='{fill}'/>"


def picture(title: str, captions: list[str], under: list[str], over: list[str]) -> str:
    """Return an SVG of the elements of the image, with what lies under and over them."""
    width, height = COLUMNS * CELL + 2 * MARGIN, TOP + ROWS * CELL + MARGIN
    elements = [rect(j, i, 1, 1, "none", PALE) for i in range(ROWS) for j in range(COLUMNS)]
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
            f"viewBox='0 0 {width} {height}' role='img'>",
            f"<title>{title}</title>",
            f"<rect width='{width}' height='{height}' rx='8' fill='{PAPER}'/>",
            text(MARGIN, 28, title, 16),
            *(text(MARGIN, 50 + 20 * i, words) for i, words in enumerate(captions)),
            *under,
            *elements,
            *over,
            "</svg>",
            "",
        ]
    )


def grid_of_bins() -> list[str]:
    """Return the lines that cut the box into bins."""
    x1, y1, x2, y2 = BOX
    across = [x1 + (x2 - x1) * q / BINS[1] for q in range(BINS[1] + 1)]
    down = [y1 + (y2 - y1) * p / BINS[0] for p in range(BINS[0] + 1)]
    return [line(x, y1, x, y2, 2) for x in across] + [line(x1, y, x2, y, 2) for y in down]


def align() -> str:
    """Return the picture of roi_align, aligned, two points along each side of a bin."""
    x1, y1, x2, y2 = BOX
    points = []
    for p in range(2 * BINS[0]):
        for q in range(2 * BINS[1]):
            x = x1 + (q + 0.5) * (x2 - x1) / (2 * BINS[1])
            y = y1 + (p + 0.5) * (y2 - y1) / (2 * BINS[0])
            points.append((x, y))
    x, y = points[8]
    left, top = math.floor(x - 0.5), math.floor(y - 0.5)
    four = [(left + j, top + i) for i in (0, 1) for j in (0, 1)]
    under = [rect(j, i, 1, 1, BLUE, PALE) for j, i in four]
    over = [dot(j + 0.5, i + 0.5, 3, PALE) for i in range(ROWS) for j in range(COLUMNS)]
    over += grid_of_bins() + [dot(*point, 5, BLUE) for point in points]
    over += [line(x, y, j + 0.5, i + 0.5, 1) for j, i in four]
    captions = [
        "Each point (blue) is interpolated between the centres of four elements;",
        "a bin is the mean of its points.",
    ]
    title = f"roi_align, output_size={BINS}, sampling_ratio=2, aligned=True"
    return picture(title, captions, under, over)


def pool() -> str:
    """Return the picture of roi_pool: the elements of each bin."""
    start = [math.floor(v + 0.5) for v in BOX]
    sizes = (start[3] - start[1] + 1, start[2] - start[0] + 1)
    fills, outlines = [], []
    for p in range(BINS[0]):
        for q in range(BINS[1]):
            top, bottom = (start[1] + e for e in edges(p, sizes[0], BINS[0]))
            left, right = (start[0] + e for e in edges(q, sizes[1], BINS[1]))
            fills.append(rect(left, top, right - left, bottom - top, BLUE, "none"))
            inset = 0.05 * (1 + (p + q) % 2)
            size = (right - left - 2 * inset, bottom - top - 2 * inset)
            outlines.append(rect(left + inset, top + inset, *size, "none", BLUE))
    captions = [
        f"The box (red) takes columns {start[0]} to {start[2]} and rows {start[1]} to {start[3]}.",
        "A bin (blue) is its largest element; the dark ones are in several.",
    ]
    x1, y1, x2, y2 = BOX
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    # A whole number is an element here, so it is drawn at the element's centre.
    moved = [(x + 0.5, y + 0.5) for x, y in corners]
    box = [line(*a, *b, 2) for a, b in zip(moved, moved[1:], strict=False)]
    return picture(f"roi_pool, output_size={BINS}", captions, fills, outlines + box)


def edges(p: int, size: int, bins: int) -> tuple[int, int]:
    """Return the first element of a bin and one past its last."""
    return p * size // bins, -(-(p + 1) * size // bins)


def figures() -> dict[str, str]:
    """Return every picture by file name."""
    return {"align.svg": align(), "pool.svg": pool()}


def main() -> None:
    """Write every picture."""
    IMAGES.mkdir(exist_ok=True)
    for name, drawing in figures().items():
        (IMAGES / name).write_text(drawing, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
