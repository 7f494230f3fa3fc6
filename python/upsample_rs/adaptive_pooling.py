"""Adaptive pooling: as many windows as asked for, cut from the input so that they cover it.

Of an axis of ``n`` elements, window ``i`` of ``m`` is elements ``floor(i*n/m)`` to
``ceil((i + 1)*n/m)``, the end not included: windows differ by at most one element in length, and
overlap where ``m`` does not divide ``n``.

The operations act on the last one, two or three axes, with any number of leading axes (none
included); ``channels_last=True`` puts one channel axis after the spatial ones. The 2-D functions
carry the full text; the 1-D and 3-D ones are the same rule with one or three numbers per parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from ._core import adaptive_avg_pool as _adaptive_avg_pool
from ._core import adaptive_avg_pool_backward as _adaptive_avg_pool_backward
from ._core import adaptive_max_pool as _adaptive_max_pool
from ._core import adaptive_max_pool_backward as _adaptive_max_pool_backward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import AdaptiveSize, Array, ArrayLike, IndexDType, Rounding

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_backward",
]


@overload
def adaptive_max_pool1d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    return_indices: Literal[False] = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array: ...
@overload
def adaptive_max_pool1d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    *,
    return_indices: Literal[True],
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: tuple[Array | None, Array | None] | None = None,
) -> tuple[Array, Array]: ...
@overload
def adaptive_max_pool1d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]: ...
def adaptive_max_pool1d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]:
    """Take the maximum over as many windows of one spatial axis as asked for.

    Parameters
    ----------
    x : array_like
        Shape ``(..., L)``, or ``(..., L, C)`` with `channels_last`.
    output_size, return_indices, index_dtype, out
        As :func:`adaptive_max_pool2d`, with one number (or a tuple of one) for the size.
    channels_last : bool, default False
        The axis after the spatial axis is the channel.

    Returns
    -------
    ndarray or (ndarray, ndarray)
        Maxima in the dtype of `x`, of spatial size `output_size`; with `return_indices` also their
        places along the axis.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`adaptive_max_pool2d`.

    References
    ----------
    torch.nn.functional.adaptive_max_pool1d.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.adaptive_max_pool1d([1, 3, 2, 5, 4], 2)
    array([3, 5])
    >>> us.adaptive_max_pool1d([1, 3, 2, 5, 4], 2, return_indices=True)[1]
    array([1, 3])
    """
    return _adaptive_max_pool(1, x, output_size, return_indices, index_dtype, channels_last, out)


@overload
def adaptive_max_pool2d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    return_indices: Literal[False] = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array: ...
@overload
def adaptive_max_pool2d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    *,
    return_indices: Literal[True],
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: tuple[Array | None, Array | None] | None = None,
) -> tuple[Array, Array]: ...
@overload
def adaptive_max_pool2d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]: ...
def adaptive_max_pool2d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]:
    """Take the maximum over as many windows of two spatial axes as asked for.

    Parameters
    ----------
    x : array_like
        Shape ``(..., H, W)``, or ``(..., H, W, C)`` with `channels_last`. Takes bool (any), every
        integer, and float16, bfloat16, float32, float64.
    output_size : int or (int or None, int or None)
        Number of windows along each axis; an int holds for both, None keeps an axis as it is. It
        may exceed the axis, whose elements are then repeated.
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
        Maxima in the dtype of `x`, of spatial size `output_size`.
    indices : ndarray
        Only with `return_indices`: for each maximum ``row * W + column``, its place in the flat
        ``H * W`` block of its channel.

    Raises
    ------
    ValueError
        A size below 1 or with too few or too many entries, a rank that does not fit, an empty
        spatial axis, a block too large for `index_dtype`, or an unsuitable `out`.
    TypeError
        A dtype without an order (complex, object, ...), or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    NaN and ties are decided as by :func:`~upsample_rs.max_pool2d`.

    References
    ----------
    torch.nn.functional.adaptive_max_pool2d. With size 1: ONNX operator GlobalMaxPool.

    Examples
    --------
    >>> import upsample_rs as us
    >>> x = [[1, 5, 2], [4, 3, 6]]
    >>> us.adaptive_max_pool2d(x, (1, 2))
    array([[5, 6]])
    >>> us.adaptive_max_pool2d(x, 1, return_indices=True)
    (array([[6]]), array([[5]]))
    """
    return _adaptive_max_pool(2, x, output_size, return_indices, index_dtype, channels_last, out)


@overload
def adaptive_max_pool3d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    return_indices: Literal[False] = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array: ...
@overload
def adaptive_max_pool3d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    *,
    return_indices: Literal[True],
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: tuple[Array | None, Array | None] | None = None,
) -> tuple[Array, Array]: ...
@overload
def adaptive_max_pool3d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]: ...
def adaptive_max_pool3d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    return_indices: bool = False,
    *,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]:
    """Take the maximum over as many windows of three spatial axes as asked for.

    Parameters
    ----------
    x : array_like
        Shape ``(..., D, H, W)``, or ``(..., D, H, W, C)`` with `channels_last`.
    output_size, return_indices, index_dtype, out
        As :func:`adaptive_max_pool2d`, with one number or three for the size.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.

    Returns
    -------
    ndarray or (ndarray, ndarray)
        Maxima in the dtype of `x`, of spatial size `output_size`; with `return_indices` also their
        places ``(depth * H + row) * W + column``.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`adaptive_max_pool2d`.

    References
    ----------
    torch.nn.functional.adaptive_max_pool3d.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.adaptive_max_pool3d(np.arange(24).reshape(2, 3, 4), (1, None, 2))
    array([[[13, 15],
            [17, 19],
            [21, 23]]])
    """
    return _adaptive_max_pool(3, x, output_size, return_indices, index_dtype, channels_last, out)


def adaptive_avg_pool1d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    *,
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Average as many windows of one spatial axis as asked for.

    Parameters
    ----------
    x : array_like
        Shape ``(..., L)``, or ``(..., L, C)`` with `channels_last`.
    output_size, rounding, out
        As :func:`adaptive_avg_pool2d`, with one number (or a tuple of one) for the size.
    channels_last : bool, default False
        The axis after the spatial axis is the channel.

    Returns
    -------
    ndarray
        Means in the dtype of `x`, of spatial size `output_size`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`adaptive_avg_pool2d`.

    References
    ----------
    torch.nn.functional.adaptive_avg_pool1d.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.adaptive_avg_pool1d([1.0, 3.0, 2.0, 7.0, 0.0], 2)
    array([2., 3.])
    >>> us.adaptive_avg_pool1d([1.0, 3.0], 4)
    array([1., 1., 3., 3.])
    """
    return _adaptive_avg_pool(1, x, output_size, rounding, channels_last, out)


