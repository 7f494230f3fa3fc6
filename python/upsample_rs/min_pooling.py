"""Min pooling: the smallest element of every window, and where it was.

:mod:`~upsample_rs.max_pooling` mirrored: same parameters, same layouts, same rules for NaN and
ties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from ._core import min_pool as _min_pool
from ._core import min_pool_backward as _min_pool_backward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import Array, ArrayLike, IndexDType, IntOrTuple, WindowPadding

__all__ = [
    "min_pool1d",
    "min_pool1d_backward",
    "min_pool2d",
    "min_pool2d_backward",
    "min_pool3d",
    "min_pool3d_backward",
]


@overload
def min_pool1d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array: ...
@overload
def min_pool1d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: tuple[Array | None, Array | None] | None = None,
) -> tuple[Array, Array]: ...
@overload
def min_pool1d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]: ...
def min_pool1d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]:
    """Take the minimum over windows of one spatial axis.

    Parameters
    ----------
    x : array_like
        Shape ``(..., L)``, or ``(..., L, C)`` with `channels_last`.
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, index_dtype, out
        As :func:`min_pool2d`, with one number (or a tuple of one) per parameter.
    channels_last : bool, default False
        The axis after the spatial axis is the channel.

    Returns
    -------
    ndarray or (ndarray, ndarray)
        Minima, of length :func:`~upsample_rs.pool_output_size`; with `return_indices` also their
        places along the axis.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`min_pool2d`.

    References
    ----------
    :func:`~upsample_rs.max_pool1d`, with the order reversed.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.min_pool1d([1, 3, 2, 5, 4, 0], 2)
    array([1, 2, 0])
    """
    return _min_pool(
        1,
        x,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        return_indices,
        index_dtype,
        channels_last,
        out,
    )


@overload
def min_pool2d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array: ...
@overload
def min_pool2d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: tuple[Array | None, Array | None] | None = None,
) -> tuple[Array, Array]: ...
@overload
def min_pool2d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]: ...
def min_pool2d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]:
    """Take the minimum over windows of two spatial axes.

    Parameters
    ----------
    x : array_like
        Shape ``(..., H, W)``, or ``(..., H, W, C)`` with `channels_last`. Takes bool (all), every
        integer, and float16, bfloat16, float32, float64.
    kernel_size : int or (int, int)
        Window size in elements; an int holds for both axes, here and below.
    stride : int or (int, int), optional
        Step between windows; `kernel_size` if not given.
    padding : int, (int, int), ((before, after), (before, after)) or str, default 0
        Elements added at each end of an axis. They never win. At most half the dilated kernel.
        ``"valid"`` is none; ``"same"`` adds what makes the output ``ceil(length / stride)`` long,
        the odd one at the end, or at the start with ``"same_lower"``.
    dilation : int or (int, int), default 1
        Step between the elements of a window.
    ceil_mode : bool, default False
        Also make a last window that runs past the padded input, provided it starts inside the input
        or its leading padding.
    return_indices : bool, default False
        Also return where each minimum was.
    index_dtype : str or dtype, default "int64"
        Dtype of the indices, ``"int64"`` or ``"int32"``.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.
    out : ndarray, or (ndarray, ndarray) with `return_indices`, optional
        Where to write the result: right shape and dtype, any strides, not overlapping `x`. Either
        entry of the pair may be None.

    Returns
    -------
    values : ndarray
        Minima in the dtype of `x`, of spatial size :func:`~upsample_rs.pool_output_size`.
    indices : ndarray
        Only with `return_indices`: for each minimum ``row * W + column``, its place in the flat
        ``H * W`` block of its channel.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`~upsample_rs.max_pool2d`.

    Notes
    -----
    A NaN wins its window, and the index is that of its first NaN, as :func:`numpy.argmin` has it.
    Among equal minima the first in row-major order is taken. Unlike ``-max_pool2d(-x)`` this needs
    no negated copy and is right for unsigned integers and for the least signed one.

    References
    ----------
    :func:`~upsample_rs.max_pool2d`, with the order reversed. In image processing with `stride` 1:
    grey erosion by a flat window, ``scipy.ndimage.minimum_filter``.

    Examples
    --------
    >>> import upsample_rs as us
    >>> x = [[1, 2, 4, 1], [3, 4, 2, 3], [1, 4, 1, 2], [2, 3, 4, 3]]
    >>> values, indices = us.min_pool2d(x, 2, return_indices=True)
    >>> values
    array([[1, 1],
           [1, 1]])
    >>> indices
    array([[ 0,  3],
           [ 8, 10]])

    Erosion: what is within one step of a zero becomes zero.

    >>> us.min_pool2d([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]], 3, stride=1, padding="same")
    array([[1, 1, 0, 0],
           [1, 1, 0, 0],
           [1, 1, 0, 0]])
    """
    return _min_pool(
        2,
        x,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        return_indices,
        index_dtype,
        channels_last,
        out,
    )


@overload
def min_pool3d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array: ...
@overload
def min_pool3d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: tuple[Array | None, Array | None] | None = None,
) -> tuple[Array, Array]: ...
@overload
def min_pool3d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]: ...
def min_pool3d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]:
    """Take the minimum over windows of three spatial axes.

    Parameters
    ----------
    x : array_like
        Shape ``(..., D, H, W)``, or ``(..., D, H, W, C)`` with `channels_last`.
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, index_dtype, out
        As :func:`min_pool2d`, with one number or three per parameter.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.

    Returns
    -------
    ndarray or (ndarray, ndarray)
        Minima, of spatial size :func:`~upsample_rs.pool_output_size`; with `return_indices` also
        their places ``(depth * H + row) * W + column``.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`min_pool2d`.

    References
    ----------
    :func:`~upsample_rs.max_pool3d`, with the order reversed.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.min_pool3d(np.arange(64).reshape(4, 4, 4), 2)
    array([[[ 0,  2],
            [ 8, 10]],
           [[32, 34],
            [40, 42]]])
    """
    return _min_pool(
        3,
        x,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        return_indices,
        index_dtype,
        channels_last,
        out,
    )


def min_pool1d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`min_pool1d` with respect to its input.

    Parameters
    ----------
    grad_output, indices : array_like
        Gradient of the minima and the indices the forward returned, both of the output's shape.
    input_size : tuple of int
        Whole shape of the forward input.
    channels_last, out
        As :func:`~upsample_rs.max_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`~upsample_rs.max_pool2d_backward`.

    References
    ----------
    :func:`~upsample_rs.max_pool1d_backward`, which is the same map.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.min_pool1d_backward(np.array([0.5, 2.0]), np.array([1, 1]), (4,))
    array([0. , 2.5, 0. , 0. ])
    """
    return _min_pool_backward(1, grad_output, indices, input_size, channels_last, out)


