"""Reverse-mode differentiation on dask arrays, from the same table as :func:`upsample_rs.vjp`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from ..bridges.table import OPS, Op
from .call import as_dask
from .tasks import spatial_axes

__all__ = ["vjp"]

Given: TypeAlias = dict[str, Any]

_COLUMNS = ("kernel_size", "dilation", "padding", "stride", "channels_last")
# Gradients that are operations: which one, and what its parameters are called in the forward.
_OTHER: dict[str, tuple[str, dict[str, str]]] = {
    "pixel_shuffle": ("pixel_unshuffle", {"downscale_factor": "upscale_factor"}),
    "pixel_unshuffle": ("pixel_shuffle", {"upscale_factor": "downscale_factor"}),
    "depth_to_space": ("space_to_depth", {"block": "block", "mode": "mode"}),
    "space_to_depth": ("depth_to_space", {"block": "block", "mode": "mode"}),
    "channel_shuffle": ("channel_shuffle", {}),
    "unfold": ("fold", {key: key for key in _COLUMNS}),
    "fold": ("unfold", {key: key for key in _COLUMNS}),
}


def vjp(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> tuple[Any, Callable[..., Any]]:
    """Return an operation's lazy result with the function that takes gradients back.

    Parameters
    ----------
    fn : function
        One of ``upsample_rs`` or of this module that has a gradient.
    *args, **kwargs
        Its arguments, as in a plain call.

    Returns
    -------
    output : dask array or tuple of dask array
        What the function of this module returns.
    pullback : function
        As that of :func:`upsample_rs.vjp`: a tuple with one dask array for every floating array
        argument.

    Raises
    ------
    TypeError, ValueError
        As :func:`upsample_rs.vjp`.

    Examples
    --------
    >>> import dask.array as da
    >>> import upsample_rs.dask as usd
    >>> x = da.from_array([[[1.0, 2.0]], [[4.0, 3.0]]], chunks=(1, 1, 2))
    >>> y, pullback = usd.vjp(usd.avg_pool2d, x, (1, 2))
    >>> (gradient,) = pullback(da.ones_like(y))
    >>> gradient.compute()
    array([[[0.5, 0.5]],
    <BLANKLINE>
           [[0.5, 0.5]]])
    """
    here = sys.modules[__package__]
    op = OPS.get(getattr(fn, "__name__", ""))
    if op is None or fn not in (op.forward, getattr(here, op.name)):
        raise TypeError(f"vjp: no gradient for {getattr(fn, '__name__', fn)!r}")
    given = op.bind(args, kwargs)
    for key in op.rule.arrays:
        if given[key] is not None:
            given[key] = _floating(op, key, given[key])
    asked = given.get("return_indices")
    if op.indexed:
        given["return_indices"] = True
    output = getattr(here, op.name)(**given)
    values = output
    if op.indexed:
        values, given["indices"] = output
        output = output if asked else values
    if op.rule.adjust is not None:
        op.rule.adjust(given, values)

    def pullback(grad_output: Any) -> tuple[Any, ...]:
        grad = as_dask("vjp", "grad_output", grad_output)
        if grad.shape != values.shape:
            found, wanted = grad.shape, values.shape
            raise ValueError(
                f"vjp: {op.name}: grad_output has shape {found}, the output has {wanted}"
            )
        grads = _gradient(here, op, given, grad)
        if len(op.rule.arrays) == 1:
            return (grads,)
        return tuple(g for g in grads if g is not None)

    return output, pullback


def _floating(op: Op, key: str, value: Any) -> Any:
    array = as_dask(op.name, key, value)
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise TypeError(
            f"vjp: {op.name}: {key} has dtype {array.dtype}; "
            "a gradient needs float16, bfloat16, float32 or float64"
        )
    return array


def _gradient(here: Any, op: Op, given: Given, grad: Any) -> Any:
    first = given[op.rule.arrays[0]]
    if op.name not in _OTHER:
        known = given | {"grad_output": grad, "input_size": first.shape}
        known["output_mask"] = tuple(given[key] is not None for key in op.rule.arrays)
        needed = {key: known[key] for key in op.backward_kinds}
        return getattr(here, f"{op.name}_backward")(**needed)
    name, renamed = _OTHER[op.name]
    pinned = op.pin(given)
    parameters = {key: pinned[of] for key, of in renamed.items()}
    parameters["channels_last"] = last = pinned["channels_last"]
    if op.name == "channel_shuffle":
        parameters["groups"] = max(first.shape[-1 if last else 1] // given["groups"], 1)
    elif op.name == "unfold":
        spatial, _ = spatial_axes(first.ndim, op.rank(given), last)
        parameters["output_size"] = tuple(first.shape[axis] for axis in spatial)
    return getattr(here, name)(grad, **parameters)
