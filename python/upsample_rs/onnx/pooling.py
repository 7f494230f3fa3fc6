"""MaxPool, AveragePool, LpPool, the global poolings and MaxUnpool.

Two things are ONNX's own. Indices count through the whole tensor, batch and channels included, and
on request down the columns. And padding may exceed half a kernel, which ours may not: then the
array is padded first, so far that every window lies inside.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..bridges.shapes import window_count
from .node import Node

__all__ = [
    "AveragePool",
    "GlobalAveragePool",
    "GlobalLpPool",
    "GlobalMaxPool",
    "LpPool",
    "MaxPool",
    "MaxUnpool",
]


class _Windows(NamedTuple):
    """Windows as our operations take them."""

    kernel: list[int]
    stride: list[int]
    padding: Any
    dilation: list[int]
    ceil: bool

    @property
    def spans(self) -> list[int]:
        """Elements from the first to the last of a window."""
        return [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]

    @property
    def wide(self) -> bool:
        """Whether the padding is more than ours may be."""
        if isinstance(self.padding, str):
            return False
        sides = zip(self.padding, self.spans, strict=True)
        return any(max(pads) > span // 2 for pads, span in sides)

    def room(self, size: tuple[int, ...]) -> list[tuple[int, int]]:
        """Elements before and after each axis with which all windows, and no more, lie inside."""
        room = []
        for i, (length, span) in enumerate(zip(size, self.spans, strict=True)):
            step, before = self.stride[i], self.padding[i][0]
            count = window_count(length, span, step, self.padding[i], self.ceil)
            room.append((before, (count - 1) * step + span - length - before))
        return room

    def inside(self) -> dict[str, Any]:
        """Arguments for an array that has its room around it."""
        return {"kernel_size": self.kernel, "stride": self.stride, "dilation": self.dilation}

    def arguments(self) -> dict[str, Any]:
        """Arguments for an array as it is."""
        return {**self.inside(), "padding": self.padding, "ceil_mode": self.ceil}


def _surround(x: Any, room: list[tuple[int, int]], fill: Any) -> Any:
    """Put `fill` around the spatial axes; negative room after an axis cuts it."""
    kept = (Ellipsis, *(slice(min(after, 0) or None) for _, after in room))
    around = [(0, 0)] * (x.ndim - len(room)) + [(before, max(after, 0)) for before, after in room]
    return np.pad(x[kept], around, constant_values=fill)


def _lowest(dtype: Any) -> Any:
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


class _Pool(Node):
    """A pooling with windows."""

    def windows(self, x: Any, a: dict[str, Any]) -> _Windows:
        """Read the attributes, whichever of them this version has."""
        n = self.spatial(x)
        if a["kernel_shape"] is None:
            raise self.complaint("kernel_shape: must be given")
        return _Windows(
            self.entries("kernel_shape", a["kernel_shape"], n, 1),
            self.entries("strides", a["strides"], n, 1),
            self.padding(a, n),
            self.entries("dilations", a.get("dilations"), n, 1),
            bool(a.get("ceil_mode", 0)),
        )


class MaxPool(_Pool):
    """The largest element of every window, and where it is."""

    def _run(self, x: Any, **a: Any) -> tuple[Any, ...]:
        w, size = self.windows(x, a), x.shape[2:]
        pool = self.of_rank("max_pool", len(size))
        indexed = len(self.onnx_node.output) > 1 and bool(self.onnx_node.output[1])
        if not w.wide:
            found = pool(x, **w.arguments(), return_indices=indexed)
            return self.numbered(found[0], found[1], size, a) if indexed else (found,)
        room = w.room(size)
        around = _surround(x, room, _lowest(x.dtype))
        values, places = pool(around, **w.inside(), return_indices=True)
        padded = np.unravel_index(places, around.shape[2:])
        inside = [
            np.clip(place - before, 0, length - 1)
            for place, (before, _), length in zip(padded, room, size, strict=True)
        ]
        return self.numbered(values, np.ravel_multi_index(inside, size), size, a)[: 1 + indexed]

    def numbered(
        self, values: Any, places: Any, size: tuple[int, ...], a: dict[str, Any]
    ) -> tuple[Any, Any]:
        """Count the places through the whole tensor."""
        if a.get("storage_order", 0):
            places = np.ravel_multi_index(np.unravel_index(places, size), size, order="F")
        planes = prod(values.shape[:2])
        first = np.arange(planes, dtype=np.int64) * prod(size)
        return values, places + first.reshape(*values.shape[:2], *[1] * len(size))


class AveragePool(_Pool):
    """The mean of every window."""

    def _run(self, x: Any, **a: Any) -> tuple[Any]:
        w, counted = self.windows(x, a), bool(a.get("count_include_pad", 0))
        pool = self.of_rank("avg_pool", x.ndim - 2)
        if not w.wide:
            return (pool(x, **w.arguments(), count_include_pad=counted),)
        room = w.room(x.shape[2:])
        wide = x if x.dtype.itemsize > 2 else x.astype(np.float32)
        ones = np.ones((1, 1, *x.shape[2:]), wide.dtype)
        beyond = [
            (0, max(after - pad, 0)) for (_, after), (_, pad) in zip(room, w.padding, strict=True)
        ]
        if counted:  # what lies in the padding counts, what lies beyond it does not
            pads = [(pad, after - out) for (pad, after), (_, out) in zip(room, beyond, strict=True)]
            count = _surround(_surround(ones, pads, 1), beyond, 0)
        else:
            count = _surround(ones, room, 0)
        total = pool(_surround(wide, room, 0), **w.inside(), divisor_override=1)
        return ((total / pool(count, **w.inside(), divisor_override=1)).astype(x.dtype),)


class LpPool(_Pool):
    """The norm of every window."""

    def _run(self, x: Any, **a: Any) -> tuple[Any]:
        w = self.windows(x, a)
        pool = self.of_rank("lp_pool", x.ndim - 2)
        if not w.wide:
            return (pool(x, a["p"], **w.arguments()),)
        return (pool(_surround(x, w.room(x.shape[2:]), 0), a["p"], **w.inside()),)


class _Global(Node):
    """A pooling whose only window is everything; the spatial axes are taken as one."""

    def over_all(self, x: Any) -> tuple[Any, tuple[int, ...]]:
        """Return ``(N, C, L)`` and the shape of the result."""
        n = self.spatial(x)
        return x.reshape(*x.shape[:2], -1), (*x.shape[:2], *[1] * n)


class GlobalAveragePool(_Global):
    """The mean of each channel."""

    def _run(self, x: Any) -> tuple[Any]:
        line, shape = self.over_all(x)
        return (self.of_rank("adaptive_avg_pool", 1)(line, 1).reshape(shape),)


class GlobalMaxPool(_Global):
    """The largest element of each channel."""

    def _run(self, x: Any) -> tuple[Any]:
        line, shape = self.over_all(x)
        return (self.of_rank("adaptive_max_pool", 1)(line, 1).reshape(shape),)


class GlobalLpPool(_Global):
    """The norm of each channel."""

    def _run(self, x: Any, p: Any = 2) -> tuple[Any]:
        line, shape = self.over_all(x)
        return (self.of_rank("lp_pool", 1)(line, p, line.shape[2]).reshape(shape),)


class MaxUnpool(Node):
    """Values put back at the places of maxima.

    Indices count through a tensor of the size that the attributes give; ``output_shape`` is larger
    than that or equal, and the values lie at its beginning.
    """

    def _run(self, x: Any, indices: Any, output_shape: Any = None, **a: Any) -> tuple[Any]:
        n = self.spatial(x)
        unpool = self.of_rank("max_unpool", n)
        kernel = self.entries("kernel_shape", a["kernel_shape"], n, 1)
        stride = self.entries("strides", a["strides"], n, 1)
        padding = self.padding(a, n)
        if indices.shape != x.shape:
            raise self.complaint(f"I.shape = {indices.shape}: must be {x.shape}, that of X")
        size = [
            (length - 1) * step - sum(pads) + k
            for length, k, step, pads in zip(x.shape[2:], kernel, stride, padding, strict=True)
        ]
        planes = prod(x.shape[:2])
        first = (np.arange(planes, dtype=np.int64) * prod(size)).reshape(*x.shape[:2], *[1] * n)
        flat = unpool(x, indices - first, kernel, stride, padding)
        if output_shape is None:
            return (flat,)
        shape = tuple(int(length) for length in output_shape)
        if len(shape) != x.ndim or any(o < i for o, i in zip(shape, flat.shape, strict=True)):
            raise self.complaint(f"output_shape = {shape}: must be at least {flat.shape}")
        out = np.zeros(shape, x.dtype)
        out[tuple(slice(length) for length in flat.shape)] = flat
        return (out,)
