"""Max unpooling: values put back where the maxima were.

The operations act on the last one, two or three axes, with any number of leading axes (none
included); ``channels_last=True`` puts one channel axis after the spatial ones. The 2-D functions
carry the full text; the 1-D and 3-D ones are the same rule with one or three numbers per parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import max_unpool as _max_unpool
from ._core import max_unpool_backward as _max_unpool_backward

if TYPE_CHECKING:
    from ._types import Array, ArrayLike, Duplicates, IntOrTuple, Padding

__all__ = [
    "max_unpool1d",
    "max_unpool1d_backward",
    "max_unpool2d",
    "max_unpool2d_backward",
    "max_unpool3d",
    "max_unpool3d_backward",
]


def max_unpool1d(
    x: ArrayLike,
    indices: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: Padding = 0,
    output_size: IntOrTuple | None = None,
    *,
    duplicates: Duplicates = "last",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Put values back at the places of the maxima, zeros elsewhere.

    Parameters
    ----------
    x : array_like
        Shape ``(..., L)``, or ``(..., L, C)`` with `channels_last`.
    indices : array_like of int
        Shape of `x`: the indices :func:`max_pool1d` returned.
    kernel_size, stride, padding, output_size, duplicates, channels_last, out
        As :func:`max_unpool2d`, with one number per parameter.

    Returns
    -------
    ndarray
        Result in the dtype of `x`.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`max_unpool2d`.

    References
    ----------
    torch.nn.functional.max_unpool1d; ONNX operator MaxUnpool.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.max_unpool1d([3, 5], [1, 3], 2)
    array([0, 3, 0, 5])
    >>> us.max_unpool1d([3, 5], [1, 3], 2, output_size=5)
    array([0, 3, 0, 5, 0])
    """
    return _max_unpool(
        1,
        x,
        indices,
        kernel_size,
        stride,
        padding,
        output_size,
        duplicates,
        channels_last,
        out,
    )


