"""Tensors as arrays and arrays as tensors, on the same memory, bfloat16 included."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

__all__ = ["NUMPY", "array", "symbolic", "tensor"]

try:
    from ml_dtypes import bfloat16 as _bfloat16
except ImportError:
    _bfloat16 = None

NUMPY: dict[Any, Any] = {
    getattr(torch, name): np.dtype(name)
    for name in (
        ["bool", "float16", "float32", "float64", "complex64", "complex128"]
        + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    )
}
if _bfloat16 is not None:
    NUMPY[torch.bfloat16] = np.dtype(_bfloat16)


def array(value: torch.Tensor) -> Any:
    """View a tensor as an array, whatever its strides."""
    value = value.detach().resolve_conj().resolve_neg()
    if value.dtype != torch.bfloat16:
        return value.numpy()
    if _bfloat16 is None:
        raise TypeError("bfloat16 tensors need the package ml_dtypes")
    return value.view(torch.int16).numpy().view(_bfloat16)


def tensor(value: Any) -> torch.Tensor:
    """View an array as a tensor, which then owns it."""
    if value.dtype == _bfloat16:
        return torch.from_numpy(value.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(value)


def symbolic(*values: Any) -> bool:
    """Whether there is a length among the values, or in them, that is not known yet."""
    return any(
        symbolic(*value) if isinstance(value, (tuple, list)) else isinstance(value, torch.SymInt)
        for value in values
    )
