"""Operations that are run on chunks as they are, or after an axis has been put together.

What each output needs is known from the meaning of the operation: a shuffle moves elements within a
pixel's channels or a block's pixels, a box or a grid's point may lie anywhere on an image, an index
anywhere in its plane. Axes of which that is less than all keep their chunks, at edges the operation
allows.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import dask.array as da
import numpy as np

from .._core import _fractional_samples
from ..bridges.table import Op
from .call import Call, one_chunk
from .tasks import Arrays, Block, Length, Results, run, spatial_axes

__all__ = ["BACKWARD", "FORWARD"]

Given: TypeAlias = dict[str, Any]
ANYWHERE = "an index may point anywhere in its plane"


def _to_multiples(array: Any, axis: int, unit: int) -> Any:
    """Move the edges of chunks along an axis to multiples of a number."""
    edges = np.cumsum((0, *array.chunks[axis]))
    moved = sorted({0, int(edges[-1])} | {int(e + unit // 2) // unit * unit for e in edges[:-1]})
    lens = tuple(b - a for a, b in pairwise(moved))
    return array.rechunk({axis: lens}) if lens != array.chunks[axis] else array


def _shuffle(parameter: str, up: bool) -> Callable[[Op, Given, Call, Results], Any]:
    def shuffle(op: Op, given: Given, call: Call, results: Results) -> Any:
        x, factors = given["x"], given[parameter]
        n, last = len(factors), given["channels_last"]
        spatial, others = spatial_axes(x.ndim, n, last)
        channel, count = others[-1], prod(factors)
        if given.get("mode", "CRD") == "DCR":
            x = one_chunk(op.name, "x", x, [channel], "mode DCR takes channels from all of it")
        adjust: dict[Any, Callable[[int], int]] = {}
        if up:
            x = _to_multiples(x, channel, count)
            adjust[channel] = lambda c: c // count
            for axis, factor in zip(spatial, factors, strict=True):
                adjust[axis] = _times(factor)
        else:
            adjust[channel] = lambda c: c * count
            for axis, factor in zip(spatial, factors, strict=True):
                x = _to_multiples(x, axis, factor)
                adjust[axis] = _over(factor)
        axes = range(x.ndim)
        return run(Block(call, ("x",)), [(x, axes)], axes, results, adjust=adjust)

    return shuffle


def _times(factor: int) -> Callable[[int], int]:
    return lambda length: length * factor


def _over(factor: int) -> Callable[[int], int]:
    return lambda length: length // factor


def _channel_shuffle(op: Op, given: Given, call: Call, results: Results) -> Any:
    x = given["x"]
    axis = x.ndim - 1 if given["channels_last"] else 1
    x = one_chunk(op.name, "x", x, [axis], "channels go from one end to the other")
    return run(Block(call, ("x",)), [(x, range(x.ndim))], range(x.ndim), results)


def _unfold(op: Op, given: Given, call: Call, results: Results) -> Any:
    x, last = given["x"], given["channels_last"]
    n = op.rank(given)
    spatial, others = spatial_axes(x.ndim, n, last)
    x = one_chunk(op.name, "x", x, spatial, "windows are columns of one axis")
    axes: list[Any] = list(range(x.ndim))
    (shape, _), rows, columns = results[0], "rows", "columns"
    if last or not others:
        x = one_chunk(op.name, "x", x, others[-1:], "channels and places of a window are one axis")
        lead = others[:-1] if last else []
        out = [*lead, columns, rows] if last else [rows, columns]
        new = {columns: shape[-2] if last else shape[-1], rows: shape[-1] if last else shape[-2]}
        return run(Block(call, ("x",)), [(x, axes)], out, results, new)
    taps = prod(given["kernel_size"])
    out, new = [*others, columns], {columns: shape[-1]}
    return run(Block(call, ("x",)), [(x, axes)], out, results, new, {others[-1]: _times(taps)})


def _fold(op: Op, given: Given, call: Call, results: Results) -> Any:
    x, last = given["x"], given["channels_last"]
    size, taps = given["output_size"], prod(given["kernel_size"])
    row = x.ndim - 1 if last else x.ndim - 2
    column = x.ndim - 2 if last else x.ndim - 1
    x = one_chunk(op.name, "x", x, [column], "windows that overlap are added up")
    x = (
        _to_multiples(x, row, taps)
        if not last
        else one_chunk(op.name, "x", x, [row], "channels and places of a window are one axis")
    )
    space = [f"space{i}" for i in range(len(size))]
    lead: list[Any] = list(range(x.ndim - 2))
    new = dict(zip(space, size, strict=True))
    out = [*lead, *space, row] if last else [*lead, row, *space]
    axes = range(x.ndim)
    return run(Block(call, ("x",)), [(x, axes)], out, results, new, {row: _over(taps)})


def _unpool(op: Op, given: Given, call: Call, results: Results) -> Any:
    n = op.rank(given)
    return _by_planes(
        op.name, call, {k: given[k] for k in ("x", "indices")}, n, given, results, ANYWHERE
    )


def _by_planes(
    name: str,
    call: Call,
    arrays: dict[str, Any],
    n: int,
    given: Given,
    results: Results,
    why: str,
    shape_name: str = "",
) -> Any:
    """Run a call on whole planes: of arrays that have the same axes but for the spatial lengths."""
    first = next(iter(arrays.values()))
    spatial, others = spatial_axes(first.ndim, n, given["channels_last"])
    taken = []
    for i, (key, array) in enumerate(arrays.items()):
        array = one_chunk(name, key, array, spatial, why)
        taken.append((array, [f"{i}.{a}" if a in spatial else a for a in range(array.ndim)]))
    shape = results[0][0]
    out = [f"out{axis}" if axis in spatial else axis for axis in range(len(shape))]
    new = {f"out{axis}": shape[axis] for axis in spatial}
    parameters = {}
    if shape_name:
        whole = enumerate(given[shape_name])
        parameters[shape_name] = tuple(Length(0, a) if a in others else n for a, n in whole)
    return run(Block(call, tuple(arrays), parameters), taken, out, results, new)


def _fractional(op: Op, given: Given, call: Call, results: Results) -> Any:
    x, samples, n = given["x"], given["random_samples"], op.rank(given)
    spatial, others = spatial_axes(x.ndim, n, given["channels_last"])
    if samples is None:
        seed = given["seed"]
        seed = int.from_bytes(os.urandom(7), "little") if seed is None else seed
        lens = [x.shape[axis] for axis in others]
        numbers = _fractional_samples(seed, prod(lens) * n).reshape(*lens, n)
        samples = da.from_array(numbers, chunks=(*(x.chunks[axis] for axis in others), n))
    x = one_chunk(op.name, "x", x, spatial, "every plane has windows of its own")
    samples = one_chunk(op.name, "random_samples", samples, [samples.ndim - 1], "they go together")
    call = call.without("seed", "random_samples")
    shape = results[0][0]
    out = [f"out{axis}" if axis in spatial else axis for axis in range(x.ndim)]
    arrays: Arrays = [
        (x, [f"in{axis}" if axis in spatial else axis for axis in range(x.ndim)]),
        (samples, [*others, "number"]),
    ]
    new = {f"out{axis}": shape[axis] for axis in spatial}
    return run(Block(call, ("x", "random_samples")), arrays, out, results, new)


def _grid_sample(op: Op, given: Given, call: Call, results: Results) -> Any:
    x, grid = given["x"], given["grid"]
    n = op.rank(given)
    spatial, others = spatial_axes(x.ndim, n, given["channels_last"])
    x = one_chunk(op.name, "x", x, spatial, "a point may lie anywhere")
    grid = one_chunk(op.name, "grid", grid, [grid.ndim - 1], "coordinates go together")
    places = [f"out{i}" for i in range(n)]
    lead = others[: grid.ndim - 1 - n]
    arrays: Arrays = [
        (x, [f"in{axis}" if axis in spatial else axis for axis in range(x.ndim)]),
        (grid, [*lead, *places, "coordinate"]),
    ]
    before = [axis for axis in others if axis < spatial[0]]
    out = [*before, *places, *(axis for axis in others if axis > spatial[-1])]
    return run(Block(call, ("x", "grid")), arrays, out, results)


def _affine_grid(op: Op, given: Given, call: Call, results: Results) -> Any:
    theta, size = given["theta"], tuple(given["size"])
    lead = tuple(range(theta.ndim - 2))
    theta = one_chunk(op.name, "theta", theta, [theta.ndim - 2, theta.ndim - 1], "a matrix is one")
    shape = results[0][0]
    places = [f"out{i}" for i in range(len(lead), len(shape))]
    new = {place: shape[len(lead) + i] for i, place in enumerate(places)}
    known = tuple(Length(0, axis) if axis in lead else n for axis, n in enumerate(size))
    block = Block(call.without("size"), ("theta",), {"size": known})
    arrays = [(theta, [*lead, "row", "column"])]
    return run(block, arrays, [*lead, *places], results, new)


def _roi(op: Op, given: Given, call: Call, results: Results) -> Any:
    x, boxes = given["x"], given["boxes"]
    channel = 3 if given["channels_last"] else 1
    whole = [axis for axis in range(x.ndim) if axis != channel]
    x = one_chunk(op.name, "x", x, whole, "a box may lie anywhere")
    boxes = one_chunk(op.name, "boxes", boxes, [1], "a box is one")
    shape = results[0][0]
    arrays: Arrays = [
        (x, [axis if axis == channel else f"in{axis}" for axis in range(x.ndim)]),
        (boxes, ["box", "number"]),
    ]
    out = ["box", *(axis if axis == channel else f"out{axis}" for axis in range(1, 4))]
    new = {f"out{axis}": shape[axis] for axis in range(1, 4) if axis != channel}
    return run(Block(call, ("x", "boxes")), arrays, out, results, new)


FORWARD: dict[str, Callable[[Op, Given, Call, Results], Any]] = {
    "pixel_shuffle": _shuffle("upscale_factor", True),
    "pixel_unshuffle": _shuffle("downscale_factor", False),
    "depth_to_space": _shuffle("block", True),
    "space_to_depth": _shuffle("block", False),
    "channel_shuffle": _channel_shuffle,
    "unfold": _unfold,
    "fold": _fold,
    "max_unpool": _unpool,
    "fractional_max_pool": _fractional,
    "grid_sample": _grid_sample,
    "affine_grid": _affine_grid,
    "roi_align": _roi,
    "roi_pool": _roi,
}
"""How an operation's result is made, by its name without the number of axes."""

BACKWARD = _by_planes
