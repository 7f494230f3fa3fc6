"""Output sizes of convolution, transposed convolution and pooling, without any array.

These are the formulas the operations themselves use. Sizes, kernels, strides, paddings and
dilations all count elements along one spatial axis. An int `size` gives an int; a tuple gives a
tuple, one entry per axis, and an int for any other parameter then holds for every axis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from ._core import conv_output_size as _conv_output_size
from ._core import conv_transpose_output_size as _conv_transpose_output_size
from ._core import pool_output_size as _pool_output_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import IntOrTuple, Padding, WindowPadding

__all__ = ["conv_output_size", "conv_transpose_output_size", "pool_output_size"]


@overload
def conv_output_size(
    size: int,
    kernel_size: IntOrTuple,
    stride: IntOrTuple = 1,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
) -> int: ...
@overload
def conv_output_size(
    size: Sequence[int],
    kernel_size: IntOrTuple,
    stride: IntOrTuple = 1,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
) -> tuple[int, ...]: ...
def conv_output_size(
    size: IntOrTuple,
    kernel_size: IntOrTuple,
    stride: IntOrTuple = 1,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
) -> int | tuple[int, ...]:
    """Return the spatial size a convolution gives.

    Parameters
    ----------
    size : int or tuple of int
        Input size, one entry per axis.
    kernel_size : int or tuple of int
        Kernel size.
    stride : int or tuple of int, default 1
        Step between windows.
    padding : int, tuple, tuple of pairs, or str, default 0
        As in :func:`~upsample_rs.conv2d`, names included.
    dilation : int or tuple of int, default 1
        Step between kernel taps.

    Returns
    -------
    int or tuple of int
        ``floor((size + before + after - dilation*(kernel_size - 1) - 1) / stride) + 1``; with
        dilation 1 and equal padding ``1 + (W - K + 2P) / S``, rounded down.

    Raises
    ------
    ValueError
        A parameter is out of range, tuples differ in length, or no window fits.
    TypeError
        A parameter is not an integer.

    References
    ----------
    torch.nn.Conv2d, section Shape; ONNX operator Conv.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.conv_output_size(5, 3)
    3
    >>> us.conv_output_size((224, 112), 7, stride=2, padding=3)
    (112, 56)
    """
    return _conv_output_size(size, kernel_size, stride, padding, dilation)


@overload
def conv_transpose_output_size(
    size: int,
    kernel_size: IntOrTuple,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    output_padding: IntOrTuple = 0,
    dilation: IntOrTuple = 1,
) -> int: ...
@overload
def conv_transpose_output_size(
    size: Sequence[int],
    kernel_size: IntOrTuple,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    output_padding: IntOrTuple = 0,
    dilation: IntOrTuple = 1,
) -> tuple[int, ...]: ...
def conv_transpose_output_size(
    size: IntOrTuple,
    kernel_size: IntOrTuple,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    output_padding: IntOrTuple = 0,
    dilation: IntOrTuple = 1,
) -> int | tuple[int, ...]:
    """Return the spatial size a transposed convolution gives.

    Parameters
    ----------
    size : int or tuple of int
        Input size, one entry per axis.
    kernel_size : int or tuple of int
        Kernel size.
    stride : int or tuple of int, default 1
        Step between the stamped kernels.
    padding : int, tuple or tuple of pairs, default 0
        Elements cut off each end of the result.
    output_padding : int or tuple of int, default 0
        Elements added at the far end; less than ``max(stride, dilation)``.
    dilation : int or tuple of int, default 1
        Step between kernel taps.

    Returns
    -------
    int or tuple of int
        ``(size - 1)*stride - before - after + dilation*(kernel_size - 1) + output_padding + 1``;
        with dilation 1, equal padding and no output padding ``(W - 1)*S - 2P + K``.

    Raises
    ------
    ValueError
        A parameter is out of range, tuples differ in length, or the result would be below 1.
    TypeError
        A parameter is not an integer.

    References
    ----------
    torch.nn.ConvTranspose2d, section Shape; ONNX operator ConvTranspose.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.conv_transpose_output_size(2, 2)
    3
    >>> us.conv_transpose_output_size((8, 16), 4, stride=2, padding=1)
    (16, 32)
    """
    return _conv_transpose_output_size(size, kernel_size, stride, padding, output_padding, dilation)


@overload
def pool_output_size(
    size: int,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
) -> int: ...
@overload
def pool_output_size(
    size: Sequence[int],
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
) -> tuple[int, ...]: ...
def pool_output_size(
    size: IntOrTuple,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
) -> int | tuple[int, ...]:
    """Return the spatial size a pooling operation gives.

    Parameters
    ----------
    size : int or tuple of int
        Input size, one entry per axis.
    kernel_size : int or tuple of int
        Window size.
    stride : int or tuple of int, optional
        Step between windows; `kernel_size` if not given.
    padding : int, tuple, tuple of pairs, or str, default 0
        As in :func:`~upsample_rs.max_pool2d`, names included; at most half the dilated kernel.
    dilation : int or tuple of int, default 1
        Step between the elements of a window.
    ceil_mode : bool, default False
        Also count a last window that runs past the padded input, provided it starts inside the
        input or its leading padding.

    Returns
    -------
    int or tuple of int
        As :func:`conv_output_size`, with the division rounded up under `ceil_mode`;
        ``ceil(size / stride)`` with ``"same"`` and ``"same_lower"``.

    Raises
    ------
    ValueError
        A parameter is out of range, tuples differ in length, or no window fits.
    TypeError
        A parameter is not an integer.

    References
    ----------
    torch.nn.MaxPool2d, section Shape; ONNX operator MaxPool.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.pool_output_size(5, 2)
    2
    >>> us.pool_output_size(5, 2, ceil_mode=True)
    3
    >>> us.pool_output_size((112, 7), 3, stride=2, padding=1)
    (56, 4)
    >>> us.pool_output_size(7, 4, stride=2, padding="same")
    4
    """
    return _pool_output_size(size, kernel_size, stride, padding, dilation, ceil_mode)
