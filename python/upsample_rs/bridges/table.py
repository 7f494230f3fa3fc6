"""Every differentiable operation, once, for all bridges: arrays, parameters, ranks, shapes.

It is the table of :mod:`upsample_rs.gradients` with what a bridge must know besides, most of it
read from the functions themselves. Which parameters are arrays, and how the others cross a border
that has fewer types than Python, follow from their annotations; the shapes are in ``shapes.py``.

A call crosses in one form, which :meth:`Op.pin` makes: one entry for each spatial axis, padding in
pairs or by name, axes counted from the end. So it means the same when axes are put in front of the
arrays, which is how arrays are batched, and how :func:`plan` lets the operation itself check a call
without computing anything: on a batch of none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..gradients import _RULES, _Rule
from .shapes import BACKWARD, FORWARD, Given, pad_pairs, per_axis

__all__ = ["OPS", "Op", "plan"]

# Annotations of parameters that are arrays, and of those with one entry for each spatial axis.
ARRAYS = {"ArrayLike", "ArrayLike | None", "Boxes"}
PER_AXIS = {"IntOrTuple", "IntOrTuple | None", "FloatOrTuple | None", "AdaptiveSize"}
PER_AXIS |= {"ResizeMethod | Sequence[ResizeMethod]", "Coordinates | Sequence[Coordinates]"}
PADDING = {"Padding", "WindowPadding"}

_COUNTED = {"conv", "conv_transpose", "roi_align", "roi_pool", "channel_shuffle"}
_MODE_RANK = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2, "tricubic": 3}


def parameters(fn: Callable[..., Any]) -> dict[str, str]:
    """Return the annotations of a function's parameters, by name, without `out`."""
    found = inspect.signature(fn).parameters.values()
    return {p.name: str(p.annotation) for p in found if p.name != "out"}


class Op:
    """One operation."""

    def __init__(self, forward: Callable[..., Any], rule: _Rule) -> None:
        self.forward, self.rule, self.name = forward, rule, forward.__name__
        self.backward = rule.backward
        self.differentiable = rule.arrays
        self.fixed_rank = int(self.name[-2]) if self.name[-2:] in ("1d", "2d", "3d") else None
        self.family = self.name[:-2] if self.fixed_rank else self.name
        self.kinds = parameters(forward)
        self.backward_kinds = parameters(rule.backward)
        self.arrays = [name for name, kind in self.kinds.items() if kind in ARRAYS]
        self.indexed = "return_indices" in self.kinds
        found = [p for p in inspect.signature(forward).parameters.values() if p.name != "out"]
        self.signature = inspect.Signature(found)
        self.defaults = {p.name: p.default for p in found if p.default is not p.empty}
        self.positional = [p.name for p in found if p.kind is p.POSITIONAL_OR_KEYWORD]
        # Axes put in front of every array are passed through, save where the first are counted.
        self.leading = self.family not in _COUNTED
        # And every batch of them gets what each of its members would: not so by chance.
        self.batches = self.leading and self.family != "fractional_max_pool"
        # Parameters that hold a whole shape, which grows by those axes.
        self.whole_shapes = {"input_size"} | ({"size"} if self.family == "affine_grid" else set())

    def bind(self, args: tuple[Any, ...], kwargs: Given) -> Given:
        """Return the arguments of a call by name, defaults included.

        As ``inspect.Signature.bind``, in terms that tracing compilers follow.
        """
        if len(args) > len(self.positional):
            raise TypeError(
                f"{self.name}: takes at most {len(self.positional)} positional arguments, "
                f"{len(args)} were given"
            )
        given = dict(zip(self.positional, args))  # noqa: B905 - the rest come by name
        for name, value in kwargs.items():
            if name == "out":
                raise TypeError(f"{self.name}: out: results are always new here")
            if name not in self.kinds:
                raise TypeError(f"{self.name}: has no parameter {name!r}")
            if name in given:
                raise TypeError(f"{self.name}: {name} is given twice")
            given[name] = value
        for name in self.kinds:
            if name not in given:
                if name not in self.defaults:
                    raise TypeError(f"{self.name}: {name} is missing")
                given[name] = self.defaults[name]
        return given

    def rank(self, given: Given) -> int:
        """Return the number of spatial axes of a call."""
        if self.fixed_rank is not None:
            return self.fixed_rank
        if self.family == "grid_sample":
            return int(given["grid"].shape[-1])
        if self.family == "affine_grid":
            return int(given["theta"].shape[-2])
        if self.family in ("roi_align", "roi_pool"):
            return 2
        if self.family == "interpolate" and given["mode"] in _MODE_RANK:
            return _MODE_RANK[given["mode"]]
        if self.family == "resize" and isinstance(given["axes"], int):
            return 1
        names = ["axes"] if self.family == "resize" else self.kinds
        for name in names:
            kind, value = self.kinds[name], given.get(name)
            if kind in PER_AXIS | PADDING and isinstance(value, (tuple, list)):
                return len(value)
        if self.family in ("interpolate", "resize"):
            ndim = len(given["x"].shape)
            batched = self.family == "interpolate" and ndim > 2
            return ndim - 2 if batched else ndim
        return 2

    def pin(self, given: Given) -> Given:
        """Return the same call in the form that crosses borders; what is wrong in it stays so."""
        n = self.rank(given)
        pinned = dict(given)
        if self.family == "resize":
            ndim = len(given["x"].shape)
            axes = range(ndim) if given["axes"] is None else per_axis(given["axes"], 1)
            if all(-ndim <= axis < ndim for axis in axes):
                pinned["axes"] = tuple(a - ndim if a >= 0 else a for a in axes)
        for name, kind in self.kinds.items():
            value = pinned[name]
            if kind in PADDING:
                pinned[name] = value if isinstance(value, str) else pad_pairs(value, n)
            elif kind in PER_AXIS and value is not None and name != "axes":
                pinned[name] = per_axis(value, n)
            if kind == "AdaptiveSize" and len(pinned[name]) == n:
                end = len(given["x"].shape) - bool(given["channels_last"])
                size = given["x"].shape[end - n : end]
                wanted = zip(size, pinned[name])  # noqa: B905 - a wrong rank is refused later
                pinned[name] = tuple(i if o is None else o for i, o in wanted)
            elif kind == "IndexDType":
                pinned[name] = np.dtype(value).name
        return pinned

    def shape(self, given: Given) -> Any:
        """Return the result's shape, or None if only numbers tell; `given` is pinned."""
        return FORWARD[self.family](given, self.rank(given))

    def gradient_shape(self, given: Given) -> Any:
        """Return the shape of the only gradient; `given` are the backward's arguments."""
        if "input_size" in given:
            return tuple(given["input_size"])
        grid = self.family == "affine_grid"
        n = int(given["grad_output"].shape[-1]) if grid else self.rank(given)
        return BACKWARD[self.family](given, n)


