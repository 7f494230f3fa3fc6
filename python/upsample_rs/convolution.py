"""Convolution and transposed convolution, with their gradients.

Arrays are ``(N, C, *S)``, ``(C, *S)``, or a bare ``(*S)`` with a bare kernel ``(*K)``: one channel
in, one out. ``channels_last=True`` makes them ``(N, *S, C)`` and ``(*S, C)``; kernels keep their
layout. The 2-D functions carry the full text; the 1-D and 3-D ones are the same rule with one or
three numbers per parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import conv as _conv
from ._core import conv_backward as _conv_backward
from ._core import conv_transpose as _conv_transpose
from ._core import conv_transpose_backward as _conv_transpose_backward

if TYPE_CHECKING:
    from ._types import (
        Array,
        ArrayLike,
        Gradients,
        IntOrTuple,
        OutputMask,
        Padding,
        WindowPadding,
    )

__all__ = [
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose3d",
    "conv_transpose3d_backward",
]


def conv1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrTuple = 1,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Slide kernels over one spatial axis and sum the products.

    Parameters
    ----------
    x : array_like
        Shape ``(N, C, L)``, ``(C, L)`` or ``(L,)``; with `channels_last` the channel comes last.
    weight : array_like
        Kernels ``(out_channels, C / groups, K)``, or ``(K,)`` for a bare `x`.
    bias, stride, padding, dilation, groups, channels_last, out
        As :func:`conv2d`, with one number per parameter.

    Returns
    -------
    ndarray
        Result in the dtype of `x`, of spatial size :func:`~upsample_rs.conv_output_size`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`conv2d`.

    References
    ----------
    torch.nn.functional.conv1d; ONNX operator Conv.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.conv1d([1, 2, 4, 7], [-1, 1])
    array([1, 2, 3])
    >>> us.conv1d([1, 2, 4, 7], [1, 1, 1], stride=2, padding=1)
    array([ 3, 13])
    """
    return _conv(1, x, weight, bias, stride, padding, dilation, groups, channels_last, out)


def conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrTuple = 1,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Slide kernels over two spatial axes and sum the products.

    The kernel is not flipped: this is cross-correlation, as convolution layers have it.

    Parameters
    ----------
    x : array_like
        Shape ``(N, C, H, W)``, ``(C, H, W)`` or ``(H, W)``; with `channels_last` ``(N, H, W, C)``
        or ``(H, W, C)``. Takes every integer, float16, bfloat16, float32, float64, complex64 and
        complex128.
    weight : array_like
        Kernels ``(out_channels, C / groups, KH, KW)`` in either layout, or ``(KH, KW)`` for a bare
        ``(H, W)``. Same dtype as `x`.
    bias : array_like, optional
        Shape ``(out_channels,)``, ``(1,)`` for a bare `x`; added to every output. Same dtype as
        `x`.
    stride : int or (int, int), default 1
        Step between windows in elements; an int holds for both axes, here and below.
    padding : int, (int, int), ((before, after), (before, after)) or str, default 0
        Zeros added at each end of an axis. ``"valid"`` is none; ``"same"`` adds what makes the
        output ``ceil(length / stride)`` long, the odd one at the end, or at the start with
        ``"same_lower"``.
    dilation : int or (int, int), default 1
        Step between kernel taps.
    groups : int, default 1
        Cut input and output channels into this many groups that do not see each other.
    channels_last : bool, default False
        The channel axis comes last in `x` and in the result.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap an
        input.

    Returns
    -------
    ndarray
        ``(N, out_channels, *S)``, ``(out_channels, *S)`` or ``(*S)``, channels last if so asked,
        with `S` from :func:`~upsample_rs.conv_output_size`, in the dtype of `x`.

    Raises
    ------
    ValueError
        Shapes that do not fit each other, channels that `groups` does not divide, a parameter out
        of range, no window fits, an empty spatial axis, or an unsuitable `out`.
    TypeError
        bool or another dtype without arithmetic, dtypes that differ, or a parameter of the wrong
        kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    Integers wrap in their dtype, as NumPy arithmetic does. float16 and bfloat16 are summed in
    float32 and rounded once. Floating sums have a fixed order: the same bits at any thread count.

    References
    ----------
    torch.nn.functional.conv2d; ONNX operator Conv, whose ``SAME_UPPER`` and ``SAME_LOWER`` are
    ``"same"`` and ``"same_lower"``.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.conv2d([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [0, -1]])
    array([[-4, -4],
           [-4, -4]])

    One kernel over a picture of height 5, width 5 and three channels:

    >>> x, weight = np.ones((5, 5, 3)), np.ones((1, 3, 3, 3))
    >>> us.conv2d(x, weight, channels_last=True).shape
    (3, 3, 1)
    >>> us.conv2d(x, weight, stride=2, padding="same", channels_last=True).shape
    (3, 3, 1)
    """
    return _conv(2, x, weight, bias, stride, padding, dilation, groups, channels_last, out)


def conv3d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrTuple = 1,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Slide kernels over three spatial axes and sum the products.

    Parameters
    ----------
    x : array_like
        Shape ``(N, C, D, H, W)``, ``(C, D, H, W)`` or ``(D, H, W)``; with `channels_last` the
        channel comes last.
    weight : array_like
        Kernels ``(out_channels, C / groups, KD, KH, KW)``, or ``(KD, KH, KW)`` for a bare `x`.
    bias, stride, padding, dilation, groups, channels_last, out
        As :func:`conv2d`, with one number or three per parameter.

    Returns
    -------
    ndarray
        Result in the dtype of `x`, of spatial size :func:`~upsample_rs.conv_output_size`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`conv2d`.

    References
    ----------
    torch.nn.functional.conv3d; ONNX operator Conv.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.conv3d(np.ones((3, 3, 3), int), np.ones((2, 2, 2), int), stride=2, padding=1)
    array([[[1, 2],
            [2, 4]],
           [[2, 4],
            [4, 8]]])
    """
    return _conv(3, x, weight, bias, stride, padding, dilation, groups, channels_last, out)


def conv1d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: IntOrTuple = 1,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
    *,
    output_mask: OutputMask = (True, True, True),
    channels_last: bool = False,
) -> Gradients:
    """Return the gradients of :func:`conv1d` with respect to `x`, `weight` and `bias`.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of the result's shape and floating dtype.
    x, weight, stride, padding, dilation, groups, channels_last
        As given to :func:`conv1d`, same defaults.
    output_mask : (bool, bool, bool), default (True, True, True)
        Which of the three gradients to compute.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        Gradients of the shapes of `x`, `weight` and ``(out_channels,)``; None where not asked for.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`conv2d_backward`.

    References
    ----------
    torch.nn.functional.conv1d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x, weight = np.array([1.0, 2.0, 4.0]), np.array([10.0, 20.0])
    >>> us.conv1d_backward(np.array([1.0, 3.0]), x, weight)
    (array([10., 50., 60.]), array([ 7., 14.]), array([4.]))
    """
    return _conv_backward(
        1,
        grad_output,
        x,
        weight,
        stride,
        padding,
        dilation,
        groups,
        output_mask,
        channels_last,
    )


def conv2d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: IntOrTuple = 1,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
    *,
    output_mask: OutputMask = (True, True, True),
    channels_last: bool = False,
) -> Gradients:
    """Return the gradients of :func:`conv2d` with respect to `x`, `weight` and `bias`.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of the result's shape and dtype, which must be floating.
    x, weight, stride, padding, dilation, groups, channels_last
        As given to :func:`conv2d`, same defaults.
    output_mask : (bool, bool, bool), default (True, True, True)
        Which of the three gradients to compute.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        Gradients of the shapes of `x`, `weight` and ``(out_channels,)``; None where `output_mask`
        is False.

    Raises
    ------
    ValueError
        As :func:`conv2d`, and if `grad_output` does not have the shape the forward gives.
    TypeError
        A dtype other than float16, bfloat16, float32 and float64, dtypes that differ, or a
        parameter of the wrong kind.
    MemoryError
        A gradient cannot be allocated.

    References
    ----------
    torch.nn.functional.conv2d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x, weight = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[10.0, 20.0]])
    >>> grad_x, grad_weight, grad_bias = us.conv2d_backward(np.ones((2, 1)), x, weight)
    >>> grad_x
    array([[10., 20.],
           [10., 20.]])
    >>> grad_weight
    array([[4., 6.]])
    >>> grad_bias
    array([2.])
    """
    return _conv_backward(
        2,
        grad_output,
        x,
        weight,
        stride,
        padding,
        dilation,
        groups,
        output_mask,
        channels_last,
    )


