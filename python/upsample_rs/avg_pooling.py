"""Average pooling: the mean of every window, and its gradient.

The operations act on the last one, two or three axes, with any number of leading axes (none
included); ``channels_last=True`` puts one channel axis after the spatial ones. The 2-D functions
carry the full text; the 1-D and 3-D ones are the same rule with one or three numbers per parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import avg_pool as _avg_pool
from ._core import avg_pool_backward as _avg_pool_backward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import Array, ArrayLike, IntOrTuple, Rounding, WindowPadding

__all__ = [
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
]


def avg_pool1d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: IntOrTuple = 1,
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Average windows of one spatial axis.

    Parameters
    ----------
    x : array_like
        Shape ``(..., L)``, or ``(..., L, C)`` with `channels_last`.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
        As :func:`avg_pool2d`, with one number (or a tuple of one) per parameter.
    rounding, out
        As :func:`avg_pool2d`.
    channels_last : bool, default False
        The axis after the spatial axis is the channel.

    Returns
    -------
    ndarray
        Means in the dtype of `x`, of length :func:`~upsample_rs.pool_output_size`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`avg_pool2d`.

    References
    ----------
    torch.nn.functional.avg_pool1d; ONNX operator AveragePool.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.avg_pool1d([1.0, 3.0, 2.0, 6.0], 2)
    array([2., 4.])
    >>> us.avg_pool1d([3.0, 6.0, 9.0], 3, stride=1, padding=1, count_include_pad=False)
    array([4.5, 6. , 7.5])
    """
    return _avg_pool(
        1,
        x,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        rounding,
        channels_last,
        out,
    )


def avg_pool2d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: IntOrTuple = 1,
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Average windows of two spatial axes.

    Parameters
    ----------
    x : array_like
        Shape ``(..., H, W)``, or ``(..., H, W, C)`` with `channels_last`. Takes every integer,
        float16, bfloat16, float32 and float64.
    kernel_size : int or (int, int)
        Window size in elements; an int holds for both axes, here and below.
    stride : int or (int, int), optional
        Step between windows; `kernel_size` if not given.
    padding : int, (int, int), ((before, after), (before, after)) or str, default 0
        Zeros added at each end of an axis, at most half the dilated kernel. ``"valid"`` is none;
        ``"same"`` adds what makes the output ``ceil(length / stride)`` long, the odd one at the
        end, or at the start with ``"same_lower"``.
    ceil_mode : bool, default False
        Also make a last window that runs past the padded input, provided it starts inside the input
        or its leading padding.
    count_include_pad : bool, default True
        Divide by the number of elements of the window that lie in the input or its padding; if
        False, by those that lie in the input. What `ceil_mode` adds beyond the padding never
        counts.
    divisor_override : int, optional
        Divide by this instead, an int of at least 1.
    dilation : int or (int, int), default 1
        Step between the elements of a window.
    rounding : str, default "nearest"
        How a mean of integers becomes an integer: ``"nearest"`` (ties toward positive infinity),
        ``"half_even"``, ``"floor"`` or ``"trunc"``. Floating dtypes ignore it.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        Means in the dtype of `x`, of spatial size :func:`~upsample_rs.pool_output_size`.

    Raises
    ------
    ValueError
        A parameter out of range, no window fits, a window of padding only, a rank that does not
        fit, an empty spatial axis, or an unsuitable `out`.
    TypeError
        bool, complex or another dtype without a mean, or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    The mean is the window's sum, divided once. float16, bfloat16 and float32 are summed in float32
    and rounded once to their dtype; float64 in float64; integers in float64, rounded once by
    `rounding` and saturated. The cost does not grow with `kernel_size`.

    References
    ----------
    torch.nn.functional.avg_pool2d; ONNX operator AveragePool, whose ``count_include_pad`` is off by
    default and whose ``SAME_UPPER`` and ``SAME_LOWER`` are ``"same"`` and ``"same_lower"``. With
    `stride` 1: a box blur.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.avg_pool2d([[1.0, 2.0, 4.0, 0.0], [3.0, 6.0, 2.0, 2.0]], 2)
    array([[3., 2.]])

    Padding counts unless told otherwise:

    >>> x = np.full((2, 2), 9.0)
    >>> us.avg_pool2d(x, 3, stride=1, padding=1)
    array([[4., 4.],
           [4., 4.]])
    >>> us.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    array([[9., 9.],
           [9., 9.]])

    Integers are rounded once, as asked:

    >>> x = np.array([[1, 2], [2, 3], [3, 3]], np.uint8)
    >>> us.avg_pool2d(x, (1, 2)).T
    array([[2, 3, 3]], dtype=uint8)
    >>> us.avg_pool2d(x, (1, 2), rounding="floor").T
    array([[1, 2, 3]], dtype=uint8)
    """
    return _avg_pool(
        2,
        x,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        rounding,
        channels_last,
        out,
    )


def avg_pool3d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: IntOrTuple = 1,
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Average windows of three spatial axes.

    Parameters
    ----------
    x : array_like
        Shape ``(..., D, H, W)``, or ``(..., D, H, W, C)`` with `channels_last`.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
        As :func:`avg_pool2d`, with one number or three per parameter.
    rounding, out
        As :func:`avg_pool2d`.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.

    Returns
    -------
    ndarray
        Means in the dtype of `x`, of spatial size :func:`~upsample_rs.pool_output_size`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`avg_pool2d`.

    References
    ----------
    torch.nn.functional.avg_pool3d; ONNX operator AveragePool.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.avg_pool3d(np.arange(16.0).reshape(2, 2, 4), 2)
    array([[[6.5, 8.5]]])
    """
    return _avg_pool(
        3,
        x,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        rounding,
        channels_last,
        out,
    )


