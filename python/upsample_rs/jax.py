"""The operations on JAX arrays, computed on the host; needs the package ``jax``.

Functions are called as those of ``upsample_rs`` are, take arrays and return them; ``jax.jit``,
``jax.grad`` (of first order, in reverse) and ``jax.vmap`` work. A call is checked when it is traced
or made, so what is wrong with it is a ``ValueError`` of the package and no failure within XLA.

Examples
--------
>>> import jax
>>> import jax.numpy as jnp
>>> import upsample_rs.jax as usj
>>> x = jnp.array([[1.0, 2.0], [4.0, 3.0]])
>>> jax.grad(lambda x: usj.interpolate(x, scale_factor=2, mode="bilinear").sum())(x)
Array([[4., 4.],
       [4., 4.]], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .bridges.table import ARRAYS, OPS, Op, plan

__all__ = list(OPS)


def _arrays(op: Op, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays of a call as JAX has them; a list of boxes becomes one array."""
    found = {}
    for name in op.arrays:
        value = given[name]
        if name == "boxes" and isinstance(value, (list, tuple)):
            rows = [jnp.asarray(box) for box in value]
            value = jnp.concatenate(
                [jnp.concatenate([jnp.full_like(b[:, :1], i), b], 1) for i, b in enumerate(rows)]
            )
        if value is not None:
            found[name] = jnp.asarray(value)
    return found


def _host(op: Op, kinds: dict[str, str], run: Callable[..., Any], static: dict[str, Any]) -> Any:
    """Make the function that runs on the host: arrays by name, all with the same axes in front."""

    def call(arrays: dict[str, Any]) -> Any:
        arrays = {name: np.asarray(value) for name, value in arrays.items()}
        given = static | arrays
        name, ndim = given.pop("first")
        front = given[name].shape[: given[name].ndim - ndim]
        for size in op.whole_shapes & given.keys():
            given[size] = (*front, *given[size])
        made = run(**{name: given[name] for name in kinds})
        return tuple(part for part in made if part is not None) if isinstance(made, tuple) else made

    return call


def _callback(
    op: Op, kinds: dict[str, str], run: Any, arrays: dict[str, Any], static: Any, result: Any
) -> Any:
    """Have XLA call the host; a batch goes in one call where axes may stand in front."""
    first = next(iter(arrays))
    static = {**static, "first": (first, arrays[first].ndim)}
    method = "broadcast_all" if op.batches else "sequential"
    host = _host(op, kinds, run, static)
    return jax.pure_callback(host, result, arrays, vmap_method=method)


def _function(op: Op, pinned: dict[str, Any], result: Any) -> Any:
    """Make a call, of which only the arrays are open, with its gradient."""
    static = {name: value for name, value in pinned.items() if op.kinds[name] not in ARRAYS}
    absent = {name: None for name in op.arrays if pinned[name] is None}

    def forward(arrays: dict[str, Any], indexed: bool) -> Any:
        known = static | absent
        if op.indexed:
            known |= {"return_indices": indexed}
        return _callback(op, op.kinds, op.forward, arrays, known, result if indexed else result[0])

    asked = bool(static.get("return_indices"))

    @jax.custom_vjp
    def call(arrays: dict[str, Any]) -> Any:
        return forward(arrays, asked)

    def call_and_keep(arrays: dict[str, Any]) -> Any:
        made = forward(arrays, op.indexed)
        values, *indices = made if op.indexed else (made,)
        return (made if asked else values), (arrays, indices)

    def pull_back(kept: Any, grad: Any) -> Any:
        arrays, indices = kept
        grad = grad[0] if asked else grad
        by = [name for name in op.differentiable if name in arrays]
        known = static | absent | {"grad_output": grad, **arrays}
        known |= {"indices": indices[0]} if indices else {}
        known["input_size"] = arrays[by[0]].shape
        known["output_mask"] = tuple(name in arrays for name in op.differentiable)
        if op.rule.adjust is not None:
            op.rule.adjust(known, grad)
        needed = {name: known[name] for name in op.backward_kinds}
        open_ = {n: v for n, v in needed.items() if op.backward_kinds[n] in ARRAYS}
        open_ = {n: v for n, v in open_.items() if v is not None}
        rest = {n: v for n, v in needed.items() if n not in open_}
        shapes = tuple(jax.ShapeDtypeStruct(arrays[n].shape, arrays[n].dtype) for n in by)
        several = "output_mask" in op.backward_kinds
        wanted = shapes if several else shapes[0]
        made = _callback(op, op.backward_kinds, op.backward, open_, rest, wanted)
        gradients = dict(zip(by, made if several else (made,), strict=True))
        # Indices and boxes have no gradient: zeros of the type that JAX asks for.
        return ({n: gradients[n] if n in gradients else _none(v) for n, v in arrays.items()},)

    call.defvjp(call_and_keep, pull_back)
    return call


def _none(value: Any) -> Any:
    if jnp.issubdtype(value.dtype, jnp.inexact):
        return jnp.zeros_like(value)
    return np.zeros(value.shape, jax.dtypes.float0)


def _public(op: Op) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        given = op.bind(args, kwargs)
        arrays = _arrays(op, given)
        given |= arrays
        if op.family == "fractional_max_pool":
            if given["seed"] is None and given["random_samples"] is None:
                raise ValueError(f"{op.name}: seed, random_samples: one of them must be given")
        if op.indexed:  # without x64 there are no integers of 64 bits
            given["index_dtype"] = jax.dtypes.canonicalize_dtype(np.dtype(given["index_dtype"]))
        pinned = op.pin(given)
        known = pinned | ({"return_indices": True} if op.indexed else {})
        result = tuple(jax.ShapeDtypeStruct(*made) for made in plan(op, known))
        return _function(op, pinned, result)(arrays)

    function.__name__ = function.__qualname__ = op.name
    function.__module__ = __name__
    function.__signature__ = op.signature  # type: ignore[attr-defined]
    function.__doc__ = (
        f":func:`upsample_rs.{op.name}` on JAX arrays, without `out`.\n\n"
        f"Gradients go to {', '.join(op.differentiable)}."
    )
    return function


globals().update({name: _public(op) for name, op in OPS.items()})


def __getattr__(name: str) -> Callable[..., Any]:
    """Tell type checkers that the functions of the table are here."""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
