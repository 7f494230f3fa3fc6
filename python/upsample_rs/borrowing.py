"""Tensors of other libraries seen as arrays, through DLPack, without a copy.

NumPy reads every DLPack dtype it has itself; bfloat16, which ``ml_dtypes`` adds to NumPy, it does
not. Such a tensor is lent to it as 16-bit integers and then viewed as what it is. Loaded when the
first tensor arrives, not with the package.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

__all__ = ["from_dlpack"]

# Numbers of the DLPack header: kinds of element, and devices whose memory the CPU reads.
_UINT, _BFLOAT = 1, 4
_CPU_READS = {1, 3, 11, 13}
_DEVICES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 14: "oneAPI", 15: "WebGPU"}


class _DType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _Tensor(ctypes.Structure):
    """The beginning of DLTensor, which is the beginning of DLManagedTensor."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("dtype", _DType),
    ]


class _Lent:
    """A capsule on its way to NumPy."""

    def __init__(self, capsule: Any, device: tuple[int, int]) -> None:
        self.capsule, self.device = capsule, device

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


def _header(capsule: Any) -> _Tensor:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return _Tensor.from_address(pointer(capsule, b"dltensor"))


def from_dlpack(tensor: Any) -> Any:
    """Return an array on the memory of a tensor.

    Raises
    ------
    BufferError
        The tensor is not in memory that the CPU reads, or its library does not lend it.
    """
    kind, number = (int(part) for part in tensor.__dlpack_device__())
    if kind not in _CPU_READS:
        name = _DEVICES.get(kind, f"DLPack type {kind}")
        raise BufferError(f"it is on device {name} {number}; copy it to the CPU first")
    try:
        return np.from_dlpack(tensor)
    except (BufferError, RuntimeError):
        capsule = tensor.__dlpack__()
        header = _header(capsule)
        if (header.dtype.code, header.dtype.bits, header.dtype.lanes) != (_BFLOAT, 16, 1):
            raise
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        raise BufferError("bfloat16 needs the package ml_dtypes") from None
    # The struct is ours until its deleter is called, and no producer reads it again before that.
    header.dtype.code = _UINT
    return np.from_dlpack(_Lent(capsule, (kind, number))).view(bfloat16)
