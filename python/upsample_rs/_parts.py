"""Outputs made part by part, from the inputs that each part reads.

What a part reads is asked of the operation's own plan (``_core.Part``), so there is no second
account of halos, coordinates or paddings here; only the arithmetic of intervals. A part is planned
as the whole is, and run for some of its outputs: these are the bits of the whole, wherever it is
cut.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from typing import Any, TypeAlias

import numpy as np

from ._core import Part, _empty

__all__ = ["Interval", "Piece", "Reads", "cut_evenly", "made_of", "proportional"]

Interval: TypeAlias = tuple[int, int]
Piece: TypeAlias = tuple[Interval, Interval]
"""Outputs, and the inputs they read."""

MOST_EDGES = 4  # of input chunks within what one output chunk reads; more are put together at once
NARROW = 64  # elements of a row; fewer are written side by side and copied, not at a distance each:
# a column of avg_pool2d takes 0.5 ms so and 1.4 ms else, 4096 rows of 16 KiB (benches/chunked.py)


class Reads:
    """What the outputs of a call read, axis by axis.

    Parameters
    ----------
    call : callable
        The operation, as a function of its input alone.
    shape, out_shape : tuple of int
        Of the whole input and the whole result.
    dtype : dtype
        Of the input.
    whole : collection of int
        Axes of which every output reads all: there only all outputs can be asked for.
    """

    def __init__(
        self,
        call: Callable[[Any], Any],
        shape: Sequence[int],
        out_shape: Sequence[int],
        dtype: Any,
        whole: Sequence[int] = (),
    ) -> None:
        self._call, self._shape, self._whole = call, tuple(shape), whole
        self._outs = [(0, n if axis in whole else min(n, 1)) for axis, n in enumerate(out_shape)]
        self._nothing = np.empty((0,) * len(self._shape), dtype)
        self._known: dict[tuple[int, int, int], Interval] = {}

    def __call__(self, axis: int, start: int, stop: int) -> Interval:
        """Return the inputs along an axis that outputs `start` to `stop` read."""
        known = self._known.get((axis, start, stop))
        if known is None:
            outs = [*self._outs[:axis], (start, stop), *self._outs[axis + 1 :]]
            known = self._call(Part(self._nothing, self._shape, outs, True))[axis]
            self._known[axis, start, stop] = known
        return known

    def pieces(
        self, axis: int, start: int, stop: int, edges: Sequence[int], unit: int = 1
    ) -> list[Piece]:
        """Cut outputs into those that read from one input chunk and those that read across an edge.

        Parameters
        ----------
        axis, start, stop : int
            The outputs.
        edges : sequence of int
            Where input chunks begin and end, rising.
        unit : int, default 1
            What follows an edge begins a multiple of this behind `start`: where that is the length
            of a cache line, large results are written past the caches as the whole would be.

        Returns
        -------
        list of (interval, interval)
            Neighbouring outputs and what they read. However they are cut the result is the same:
            an edge rule that reads at the far end of the axis only makes longer pieces.
        """
        lo, hi = self(axis, start, stop)
        within = edges[bisect_right(edges, lo) : bisect_left(edges, hi)]
        cuts = {start, stop}
        if len(within) <= MOST_EDGES and axis not in self._whole:
            for edge in within:
                first = start + bisect_left(
                    range(start, stop), True, key=lambda o: self(axis, start, o + 1)[1] > edge
                )
                beyond = first + bisect_left(
                    range(first, stop), True, key=lambda o: self(axis, o, stop)[0] >= edge
                )
                beyond += (start - beyond) % unit
                cuts |= {first, min(beyond, stop)}
        return [((a, b), self(axis, a, b)) for a, b in pairwise(sorted(cuts))]


def proportional(edges: Sequence[int], length: int, out_length: int) -> list[int]:
    """Return the edges of output chunks that lie as those of the input do."""
    if length == 0:
        return [0, out_length]
    scaled = {(2 * edge * out_length + length) // (2 * length) for edge in edges}
    return sorted(scaled | {0, out_length})


def cut_evenly(edges: Sequence[int], parts: int) -> list[int]:
    """Cut each stretch between two edges into at most so many even ones."""
    made = {edges[0]}
    for a, b in pairwise(edges):
        made |= {a + (b - a) * i // parts for i in range(1, parts + 1)}
    return sorted(made)


def _overlapping(stretches: Sequence[Interval], wanted: Interval) -> range:
    """Return which of some neighbouring stretches have elements of an interval."""
    found = [i for i, (a, b) in enumerate(stretches) if a < wanted[1] and b > wanted[0]]
    return range(found[0], found[-1] + 1) if found else range(0)


def _gathered(
    blocks: dict[tuple[int, ...], Any], stretches: Sequence[Sequence[Interval]], wanted: Any
) -> Any:
    """Return a box of the input: a view where it lies in one block, else put together."""
    found = [_overlapping(s, w) for s, w in zip(stretches, wanted, strict=True)]
    if not all(found):
        some = next(iter(blocks.values()))
        return np.empty([b - a for a, b in wanted], some.dtype)

    def view(at: tuple[int, ...]) -> Any:
        cuts = (
            slice(max(lo - stretches[axis][i][0], 0), hi - stretches[axis][i][0])
            for axis, (i, (lo, hi)) in enumerate(zip(at, wanted, strict=True))
        )
        return blocks[at][tuple(cuts)]

    places = list(product(*found))
    if len(places) == 1:
        return view(places[0])
    made = np.empty([b - a for a, b in wanted], blocks[places[0]].dtype)
    for at in places:
        to = tuple(
            slice(max(stretches[axis][i][0] - lo, 0), stretches[axis][i][1] - lo)
            for axis, (i, (lo, _)) in enumerate(zip(at, wanted, strict=True))
        )
        made[to] = view(at)
    return made


def _boxes(
    pieces: Sequence[Sequence[Piece]],
    together: Sequence[Piece],
    stretches: Sequence[Sequence[Interval]],
    across: bool = False,
) -> Iterator[tuple[Piece, ...]]:
    """Yield what is made at once.

    What is put together of several blocks along one axis is so along all axes behind it, too: a
    copy more or less there is less than a call.
    """
    if not pieces:
        yield ()
        return
    for piece in [together[0]] if across else pieces[0]:
        copied = across or len(_overlapping(stretches[0], piece[1])) > 1
        for rest in _boxes(pieces[1:], together[1:], stretches[1:], copied):
            yield (piece, *rest)


def made_of(
    call: Callable[..., Any],
    shape: Sequence[int],
    pieces: Sequence[Sequence[Piece]],
    together: Sequence[Piece],
    blocks: dict[tuple[int, ...], Any],
    stretches: Sequence[Sequence[Interval]],
    like: Sequence[Any] | None = None,
) -> Any:
    """Make a chunk of outputs.

    Parameters
    ----------
    call : callable
        The operation, as a function of its input and ``out``.
    shape : tuple of int
        Of the whole input.
    pieces : sequence of list of (interval, interval)
        Along each axis: neighbouring outputs and what they read.
    together : sequence of (interval, interval)
        The same of all of them.
    blocks : dict
        The input, as far as it is read, in blocks numbered along every axis.
    stretches : sequence of list of interval
        Where those lie in the whole.
    like : sequence of array, optional
        Arrays of the results' dtypes, if there is more than one result.

    Returns
    -------
    ndarray or tuple of ndarray
        What the whole call has there.
    """
    first = [outs[0] for outs, _ in together]
    size = [outs[1] - outs[0] for outs, _ in together]

    def part(outs: Any, reads: Any) -> Any:
        return Part(_gathered(blocks, stretches, reads), shape, outs)

    boxes = list(_boxes(pieces, together, stretches))
    if len(boxes) == 1:
        outs, reads = zip(*boxes[0], strict=True)
        return call(part(outs, reads))
    some = next(iter(blocks.values()))
    made = [_empty(size, array) for array in (like if like is not None else [some])]
    for box in boxes:
        outs, reads = zip(*box, strict=True)
        place = tuple(slice(a - o, b - o) for (a, b), o in zip(outs, first, strict=True))
        views = [array[place] for array in made]
        if views[0].shape[-1] < min(NARROW, made[0].shape[-1]):
            beside = call(part(outs, reads))
            for view, array in zip(views, [beside] if like is None else beside, strict=True):
                view[...] = array
            continue
        call(part(outs, reads), out=views[0] if like is None else tuple(views))
    return made[0] if like is None else tuple(made)
