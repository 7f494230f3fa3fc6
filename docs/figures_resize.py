"""The pictures of docs/resizing.md, made by the calls they show.

``python docs/figures_resize.py`` writes them to docs/images/resize. The drawings (SVG) need only
the package, the galleries of the photograph (PNG) Pillow too. A test holds the drawings to this
script.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import upsample_rs as us

IMAGES = Path(__file__).parent / "images" / "resize"

INK, PALE, PAPER, BLUE, RED = "#1f2937", "#9ca3af", "#ffffff", "#2563eb", "#dc2626"
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"
MARGIN, TOP = 24, 70  # pixels around a drawing, and above it

INPUTS, OUTPUTS, CELL = 4, 7, 96  # of the drawing of the coordinate rules; pixels of an input
RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("half_pixel", {}),
    ("align_corners", {}),
    ("asymmetric", {}),
    ("tf_crop_and_resize", {"roi": [(0.2, 0.8)]}),
)

RESPONSES = (
    ("nearest", "linear", "hamming", "cubic"),
    ("mitchell", "gaussian", "lanczos2", "lanczos3"),
)
REACH, FINE = 9, 64  # inputs of an impulse, and points of its response for each

PHOTOGRAPH = Path(us.__file__).parent / "data" / "chelsea.png"
WINDOW = (slice(95, 131), slice(146, 194))  # of the photograph: the cat's eye
LARGER = ("nearest", "linear", "cubic", "mitchell", "gaussian", "lanczos3")
SMALLER = (
    ("cubic", False),
    ("linear", True),
    ("cubic", True),
    ("lanczos3", True),
    ("box", True),
    ("area", False),
)


# --- drawings -------------------------------------------------------------------------------------


def text(x: float, y: float, words: str, size: int = 13, fill: str = INK) -> str:
    """Return a line of text."""
    return f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}' fill='{fill}'>{words}</text>"


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float = 1) -> str:
    """Return a line."""
    ends = f"x1='{x1:g}' y1='{y1:g}' x2='{x2:g}' y2='{y2:g}'"
    return f"<line {ends} stroke='{stroke}' stroke-width='{width:g}'/>"


def rect(x: float, y: float, width: float, height: float, stroke: str) -> str:
    """Return a rectangle."""
    size = f"width='{width:g}' height='{height:g}'"
    return (
        f"<rect x='{x:g}' y='{y:g}' {size} fill='{stroke}' fill-opacity='0.08' stroke='{stroke}'/>"
    )


def dot(x: float, y: float, fill: str) -> str:
    """Return a dot."""
    return f"<circle cx='{x:g}' cy='{y:g}' r='4' fill='{fill}'/>"


def drawing(width: int, height: int, title: str, caption: str, parts: list[str]) -> str:
    """Return an SVG with a title and a line below it."""
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
            f"viewBox='0 0 {width} {height}' role='img'>",
            f"<title>{title}</title>",
            f"<rect width='{width}' height='{height}' rx='8' fill='{PAPER}'/>",
            text(MARGIN, 28, title, 16),
            text(MARGIN, 50, caption),
            *parts,
            "</svg>",
            "",
        ]
    )


def positions(rule: str, options: dict[str, Any]) -> list[float]:
    """Return where each output lies, by the formulas of `upsample_rs.resize`."""
    if rule == "half_pixel":
        return [(o + 0.5) * INPUTS / OUTPUTS - 0.5 for o in range(OUTPUTS)]
    if rule == "asymmetric":
        return [o * INPUTS / OUTPUTS for o in range(OUTPUTS)]
    ((start, end),) = options.get("roi", [(0, 1)])  # aligned corners are the whole region
    return [(start + o * (end - start) / (OUTPUTS - 1)) * (INPUTS - 1) for o in range(OUTPUTS)]


def coordinates() -> str:
    """Return the drawing of the coordinate rules: inputs as boxes, outputs as dots below them."""
    parts, left = [], 190
    for row, (rule, options) in enumerate(RULES):
        y = TOP + 10 + row * 96
        words = rule if not options else f"{rule},"
        parts.append(text(MARGIN, y + 20, words))
        for key, value in options.items():
            parts.append(text(MARGIN, y + 38, f"{key}={value}"))
        for i in range(INPUTS):
            parts.append(rect(left + i * CELL, y, CELL, 32, INK))
            parts.append(dot(left + (i + 0.5) * CELL, y + 16, INK))
        at = positions(rule, options)
        for x in at:
            across = left + (x + 0.5) * CELL
            parts += [line(across, y, across, y + 56, BLUE, 1.5), dot(across, y + 56, BLUE)]
    width, height = left + INPUTS * CELL + MARGIN, TOP + 96 * len(RULES)
    title = f"Where {OUTPUTS} outputs (blue) lie on {INPUTS} inputs"
    caption = "Dots are centres; an element is the box around its centre."
    return drawing(width, height, title, caption, parts)


def response(method: str) -> np.ndarray:
    """Return what becomes of a single 1 among zeros, at many points."""
    impulse = np.zeros(REACH)
    impulse[REACH // 2] = 1
    return us.resize(impulse, REACH * FINE, method=method)  # type: ignore[arg-type]


def responses() -> str:
    """Return the plots of the filters' impulse responses."""
    wide, high, parts = 190, 120, []
    for row, methods in enumerate(RESPONSES):
        for column, method in enumerate(methods):
            left, top = MARGIN + column * (wide + 16), TOP + 20 + row * (high + 60)
            zero, unit = top + high - 24, high - 30
            parts.append(text(left, top - 6, method))
            parts.append(line(left, zero, left + wide, zero, PALE))
            for i in range(REACH):
                across = left + (i + 0.5) * wide / REACH
                parts.append(line(across, zero - 3, across, zero + 3, PALE))
            values = response(method)[:: FINE // 32]
            steps = wide / len(values)
            points = " ".join(
                f"{left + (i + 0.5) * steps:.1f},{zero - v * unit:.1f}"
                for i, v in enumerate(values)
            )
            parts.append(f"<polyline points='{points}' fill='none' stroke='{BLUE}'/>")
    title = "Impulse responses: a single 1 among zeros, enlarged"
    caption = "Ticks are the centres of inputs."
    width = 2 * MARGIN + len(RESPONSES[0]) * (wide + 16) - 16
    return drawing(width, TOP + 2 * (high + 60), title, caption, parts)


def around(x: np.ndarray, n: int, edge: str) -> np.ndarray:
    """Return an array with `n` more elements at both ends; NumPy has other names for the rules."""
    names = {"clamp": "edge", "reflect": "symmetric", "mirror": "reflect"}
    return np.pad(x, n, mode=names.get(edge, edge))  # type: ignore[call-overload]


def edges() -> str:
    """Return the plots of what each edge rule continues an array with."""
    x, parts, left, wide = np.array([0.2, 0.9, 0.5, 0.7]), [], 190, 560
    for row, edge in enumerate(("clamp", "reflect", "mirror", "wrap", "constant")):
        top, high = TOP + row * 84, 60
        padded = around(x, 3, edge)
        parts.append(text(MARGIN, top + 40, edge))
        for i, v in enumerate(padded):
            inside = 3 <= i < 3 + len(x)
            step = wide / len(padded)
            height = max(v * high, 1)
            fill = BLUE if inside else PALE
            parts.append(rect(left + i * step + 2, top + high - height, step - 4, height, fill))
    title = "What lies outside an array of four, by edge rule"
    return drawing(left + wide + MARGIN, TOP + 84 * 5, title, "The array is blue.", parts)


def figures() -> dict[str, str]:
    """Return every drawing by file name."""
    return {"coordinates.svg": coordinates(), "responses.svg": responses(), "edges.svg": edges()}


# --- the photograph -------------------------------------------------------------------------------


def sheet(tiles: list[tuple[str, np.ndarray]], columns: int) -> object:
    """Return a picture of titled tiles of one size."""
    from PIL import Image, ImageDraw

    height, width, _ = tiles[0][1].shape
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * (width + 8) + 8, rows * (height + 24) + 8), PAPER)
    draw = ImageDraw.Draw(page)
    for n, (title, tile) in enumerate(tiles):
        left, top = 8 + n % columns * (width + 8), 4 + n // columns * (height + 24)
        draw.text((left, top), title, fill=INK)
        page.paste(Image.fromarray(tile), (left, top + 16))
    return page.quantize(96, dither=Image.Dither.NONE)


def galleries() -> dict[str, object]:
    """Return the pictures of the photograph by file name."""
    from PIL import Image

    photograph = np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))
    window = photograph[WINDOW]
    larger, smaller = [], []
    for method in LARGER:
        size = (window.shape[0] * 5, window.shape[1] * 5)
        larger.append((method, us.resize(window, size, axes=(0, 1), method=method)))
    for method, antialias in SMALLER:
        size = (photograph.shape[0] // 5, photograph.shape[1] // 5)
        options = {"axes": (0, 1), "method": method, "antialias": antialias}
        small = us.resize(photograph, size, **options)
        shown = us.resize(small, scale=(3, 3), axes=(0, 1), method="nearest")
        smaller.append((method + ", antialias" * antialias, shown))
    return {"larger.png": sheet(larger, 3), "smaller.png": sheet(smaller, 3)}


def main() -> None:
    """Write every picture."""
    IMAGES.mkdir(exist_ok=True)
    for name, made in figures().items():
        (IMAGES / name).write_text(made, encoding="utf-8", newline="\n")
    for name, page in galleries().items():
        page.save(IMAGES / name, optimize=True)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