def conv3d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: IntOrTuple = 1,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
    *,
    output_mask: OutputMask = (True, True, True),
    channels_last: bool = False,
) -> Gradients:
    """Return the gradients of :func:`conv3d` with respect to `x`, `weight` and `bias`.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of the result's shape and floating dtype.
    x, weight, stride, padding, dilation, groups, channels_last
        As given to :func:`conv3d`, same defaults.
    output_mask : (bool, bool, bool), default (True, True, True)
        Which of the three gradients to compute.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        Gradients of the shapes of `x`, `weight` and ``(out_channels,)``; None where not asked for.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`conv2d_backward`.

    References
    ----------
    torch.nn.functional.conv3d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x, weight = np.ones((2, 2, 2)), np.full((2, 2, 2), 3.0)
    >>> grads = us.conv3d_backward(np.full((1, 1, 1), 5.0), x, weight)
    >>> [float(g.sum()) for g in grads]
    [120.0, 40.0, 5.0]
    """
    return _conv_backward(
        3,
        grad_output,
        x,
        weight,
        stride,
        padding,
        dilation,
        groups,
        output_mask,
        channels_last,
    )


def conv_transpose1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    output_padding: IntOrTuple = 0,
    groups: int = 1,
    dilation: IntOrTuple = 1,
    *,
    output_size: IntOrTuple | None = None,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Stamp a kernel at every element, scaled by it, and sum the stamps.

    Parameters
    ----------
    x : array_like
        Shape ``(N, C, L)``, ``(C, L)`` or ``(L,)``; with `channels_last` the channel comes last.
    weight : array_like
        Kernels ``(C, out_channels / groups, K)``, or ``(K,)`` for a bare `x`.
    bias, stride, padding, output_padding, groups, dilation, output_size, channels_last, out
        As :func:`conv_transpose2d`, with one number per parameter.

    Returns
    -------
    ndarray
        Result in the dtype of `x`, of spatial size
        :func:`~upsample_rs.conv_transpose_output_size`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`conv_transpose2d`.

    References
    ----------
    torch.nn.functional.conv_transpose1d; ONNX operator ConvTranspose.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.conv_transpose1d([1, 2, 3], [1, 10], stride=2)
    array([ 1, 10,  2, 20,  3, 30])
    >>> us.conv_transpose1d([1, 2, 3], [1, 10, 100], stride=2)
    array([  1,  10, 102,  20, 203,  30, 300])
    """
    return _conv_transpose(
        1,
        x,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_size,
        channels_last,
        out,
    )


def conv_transpose2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    output_padding: IntOrTuple = 0,
    groups: int = 1,
    dilation: IntOrTuple = 1,
    *,
    output_size: IntOrTuple | None = None,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Stamp a kernel at every element, scaled by it, and sum the stamps.

    This upsamples by `stride` with learned kernels. It is the transpose of :func:`conv2d`, not its
    inverse.

    Parameters
    ----------
    x : array_like
        Shape ``(N, C, H, W)``, ``(C, H, W)`` or ``(H, W)``; with `channels_last` ``(N, H, W, C)``
        or ``(H, W, C)``. Dtypes as :func:`conv2d`.
    weight : array_like
        Kernels ``(C, out_channels / groups, KH, KW)`` in either layout, or ``(KH, KW)`` for a bare
        ``(H, W)``. Same dtype as `x`.
    bias : array_like, optional
        Shape ``(out_channels,)``, ``(1,)`` for a bare `x`; added to every output. Same dtype as
        `x`.
    stride : int or (int, int), default 1
        Step between stamps in output elements; an int holds for both axes, here and below.
    padding : int, (int, int) or ((before, after), (before, after)), default 0
        Elements cut off each end of an axis of the result.
    output_padding : int or (int, int), default 0
        Elements added at the far end of an axis, less than ``max(stride, dilation)``. They belong
        to the result, so stamps may reach them.
    groups : int, default 1
        Cut input and output channels into this many groups that do not see each other.
    dilation : int or (int, int), default 1
        Step between kernel taps.
    output_size : int or (int, int), optional
        Spatial size of the result, instead of `output_padding`: from the size without output
        padding to ``max(stride, dilation) - 1`` more.
    channels_last : bool, default False
        The channel axis comes last in `x` and in the result.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap an
        input.

    Returns
    -------
    ndarray
        ``(N, out_channels, *S)``, ``(out_channels, *S)`` or ``(*S)``, channels last if so asked,
        with `S` from :func:`~upsample_rs.conv_transpose_output_size`, in the dtype of `x`.

    Raises
    ------
    ValueError
        Shapes that do not fit each other, channels that `groups` does not divide, a parameter out
        of range, a result below one element, an empty spatial axis, or an unsuitable `out`.
    TypeError
        bool or another dtype without arithmetic, dtypes that differ, or a parameter of the wrong
        kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    Rounding, wrapping and determinism as :func:`conv2d`.

    References
    ----------
    torch.nn.functional.conv_transpose2d; ONNX operator ConvTranspose; Dumoulin and Visin, "A guide
    to convolution arithmetic for deep learning" (2016), chapter 4.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.conv_transpose2d([[1, 2], [3, 4]], [[5, 5], [5, 5]])
    array([[ 5, 15, 10],
           [20, 50, 30],
           [15, 35, 20]])

    Twice the size, from 16 channels to 4:

    >>> x, weight = np.zeros((1, 16, 8, 8), np.float32), np.zeros((16, 4, 4, 4), np.float32)
    >>> us.conv_transpose2d(x, weight, stride=2, padding=1).shape
    (1, 4, 16, 16)
    """
    return _conv_transpose(
        2,
        x,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_size,
        channels_last,
        out,
    )


