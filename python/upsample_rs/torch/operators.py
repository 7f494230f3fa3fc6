"""Every operation and its gradient as an operator of ``torch.library``, in ``upsample_rs::``.

An operator is four functions, and all are made here from one row of the table: the kernel, which
runs the operation on the tensors' own memory; the shape of its result, for compilers; its gradient;
and what it does to a batch, for ``vmap``. An operation that can return indices becomes two
operators, ``max_pool2d`` and ``max_pool2d_with_indices``, since an operator returns always as much.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from ..bridges.table import ARRAYS, OPS, PADDING, Op, plan
from .schema import flatten, restore, schema
from .tensors import NUMPY, array, symbolic, tensor

__all__ = ["register"]


def _tensors(made: Any) -> Any:
    """Return results as tensors; those that were not asked for are left out."""
    if isinstance(made, tuple):
        return [tensor(part) for part in made if part is not None]
    return tensor(made)


def _kernel(run: Callable[..., Any], kinds: dict[str, str], fixed: dict[str, Any]) -> Any:
    """Make the function that computes: arguments as `run` takes them, results as tensors."""

    def kernel(*flat: Any) -> Any:
        given = restore(kinds, flat) | fixed
        for name, kind in kinds.items():
            if kind in ARRAYS and given[name] is not None:
                given[name] = array(given[name])
        made = _tensors(run(**given))
        return tuple(made) if "return_indices" in fixed and isinstance(made, list) else made

    return kernel


def _planned(op: Op, given: dict[str, Any]) -> Any:
    """Let the operation check a call and say the shape of its result; lengths become numbers."""

    def number(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(number(entry) for entry in value)
        return int(value) if isinstance(value, torch.SymInt) else value

    known = {name: number(value) for name, value in given.items()}
    for name in op.arrays:
        if given[name] is not None:
            dtype = NUMPY.get(given[name].dtype, np.dtype(np.float32))
            known[name] = SimpleNamespace(shape=number(tuple(given[name].shape)), dtype=dtype)
    return plan(op, known)[0][0]


def _fake(op: Op, kinds: dict[str, str], fixed: dict[str, Any]) -> Any:
    """Make the function that tells shapes and dtypes only."""

    def fake(*flat: Any) -> Any:
        given = restore(kinds, flat) | fixed
        shapes = [given[name].shape for name in op.arrays if given[name] is not None]
        unknown = symbolic(*shapes, *(v for v in given.values() if isinstance(v, tuple)))
        shape = op.shape(given) if unknown else None
        if shape is None:
            shape = _planned(op, given)
        values = given[op.arrays[0]].new_empty(shape)
        if not fixed.get("return_indices"):
            return values
        return values, values.new_empty(shape, dtype=getattr(torch, given["index_dtype"]))

    return fake


def _fake_gradient(op: Op) -> Any:
    """Make the function that tells the shapes of gradients: those of what they are by."""
    kinds = op.backward_kinds

    def fake(*flat: Any) -> Any:
        given = restore(kinds, flat)
        grad = given["grad_output"]
        if "output_mask" not in kinds:
            return grad.new_empty(op.gradient_shape(given))
        by = [given.get(name) for name in op.differentiable]
        shapes = [None if value is None else value.shape for value in by]
        if "bias" in op.differentiable:
            weight, n = given["weight"].shape, op.rank(given)
            transposed = op.family == "conv_transpose"
            out = weight[1] * given["groups"] if transposed and len(weight) > n else weight[0]
            shapes[2] = (out,) if len(weight) > n else (1,)
        asked = zip(shapes, given["output_mask"], strict=True)
        return [grad.new_empty(shape) for shape, wanted in asked if wanted]

    return fake


def _batched(op: Op, kinds: dict[str, str], call: Callable[..., Any]) -> Any:
    """Make the function for batches: axes in front where there may be any, else one by one."""
    slots = _slots(kinds)
    arrays = [kind in ARRAYS for _, kind in slots]
    sizes = [name in op.whole_shapes for name, _ in slots]

    def of(value: Any, place: int, dim: int | None, size: int) -> Any:
        if arrays[place] and value is not None:
            batch = value.unsqueeze(0).expand(size, *value.shape)
            return batch if dim is None else value.movedim(dim, 0)
        return [size, *value] if sizes[place] and op.batches else value

    def rule(info: Any, dims: tuple[Any, ...], *flat: Any) -> Any:
        size = info.batch_size
        given = [of(value, i, dims[i], size) for i, value in enumerate(flat)]
        if op.batches:
            made = call(*given)
        else:
            taken = [arrays[i] and v is not None for i, v in enumerate(given)]
            pairs = list(zip(given, taken, strict=True))
            rows = [call(*(v[k] if take else v for v, take in pairs)) for k in range(size)]
            if isinstance(rows[0], torch.Tensor):
                made = torch.stack(rows)
            else:
                made = type(rows[0])(torch.stack(part) for part in zip(*rows, strict=True))
        if isinstance(made, torch.Tensor):
            return made, 0
        return made, type(made)([0] * len(made))

    return rule


def _differentiate(op: Op, kinds: dict[str, str], fixed: dict[str, Any], ops: Any) -> Any:
    """Make the functions that keep what the gradient needs, and that compute it."""
    kept = [n for n, kind in op.backward_kinds.items() if kind in ARRAYS and n != "grad_output"]
    kept = [name for name in kept if name != "indices" or not op.indexed]
    places = [name for name, _ in _slots(kinds)]

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        given = restore(kinds, inputs) | fixed
        ctx.size = tuple(given[op.differentiable[0]].shape)
        ctx.given = {n: v for n, v in given.items() if kinds.get(n) not in ARRAYS}
        # Without indices the forward is run again to have them.
        by_value = kept if not op.indexed or fixed["return_indices"] else op.arrays
        saved = [given[name] for name in by_value]
        ctx.names = list(by_value)
        if fixed.get("return_indices"):
            ctx.mark_non_differentiable(output[1])
            saved.append(output[1])
            ctx.names.append("indices")
        ctx.save_for_backward(*saved)

    def backward(ctx: Any, grad: Any, *_: Any) -> Any:
        known = ctx.given | dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        if op.indexed and "indices" not in known:
            _, known["indices"] = ops[f"{op.name}_with_indices"](*flatten(kinds, known))
        if op.rule.adjust is not None:
            op.rule.adjust(known, grad)
        wanted = tuple(ctx.needs_input_grad[places.index(name)] for name in op.differentiable)
        known |= {"grad_output": grad, "input_size": ctx.size, "output_mask": wanted}
        made = ops[f"{op.name}_backward"](*flatten(op.backward_kinds, known))
        found = iter(made if isinstance(made, (list, tuple)) else [made])
        gradients = [None] * len(places)
        for name, needed in zip(op.differentiable, wanted, strict=True):
            if needed:
                gradients[places.index(name)] = next(found)
        return tuple(gradients)

    return setup, backward


def _slots(kinds: dict[str, str]) -> list[tuple[str, str]]:
    """Name every argument of the schema; padding has two."""
    slots = []
    for name, kind in kinds.items():
        slots.append((name, kind))
        if kind in PADDING:
            slots.append((f"{name}_rule", "str"))
    return slots


def _define(name: str, kernel: Any, fake: Any, form: str) -> Any:
    made = torch.library.custom_op(
        f"upsample_rs::{name}", kernel, mutates_args=(), device_types="cpu", schema=form
    )
    made.register_fake(fake)
    return made


def _forward(op: Op, name: str, fixed: dict[str, Any], ops: dict[str, Any]) -> None:
    kinds = {n: kind for n, kind in op.kinds.items() if n != "return_indices"}
    result = "(Tensor, Tensor)" if fixed.get("return_indices") else "Tensor"
    kernel, fake = _kernel(op.forward, kinds, fixed), _fake(op, kinds, fixed)
    made = _define(name, kernel, fake, schema(kinds, result))
    setup, backward = _differentiate(op, kinds, fixed, ops)
    made.register_autograd(backward, setup_context=setup)
    made.register_vmap(_batched(op, kinds, made))
    ops[name] = made


def register() -> dict[str, Any]:
    """Register every operator and return them by name."""
    ops: dict[str, Any] = {}
    for op in OPS.values():
        result = "Tensor[]" if "output_mask" in op.backward_kinds else "Tensor"
        kernel = _kernel(op.backward, op.backward_kinds, {})
        form = schema(op.backward_kinds, result)
        made = _define(f"{op.name}_backward", kernel, _fake_gradient(op), form)
        made.register_vmap(_batched(op, op.backward_kinds, made))
        ops[f"{op.name}_backward"] = made
        if op.indexed:
            _forward(op, op.name, {"return_indices": False}, ops)
            _forward(op, f"{op.name}_with_indices", {"return_indices": True}, ops)
        else:
            _forward(op, op.name, {}, ops)
    return ops
