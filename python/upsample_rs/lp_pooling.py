"""Lp pooling: the p-norm of every window, and its gradient.

The operations act on the last one, two or three axes, with any number of leading axes (none
included); ``channels_last=True`` puts one channel axis after the spatial ones. The 2-D functions
carry the full text; the 1-D and 3-D ones are the same rule with one or three numbers per parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import lp_pool as _lp_pool
from ._core import lp_pool_backward as _lp_pool_backward

if TYPE_CHECKING:
    from ._types import Array, ArrayLike, IntOrTuple, Rounding, WindowPadding

__all__ = [
    "lp_pool1d",
    "lp_pool1d_backward",
    "lp_pool2d",
    "lp_pool2d_backward",
    "lp_pool3d",
    "lp_pool3d_backward",
]


def lp_pool1d(
    x: ArrayLike,
    norm_type: float,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    ceil_mode: bool = False,
    *,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Take the p-norm of windows of one spatial axis.

    Parameters
    ----------
    x : array_like
        Shape ``(..., L)``, or ``(..., L, C)`` with `channels_last`.
    norm_type : float
        The exponent p, above 0; infinity takes the largest magnitude.
    kernel_size, stride, ceil_mode, padding, dilation
        As :func:`lp_pool2d`, with one number (or a tuple of one) per parameter.
    rounding, out
        As :func:`lp_pool2d`.
    channels_last : bool, default False
        The axis after the spatial axis is the channel.

    Returns
    -------
    ndarray
        Norms in the dtype of `x`, of length :func:`~upsample_rs.pool_output_size`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`lp_pool2d`.

    References
    ----------
    torch.nn.functional.lp_pool1d; ONNX operator LpPool.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.lp_pool1d([3.0, -4.0, 0.0, 2.0], 2, 2)
    array([5., 2.])
    """
    return _lp_pool(
        1,
        x,
        norm_type,
        kernel_size,
        stride,
        ceil_mode,
        padding,
        dilation,
        rounding,
        channels_last,
        out,
    )


