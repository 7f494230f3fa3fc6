"""Windows as columns and back: what a convolution is made of.

The column layout is torch's: a row for every element of a kernel of every channel, a column for
every window, both row-major; windows have one, two or three axes. An int for every parameter means
two spatial axes. Any number of axes may stand in front; ``channels_last=True`` puts the channels
last, in the image and in the columns. The gradient of one is the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import fold as _fold
from ._core import unfold as _unfold
from ._core import unfold_backward as _core_unfold_backward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import Array, ArrayLike, IntOrTuple, Padding

__all__ = ["fold", "unfold"]


def unfold(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    dilation: IntOrTuple = 1,
    padding: Padding = 0,
    stride: IntOrTuple = 1,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Copy the elements of every window into a column.

    Parameters
    ----------
    x : array_like
        Shape ``(..., C, *S)`` with one to three spatial axes ``S``, or ``(..., *S, C)`` with
        `channels_last`; an array of spatial axes alone has one channel. Every dtype of fixed size.
    kernel_size : int or tuple of int
        Elements per window along each spatial axis. An int means two axes; a tuple has one entry
        per spatial axis.
    dilation : int or tuple of int, default 1
        Distance between the elements of a window.
    padding : int, tuple of int, or tuple of (before, after), default 0
        Zeros around each spatial axis.
    stride : int or tuple of int, default 1
        Distance between windows.
    channels_last : bool, default False
        The axis after the spatial axes is the channel, and the columns' rows are the last axis.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        Shape ``(..., C * prod(kernel_size), L)``, or ``(..., L, C * prod(kernel_size))`` with
        `channels_last`, in the dtype of `x`, where ``L`` is the number of windows, the product of
        ``conv_output_size`` over the axes. Row ``c * prod(kernel_size) + k`` holds the `k`-th
        element of every window of channel `c`.

    Raises
    ------
    ValueError
        A parameter out of range, a window longer than the padded axis, a rank that does not fit, an
        empty spatial axis, or an unsuitable `out`.
    TypeError
        A dtype without a fixed meaning (object, string, structured), or a parameter that is not an
        integer.
    MemoryError
        The result cannot be allocated.

    References
    ----------
    torch.nn.functional.unfold ("im2col"), which takes two spatial axes.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.arange(9).reshape(1, 3, 3)
    >>> us.unfold(x, 2)
    array([[0, 1, 3, 4],
           [1, 2, 4, 5],
           [3, 4, 6, 7],
           [4, 5, 7, 8]])

    A convolution is a product with columns:

    >>> weight = np.ones((5, 1, 2, 2), int)
    >>> y = weight.reshape(5, 4) @ us.unfold(x, 2)
    >>> np.array_equal(y.reshape(5, 2, 2), us.conv2d(x, weight))
    True
    """
    return _unfold(x, kernel_size, dilation, padding, stride, channels_last, out)


def fold(
    x: ArrayLike,
    output_size: IntOrTuple,
    kernel_size: IntOrTuple,
    dilation: IntOrTuple = 1,
    padding: Padding = 0,
    stride: IntOrTuple = 1,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Add up columns: every element the sum of its values in all windows that have it.

    Parameters
    ----------
    x : array_like
        Columns as :func:`unfold` makes them of an image of spatial size `output_size`: shape
        ``(..., C * prod(kernel_size), L)``, or ``(..., L, C * prod(kernel_size))`` with
        `channels_last`. bool, integers, floats of 16 to 64 bits, complex64 or complex128.
    output_size : int or tuple of int
        Spatial size of the image. An int means two axes; a tuple has one entry per spatial axis.
    kernel_size, dilation, padding, stride, channels_last
        As :func:`unfold`; what lies in the padding is dropped.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        Shape ``(..., C, *output_size)`` or ``(..., *output_size, C)``, in the dtype of `x`; 0 where
        no window is. Sums are taken in the order of the kernel's elements; half types are added in
        float32 and rounded once; integers are added exactly and saturated once; of bool, any.

    Raises
    ------
    ValueError
        A shape that the parameters do not make, a parameter out of range, or an unsuitable `out`.
    TypeError
        A dtype that cannot be added, or a parameter that is not an integer.
    MemoryError
        The result cannot be allocated.

    References
    ----------
    torch.nn.functional.fold; ONNX operator Col2Im.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.fold(np.ones((4, 4)), 3, 2)
    array([[[1., 2., 1.],
            [2., 4., 2.],
            [1., 2., 1.]]])
    >>> x = np.arange(12.0).reshape(1, 3, 4)
    >>> overlaps = us.fold(us.unfold(np.ones_like(x), 2), (3, 4), 2)
    >>> np.array_equal(us.fold(us.unfold(x, 2), (3, 4), 2) / overlaps, x)
    True
    """
    return _fold(x, output_size, kernel_size, dilation, padding, stride, channels_last, out)


def _unfold_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    kernel_size: IntOrTuple,
    dilation: IntOrTuple,
    padding: Padding,
    stride: IntOrTuple,
    channels_last: bool,
) -> Array:
    return _core_unfold_backward(
        grad_output, input_size, kernel_size, dilation, padding, stride, channels_last, None
    )


def _fold_backward(
    grad_output: ArrayLike,
    output_size: IntOrTuple,
    kernel_size: IntOrTuple,
    dilation: IntOrTuple,
    padding: Padding,
    stride: IntOrTuple,
    channels_last: bool,
) -> Array:
    if isinstance(kernel_size, int) and not isinstance(output_size, int):
        kernel_size = (kernel_size,) * len(output_size)  # as many axes as the forward took it for
    return _unfold(grad_output, kernel_size, dilation, padding, stride, channels_last, None)