def min_pool2d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`min_pool2d` with respect to its input.

    Parameters
    ----------
    grad_output, indices : array_like
        Gradient of the minima and the indices the forward returned, both of the output's shape.
    input_size : tuple of int
        Whole shape of the forward input.
    channels_last, out
        As :func:`~upsample_rs.max_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`: each output's gradient is
        added at the place its minimum came from.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`~upsample_rs.max_pool2d_backward`.

    References
    ----------
    :func:`~upsample_rs.max_pool2d_backward`, which is the same map.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.min_pool2d_backward(np.array([[0.5, 2.0]]), np.array([[3, 3]]), (2, 4))
    array([[0. , 0. , 0. , 2.5],
           [0. , 0. , 0. , 0. ]])
    """
    return _min_pool_backward(2, grad_output, indices, input_size, channels_last, out)


def min_pool3d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`min_pool3d` with respect to its input.

    Parameters
    ----------
    grad_output, indices : array_like
        Gradient of the minima and the indices the forward returned, both of the output's shape.
    input_size : tuple of int
        Whole shape of the forward input.
    channels_last, out
        As :func:`~upsample_rs.max_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`~upsample_rs.max_pool2d_backward`.

    References
    ----------
    :func:`~upsample_rs.max_pool3d_backward`, which is the same map.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.min_pool3d_backward(np.array([[[2.5]]]), np.array([[[3]]]), (1, 2, 2))
    array([[[0. , 0. ],
            [0. , 2.5]]])
    """
    return _min_pool_backward(3, grad_output, indices, input_size, channels_last, out)