def avg_pool1d_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: IntOrTuple = 1,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`avg_pool1d` with respect to its input.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the means, of their shape.
    input_size : tuple of int
        Whole shape of the forward input.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
        As given to :func:`avg_pool1d`, same defaults.
    channels_last, out
        As :func:`avg_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`avg_pool2d_backward`.

    References
    ----------
    torch.nn.functional.avg_pool1d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.avg_pool1d_backward(np.array([2.0, 4.0]), (3,), 2, stride=1)
    array([1., 3., 2.])
    """
    return _avg_pool_backward(
        1,
        grad_output,
        input_size,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        channels_last,
        out,
    )


def avg_pool2d_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: IntOrTuple = 1,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`avg_pool2d` with respect to its input.

    Every output's gradient, over the divisor of its window, is added to each element of the window.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the means, of their shape; float16, bfloat16, float32 or float64.
    input_size : tuple of int
        Whole shape of the forward input, leading axes and channels included.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
        As given to :func:`avg_pool2d`, same defaults.
    channels_last : bool, default False
        As given to :func:`avg_pool2d`.
    out : ndarray, optional
        Array of shape `input_size` to write to; it may not overlap `grad_output`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`; zero where no window reaches.

    Raises
    ------
    ValueError
        As :func:`avg_pool2d`, and if `grad_output` does not have the shape the forward gives.
    TypeError
        A gradient that is not floating, or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    References
    ----------
    torch.nn.functional.avg_pool2d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.avg_pool2d_backward(np.array([[4.0, 8.0]]), (3, 4), 2)
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.],
           [0., 0., 0., 0.]])
    """
    return _avg_pool_backward(
        2,
        grad_output,
        input_size,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        channels_last,
        out,
    )


def avg_pool3d_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: IntOrTuple = 1,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`avg_pool3d` with respect to its input.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the means, of their shape.
    input_size : tuple of int
        Whole shape of the forward input.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
        As given to :func:`avg_pool3d`, same defaults.
    channels_last, out
        As :func:`avg_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`avg_pool2d_backward`.

    References
    ----------
    torch.nn.functional.avg_pool3d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.avg_pool3d_backward(np.array([[[8.0]]]), (2, 2, 3), 2)
    array([[[1., 1., 0.],
            [1., 1., 0.]],
           [[1., 1., 0.],
            [1., 1., 0.]]])
    """
    return _avg_pool_backward(
        3,
        grad_output,
        input_size,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        channels_last,
        out,
    )
