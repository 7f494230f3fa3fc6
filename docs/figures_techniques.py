"""The pictures of docs/techniques, made by the calls they show.

``python docs/figures_techniques.py`` writes them to docs/images/techniques: for each technique a
drawing of the worked example (SVG, needs only the package) and the photograph made four times
smaller and brought back (PNG, needs Pillow). Every number in a drawing is computed; an element
keeps its colour wherever it goes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import upsample_rs as us

IMAGES = Path(__file__).parent / "images" / "techniques"

CELL, MARGIN, TOP, GAP = 40, 24, 84, 44  # pixels: side of an element; around, above, between
INK, PALE, PAPER, NONE = "#1f2937", "#9ca3af", "#ffffff", "#f3f4f6"
COLOURS = np.array([["#2563eb", "#dc2626"], ["#059669", "#d97706"]])
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"

SMALL = np.array([[1, 2], [3, 4]])
TENS = np.array([[10, 20], [30, 40]])
POOLED = np.array([[1, 2, 4, 1], [3, 4, 2, 3], [1, 4, 1, 2], [2, 3, 4, 3]])
FIVES = np.full((2, 2), 5)

PHOTOGRAPH = Path(us.__file__).parent / "data" / "chelsea.png"
SCALE, ZOOM = 4, 5  # how much smaller the photograph is made; how much the window is enlarged
WINDOW = (slice(88, 136), slice(140, 212))  # of the photograph: the cat's eye


# --- drawings -------------------------------------------------------------------------------------


def text(x: float, y: float, words: str, size: int = 13, anchor: str = "start") -> str:
    """Return a line of text."""
    return (
        f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}' fill='{INK}' "
        f"text-anchor='{anchor}'>{words}</text>"
    )


def frame(x: float, y: float, stroke: str, width: float) -> str:
    """Return the outline of an element."""
    place = f"x='{x:g}' y='{y:g}' width='{CELL}' height='{CELL}'"
    return f"<rect {place} fill='none' stroke='{stroke}' stroke-width='{width:g}'/>"


def cell(x: float, y: float, words: str, fills: list[str]) -> str:
    """Return an element: its number on its colour, or on stripes of several."""
    step = CELL / len(fills)
    parts = [
        f"<rect x='{x + n * step:g}' y='{y:g}' width='{step:g}' height='{CELL}' fill='{fill}' "
        f"fill-opacity='{1 if fill == NONE else 0.25}'/>"
        for n, fill in enumerate(fills)
    ]
    parts.append(frame(x, y, PALE, 1))
    return "".join(parts) + text(x + CELL / 2, y + CELL / 2 + 5, words, anchor="middle")


def matrix(
    x: float,
    y: float,
    title: str,
    values: np.ndarray,
    fills: np.ndarray,
    strong: np.ndarray | None = None,
) -> list[str]:
    """Return a matrix under its name; `fills` holds a list of colours for each element."""
    parts, frames = [text(x, y - 8, title)], []
    for (row, column), value in np.ndenumerate(values):
        place = (x + column * CELL, y + row * CELL)
        parts.append(cell(*place, f"{value:g}", fills[row, column]))
        if strong is not None and strong[row, column]:
            frames.append(frame(*place, INK, 2.5))
    return parts + frames  # frames last: a neighbour does not cover them


def arrow(x: float, y: float) -> str:
    """Return an arrow to the right, in the gap between two matrices."""
    start, end = x + 8, x + GAP - 8
    return (
        f"<path d='M{start:g} {y:g} H{end:g} m-8 -5 l8 5 l-8 5' fill='none' stroke='{INK}' "
        "stroke-width='2'/>"
    )


def picture(title: str, captions: list[str], width: float, height: float, body: list[str]) -> str:
    """Return an SVG of matrices under a title and some lines."""
    width, height = width + 2 * MARGIN, TOP + 20 + height + MARGIN
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


def of_each(call) -> np.ndarray:
    """Return for each output the colours of the inputs it depends on, found by running the call."""
    shares = np.array([call(np.eye(4)[k].reshape(2, 2)) != 0 for k in range(4)])
    fills = np.empty(shares.shape[1:], object)
    for place in np.ndindex(fills.shape):
        fills[place] = [COLOURS.flat[k] for k in range(4) if shares[(k, *place)]] or [NONE]
    return fills


def own() -> np.ndarray:
    """Return a colour for each of four inputs."""
    return of_each(lambda x: x)


def plain(side: int) -> np.ndarray:
    """Return no colour for each element of a square."""
    fills = np.empty((side, side), object)
    for place in np.ndindex(side, side):
        fills[place] = [NONE]
    return fills


def row(*matrices: tuple) -> tuple[float, float, list[str]]:
    """Lay matrices side by side, an arrow before the last; return width, height and parts."""
    high = max(len(values) for _, values, *_ in matrices) * CELL
    x, parts = MARGIN, []
    for n, (title, values, *rest) in enumerate(matrices):
        y = TOP + 20 + (high - len(values) * CELL) / 2
        if n and n == len(matrices) - 1:
            parts.append(arrow(x - GAP, TOP + 20 + high / 2))
        parts += matrix(x, y, title, values, *rest)
        x += max(values.shape[1] * CELL, 7.5 * len(title)) + GAP
    return x - GAP - MARGIN, high, parts


def nearest() -> str:
    """Every element becomes a block."""
    y = us.interpolate(SMALL, scale_factor=2, mode="nearest")
    fills = of_each(lambda x: us.interpolate(x, scale_factor=2, mode="nearest"))
    width, height, body = row(("x", SMALL, own()), ("y", y, fills))
    captions = ["Every element of x becomes a block of K = 4."]
    title = 'interpolate(x, scale_factor=2, mode="nearest")'
    return picture(title, captions, max(width, 440), height, body)


def bilinear() -> str:
    """Every element is a mean of up to four."""

    def call(x: np.ndarray) -> np.ndarray:
        return us.interpolate(x, scale_factor=2, mode="bilinear")

    y = us.interpolate(TENS, scale_factor=2, mode="bilinear", rounding="floor")
    strong = np.zeros((4, 4), bool)
    strong[1, 1] = True
    weights = np.array([call(np.eye(4)[k].reshape(2, 2))[1, 1] for k in range(4)]).reshape(2, 2)
    width, height, body = row(("x", TENS, own()), ("y", y, of_each(call), strong))
    terms = " + ".join(f"{v} * {w:g}" for v, w in zip(TENS.flat, weights.flat, strict=True))
    captions = [
        "A corner depends on one element, an edge on two, the rest on four.",
        f"framed: {terms} = {float(np.sum(TENS * weights)):g}, down to {y[1, 1]}",
    ]
    title = 'interpolate(x, scale_factor=2, mode="bilinear", rounding="floor")'
    return picture(title, captions, max(width, 560), height, body)


def bed_of_nails() -> str:
    """Every element at every second place."""
    fills = of_each(lambda x: us.bed_of_nails(x, 2))
    width, height, body = row(("x", SMALL, own()), ("y", us.bed_of_nails(SMALL, 2), fills))
    captions = ["Every element of x stands at the corner of its block, zeros around it."]
    return picture("bed_of_nails(x, 2)", captions, max(width, 440), height, body)


def max_unpooling() -> str:
    """Maxima remembered by max pooling say where elements go."""
    values, indices = us.max_pool2d(POOLED, 2, return_indices=True)
    strong = np.isin(np.arange(16).reshape(4, 4), indices)
    places = of_each(lambda x: us.max_unpool2d(x, indices, 2))
    blocks = of_each(lambda x: us.interpolate(x, scale_factor=2))
    first = row(
        ("image", POOLED, blocks, strong), ("indices", indices, own()), ("maxima", values, own())
    )
    y = us.max_unpool2d(SMALL, indices, 2)
    second = row(("x", SMALL, own()), ("indices", indices, own()), ("y", y, places))
    body = [*first[2], f"<g transform='translate(0 {first[1] + 44:g})'>", *second[2], "</g>"]
    captions = [
        "Above, max_pool2d(image, 2, return_indices=True): each block's maximum is framed.",
        "Below, max_unpool2d(x, indices, 2): every element of x goes to such a place.",
    ]
    width = max(first[0], second[0], 560)
    return picture("Max pooling and unpooling", captions, width, first[1] + second[1] + 44, body)


def transposed_convolution() -> str:
    """Every element stamps the kernel; stamps add up."""
    x, y = MARGIN, TOP + 20
    body = matrix(x, y, "x", SMALL, own())
    body += matrix(x + 2 * CELL + GAP, y, "kernel", FIVES, plain(2))
    y += 2 * CELL + 44
    for k, value in enumerate(SMALL.flat):
        alone = np.eye(4, dtype=int)[k].reshape(2, 2) * value
        stamp = us.conv_transpose2d(alone, FIVES)
        fills = of_each(lambda z, only=alone != 0: us.conv_transpose2d(z * only, FIVES * 1.0))
        body += matrix(x, y, f"{value} times the kernel", stamp, fills)
        x += 3 * CELL + GAP
        if k < 3:
            body.append(text(x - GAP / 2, y + 1.5 * CELL + 6, "+", 20, "middle"))
    y += 3 * CELL + 44
    total = us.conv_transpose2d(SMALL, FIVES)
    fills = of_each(lambda z: us.conv_transpose2d(z, FIVES * 1.0))
    body += matrix(MARGIN, y, "y, their sum", total, fills)
    width = x - GAP - MARGIN
    captions = [
        "Every element of x stamps the kernel times itself, one place after the one before.",
        "Where stamps overlap they add up; the middle of y has four.",
    ]
    height = y + 3 * CELL - TOP - 20
    return picture("conv_transpose2d(x, kernel)", captions, width, height, body)


def convolution() -> str:
    """Every window times the kernel, added up."""
    x = us.conv_transpose2d(SMALL, FIVES)
    y = us.conv2d(x, FIVES)
    window = np.zeros((3, 3), bool)
    window[:2, :2] = True
    fills = plain(3)
    for place in np.ndindex(2, 2):
        fills[place] = [COLOURS[0, 0]]
    first = np.eye(1, 4, dtype=bool).reshape(2, 2)
    width, height, body = row(
        ("x", x, fills, window), ("kernel", FIVES, plain(2)), ("y", y, own(), first)
    )
    terms = " + ".join(f"{v}*5" for v in x[:2, :2].flat)
    captions = [
        "The kernel lies on every window of x; products are added up.",
        f"framed: {terms} = {y[0, 0]}",
    ]
    return picture("conv2d(x, kernel)", captions, max(width, 440), height, body)


def figures() -> dict[str, str]:
    """Return every drawing by file name."""
    return {
        "nearest.svg": nearest(),
        "bilinear.svg": bilinear(),
        "bed-of-nails.svg": bed_of_nails(),
        "max-unpooling.svg": max_unpooling(),
        "convolution.svg": convolution(),
        "transposed-convolution.svg": transposed_convolution(),
    }


# --- the photograph -------------------------------------------------------------------------------


def shown(photograph: np.ndarray, window: np.ndarray) -> object:
    """Return a whole photograph and, beside it, a window enlarged to the same height."""
    from PIL import Image

    zoomed = us.resize(window, scale=(ZOOM, ZOOM), axes=(0, 1), method="nearest")
    whole = photograph[: photograph.shape[0] // 2 * 2]
    height = zoomed.shape[0]
    size = (height, round(whole.shape[1] * height / whole.shape[0]))
    whole = us.resize(whole, size, axes=(0, 1), method="linear", antialias=True)
    gap = np.full((height, 8, 3), 255, np.uint8)
    page = Image.fromarray(np.concatenate([whole, gap, zoomed], axis=1))
    return page.quantize(256, dither=Image.Dither.NONE)


def galleries() -> dict[str, object]:
    """Return the pictures of the photograph by file name."""
    from PIL import Image

    from upsample_rs.cli.techniques import TECHNIQUES, extend, reduce

    original = np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))
    reduced = reduce(extend(original.astype(np.float32) / 255, SCALE), SCALE)
    restore = {technique.name: technique.restore for technique in TECHNIQUES}
    pages = {"original.png": shown(original, original[WINDOW])}
    for name, technique in (
        ("nearest", "nearest"),
        ("bilinear", "bilinear"),
        ("bed-of-nails", "bed-of-nails"),
        ("max-unpooling", "max-unpool"),
        ("transposed-convolution", "conv-transpose"),
    ):
        back = np.rint(restore[technique](reduced).clip(0, 1) * 255).astype(np.uint8)
        pages[f"{name}.png"] = shown(back, back[WINDOW])
    pages["convolution.png"] = edges(original)
    return pages


def edges(original: np.ndarray) -> object:
    """Return what a convolution that answers to edges makes of the photograph."""
    grey = original.astype(np.float32).mean(axis=2)
    left_to_right = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
    across = us.conv2d(grey, left_to_right, padding="same")
    down = us.conv2d(grey, np.ascontiguousarray(left_to_right.T), padding="same")
    strength = np.rint(np.hypot(across, down).clip(0, 510) / 2).astype(np.uint8)
    return shown(
        strength[..., None].repeat(3, axis=2), strength[WINDOW][..., None].repeat(3, axis=2)
    )


def main() -> None:
    """Write every picture."""
    IMAGES.mkdir(exist_ok=True)
    for name, made in figures().items():
        (IMAGES / name).write_text(made, encoding="utf-8", newline="\n")
    for name, page in galleries().items():
        page.save(IMAGES / name, optimize=True)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
