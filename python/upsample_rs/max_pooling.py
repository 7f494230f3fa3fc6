"""Max pooling: the largest element of every window, and where it was.

The operations act on the last one, two or three axes, with any number of leading axes (none
included); ``channels_last=True`` puts one channel axis after the spatial ones. The 2-D functions
carry the full text; the 1-D and 3-D ones are the same rule with one or three numbers per parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from ._core import max_pool as _max_pool
from ._core import max_pool_backward as _max_pool_backward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import Array, ArrayLike, IndexDType, IntOrTuple, WindowPadding

__all__ = [
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
]


@overload
def max_pool1d(
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
def max_pool1d(
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
def max_pool1d(
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
def max_pool1d(
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
    """Take the maximum over windows of one spatial axis.

    Parameters
    ----------
    x : array_like
        Shape ``(..., L)``, or ``(..., L, C)`` with `channels_last`.
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, index_dtype, out
        As :func:`max_pool2d`, with one number (or a tuple of one) per parameter.
    channels_last : bool, default False
        The axis after the spatial axis is the channel.

    Returns
    -------
    ndarray or (ndarray, ndarray)
        Maxima, of length :func:`~upsample_rs.pool_output_size`; with `return_indices` also their
        places along the axis.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`max_pool2d`.

    References
    ----------
    torch.nn.functional.max_pool1d; ONNX operator MaxPool.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.max_pool1d([1, 3, 2, 5, 4, 0], 2)
    array([3, 5, 4])
    >>> us.max_pool1d(np.array([1.0, 3.0, 2.0, 5.0]), 3, stride=1, padding=1)
    array([3., 3., 5., 5.])
    """
    return _max_pool(
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
def max_pool2d(
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
def max_pool2d(
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
def max_pool2d(
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
def max_pool2d(
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
    """Take the maximum over windows of two spatial axes.

    Parameters
    ----------
    x : array_like
        Shape ``(..., H, W)``, or ``(..., H, W, C)`` with `channels_last`. Takes bool (any), every
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
        Also return where each maximum was.
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
        Maxima in the dtype of `x`, of spatial size :func:`~upsample_rs.pool_output_size`.
    indices : ndarray
        Only with `return_indices`: for each maximum ``row * W + column``, its place in the flat
        ``H * W`` block of its channel.

    Raises
    ------
    ValueError
        A parameter out of range, no window fits, a rank that does not fit, an empty spatial axis,
        a block too large for `index_dtype`, or an unsuitable `out`.
    TypeError
        A dtype without an order (complex, object, ...), or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    A NaN wins its window, and the index is that of its first NaN, as :func:`numpy.argmax` has it.
    Among equal maxima the first in row-major order is taken. Values are copied bit for bit from the
    place the index names, the sign of zero included.

    References
    ----------
    torch.nn.functional.max_pool2d; ONNX operator MaxPool, whose ``SAME_UPPER`` and ``SAME_LOWER``
    are ``"same"`` and ``"same_lower"``.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = [[1, 2, 4, 1], [3, 4, 2, 3], [1, 4, 1, 2], [2, 3, 4, 3]]
    >>> values, indices = us.max_pool2d(x, 2, return_indices=True)
    >>> values
    array([[4, 4],
           [4, 4]])
    >>> indices
    array([[ 5,  2],
           [ 9, 14]])

    Overlapping windows on a batch of three-channel pictures:

    >>> us.max_pool2d(np.zeros((8, 3, 224, 224), np.float32), 3, stride=2, padding=1).shape
    (8, 3, 112, 112)
    """
    return _max_pool(
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
def max_pool3d(
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
def max_pool3d(
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
def max_pool3d(
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
def max_pool3d(
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
    """Take the maximum over windows of three spatial axes.

    Parameters
    ----------
    x : array_like
        Shape ``(..., D, H, W)``, or ``(..., D, H, W, C)`` with `channels_last`.
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, index_dtype, out
        As :func:`max_pool2d`, with one number or three per parameter.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.

    Returns
    -------
    ndarray or (ndarray, ndarray)
        Maxima, of spatial size :func:`~upsample_rs.pool_output_size`; with `return_indices` also
        their places ``(depth * H + row) * W + column``.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`max_pool2d`.

    References
    ----------
    torch.nn.functional.max_pool3d; ONNX operator MaxPool.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.max_pool3d(np.arange(64).reshape(4, 4, 4), 2)
    array([[[21, 23],
            [29, 31]],
           [[53, 55],
            [61, 63]]])
    """
    return _max_pool(
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


def max_pool1d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`max_pool1d` with respect to its input.

    Parameters
    ----------
    grad_output, indices : array_like
        Gradient of the maxima and the indices the forward returned, both of the output's shape.
    input_size : tuple of int
        Whole shape of the forward input.
    channels_last, out
        As :func:`max_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`max_pool2d_backward`.

    References
    ----------
    torch.nn.functional.max_pool1d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.max_pool1d_backward(np.array([0.5, 2.0]), np.array([1, 1]), (4,))
    array([0. , 2.5, 0. , 0. ])
    """
    return _max_pool_backward(1, grad_output, indices, input_size, channels_last, out)


def max_pool2d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`max_pool2d` with respect to its input.

    Every output's gradient is added at the place its maximum came from.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the maxima, of their shape; float16, bfloat16, float32 or float64.
    indices : array_like of int
        The indices :func:`max_pool2d` returned, of the same shape.
    input_size : tuple of int
        Whole shape of the forward input, leading axes and channels included.
    channels_last : bool, default False
        As given to :func:`max_pool2d`.
    out : ndarray, optional
        Array of shape `input_size` to write to; it may not overlap the inputs.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`. Gradients that meet are added
        in row-major order of the outputs.

    Raises
    ------
    ValueError
        Shapes that do not fit each other, an empty spatial axis, or an unsuitable `out`.
    TypeError
        A gradient that is not floating, or indices that are not integers.
    IndexError
        An index below 0 or not below the number of elements in the spatial block.
    MemoryError
        The result cannot be allocated.

    References
    ----------
    torch.nn.functional.max_pool2d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.max_pool2d_backward(np.array([[0.5, 2.0]]), np.array([[3, 3]]), (2, 4))
    array([[0. , 0. , 0. , 2.5],
           [0. , 0. , 0. , 0. ]])
    """
    return _max_pool_backward(2, grad_output, indices, input_size, channels_last, out)


def max_pool3d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`max_pool3d` with respect to its input.

    Parameters
    ----------
    grad_output, indices : array_like
        Gradient of the maxima and the indices the forward returned, both of the output's shape.
    input_size : tuple of int
        Whole shape of the forward input.
    channels_last, out
        As :func:`max_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`max_pool2d_backward`.

    References
    ----------
    torch.nn.functional.max_pool3d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.max_pool3d_backward(np.array([[[2.5]]]), np.array([[[3]]]), (1, 2, 2))
    array([[[0. , 0. ],
            [0. , 2.5]]])
    """
    return _max_pool_backward(3, grad_output, indices, input_size, channels_last, out)