def _stand_in(array: Any, shape: tuple[int, ...]) -> Any:
    """Return an array of this shape that takes no memory."""
    return np.broadcast_to(np.zeros((), array.dtype), shape)


def plan(op: Op, given: Given) -> list[tuple[tuple[int, ...], Any]]:
    """Check a pinned call and return the shape and dtype of each result.

    The operation runs, with its own checks and messages, on a batch of none. The arrays may be
    anything with a ``shape`` of ints and a NumPy ``dtype``; nothing is read.
    """
    arrays = {name: given[name] for name in op.arrays if given[name] is not None}
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    front, call = 0, dict(given)
    if op.leading:
        front = 1
        shapes = {name: (0, *shape) for name, shape in shapes.items()}
        if op.family == "affine_grid":
            call["size"] = (0, *given["size"])
    elif op.fixed_rank is not None:
        lacking = op.fixed_rank + 2 - len(shapes["x"])
        if lacking == 2 and len(shapes["weight"]) == op.fixed_rank:  # a bare kernel on a bare array
            shapes["weight"] = (1, 1, *shapes["weight"])
            channel = (1,) if not given["channels_last"] else ()
            last = () if channel else (1,)
            shapes["x"] = (0, *channel, *shapes["x"], *last)
        elif lacking == 1:
            front, shapes["x"] = 1, (0, *shapes["x"])
        elif lacking == 0:
            shapes["x"] = (0, *shapes["x"][1:])
    else:
        first = "boxes" if "boxes" in shapes else "x"
        shapes[first] = (0, *shapes[first][1:])
    call |= {name: _stand_in(array, shapes[name]) for name, array in arrays.items()}
    made = op.forward(**call)
    return [
        (_restored(op, given, result.shape, front), result.dtype)
        for result in (made if isinstance(made, tuple) else (made,))
    ]


def _restored(op: Op, given: Given, shape: tuple[int, ...], front: int) -> tuple[int, ...]:
    """Undo what `plan` did to the shapes."""
    if front:
        return shape[1:]
    if "boxes" in given:
        return (given["boxes"].shape[0], *shape[1:])
    if op.fixed_rank is not None and len(given["x"].shape) == op.fixed_rank:
        return shape[1:-1] if given["channels_last"] else shape[2:]
    return (given["x"].shape[0], *shape[1:])


OPS = {forward.__name__: Op(forward, rule) for forward, rule in _RULES.items()}
"""Every operation that has a gradient, by name."""
