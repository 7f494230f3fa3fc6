"""One task for each chunk: a call that gets chunks, and what is known of them besides.

Parameters that follow from the length of a chunk, and arrays of which only the shape matters, are
told by :class:`Length`; a stand-in has that shape and takes no memory.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
from dask.base import tokenize

from .call import Call

__all__ = ["Arrays", "Block", "Length", "Results", "run", "spatial_axes"]

Results: TypeAlias = list[tuple[tuple[int, ...], Any]]
Arrays: TypeAlias = list[tuple[Any, Sequence[Any]]]


@dataclass(frozen=True)
class Length:
    """The length of an axis of one of a task's arrays, or a fraction or a multiple of it."""

    of: int
    axis: int
    over: int = 1
    times: int = 1

    def __call__(self, arrays: Sequence[Any]) -> int:
        """Return it for one task."""
        return int(arrays[self.of].shape[self.axis]) // self.over * self.times


def _told(value: Any, arrays: Sequence[Any]) -> Any:
    """Return a parameter with its lengths filled in."""
    if isinstance(value, Length):
        return value(arrays)
    return tuple(_told(v, arrays) for v in value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Block:
    """Runs a call on chunks.

    Parameters
    ----------
    call : Call
        The operation.
    names : tuple of str
        What its arrays are called.
    parameters : dict
        Parameters that have a :class:`Length` in them.
    stand_ins : dict
        Shape and dtype of arrays that are only looked at for these, by name.
    which : int, optional
        The result that is wanted, of several.
    """

    call: Call
    names: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    stand_ins: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    which: int | None = None

    def __call__(self, *blocks: Any) -> Any:
        """Run it on the chunks of one task."""
        arrays = [_only(block) for block in blocks]
        given = dict(zip(self.names, arrays, strict=True))
        given |= {name: _told(value, arrays) for name, value in self.parameters.items()}
        for name, (shape, dtype) in self.stand_ins.items():
            given[name] = np.broadcast_to(np.zeros((), dtype), _told(shape, arrays))
        made = self.call(**given)
        return made if self.which is None else made[self.which]


def _only(block: Any) -> Any:
    """Return the chunk in lists of one: there is a list for every axis that is in one chunk."""
    while isinstance(block, list):
        (block,) = block
    return block


def run(
    block: Block,
    arrays: Sequence[tuple[Any, Sequence[Any]]],
    out: Sequence[Any],
    results: Results,
    new_axes: dict[Any, int] | None = None,
    adjust: dict[Any, Callable[[int], int]] | None = None,
    align: bool = True,
) -> Any:
    """Run a call on every chunk.

    Parameters
    ----------
    block : Block
        The call.
    arrays : list of (dask array, labels)
        Each with a label for every axis; those that `out` has not are in one chunk.
    out : sequence
        Labels of the result's axes.
    results : list of (shape, dtype)
        What is made.
    new_axes : dict, optional
        Lengths of labels that no array has.
    adjust : dict, optional
        By label, the length of a chunk of the result as a function of the first array's.
    align : bool, default True
        Whether axes of the same label have chunks of the same lengths.

    Returns
    -------
    dask array or tuple of dask array
        One for each result.
    """
    (shape, dtype), *more = results
    token = tokenize(block, out, [a.name for a, _ in arrays])
    made = da.blockwise(
        block,
        tuple(map(str, out)),  # labels that can be sorted
        *(part for array, axes in arrays for part in (array, tuple(map(str, axes)))),
        name=f"{block.call.name}-{token}",
        new_axes={str(axis): length for axis, length in (new_axes or {}).items()},
        adjust_chunks={str(axis): change for axis, change in (adjust or {}).items()},
        align_arrays=align,
        concatenate=False,
        dtype=dtype,
        meta=np.empty((0,) * len(shape), dtype),
    )
    if not more:
        return made
    return tuple(
        made.map_blocks(operator.itemgetter(i), dtype=kind, meta=np.empty((0,) * len(shape), kind))
        for i, (_, kind) in enumerate(results)
    )


def spatial_axes(ndim: int, n: int, channels_last: bool) -> tuple[list[int], list[int]]:
    """Return the spatial axes, and all others."""
    end = ndim - channels_last
    spatial = list(range(end - n, end))
    return spatial, [axis for axis in range(ndim) if axis not in spatial]
