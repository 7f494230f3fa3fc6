"""Operations that are planned for the whole array and run for each chunk of the result.

A task gets the input chunks it reads, or slices of them, and makes its outputs in pieces: those
that read one chunk alone from that chunk where it lies, those at the edges from what is put
together of several. Nothing is computed twice, and only what lies at edges is copied.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise, product
from math import prod
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.utils import parse_bytes

from .._parts import Interval, Piece, Reads, cut_evenly, made_of, proportional
from .call import Call, warn

__all__ = ["array_of", "parted"]

SMALL = 8  # parts of a chunk below this fraction of it are handed on together
LINE = 64  # bytes of a cache line


@dataclass(frozen=True)
class _Slice:
    """A part of a chunk, in memory of its own where it is small, so that the chunk can go."""

    place: tuple[slice, ...]

    def __call__(self, block: Any) -> Any:
        view = block[self.place]
        return view.copy() if 2 * view.size < block.size else view


@dataclass(frozen=True)
class _Rim:
    """Small parts of a chunk that its neighbours read: one task for all of them."""

    parts: list[_Slice]

    def __call__(self, block: Any) -> list[Any]:
        return [part(block) for part in self.parts]


@dataclass(frozen=True)
class _Chunk:
    """What makes one chunk of the result."""

    call: Call
    input: str
    others: tuple[str, ...]
    shape: tuple[int, ...]
    pieces: list[list[Piece]]
    together: list[Piece]
    stretches: list[list[Interval]]
    picks: list[int | None]
    dtypes: list[Any] | None

    def __call__(self, *given: Any) -> Any:
        blocks, others = given[: len(self.picks)], given[len(self.picks) :]
        arrays = dict(zip(self.others, others, strict=True))
        places = product(*(range(len(s)) for s in self.stretches))
        picked = (b if i is None else b[i] for b, i in zip(blocks, self.picks, strict=True))
        held = dict(zip(places, map(np.asarray, picked), strict=True))

        def call(part: Any, **out: Any) -> Any:
            return self.call(**{self.input: part}, **arrays, **out)

        like = None if self.dtypes is None else [np.empty(0, dtype) for dtype in self.dtypes]
        return made_of(call, self.shape, self.pieces, self.together, held, self.stretches, like)


@dataclass(frozen=True)
class _Along:
    """Along one axis, for one chunk of the result: its pieces, and which blocks have what of it."""

    pieces: list[Piece]
    together: Piece
    blocks: list[int]
    stretches: list[Interval]


def _along(reads: Reads, axis: int, outs: Interval, edges: list[int], unit: int) -> _Along:
    pieces, together = reads.pieces(axis, *outs, edges, unit), (outs, reads(axis, *outs))
    filled = [r for _, r in pieces if r[0] < r[1]]
    if not filled:
        return _Along(pieces, together, [0], [(0, 0)])
    lo, hi = min(r[0] for r in filled), max(r[1] for r in filled)
    first = bisect_right(edges, lo) - 1
    blocks = [i for i in range(first, len(edges) - 1) if edges[i] < hi and edges[i] < edges[i + 1]]
    cuts = [(max(lo, edges[i]), min(hi, edges[i + 1])) for i in blocks]
    return _Along(pieces, together, blocks, cuts)


def _out_edges(
    edges: list[list[int]], shape: Any, out_shape: Any, whole: Any, itemsize: int
) -> list[list[int]]:
    """Cut the result as the input is cut, and finer where chunks would grow beyond dask's size."""
    made = [
        [0, n] if axis in whole else proportional(edges[axis], shape[axis], n)
        for axis, n in enumerate(out_shape)
    ]
    longest = [max(b - a for a, b in pairwise(e)) for e in edges]
    given = prod(longest) * itemsize
    most = max(parse_bytes(dask.config.get("array.chunk-size")), given)
    while True:
        largest = [max((b - a for a, b in pairwise(e)), default=0) for e in made]
        grown = [
            (n / max(i, 1), axis)
            for axis, (n, i) in enumerate(zip(largest, longest, strict=True))
            if axis not in whole and n > i
        ]
        if prod(largest) * itemsize <= most or not grown:
            return made
        axis = max(grown)[1]
        made[axis] = cut_evenly(made[axis], 2)


def _say_what_is_whole(
    call: Call, reads: Reads, axis: int, shape: Any, out_shape: Any, edges: list[int]
) -> None:
    """Warn if every output reads all of an axis that is cut."""
    n = out_shape[axis]
    if len(edges) <= 2 or n == 0:
        return
    if all(reads(axis, o, o + 1) == (0, shape[axis]) for o in {0, n - 1}):
        warn(f"{call.name}: every output reads all of axis {axis}: a task gets all its chunks")


