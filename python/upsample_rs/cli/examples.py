"""The worked examples `tour` prints, each computed when it is asked for.

An example is its title, the call as a user would type it, the result of that call, and what to
print of the steps between. Steps are computed too: where an element goes, or with what weight it
counts, is seen by running the same call on an array that holds nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import upsample_rs as us
from upsample_rs.cli.matrices import beside, matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.text import Text

    from upsample_rs._types import Array

SMALL = [[1, 2], [3, 4]]
TENS = [[10, 20], [30, 40]]
POOLED = [[1, 2, 4, 1], [3, 4, 2, 3], [1, 4, 1, 2], [2, 3, 4, 3]]
FIVES = [[5, 5], [5, 5]]
IMAGE = (np.arange(75) * 7 % 10).reshape(5, 5, 3)
KERNEL = np.array(
    [
        [
            [[1, 0, -1], [1, 0, -1], [1, 0, -1]],
            [[0, 0, 0], [0, 2, 0], [0, 0, 0]],
            [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
        ]
    ]
)


@dataclass(frozen=True)
class Example:
    """One technique at work on a few numbers."""

    title: str
    call: str
    """As typed; evaluated, it gives `result`."""
    result: Any
    parts: list[Text | str] = field(default_factory=list)
    """What to print, from the input to the output."""


def alone(values: Any, row: int, column: int, kind: type = int) -> Array:
    """Return an array like `values` that holds 1 at one place and 0 elsewhere."""
    array = np.zeros(np.shape(values), kind)
    array[row, column] = 1
    return array


def places(values: Any) -> Iterator[tuple[int, int]]:
    """Walk through a matrix: row and column of each element."""
    yield from ((int(row), int(column)) for row, column in np.ndindex(*np.shape(values)))


def nearest() -> Example:
    """Every element becomes a block."""
    result = us.interpolate(SMALL, scale_factor=2, mode="nearest")
    parts: list[Text | str] = [beside(input=matrix(SMALL), output=matrix(result))]
    for row, column in places(SMALL):
        block = us.interpolate(alone(SMALL, row, column), scale_factor=2, mode="nearest")
        parts.append(f"{SMALL[row][column]} at ({row}, {column}) fills {block_of(block)}")
    return Example(
        "K-nearest: every element becomes a 2x2 block of K = 4",
        f'interpolate({SMALL}, scale_factor=2, mode="nearest")',
        result,
        parts,
    )


def block_of(mask: Array) -> str:
    """Say which rows and columns of a mask are not zero."""
    rows, columns = np.nonzero(mask)
    return f"rows {rows.min()}-{rows.max()}, columns {columns.min()}-{columns.max()}"


def bilinear() -> Example:
    """Every output element is a weighted mean of the four nearest input elements."""
    result = us.interpolate(TENS, scale_factor=2, mode="bilinear", rounding="floor")
    row, column = 1, 1
    exact = us.interpolate(np.array(TENS, float), scale_factor=2, mode="bilinear")
    weights = np.zeros((2, 2))
    for place in places(TENS):
        share = us.interpolate(alone(TENS, *place, float), scale_factor=2, mode="bilinear")
        weights[place] = share[row, column]
    terms = " + ".join(f"{TENS[r][c]} * {weights[r, c]:g}" for r, c in places(TENS))
    return Example(
        "Bilinear: every output is a mean of four neighbours, the nearer the weightier",
        f'interpolate({TENS}, scale_factor=2, mode="bilinear", rounding="floor")',
        result,
        [
            beside(input=matrix(TENS), output=matrix(result, {(row, column)})),
            f"output ({row}, {column}) lies at ({(row + 0.5) / 2 - 0.5:g}, "
            f"{(column + 0.5) / 2 - 0.5:g}) of the input; its four neighbours and their weights:",
            beside(neighbours=matrix(TENS), weights=matrix(weights)),
            f"{terms} = {exact[row, column]:g}, rounded down to {result[row, column]}",
        ],
    )


def bed_of_nails() -> Example:
    """Every element goes to the corner of its block."""
    result = us.bed_of_nails(SMALL, 2)
    goals = {}
    for place in places(SMALL):
        rows, columns = np.nonzero(us.bed_of_nails(alone(SMALL, *place), 2))
        goals[place] = (int(rows[0]), int(columns[0]))
    parts: list[Text | str] = [beside(input=matrix(SMALL), output=matrix(result, goals.values()))]
    parts += [f"{SMALL[r][c]} at ({r}, {c}) goes to {goal}" for (r, c), goal in goals.items()]
    return Example(
        "Bed of nails: every element at every second place, zeros between",
        f"bed_of_nails({SMALL}, 2)",
        result,
        parts,
    )


def max_pooling() -> Example:
    """Of every window the largest element stays, and where it was is noted."""
    values, indices = us.max_pool2d(POOLED, 2, return_indices=True)
    width = len(POOLED[0])
    found = {place: divmod(int(indices[place]), width) for place in places(indices)}
    parts: list[Text | str] = [
        beside(
            input_with_each_maximum=matrix(POOLED, found.values()),
            output=matrix(values),
            indices=matrix(indices),
        )
    ]
    for (row, column), (r, c) in found.items():
        window = f"rows {2 * row}-{2 * row + 1}, columns {2 * column}-{2 * column + 1}"
        parts.append(
            f"{window}: largest {values[row, column]} at ({r}, {c}), "
            f"index {r} * {width} + {c} = {indices[row, column]}"
        )
    return Example(
        "Max pooling: of every 2x2 window its largest element, and where it was",
        f"max_pool2d({POOLED}, 2, return_indices=True)",
        (values, indices),
        parts,
    )


def max_unpooling() -> Example:
    """Every element goes back to where the maximum of its window was."""
    _, indices = us.max_pool2d(POOLED, 2, return_indices=True)
    result = us.max_unpool2d(SMALL, indices, 2)
    width = result.shape[1]
    goals = {place: divmod(int(indices[place]), width) for place in places(SMALL)}
    parts: list[Text | str] = [
        beside(
            input=matrix(SMALL),
            indices_from_max_pooling=matrix(indices),
            output=matrix(result, goals.values()),
        )
    ]
    for (row, column), (r, c) in goals.items():
        parts.append(
            f"{SMALL[row][column]} at ({row}, {column}) has index {indices[row, column]} "
            f"= {r} * {width} + {c}, so it goes to ({r}, {c})"
        )
    return Example(
        "Max unpooling: every element goes to where the maximum was, zeros elsewhere",
        f"max_unpool2d({SMALL}, indices, 2)",
        result,
        parts,
    )


def transposed_convolution() -> Example:
    """Every element stamps the kernel, times itself; overlapping stamps add up."""
    result = us.conv_transpose2d(SMALL, FIVES)
    parts: list[Text | str] = [
        beside(input=matrix(SMALL), kernel=matrix(FIVES), output=matrix(result))
    ]
    total = np.zeros_like(result)
    for row, column in places(SMALL):
        value = SMALL[row][column]
        stamp = us.conv_transpose2d(alone(SMALL, row, column) * value, FIVES)
        touched = set(zip(*(axis.tolist() for axis in np.nonzero(stamp)), strict=True))
        total = total + stamp
        parts.append(f"\n{value} at ({row}, {column}) stamps {value} times the kernel:")
        parts.append(beside(stamp=matrix(stamp, touched), sum_so_far=matrix(total)))
    return Example(
        "Transposed convolution: every element stamps the kernel, overlaps add up",
        f"conv_transpose2d({SMALL}, {FIVES})",
        result,
        parts,
    )


def convolution() -> Example:
    """Every output element is a sum over a window of all channels."""
    result = us.conv2d(IMAGE, KERNEL, channels_last=True)
    products = KERNEL[0] * np.moveaxis(IMAGE[:3, :3], -1, 0)
    sums = [int(channel.sum()) for channel in products]
    window = {(row, column) for row in range(3) for column in range(3)}
    parts: list[Text | str] = ["x, 5 high, 5 wide, 3 deep; the first window is marked:"]
    parts.append(channels([matrix(IMAGE[..., c], window) for c in range(3)]))
    parts.append("\nweight, one kernel 3 high, 3 wide, 3 deep:")
    parts.append(channels([matrix(KERNEL[0, c]) for c in range(3)]))
    parts.append("\nthe first window times the kernel:")
    parts.append(channels([matrix(product) for product in products]))
    parts.append(f"their sum: {sums[0]} + {sums[1]} + {sums[2]} = {result[0, 0, 0]}")
    parts.append(f"\nthe output, of shape {result.shape}:")
    parts.append(channels([matrix(result[..., 0], {(0, 0)})]))
    return Example(
        "Convolution: one 3x3x3 kernel over an image of 5x5x3 (height, width, depth)",
        "conv2d(x, weight, channels_last=True)",
        result,
        parts,
    )


def channels(blocks: list[Text]) -> Text:
    """Put one matrix per channel beside each other."""
    return beside(**{f"channel_{number}": block for number, block in enumerate(blocks)})


def convolution_size() -> Example:
    """How long the output of a convolution is."""
    return Example(
        "The size of a convolution: 1 + (W - K + 2P)/S",
        "conv_output_size(5, 3)",
        us.conv_output_size(5, 3),
        [
            f"W = {w}, K = {k}, P = {p}, S = {s}: 1 + ({w} - {k} + 2*{p})/{s} = "
            f"{us.conv_output_size(w, k, stride=s, padding=p)}"
            for w, k, p, s in ((5, 3, 0, 1), (5, 3, 1, 1), (5, 3, 1, 2))
        ],
    )


def transposed_size() -> Example:
    """How long the output of a transposed convolution is."""
    return Example(
        "The size of a transposed convolution: (W - 1)*S - 2P + K",
        "conv_transpose_output_size(2, 2)",
        us.conv_transpose_output_size(2, 2),
        [
            f"W = {w}, K = {k}, P = {p}, S = {s}: ({w} - 1)*{s} - 2*{p} + {k} = "
            f"{us.conv_transpose_output_size(w, k, stride=s, padding=p)}"
            for w, k, p, s in ((2, 2, 0, 1), (2, 2, 0, 2), (4, 4, 1, 2))
        ],
    )


EXAMPLES: tuple[Callable[[], Example], ...] = (
    nearest,
    bilinear,
    bed_of_nails,
    max_pooling,
    max_unpooling,
    transposed_convolution,
    convolution,
    convolution_size,
    transposed_size,
)