def conv_transpose3d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    output_padding: IntOrTuple = 0,
    groups: int = 1,
    dilation: IntOrTuple = 1,
    *,
    output_size: IntOrTuple | None = None,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Stamp a kernel at every element, scaled by it, and sum the stamps.

    Parameters
    ----------
    x : array_like
        Shape ``(N, C, D, H, W)``, ``(C, D, H, W)`` or ``(D, H, W)``; with `channels_last` the
        channel comes last.
    weight : array_like
        Kernels ``(C, out_channels / groups, KD, KH, KW)``, or ``(KD, KH, KW)`` for a bare `x`.
    bias, stride, padding, output_padding, groups, dilation, output_size, channels_last, out
        As :func:`conv_transpose2d`, with one number or three per parameter.

    Returns
    -------
    ndarray
        Result in the dtype of `x`, of spatial size
        :func:`~upsample_rs.conv_transpose_output_size`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`conv_transpose2d`.

    References
    ----------
    torch.nn.functional.conv_transpose3d; ONNX operator ConvTranspose.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.conv_transpose3d(np.array([[[1, 2]]]), np.array([[[1]], [[10]]]))
    array([[[ 1,  2]],
           [[10, 20]]])
    """
    return _conv_transpose(
        3,
        x,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_size,
        channels_last,
        out,
    )


def conv_transpose1d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    output_padding: IntOrTuple = 0,
    groups: int = 1,
    dilation: IntOrTuple = 1,
    *,
    output_size: IntOrTuple | None = None,
    output_mask: OutputMask = (True, True, True),
    channels_last: bool = False,
) -> Gradients:
    """Return the gradients of :func:`conv_transpose1d` with respect to `x`, `weight` and `bias`.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of the result's shape and floating dtype.
    x, weight, stride, padding, output_padding, groups, dilation, output_size, channels_last
        As given to :func:`conv_transpose1d`, same defaults.
    output_mask : (bool, bool, bool), default (True, True, True)
        Which of the three gradients to compute.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        Gradients of the shapes of `x`, `weight` and ``(out_channels,)``; None where not asked for.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`conv_transpose2d_backward`.

    References
    ----------
    torch.nn.functional.conv_transpose1d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x, weight = np.array([1.0, 2.0]), np.array([10.0, 20.0])
    >>> us.conv_transpose1d_backward(np.array([1.0, 2.0, 3.0]), x, weight)
    (array([50., 80.]), array([5., 8.]), array([6.]))
    """
    return _conv_transpose_backward(
        1,
        grad_output,
        x,
        weight,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_size,
        output_mask,
        channels_last,
    )


def conv_transpose2d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    output_padding: IntOrTuple = 0,
    groups: int = 1,
    dilation: IntOrTuple = 1,
    *,
    output_size: IntOrTuple | None = None,
    output_mask: OutputMask = (True, True, True),
    channels_last: bool = False,
) -> Gradients:
    """Return the gradients of :func:`conv_transpose2d` with respect to `x`, `weight` and `bias`.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of the result's shape and dtype, which must be floating.
    x, weight, stride, padding, output_padding, groups, dilation, output_size, channels_last
        As given to :func:`conv_transpose2d`, same defaults.
    output_mask : (bool, bool, bool), default (True, True, True)
        Which of the three gradients to compute.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        Gradients of the shapes of `x`, `weight` and ``(out_channels,)``; None where `output_mask`
        is False.

    Raises
    ------
    ValueError
        As :func:`conv_transpose2d`, and if `grad_output` does not have the shape the forward gives.
    TypeError
        A dtype other than float16, bfloat16, float32 and float64, dtypes that differ, or a
        parameter of the wrong kind.
    MemoryError
        A gradient cannot be allocated.

    References
    ----------
    torch.nn.functional.conv_transpose2d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x, weight = np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])
    >>> grads = us.conv_transpose2d_backward(np.array([[1.0, 2.0, 3.0]]), x, weight)
    >>> grads[0]
    array([[50., 80.]])
    >>> grads[1]
    array([[5., 8.]])
    >>> grads[2]
    array([6.])
    """
    return _conv_transpose_backward(
        2,
        grad_output,
        x,
        weight,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_size,
        output_mask,
        channels_last,
    )


def conv_transpose3d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    output_padding: IntOrTuple = 0,
    groups: int = 1,
    dilation: IntOrTuple = 1,
    *,
    output_size: IntOrTuple | None = None,
    output_mask: OutputMask = (True, True, True),
    channels_last: bool = False,
) -> Gradients:
    """Return the gradients of :func:`conv_transpose3d` with respect to `x`, `weight` and `bias`.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of the result's shape and floating dtype.
    x, weight, stride, padding, output_padding, groups, dilation, output_size, channels_last
        As given to :func:`conv_transpose3d`, same defaults.
    output_mask : (bool, bool, bool), default (True, True, True)
        Which of the three gradients to compute.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        Gradients of the shapes of `x`, `weight` and ``(out_channels,)``; None where not asked for.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`conv_transpose2d_backward`.

    References
    ----------
    torch.nn.functional.conv_transpose3d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x, weight = np.full((1, 1, 1), 3.0), np.full((2, 2, 2), 5.0)
    >>> grads = us.conv_transpose3d_backward(np.ones((2, 2, 2)), x, weight)
    >>> [float(g.sum()) for g in grads]
    [40.0, 24.0, 8.0]
    """
    return _conv_transpose_backward(
        3,
        grad_output,
        x,
        weight,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_size,
        output_mask,
        channels_last,
    )
