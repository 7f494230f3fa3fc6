"""The operations on dask arrays: lazy, chunk by chunk, to the bits of the call on the whole array.

Functions are called as those of ``upsample_rs`` are, without ``out``, take dask arrays of any
chunks (NumPy arrays become some), and return dask arrays. A call is checked when it is made. The
chunks of a result lie as those of its input, cut finer where they would outgrow dask's
``array.chunk-size``. A task runs on one thread unless ``upsample_rs.inner-threads`` in
``dask.config`` says otherwise. Where an operation needs an axis in one chunk, it is put into one,
with a :class:`RechunkWarning`.

Examples
--------
>>> import dask.array as da
>>> import numpy as np
>>> import upsample_rs as us
>>> import upsample_rs.dask as usd
>>> whole = np.arange(35.0).reshape(5, 7)
>>> x = da.from_array(whole, chunks=(2, 4))
>>> y = usd.interpolate(x, scale_factor=2, mode="bicubic")
>>> y
dask.array<interpolate, shape=(10, 14), dtype=float64, chunksize=(4, 8), chunktype=numpy.ndarray>
>>> np.array_equal(y.compute(), us.interpolate(whole, scale_factor=2, mode="bicubic"))
True
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np

import upsample_rs as us

from ..bridges.table import _MODE_RANK, ARRAYS, OPS, Op, plan
from .blocks import BACKWARD, FORWARD
from .call import Call, RechunkWarning, as_dask, inner_threads, one_chunk
from .gradients import GRADIENTS
from .parted import parted
from .pullback import vjp

# Gradients by planes: which arrays they have, which shape.
_BY_PLANES = {"max_pool", "min_pool", "avg_pool", "lp_pool", "adaptive_max_pool"}
_BY_PLANES |= {"adaptive_avg_pool", "fractional_max_pool", "max_unpool", "bed_of_nails"}
_BY_PARTS = {"interpolate", "resize"}
_BACKWARD = {
    f"{name}_backward": op
    for name, op in OPS.items()
    if op.family in _BY_PLANES | _BY_PARTS | GRADIENTS.keys()
}

__all__ = ["RechunkWarning", *OPS, *_BACKWARD, "vjp"]


def _boxes(name: str, value: Any) -> Any:
    """Return boxes as one array; a list has one array of boxes for each image."""
    if not isinstance(value, (list, tuple)):
        return value
    rows = [np.asarray(box) for box in value]
    for image, box in enumerate(rows):
        if box.ndim != 2 or box.shape[1] != 4:
            raise ValueError(f"{name}: boxes[{image}].shape = {box.shape}: must be (L, 4)")
    return np.concatenate(
        [np.concatenate([np.full_like(b[:, :1], i), b], 1) for i, b in enumerate(rows)]
    )


def _call(name: str, given: dict[str, Any], kinds: dict[str, str]) -> Call:
    """Return a call without its arrays."""
    parameters = {
        key: value for key, value in given.items() if kinds[key] not in ARRAYS or value is None
    }
    return Call(name, parameters, inner_threads())


def _channels(op: Op, given: dict[str, Any]) -> tuple[int, ...]:
    """Return the axis of which every output reads all by the nature of the operation, if any."""
    n, ndim = op.rank(given), given["x"].ndim
    if op.family not in ("conv", "conv_transpose") or ndim == n:
        return ()
    return (ndim - 1 if given["channels_last"] else ndim - n - 1,)


def _forward(op: Op) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        given = op.bind(args, kwargs)
        for key in op.arrays:
            if given[key] is not None:
                value = _boxes(op.name, given[key]) if key == "boxes" else given[key]
                given[key] = as_dask(op.name, key, value)
        given = op.pin(given)
        results = plan(op, given)
        call = _call(op.name, given, op.kinds)
        make = FORWARD.get(op.family)
        if make is not None:
            return make(op, given, call, results)
        x, whole = given["x"], _channels(op, given)
        others = {k: given[k] for k in op.arrays if k != "x" and given[k] is not None}
        others = {
            key: one_chunk(op.name, key, value, range(value.ndim), "every task needs all of it")
            for key, value in others.items()
        }
        return parted(call, ("x", x), others, results, whole)

    function.__doc__ = f":func:`upsample_rs.{op.name}` on dask arrays, without `out`."
    return _named(function, op.name, op.signature)


def _backward(name: str, op: Op) -> Callable[..., Any]:
    run = getattr(us, name)
    kinds = op.backward_kinds
    found = [p for p in inspect.signature(run).parameters.values() if p.name != "out"]
    signature = inspect.Signature(found)
    arrays = [key for key, kind in kinds.items() if kind in ARRAYS]

    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        bound.apply_defaults()
        given = dict(bound.arguments)
        for key in arrays:
            if given[key] is not None:
                value = _boxes(name, given[key]) if key == "boxes" else given[key]
                given[key] = as_dask(name, key, value)
        call = _call(name, given, kinds)
        if op.family in GRADIENTS:
            return GRADIENTS[op.family](op, name, given, call)
        result = _checked(run, given, arrays)
        grad = given["grad_output"]
        if op.family in _BY_PARTS:
            try:
                return parted(call, ("grad_output", grad), {}, [result])
            except ValueError as error:
                if "grad_output = a part" not in str(error):
                    raise
        n = op.fixed_rank or _planes(op, given)
        taken = {key: given[key] for key in arrays}
        if "channels_last" not in given:
            given["channels_last"] = False
        whole = "input_size" if "input_size" in given else ""
        call = call.without(whole)
        why = "gradients may come from anywhere in a plane"
        return BACKWARD(name, call, taken, n, given, [result], why, whole)

    function.__doc__ = f":func:`upsample_rs.{name}` on dask arrays, without `out`."
    return _named(function, name, signature)


def _planes(op: Op, given: dict[str, Any]) -> int:
    """Return how many axes, the channels aside, there are from the first that is not only led."""
    ndim = given["grad_output"].ndim
    if op.family == "resize":
        axes = given["axes"]
        axes = range(ndim) if axes is None else np.atleast_1d(axes)
        return max((int(-axis if axis < 0 else ndim - axis) for axis in axes), default=1)
    factor = given["factor"]  # of a bed of nails
    return len(factor) if isinstance(factor, (tuple, list)) else 2


def _checked(
    run: Callable[..., Any], given: dict[str, Any], arrays: list[str]
) -> tuple[tuple[int, ...], Any]:
    """Have the gradient check a call on a batch of none; return its result's shape and dtype."""
    call = dict(given)
    for key in arrays:
        array = given[key]
        call[key] = np.broadcast_to(np.zeros((), array.dtype), (0, *array.shape))
    if "input_size" in call:
        call["input_size"] = (0, *call["input_size"])
    if isinstance(call.get("scale_factor"), (int, float)) and call["mode"] not in _MODE_RANK:
        ndim = len(given["grad_output"].shape)
        call["scale_factor"] = (call["scale_factor"],) * (ndim - 2 if ndim > 2 else ndim)
    if isinstance(call.get("axes"), (int, tuple, list)):
        axes = call["axes"] if not isinstance(call["axes"], int) else (call["axes"],)
        ndim = len(given["grad_output"].shape)
        call["axes"] = tuple(axis - ndim if 0 <= axis < ndim else axis for axis in axes)
    elif "axes" in call:
        call["axes"] = tuple(range(-len(given["grad_output"].shape), 0))
    made = run(**call)
    return made.shape[1:], made.dtype


def _named(function: Callable[..., Any], name: str, signature: Any) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


globals().update({name: _forward(op) for name, op in OPS.items()})
globals().update({name: _backward(name, op) for name, op in _BACKWARD.items()})


def __getattr__(name: str) -> Callable[..., da.Array]:
    """Tell type checkers that the functions of the table are here."""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
