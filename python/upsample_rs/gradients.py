"""Reverse-mode differentiation: one function that knows the backward of every operation.

A backward's parameters say what it needs: the gradient, shapes, and the forward's own arguments by
the same names. :func:`vjp` binds the forward's arguments by name and passes them on, so a new
operation is one line in the table below. Write

* ``forward: _Rule(backward)`` if ``x`` is its only floating array argument,
* ``_Rule(backward, ("x", "grid"))`` if there are more; the backward then returns one gradient per
  name, and an optional argument that was not given (a bias of None) is left out,
* a third entry, called with the arguments and the output after the forward has run, if the
  backward wants an argument in another form.

A forward with ``return_indices`` and a backward with ``indices`` needs nothing more: the indices
are made, once, whether or not the caller asked for them.
"""

from __future__ import annotations

from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from . import (
    adaptive_pooling,
    avg_pooling,
    convolution,
    folding,
    fractional,
    grid,
    lp_pooling,
    max_pooling,
    min_pooling,
    resizing,
    roi,
    shuffling,
    unpooling,
    upsampling,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Signature

    from ._types import Array, ArrayLike

__all__ = ["vjp"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _Rule(NamedTuple):
    """How one operation is differentiated."""

    backward: Callable[..., Any]
    arrays: tuple[str, ...] = ("x",)
    adjust: Callable[[dict[str, Any], Array], None] | None = None


def _positions_from_sizes(given: dict[str, Any], output: Array) -> None:
    """Drop a scale factor the forward used for the output size only."""
    if given["recompute_scale_factor"]:
        given["scale_factor"] = None


_CONV = ("x", "weight", "bias")

_RULES: dict[Callable[..., Any], _Rule] = {
    upsampling.interpolate: _Rule(upsampling.interpolate_backward, adjust=_positions_from_sizes),
    resizing.resize: _Rule(resizing.resize_backward),
    upsampling.bed_of_nails: _Rule(upsampling.bed_of_nails_backward),
    shuffling.pixel_shuffle: _Rule(shuffling._pixel_shuffle_backward),
    shuffling.pixel_unshuffle: _Rule(shuffling._pixel_unshuffle_backward),
    shuffling.depth_to_space: _Rule(shuffling._depth_to_space_backward),
    shuffling.space_to_depth: _Rule(shuffling._space_to_depth_backward),
    shuffling.channel_shuffle: _Rule(shuffling._channel_shuffle_backward),
    folding.unfold: _Rule(folding._unfold_backward),
    folding.fold: _Rule(folding._fold_backward),
    max_pooling.max_pool1d: _Rule(max_pooling.max_pool1d_backward),
    max_pooling.max_pool2d: _Rule(max_pooling.max_pool2d_backward),
    max_pooling.max_pool3d: _Rule(max_pooling.max_pool3d_backward),
    min_pooling.min_pool1d: _Rule(min_pooling.min_pool1d_backward),
    min_pooling.min_pool2d: _Rule(min_pooling.min_pool2d_backward),
    min_pooling.min_pool3d: _Rule(min_pooling.min_pool3d_backward),
    avg_pooling.avg_pool1d: _Rule(avg_pooling.avg_pool1d_backward),
    avg_pooling.avg_pool2d: _Rule(avg_pooling.avg_pool2d_backward),
    avg_pooling.avg_pool3d: _Rule(avg_pooling.avg_pool3d_backward),
    lp_pooling.lp_pool1d: _Rule(lp_pooling.lp_pool1d_backward),
    lp_pooling.lp_pool2d: _Rule(lp_pooling.lp_pool2d_backward),
    lp_pooling.lp_pool3d: _Rule(lp_pooling.lp_pool3d_backward),
    adaptive_pooling.adaptive_max_pool1d: _Rule(adaptive_pooling.adaptive_max_pool1d_backward),
    adaptive_pooling.adaptive_max_pool2d: _Rule(adaptive_pooling.adaptive_max_pool2d_backward),
    adaptive_pooling.adaptive_max_pool3d: _Rule(adaptive_pooling.adaptive_max_pool3d_backward),
    adaptive_pooling.adaptive_avg_pool1d: _Rule(adaptive_pooling.adaptive_avg_pool1d_backward),
    adaptive_pooling.adaptive_avg_pool2d: _Rule(adaptive_pooling.adaptive_avg_pool2d_backward),
    adaptive_pooling.adaptive_avg_pool3d: _Rule(adaptive_pooling.adaptive_avg_pool3d_backward),
    fractional.fractional_max_pool2d: _Rule(fractional.fractional_max_pool2d_backward),
    fractional.fractional_max_pool3d: _Rule(fractional.fractional_max_pool3d_backward),
    grid.grid_sample: _Rule(grid.grid_sample_backward, ("x", "grid")),
    grid.affine_grid: _Rule(grid.affine_grid_backward, ("theta",)),
    roi.roi_align: _Rule(roi.roi_align_backward),
    roi.roi_pool: _Rule(roi.roi_pool_backward),
    unpooling.max_unpool1d: _Rule(unpooling.max_unpool1d_backward),
    unpooling.max_unpool2d: _Rule(unpooling.max_unpool2d_backward),
    unpooling.max_unpool3d: _Rule(unpooling.max_unpool3d_backward),
    convolution.conv1d: _Rule(convolution.conv1d_backward, _CONV),
    convolution.conv2d: _Rule(convolution.conv2d_backward, _CONV),
    convolution.conv3d: _Rule(convolution.conv3d_backward, _CONV),
    convolution.conv_transpose1d: _Rule(convolution.conv_transpose1d_backward, _CONV),
    convolution.conv_transpose2d: _Rule(convolution.conv_transpose2d_backward, _CONV),
    convolution.conv_transpose3d: _Rule(convolution.conv_transpose3d_backward, _CONV),
}


@cache
def _signature(fn: Callable[..., Any]) -> Signature:
    """Return the signature of an operation; `inspect` is too slow to import with the package."""
    from inspect import signature

    return signature(fn)


def _bind(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, defaults included."""
    try:
        bound = _signature(fn).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"vjp: {fn.__name__}: {error}") from None
    bound.apply_defaults()
    return bound.arguments


def _view(value: Any) -> Any:
    """View an argument as an array; subclasses stay, for the operation to refuse."""
    if isinstance(value, np.ndarray):
        return value
    if not hasattr(value, "__dlpack__"):
        return np.asanyarray(value)
    from .borrowing import from_dlpack

    return from_dlpack(value)


def _floating(name: str, value: Any) -> Any:
    """View an argument as an array; refuse it if it has no gradient."""
    array = _view(value)
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise TypeError(
            f"vjp: {name} has dtype {array.dtype}; "
            "a gradient needs float16, bfloat16, float32 or float64"
        )
    return array


def _forward(fn: Callable[..., Any], given: dict[str, Any]) -> tuple[Any, Array]:
    """Run the operation; return its output, and the array in it that has a gradient.

    If the operation can say where its values come from, that is kept as ``indices``.
    """
    asked = given.get("return_indices")
    if asked is None:
        output = fn(**given)
        return output, output
    if not asked:
        given["return_indices"] = True
        if given["out"] is not None:
            given["out"] = (given["out"], None)
    values, given["indices"] = fn(**given)
    return ((values, given["indices"]) if asked else values), values


def _backward_arguments(rule: _Rule, given: dict[str, Any]) -> dict[str, Any]:
    """Collect what the backward takes beside the gradient, by name."""
    known = given | {
        "input_size": given[rule.arrays[0]].shape,
        "output_mask": tuple(given[name] is not None for name in rule.arrays),
    }
    names = _signature(rule.backward).parameters
    return {name: known[name] for name in names if name not in ("grad_output", "out")}


def vjp(
    fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
) -> tuple[_T, Callable[[ArrayLike], tuple[Array, ...]]]:
    """Run an operation and return its result with the function that takes gradients back.

    Parameters
    ----------
    fn : function
        One of :func:`~upsample_rs.interpolate`, :func:`~upsample_rs.resize`,
        :func:`~upsample_rs.bed_of_nails`, the shuffles, :func:`~upsample_rs.fold`,
        :func:`~upsample_rs.unfold`, :func:`~upsample_rs.grid_sample`,
        :func:`~upsample_rs.affine_grid`, and the pooling, ``max_unpool``, ``conv`` and
        ``conv_transpose`` functions.
    *args, **kwargs
        Its arguments, as in a plain call; `out` is filled and returned as there.

    Returns
    -------
    output : ndarray or (ndarray, ndarray)
        What ``fn(*args, **kwargs)`` returns.
    pullback : function
        ``pullback(grad_output)`` returns a tuple with the gradient of every floating array argument
        in the order of the parameters: ``(x,)``; for the convolutions ``(x, weight)`` or
        ``(x, weight, bias)``; for ``grid_sample`` ``(x, grid)``. It takes an array of the output's
        shape (with ``return_indices=True`` the shape of the values) and may be called any number
        of times.

    Raises
    ------
    TypeError
        `fn` has no gradient, its arguments do not match its parameters, or an array argument is not
        float16, bfloat16, float32 or float64.
    ValueError, IndexError, MemoryError
        As `fn`. From the pullback: a gradient that is not of the output's shape, and as the
        matching ``_backward`` function.

    Notes
    -----
    The pullback keeps the arrays it needs (the inputs of a convolution or of ``lp_pool``, the
    indices of a pooling) and does not copy them: leave them unchanged for as long as it is used.
    Max and min pooling run once, with indices.

    References
    ----------
    ``jax.vjp`` has the same form. The gradients are those of the ``_backward`` functions.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.array([[1.0, 2.0], [4.0, 3.0]])
    >>> y, pullback = us.vjp(us.max_pool2d, x, 2)
    >>> y
    array([[4.]])
    >>> pullback(np.array([[10.0]]))
    (array([[ 0.,  0.],
            [10.,  0.]]),)

    >>> weight = np.array([[1.0, -1.0]])
    >>> y, pullback = us.vjp(us.conv2d, x, weight)
    >>> grad_x, grad_weight = pullback(np.ones_like(y))
    >>> grad_weight
    array([[5., 5.]])
    """
    rule = _RULES.get(fn) if isinstance(fn, FunctionType) else None
    if rule is None:
        names = ", ".join(op.__name__ for op in _RULES)
        raise TypeError(f"vjp: no gradient for {getattr(fn, '__name__', fn)!r}; known: {names}")
    given = _bind(fn, args, kwargs)
    for name in rule.arrays:
        if given[name] is not None:
            given[name] = _floating(f"{fn.__name__}: {name}", given[name])
    output, differentiable = _forward(fn, given)
    if rule.adjust is not None:
        rule.adjust(given, differentiable)
    known = _backward_arguments(rule, given)
    shape = differentiable.shape

    def pullback(grad_output: ArrayLike) -> tuple[Array, ...]:
        grad = _view(grad_output)
        if grad.shape != shape:
            raise ValueError(
                f"vjp: {fn.__name__}: grad_output has shape {grad.shape}, the output has {shape}"
            )
        grads = rule.backward(grad, **known)
        return tuple(g for g in grads if g is not None) if len(rule.arrays) > 1 else (grads,)

    return output, pullback