def parted(
    call: Call,
    array: tuple[str, Any],
    others: dict[str, Any],
    results: list[tuple[tuple[int, ...], Any]],
    whole: tuple[int, ...] = (),
) -> Any:
    """Return the results of a call as dask arrays.

    Parameters
    ----------
    call : Call
        The operation.
    array : (str, dask array)
        The argument that is taken in parts.
    others : dict
        Other arrays by name, each needed by every task.
    results : list of (shape, dtype)
        What the call returns.
    whole : tuple of int
        Axes of which every output reads all, and whose outputs are made together.

    Returns
    -------
    dask array or tuple of dask array
        One for each result.
    """
    name, x = array
    out_shape = results[0][0]
    stand_ins = {
        key: np.broadcast_to(np.zeros((), value.dtype), value.shape)
        for key, value in others.items()
    }
    reads = Reads(
        lambda part: call(**{name: part}, **stand_ins), x.shape, out_shape, x.dtype, whole
    )
    edges = [list(accumulate(lens, initial=0)) for lens in x.chunks]
    itemsize = max(np.dtype(dtype).itemsize for _, dtype in results)
    out_edges = _out_edges(edges, x.shape, out_shape, whole, itemsize)
    chunks = tuple(tuple(b - a for a, b in pairwise(e)) for e in out_edges)
    if 0 in out_shape or 0 in x.shape:
        made = [da.zeros(out_shape, dtype=dtype, chunks=chunks) for _, dtype in results]
        return made[0] if len(made) == 1 else tuple(made)
    for axis in range(len(out_shape)):
        if axis not in whole:
            _say_what_is_whole(call, reads, axis, x.shape, out_shape, edges[axis])
    last, line = len(out_shape) - 1, max(LINE // itemsize, 1)
    along = [
        [
            _along(reads, axis, outs, edges[axis], line if axis == last else 1)
            for outs in pairwise(out_edges[axis])
        ]
        for axis in range(len(out_shape))
    ]
    names = [value.name for value in others.values()]
    token = tokenize(call.name, call.parameters, call.threads, x.name, names, chunks)
    label, cut = f"{call.name}-{token}", f"{call.name}-reads-{token}"
    keys = [_key_of(value) for value in others.values()]
    dtypes = None if len(results) == 1 else [dtype for _, dtype in results]
    layer: dict[Any, Any] = {}
    blocks_of = _Blocks(x, edges, cut)
    for index in product(*(range(len(a)) for a in along)):
        here = [a[i] for a, i in zip(along, index, strict=True)]
        blocks, picks = [], []
        for at in product(*(range(len(h.blocks)) for h in here)):
            place = [h.blocks[i] for h, i in zip(here, at, strict=True)]
            wanted = [h.stretches[i] for h, i in zip(here, at, strict=True)]
            block, pick = blocks_of(place, wanted)
            blocks.append(block)
            picks.append(pick)
        task = _Chunk(
            call,
            name,
            tuple(others),
            x.shape,
            [h.pieces for h in here],
            [h.together for h in here],
            [h.stretches for h in here],
            picks,
            dtypes,
        )
        key = (label, *index)
        layer[key] = (task, *blocks, *keys)
    layer |= blocks_of.tasks
    graph = HighLevelGraph.from_collections(label, layer, dependencies=[x, *others.values()])
    if dtypes is None:
        return array_of(graph, label, chunks, results[0][1])
    return tuple(
        _item(graph, label, i, chunks, dtype, token) for i, (_, dtype) in enumerate(results)
    )


class _Blocks:
    """Which task has what is read of a block, and those tasks that have less than all of one."""

    def __init__(self, x: Any, edges: list[list[int]], name: str) -> None:
        self.x, self.edges, self.name = x, edges, name
        self.tasks: dict[Any, Any] = {}
        self.rims: dict[Any, dict[Any, int]] = {}

    def __call__(self, place: list[int], wanted: list[Interval]) -> tuple[Any, int | None]:
        """Return the key of a task, and which of its results is meant if it has several."""
        whole = [(e[i], e[i + 1]) for e, i in zip(self.edges, place, strict=True)]
        key = (self.x.name, *place)
        if wanted == whole:
            return key, None
        cut = _Slice(
            tuple(
                slice(a - start, b - start)
                for (a, b), (start, _) in zip(wanted, whole, strict=True)
            )
        )
        if SMALL * prod(b - a for a, b in wanted) > prod(b - a for a, b in whole):
            part = (self.name, *place, *(n for interval in wanted for n in interval))
            self.tasks[part] = (cut, key)
            return part, None
        rim = (self.name, *place)
        known = self.rims.setdefault(rim, {})
        if tuple(wanted) not in known:
            known[tuple(wanted)] = len(known)
            made = self.tasks[rim][0].parts if rim in self.tasks else []
            self.tasks[rim] = (_Rim([*made, cut]), key)
        return rim, known[tuple(wanted)]


def _key_of(array: Any) -> Any:
    """Return the key of an array's only chunk."""
    return (array.name, *(0,) * array.ndim)


def array_of(graph: Any, name: str, chunks: Any, dtype: Any) -> Any:
    """Return a dask array of NumPy arrays."""
    return da.Array(graph, name, chunks, meta=np.empty((0,) * len(chunks), dtype))


def _item(graph: Any, label: str, i: int, chunks: Any, dtype: Any, token: str) -> Any:
    """Return one of the arrays that tasks make together."""
    name = f"{label}-{i}"
    places = product(*(range(len(lens)) for lens in chunks))
    layer = {(name, *at): (operator.getitem, (label, *at), i) for at in places}
    layers = {**graph.layers, name: layer}
    dependencies = {**graph.dependencies, name: {label}}
    return array_of(HighLevelGraph(layers, dependencies), name, chunks, dtype)