def adaptive_avg_pool2d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    *,
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Average as many windows of two spatial axes as asked for.

    Parameters
    ----------
    x : array_like
        Shape ``(..., H, W)``, or ``(..., H, W, C)`` with `channels_last`. Takes every integer,
        float16, bfloat16, float32 and float64.
    output_size : int or (int or None, int or None)
        Number of windows along each axis; an int holds for both, None keeps an axis as it is. It
        may exceed the axis, whose elements are then repeated.
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
        Means in the dtype of `x`, of spatial size `output_size`.

    Raises
    ------
    ValueError
        A size below 1 or with too few or too many entries, a rank that does not fit, an empty
        spatial axis, or an unsuitable `out`.
    TypeError
        bool, complex or another dtype without a mean, or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    Sums, division and rounding are those of :func:`~upsample_rs.avg_pool2d`.

    References
    ----------
    torch.nn.functional.adaptive_avg_pool2d. With size 1: ONNX operator GlobalAveragePool.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.adaptive_avg_pool2d([[1.0, 3.0, 2.0], [5.0, 3.0, 4.0]], (1, 2))
    array([[3., 3.]])
    >>> us.adaptive_avg_pool2d([[1.0, 3.0, 2.0], [5.0, 3.0, 4.0]], (1, None))
    array([[3., 3., 3.]])
    >>> us.adaptive_avg_pool2d(np.zeros((8, 512, 31, 31), np.float32), 7).shape
    (8, 512, 7, 7)
    """
    return _adaptive_avg_pool(2, x, output_size, rounding, channels_last, out)


def adaptive_avg_pool3d(
    x: ArrayLike,
    output_size: AdaptiveSize,
    *,
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Average as many windows of three spatial axes as asked for.

    Parameters
    ----------
    x : array_like
        Shape ``(..., D, H, W)``, or ``(..., D, H, W, C)`` with `channels_last`.
    output_size, rounding, out
        As :func:`adaptive_avg_pool2d`, with one number or three for the size.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.

    Returns
    -------
    ndarray
        Means in the dtype of `x`, of spatial size `output_size`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`adaptive_avg_pool2d`.

    References
    ----------
    torch.nn.functional.adaptive_avg_pool3d.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.adaptive_avg_pool3d(np.arange(24.0).reshape(2, 3, 4), (1, None, 1))
    array([[[ 7.5],
            [11.5],
            [15.5]]])
    """
    return _adaptive_avg_pool(3, x, output_size, rounding, channels_last, out)


