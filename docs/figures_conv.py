"""The pictures of docs/convolution.md, drawn by the rules they show.

``python docs/figures_conv.py`` writes them to docs/images/conv; a test holds the files to this
script. It needs nothing but Python.
"""

from __future__ import annotations

from pathlib import Path

IMAGES = Path(__file__).parent / "images" / "conv"

CELL, MARGIN, TOP = 40, 24, 84  # pixels: side of an element; around; above the first row
INK, PALE, PAPER = "#1f2937", "#9ca3af", "#ffffff"
COLOURS = ["#2563eb", "#dc2626", "#059669", "#d97706"]
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"
X = (3, 1, 2)  # the input of the first two pictures,
KERNEL = (1, 2, 3, 4)  # and their kernel; stride 2, padding 1


def text(x: float, y: float, words: str, size: int = 13, anchor: str = "start") -> str:
    """Return a line of text."""
    return (
        f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}' fill='{INK}' "
        f"text-anchor='{anchor}'>{words}</text>"
    )


def cell(x: float, y: float, words: str, colour: str, opacity: float = 0.25) -> str:
    """Return an element: its number on its colour."""
    box = f"x='{x:g}' y='{y:g}' width='{CELL}' height='{CELL}'"
    return f"<rect {box} fill='{colour}' fill-opacity='{opacity:g}' stroke='{PALE}'/>" + text(
        x + CELL / 2, y + CELL / 2 + 5, words, anchor="middle"
    )


def line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """Return a line."""
    ends = f"x1='{x1:g}' y1='{y1:g}' x2='{x2:g}' y2='{y2:g}'"
    return f"<line {ends} stroke='{colour}' stroke-width='2'/>"


def picture(title: str, captions: list[str], width: float, height: float, body: list[str]) -> str:
    """Return an SVG of what is drawn under a title and some lines."""
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


def transposed() -> list[int]:
    """Return the whole canvas of stamps, before padding crops it."""
    canvas = [0] * (2 * (len(X) - 1) + len(KERNEL))
    for i, value in enumerate(X):
        for k, weight in enumerate(KERNEL):
            canvas[2 * i + k] += value * weight
    return canvas


def stamps() -> str:
    """Return the picture of a transposed convolution as stamps that are added up."""
    body, canvas = [], transposed()
    left = MARGIN + 120
    for i, value in enumerate(X):
        top = TOP + i * CELL * 1.4
        body.append(cell(MARGIN, top, str(value), COLOURS[i]))
        body.append(text(MARGIN + CELL + 12, top + CELL / 2 + 5, "x kernel"))
        for k, weight in enumerate(KERNEL):
            place = left + (2 * i + k) * CELL
            body.append(cell(place, top, str(value * weight), COLOURS[i]))
    top = TOP + len(X) * CELL * 1.4 + 8
    body.append(line(left, top - 10, left + len(canvas) * CELL, top - 10, INK))
    for o, value in enumerate(canvas):
        inside = 0 < o < len(canvas) - 1
        body.append(cell(left + o * CELL, top, str(value), INK if inside else PAPER, 0.12))
    body.append(text(MARGIN, top + CELL / 2 + 5, "sum, cropped"))
    captions = [
        "Every element of (3, 1, 2) stamps the kernel (1, 2, 3, 4), times its value, two places",
        "further on. Stamps add up; padding 1 crops one element at either end (white).",
    ]
    return picture(
        "Stamping: conv_transpose1d, stride 2, padding 1",
        captions,
        max(left - MARGIN + len(canvas) * CELL, 560),
        3 * CELL * 1.4 + 8 + CELL,
        body,
    )


def phases() -> str:
    """Return the picture of the same result gathered: each residue has taps of its own."""
    body, canvas = [], transposed()[1:-1]
    step = CELL * 1.5
    top, bottom = TOP + 6, TOP + 3.2 * CELL
    width = len(canvas) * step
    place = [MARGIN + 1.5 * step + 2 * step * (i - 0.25) for i in range(len(X))]
    lines, front = [], []
    for i, value in enumerate(X):
        front.append(cell(place[i], top, str(value), PALE))
    for o, value in enumerate(canvas):
        phase = o % 2
        at = MARGIN + o * step + step / 2 - CELL / 2
        front.append(cell(at, bottom, str(value), COLOURS[phase]))
        terms = []
        for i in range(len(X)):
            k = o + 1 - 2 * i
            if 0 <= k < len(KERNEL):
                terms.append(f"{KERNEL[k]}·{X[i]}")
                ends = (place[i] + CELL / 2, top + CELL, at + CELL / 2, bottom)
                lines.append(line(*ends, COLOURS[phase]))
        front.append(text(at + CELL / 2, bottom + CELL + 18, " + ".join(terms), 12, "middle"))
    body = lines + front
    captions = [
        "The same six numbers, each gathered from the inputs it depends on. Even outputs (blue)",
        "take the taps 2 and 4, odd ones (red) 1 and 3: two small convolutions, interleaved.",
    ]
    height = bottom - TOP + CELL + 28
    return picture(
        "Gathering: one phase for each residue of the stride",
        captions,
        max(width, 560),
        height,
        body,
    )


def counts(size: int, kernel: int, stride: int) -> list[int]:
    """Return how many stamps cover each place of the canvas."""
    canvas = [0] * (stride * (size - 1) + kernel)
    for i in range(size):
        for k in range(kernel):
            canvas[stride * i + k] += 1
    return canvas


def checkerboard() -> str:
    """Return the picture of how many stamps cover each output, for two kernels."""
    body, side = [], 16
    left = MARGIN
    for kernel, words in ((3, "kernel 3: 1, 2 or 4 stamps"), (4, "kernel 4: 4 stamps")):
        row = counts(7, kernel, 2)
        inner = row[kernel - 2 : len(row) - kernel + 2]
        for y, down in enumerate(inner):
            for x, across in enumerate(inner):
                box = (
                    f"x='{left + x * side:g}' y='{TOP + y * side:g}' width='{side}' height='{side}'"
                )
                shade = down * across / 4
                body.append(f"<rect {box} fill='{COLOURS[0]}' fill-opacity='{shade * 0.8:g}'/>")
        body.append(text(left, TOP + len(inner) * side + 20, words))
        left += len(inner) * side + 60
    captions = [
        "Number of stamps on each output, stride 2. Where the stride does not divide the kernel it",
        "differs from output to output, and so does the size of the sums: a checkerboard.",
    ]
    return picture("Why checkerboards appear", captions, 600, 13 * side + 28, body)


def figures() -> dict[str, str]:
    """Return every picture by file name."""
    return {"stamps.svg": stamps(), "phases.svg": phases(), "checkerboard.svg": checkerboard()}


def main() -> None:
    """Write every picture."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, drawing in figures().items():
        (IMAGES / name).write_text(drawing, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