def max_unpool2d(
    x: ArrayLike,
    indices: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: Padding = 0,
    output_size: IntOrTuple | None = None,
    *,
    duplicates: Duplicates = "last",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Put values back at the places of the maxima, zeros elsewhere.

    Parameters
    ----------
    x : array_like
        Shape ``(..., H, W)``, or ``(..., H, W, C)`` with `channels_last`; every dtype of fixed
        size.
    indices : array_like of int
        Shape of `x`. Place of each value in the flat spatial block of the result, as
        :func:`max_pool2d` returns it.
    kernel_size : int or (int, int)
        Window size of the pooling to undo; it only determines the result's size.
    stride : int or (int, int), optional
        Step between its windows; `kernel_size` if not given.
    padding : int, (int, int) or ((before, after), (before, after)), default 0
        Its padding.
    output_size : int or (int, int), optional
        Spatial size of the result, for a pooling whose input size the parameters do not tell; by
        default ``(length - 1)*stride - before - after + kernel_size``.
    duplicates : str, default "last"
        What a place named more than once gets: the ``"last"`` or ``"first"`` value in row-major
        order, their ``"sum"``, their ``"max"``, or a ValueError (``"error"``).
    channels_last : bool, default False
        The axis after the spatial axes is the channel.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap the
        inputs.

    Returns
    -------
    ndarray
        Result in the dtype of `x`, the same at any thread count, duplicates included.

    Raises
    ------
    ValueError
        `indices` not of the shape of `x`, a parameter out of range, an empty spatial axis, an
        unsuitable `out`, or a duplicate under ``"error"``.
    TypeError
        Indices that are not integers, a dtype that is not supported (object, string, ...), or one
        that the `duplicates` rule cannot add or order.
    IndexError
        An index below 0 or not below the number of elements in the result's spatial block.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    torch leaves the result for duplicate indices to chance; overlapping windows produce them.

    References
    ----------
    torch.nn.functional.max_unpool2d; ONNX operator MaxUnpool.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.max_unpool2d([[1, 2], [3, 4]], [[5, 2], [9, 14]], 2)
    array([[0, 0, 2, 0],
           [0, 1, 0, 0],
           [0, 3, 0, 0],
           [0, 0, 4, 0]])
    >>> us.max_unpool2d([[1, 2]], [[3, 3]], 2, duplicates="sum")
    array([[0, 0, 0, 3],
           [0, 0, 0, 0]])
    """
    return _max_unpool(
        2,
        x,
        indices,
        kernel_size,
        stride,
        padding,
        output_size,
        duplicates,
        channels_last,
        out,
    )


def max_unpool3d(
    x: ArrayLike,
    indices: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: Padding = 0,
    output_size: IntOrTuple | None = None,
    *,
    duplicates: Duplicates = "last",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Put values back at the places of the maxima, zeros elsewhere.

    Parameters
    ----------
    x : array_like
        Shape ``(..., D, H, W)``, or ``(..., D, H, W, C)`` with `channels_last`.
    indices : array_like of int
        Shape of `x`: the indices :func:`max_pool3d` returned.
    kernel_size, stride, padding, output_size, duplicates, channels_last, out
        As :func:`max_unpool2d`, with one number or three per parameter.

    Returns
    -------
    ndarray
        Result in the dtype of `x`.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`max_unpool2d`.

    References
    ----------
    torch.nn.functional.max_unpool3d; ONNX operator MaxUnpool.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.max_unpool3d([[[7]]], [[[6]]], 2)
    array([[[0, 0],
            [0, 0]],
           [[0, 0],
            [7, 0]]])
    """
    return _max_unpool(
        3,
        x,
        indices,
        kernel_size,
        stride,
        padding,
        output_size,
        duplicates,
        channels_last,
        out,
    )


def max_unpool1d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`max_unpool1d` with respect to its values.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of the result's shape.
    indices : array_like of int
        As given to :func:`max_unpool1d`.
    channels_last, out
        As :func:`max_unpool2d_backward`.

    Returns
    -------
    ndarray
        The elements of `grad_output` at `indices`.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`max_unpool2d_backward`.

    References
    ----------
    torch.nn.functional.max_unpool1d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.max_unpool1d_backward(np.array([0.0, 1.0, 2.0, 3.0]), [1, 3])
    array([1., 3.])
    """
    return _max_unpool_backward(1, grad_output, indices, channels_last, out)


def max_unpool2d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`max_unpool2d` with respect to its values.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of the result's shape; every dtype of fixed size.
    indices : array_like of int
        As given to :func:`max_unpool2d`.
    channels_last : bool, default False
        As given to :func:`max_unpool2d`.
    out : ndarray, optional
        Array of the shape of `indices` to write to; it may not overlap the inputs.

    Returns
    -------
    ndarray
        The elements of `grad_output` at `indices`, in its dtype.

    Raises
    ------
    ValueError
        Shapes that do not fit each other, an empty spatial axis, or an unsuitable `out`.
    TypeError
        Indices that are not integers, or a dtype that is not supported.
    IndexError
        An index below 0 or not below the number of elements in the spatial block.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    With duplicate indices this is the gradient for ``duplicates="sum"``; under the other rules a
    value that was not kept is given the gradient of its place all the same, as torch does.

    References
    ----------
    torch.nn.functional.max_unpool2d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.max_unpool2d_backward(np.arange(16.0).reshape(4, 4), [[5, 2], [9, 14]])
    array([[ 5.,  2.],
           [ 9., 14.]])
    """
    return _max_unpool_backward(2, grad_output, indices, channels_last, out)


def max_unpool3d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`max_unpool3d` with respect to its values.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of the result's shape.
    indices : array_like of int
        As given to :func:`max_unpool3d`.
    channels_last, out
        As :func:`max_unpool2d_backward`.

    Returns
    -------
    ndarray
        The elements of `grad_output` at `indices`.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`max_unpool2d_backward`.

    References
    ----------
    torch.nn.functional.max_unpool3d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.max_unpool3d_backward(np.arange(8.0).reshape(2, 2, 2), [[[6]]])
    array([[[6.]]])
    """
    return _max_unpool_backward(3, grad_output, indices, channels_last, out)
