"""The operations on PyTorch tensors in CPU memory; needs the package ``torch``.

Functions are called as those of ``upsample_rs`` are, take tensors and return them, on the same
memory; gradients, ``torch.compile`` and ``torch.vmap`` work. Each is an operator of
``torch.library`` in the namespace ``upsample_rs::``.

Examples
--------
>>> import torch
>>> import upsample_rs.torch as ust
>>> x = torch.tensor([[1.0, 2.0], [4.0, 3.0]], requires_grad=True)
>>> y = ust.interpolate(x, scale_factor=2, mode="bilinear")
>>> y.sum().backward()
>>> x.grad
tensor([[4., 4.],
        [4., 4.]])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..bridges.table import OPS, Op
from .operators import register
from .schema import flatten

__all__ = list(OPS)

_OPERATORS = register()


def _boxes(op: Op, boxes: Any) -> Any:
    """Return boxes as one tensor; a list has one tensor of boxes for each image."""
    if not isinstance(boxes, (list, tuple)):
        return boxes
    rows = []
    for image, box in enumerate(boxes):
        if box.ndim != 2 or box.shape[1] != 4:
            raise ValueError(
                f"{op.name}: boxes[{image}] has shape {tuple(box.shape)}: must be (L, 4)"
            )
        rows.append(torch.cat([box.new_full((box.shape[0], 1), image), box], 1))
    return torch.cat(rows)


def _checked(op: Op, given: dict[str, Any]) -> dict[str, Any]:
    """Refuse what is no tensor in CPU memory, where the message can say so."""
    for name in op.arrays:
        value = given[name]
        if value is None and op.kinds[name] == "ArrayLike | None":
            continue
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{op.name}: {name} is {type(value).__name__}: must be a torch.Tensor")
        if value.device.type not in ("cpu", "meta"):
            raise ValueError(f"{op.name}: {name} is on {value.device}: must be in CPU memory")
    return given


def _samples(op: Op, given: dict[str, Any]) -> Any:
    """Draw what places the windows of a fractional pooling, as torch's own does."""
    if given["random_samples"] is not None or given["seed"] is not None:
        return given["random_samples"]
    x, n = given["x"], op.rank(given)
    end = x.ndim - n - bool(given["channels_last"])
    channels = x.shape[-1:] if given["channels_last"] else ()
    return torch.rand((*x.shape[:end], *channels, n), dtype=torch.float64)


def _public(op: Op) -> Callable[..., Any]:
    plain, indexed = _OPERATORS[op.name], _OPERATORS.get(f"{op.name}_with_indices")

    def function(*args: Any, **kwargs: Any) -> Any:
        given = op.bind(args, kwargs)
        if "boxes" in given:
            given["boxes"] = _boxes(op, given["boxes"])
        given = _checked(op, given)
        if op.family == "fractional_max_pool":
            given["random_samples"] = _samples(op, given)
        asked = given.get("return_indices")
        flat = flatten(_kinds(op), op.pin(given))
        if indexed is None:
            return plain(*flat)
        if asked:
            return indexed(*flat)
        if torch.is_grad_enabled() and given["x"].requires_grad:
            return indexed(*flat)[0]  # its gradient needs them
        return plain(*flat)

    function.__name__ = function.__qualname__ = op.name
    function.__module__ = __name__
    function.__signature__ = op.signature  # type: ignore[attr-defined]
    function.__doc__ = (
        f":func:`upsample_rs.{op.name}` on tensors, without `out`.\n\n"
        f"Gradients go to {', '.join(op.differentiable)}."
    )
    return function


def _kinds(op: Op) -> dict[str, str]:
    return {name: kind for name, kind in op.kinds.items() if name != "return_indices"}


globals().update({name: _public(op) for name, op in OPS.items()})


def __getattr__(name: str) -> Callable[..., Any]:
    """Tell type checkers that the functions of the table are here."""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