def lp_pool2d(
    x: ArrayLike,
    norm_type: float,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    ceil_mode: bool = False,
    *,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Take the p-norm of windows of two spatial axes.

    The norm of a window is ``sum(abs(x)**p) ** (1/p)``.

    Parameters
    ----------
    x : array_like
        Shape ``(..., H, W)``, or ``(..., H, W, C)`` with `channels_last`. Takes every integer,
        float16, bfloat16, float32 and float64.
    norm_type : float
        The exponent p, above 0; infinity takes the largest magnitude. (Below 1 this is no norm, but
        the formula holds.)
    kernel_size : int or (int, int)
        Window size in elements; an int holds for both axes, here and below.
    stride : int or (int, int), optional
        Step between windows; `kernel_size` if not given.
    ceil_mode : bool, default False
        Also make a last window that runs past the padded input, provided it starts inside the input
        or its leading padding.
    padding : int, (int, int), ((before, after), (before, after)) or str, default 0
        Zeros added at each end of an axis, at most half the dilated kernel. ``"valid"`` is none;
        ``"same"`` adds what makes the output ``ceil(length / stride)`` long, the odd one at the
        end, or at the start with ``"same_lower"``.
    dilation : int or (int, int), default 1
        Step between the elements of a window.
    rounding : str, default "nearest"
        How a norm of integers becomes an integer: ``"nearest"`` (ties toward positive infinity),
        ``"half_even"``, ``"floor"`` or ``"trunc"``. Floating dtypes ignore it.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        Norms in the dtype of `x`, of spatial size :func:`~upsample_rs.pool_output_size`.

    Raises
    ------
    ValueError
        A parameter out of range, no window fits, a window of padding only, a rank that does not
        fit, an empty spatial axis, or an unsuitable `out`.
    TypeError
        bool, complex or another dtype without a norm, or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    torch leaves out the ``abs`` and so returns NaN or zero for an odd p where the powers of a
    window sum to less than zero; here the result is the norm.

    References
    ----------
    torch.nn.functional.lp_pool2d; ONNX operator LpPool, whose ``SAME_UPPER`` and ``SAME_LOWER`` are
    ``"same"`` and ``"same_lower"``.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.array([[1.0, 1.0, 0.0, 2.0], [1.0, -1.0, -6.0, -3.0]])
    >>> us.lp_pool2d(x, 2, 2)
    array([[2., 7.]])
    >>> us.lp_pool2d(x, 1, 2)
    array([[ 4., 11.]])
    >>> us.lp_pool2d(x, np.inf, 2)
    array([[1., 6.]])
    """
    return _lp_pool(
        2,
        x,
        norm_type,
        kernel_size,
        stride,
        ceil_mode,
        padding,
        dilation,
        rounding,
        channels_last,
        out,
    )


def lp_pool3d(
    x: ArrayLike,
    norm_type: float,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    ceil_mode: bool = False,
    *,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Take the p-norm of windows of three spatial axes.

    Parameters
    ----------
    x : array_like
        Shape ``(..., D, H, W)``, or ``(..., D, H, W, C)`` with `channels_last`.
    norm_type : float
        The exponent p, above 0; infinity takes the largest magnitude.
    kernel_size, stride, ceil_mode, padding, dilation
        As :func:`lp_pool2d`, with one number or three per parameter.
    rounding, out
        As :func:`lp_pool2d`.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.

    Returns
    -------
    ndarray
        Norms in the dtype of `x`, of spatial size :func:`~upsample_rs.pool_output_size`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`lp_pool2d`.

    References
    ----------
    torch.nn.functional.lp_pool3d; ONNX operator LpPool.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.lp_pool3d(np.full((2, 2, 4), -1.0), 3, 2)
    array([[[2., 2.]]])
    """
    return _lp_pool(
        3,
        x,
        norm_type,
        kernel_size,
        stride,
        ceil_mode,
        padding,
        dilation,
        rounding,
        channels_last,
        out,
    )


def lp_pool1d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    norm_type: float,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    ceil_mode: bool = False,
    *,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`lp_pool1d` with respect to its input.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the norms, of their shape.
    x, norm_type, kernel_size, stride, ceil_mode, padding, dilation
        As given to :func:`lp_pool1d`, same defaults.
    channels_last, out
        As :func:`lp_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of the shape and dtype of `x`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`lp_pool2d_backward`.

    References
    ----------
    torch.nn.functional.lp_pool1d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.lp_pool1d_backward(np.array([10.0, 1.0]), np.array([3.0, -4.0, 0.0, 2.0]), 2, 2)
    array([ 6., -8.,  0.,  1.])
    """
    return _lp_pool_backward(
        1,
        grad_output,
        x,
        norm_type,
        kernel_size,
        stride,
        ceil_mode,
        padding,
        dilation,
        channels_last,
        out,
    )


def lp_pool2d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    norm_type: float,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    ceil_mode: bool = False,
    *,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`lp_pool2d` with respect to its input.

    A window with norm y adds ``grad * sign(x) * (abs(x) / y)**(p - 1)`` to each of its elements x.
    For an infinite p it adds ``grad * sign(x)`` to the first element of magnitude y in row-major
    order (the first NaN, if there is one), and nothing to the others.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the norms, of their shape; float16, bfloat16, float32 or float64.
    x : array_like
        The forward's input, of the dtype of `grad_output`. The norms are computed again from it.
    norm_type, kernel_size, stride, ceil_mode, padding, dilation
        As given to :func:`lp_pool2d`, same defaults.
    channels_last : bool, default False
        As given to :func:`lp_pool2d`.
    out : ndarray, optional
        Array of the shape and dtype of `x` to write to; it may not overlap the inputs.

    Returns
    -------
    ndarray
        Gradient of the shape and dtype of `x`; zero where no window reaches.

    Raises
    ------
    ValueError
        As :func:`lp_pool2d`, and if `grad_output` does not have the shape the forward gives.
    TypeError
        A dtype that is not floating, dtypes that differ, or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    The gradient of an element that is 0 is taken as 0, for every p: at p of 1 and below, and in a
    window of zeros at any p, it does not exist, and 0 lies between those on either side.

    References
    ----------
    torch.nn.functional.lp_pool2d under autograd, which returns NaN for a window of zeros.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.array([[1.0, 1.0, 0.0, 2.0], [1.0, -1.0, -6.0, -3.0]])
    >>> us.lp_pool2d_backward(np.array([[2.0, 7.0]]), x, 2, 2)
    array([[ 1.,  1.,  0.,  2.],
           [ 1., -1., -6., -3.]])
    >>> us.lp_pool2d_backward(np.array([[2.0, 7.0]]), x, np.inf, 2)
    array([[ 2.,  0.,  0.,  0.],
           [ 0.,  0., -7.,  0.]])
    """
    return _lp_pool_backward(
        2,
        grad_output,
        x,
        norm_type,
        kernel_size,
        stride,
        ceil_mode,
        padding,
        dilation,
        channels_last,
        out,
    )


def lp_pool3d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    norm_type: float,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    ceil_mode: bool = False,
    *,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`lp_pool3d` with respect to its input.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the norms, of their shape.
    x, norm_type, kernel_size, stride, ceil_mode, padding, dilation
        As given to :func:`lp_pool3d`, same defaults.
    channels_last, out
        As :func:`lp_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of the shape and dtype of `x`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`lp_pool2d_backward`.

    References
    ----------
    torch.nn.functional.lp_pool3d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.lp_pool3d_backward(np.array([[[4.0]]]), np.full((2, 2, 2), -1.0), 3, 2)
    array([[[-1., -1.],
            [-1., -1.]],
           [[-1., -1.],
            [-1., -1.]]])
    """
    return _lp_pool_backward(
        3,
        grad_output,
        x,
        norm_type,
        kernel_size,
        stride,
        ceil_mode,
        padding,
        dilation,
        channels_last,
        out,
    )