def adaptive_max_pool1d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`adaptive_max_pool1d` with respect to its input.

    Parameters
    ----------
    grad_output, indices : array_like
        Gradient of the maxima and the indices the forward returned, both of the output's shape.
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
    torch.nn.functional.adaptive_max_pool1d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.adaptive_max_pool1d_backward(np.array([0.5, 2.0]), np.array([1, 1]), (3,))
    array([0. , 2.5, 0. ])
    """
    return _adaptive_max_pool_backward(1, grad_output, indices, input_size, channels_last, out)


def adaptive_max_pool2d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`adaptive_max_pool2d` with respect to its input.

    Parameters
    ----------
    grad_output, indices : array_like
        Gradient of the maxima and the indices the forward returned, both of the output's shape.
    input_size : tuple of int
        Whole shape of the forward input.
    channels_last, out
        As :func:`~upsample_rs.max_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`: each output's gradient is
        added at the place its maximum came from.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`~upsample_rs.max_pool2d_backward`.

    References
    ----------
    torch.nn.functional.adaptive_max_pool2d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.adaptive_max_pool2d_backward(np.array([[0.5, 2.0]]), np.array([[1, 5]]), (2, 3))
    array([[0. , 0.5, 0. ],
           [0. , 0. , 2. ]])
    """
    return _adaptive_max_pool_backward(2, grad_output, indices, input_size, channels_last, out)


def adaptive_max_pool3d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`adaptive_max_pool3d` with respect to its input.

    Parameters
    ----------
    grad_output, indices : array_like
        Gradient of the maxima and the indices the forward returned, both of the output's shape.
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
    torch.nn.functional.adaptive_max_pool3d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.adaptive_max_pool3d_backward(np.array([[[2.5]]]), np.array([[[3]]]), (1, 2, 2))
    array([[[0. , 0. ],
            [0. , 2.5]]])
    """
    return _adaptive_max_pool_backward(3, grad_output, indices, input_size, channels_last, out)


def adaptive_avg_pool1d_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`adaptive_avg_pool1d` with respect to its input.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the means, of their shape.
    input_size : tuple of int
        Whole shape of the forward input.
    channels_last, out
        As :func:`adaptive_avg_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`adaptive_avg_pool2d_backward`.

    References
    ----------
    torch.nn.functional.adaptive_avg_pool1d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.adaptive_avg_pool1d_backward(np.array([2.0, 4.0]), (3,))
    array([1., 3., 2.])
    """
    return _adaptive_avg_pool_backward(1, grad_output, input_size, channels_last, out)


def adaptive_avg_pool2d_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`adaptive_avg_pool2d` with respect to its input.

    Every output's gradient, over the number of elements of its window, is added to each of them.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the means, of their shape, which says the forward's output size; float16,
        bfloat16, float32 or float64.
    input_size : tuple of int
        Whole shape of the forward input, leading axes and channels included.
    channels_last : bool, default False
        As given to :func:`adaptive_avg_pool2d`.
    out : ndarray, optional
        Array of shape `input_size` to write to; it may not overlap `grad_output`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError
        Shapes that do not fit each other, an empty spatial axis, or an unsuitable `out`.
    TypeError
        A gradient that is not floating, or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    References
    ----------
    torch.nn.functional.adaptive_avg_pool2d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.adaptive_avg_pool2d_backward(np.array([[4.0, 8.0]]), (2, 3))
    array([[1., 3., 2.],
           [1., 3., 2.]])
    """
    return _adaptive_avg_pool_backward(2, grad_output, input_size, channels_last, out)


def adaptive_avg_pool3d_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`adaptive_avg_pool3d` with respect to its input.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the means, of their shape.
    input_size : tuple of int
        Whole shape of the forward input.
    channels_last, out
        As :func:`adaptive_avg_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`adaptive_avg_pool2d_backward`.

    References
    ----------
    torch.nn.functional.adaptive_avg_pool3d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.adaptive_avg_pool3d_backward(np.array([[[8.0]]]), (2, 2, 2))
    array([[[1., 1.],
            [1., 1.]],
           [[1., 1.],
            [1., 1.]]])
    """
    return _adaptive_avg_pool_backward(3, grad_output, input_size, channels_last, out)
