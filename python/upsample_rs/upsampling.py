"""Upsampling that looks at one channel at a time: interpolation and bed of nails.

The operations act on the last spatial axes, with any number of leading axes (none included);
``channels_last=True`` puts one channel axis after the spatial ones. Positions and sizes count
elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import bed_of_nails as _bed_of_nails
from ._core import bed_of_nails_backward as _bed_of_nails_backward
from ._core import interpolate as _interpolate
from ._core import interpolate_backward as _interpolate_backward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import Array, ArrayLike, FloatOrTuple, InterpolateMode, IntOrTuple, Rounding

__all__ = ["bed_of_nails", "bed_of_nails_backward", "interpolate", "interpolate_backward"]


def interpolate(
    x: ArrayLike,
    size: IntOrTuple | None = None,
    scale_factor: FloatOrTuple | None = None,
    mode: InterpolateMode = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
    *,
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Resample an array to another size, up or down.

    Parameters
    ----------
    x : array_like
        Shape ``(..., *S)``, or ``(..., *S, C)`` with `channels_last`. An array of one or two axes
        is all spatial. The nearest modes take every dtype of fixed size; the others every integer
        and float16, bfloat16, float32, float64.
    size : int or tuple of int, optional
        Output size of each spatial axis. Give either `size` or `scale_factor`.
    scale_factor : float or tuple of float, optional
        Output size over input size; the size is ``floor(length * scale_factor)``, computed in
        double: 88 * (120/88) gives 119. Use `size` to be certain.
    mode : str, default "nearest"
        ``"nearest"`` and ``"nearest-exact"`` copy one element. ``"linear"`` (one spatial axis),
        ``"bilinear"`` (two) and ``"trilinear"`` (three) mix two neighbours along each axis by
        distance, ``"bicubic"`` and ``"tricubic"`` four, ``"lanczos"`` (three lobes) six. ``"area"``
        is :func:`~upsample_rs.adaptive_avg_pool2d`. Modes that do not say so have as many spatial
        axes as `size` or `scale_factor` has entries, else ``x.ndim - 2``.
    align_corners : bool, optional
        Linear, cubic and lanczos modes only. True puts the centres of the first and last elements
        of input and output on each other; False, the default, does so with the outer edges.
    recompute_scale_factor : bool, optional
        Together with `scale_factor` only. True takes positions from the two sizes; otherwise they
        come from the given factor, which differs when ``length * scale_factor`` is not an integer.
    antialias : bool, default False
        Linear, cubic and lanczos modes only. Widen the filter when shrinking, so that every input
        element counts.
    rounding : str, default "nearest"
        How a mode that computes rounds an integer result, once: ``"nearest"`` (ties up),
        ``"half_even"``, ``"floor"`` or ``"trunc"``. The result is then saturated to the dtype.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        Resampled array of the dtype of `x`; `out` if given.

    Raises
    ------
    ValueError
        Neither or both of `size` and `scale_factor`, a size below 1, a factor that is not finite
        and positive, an option that `mode` does not have, a rank that does not fit, an empty
        spatial axis, or an unsuitable `out`.
    TypeError
        A dtype `mode` does not take (bool and complex in all but the nearest modes), or a parameter
        of the wrong kind.
    MemoryError
        The result cannot be allocated.

    See Also
    --------
    resize : Any axes, more filters, coordinate and edge rules.

    Notes
    -----
    Let ``s`` be input size over output size, or ``1 / scale_factor`` where positions come from the
    factor. Output element ``o`` is read at

    * ``floor(o*s)`` for ``"nearest"``, ``floor((o + 0.5)*s)`` for ``"nearest-exact"``;
    * ``(o + 0.5)*s - 0.5`` for the other modes;
    * ``o*(input - 1)/(output - 1)`` with `align_corners`, 0 if the output has one element.

    These are computed in exact or double arithmetic, where torch uses float32. Beyond the edge the
    last element is repeated. With `antialias` the filter reaches ``max(s, 1)`` times as far; taps
    outside the input are dropped and the others made to sum to one. The cubic's parameter is -0.75,
    with `antialias` -0.5. A neighbour whose weight in a linear mode is zero is not read, so a NaN
    there does not spread. Half types are computed in float32, integers in double, and rounded
    once.

    References
    ----------
    Parameters and rules: torch.nn.functional.interpolate. ONNX operator Resize has them as
    ``half_pixel``, ``align_corners``, and ``asymmetric`` with ``nearest_mode="floor"``. The
    antialiasing filters are Pillow's ``BILINEAR``, ``BICUBIC`` and ``LANCZOS``.

    Examples
    --------
    Every element becomes a block of four:

    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.interpolate([[1, 2], [3, 4]], scale_factor=2)
    array([[1, 1, 2, 2],
           [1, 1, 2, 2],
           [3, 3, 4, 4],
           [3, 3, 4, 4]])

    >>> us.interpolate([[10, 20], [30, 40]], scale_factor=2, mode="bilinear", rounding="floor")
    array([[10, 12, 17, 20],
           [15, 17, 22, 25],
           [25, 27, 32, 35],
           [30, 32, 37, 40]])

    A batch of colour pictures, shrunk with and without antialiasing:

    >>> pictures = np.zeros((8, 480, 640, 3), np.uint8)
    >>> us.interpolate(pictures, (240, 320), mode="bilinear", channels_last=True).shape
    (8, 240, 320, 3)
    >>> us.interpolate(np.array([0.0, 0.0, 0.0, 24.0]), 1, mode="linear")
    array([0.])
    >>> us.interpolate(np.array([0.0, 0.0, 0.0, 24.0]), 1, mode="linear", antialias=True)
    array([5.])
    """
    return _interpolate(
        x,
        size,
        scale_factor,
        mode,
        align_corners,
        recompute_scale_factor,
        antialias,
        rounding,
        channels_last,
        out,
    )


def interpolate_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    *,
    mode: InterpolateMode = "nearest",
    align_corners: bool | None = None,
    antialias: bool = False,
    scale_factor: FloatOrTuple | None = None,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`interpolate` with respect to its input.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result. Without `scale_factor` its spatial sizes are taken for the forward's
        output sizes. Floating dtypes only.
    input_size : tuple of int
        Whole shape of the forward input, leading axes and channels included.
    mode, align_corners, antialias, channels_last
        As given to :func:`interpolate`, same defaults.
    scale_factor : float or tuple of float, optional
        As given to :func:`interpolate`, if its positions came from the factor; leave it out if
        `size` or ``recompute_scale_factor=True`` was given.
    out : ndarray, optional
        Array of shape `input_size` to write to; it may not overlap `grad_output`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`interpolate`, and if `grad_output` does not have a shape the forward can give.

    References
    ----------
    The transpose of the forward's linear map; torch.nn.functional.interpolate under autograd.

    Examples
    --------
    Each input element collects the gradients of its four copies:

    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.interpolate_backward(np.arange(16.0).reshape(4, 4), (2, 2))
    array([[10., 18.],
           [42., 50.]])
    """
    return _interpolate_backward(
        grad_output,
        input_size,
        mode,
        align_corners,
        antialias,
        scale_factor,
        channels_last,
        out,
    )


def bed_of_nails(
    x: ArrayLike,
    factor: IntOrTuple,
    *,
    offset: IntOrTuple = 0,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Spread an array out: its elements at every `factor`-th place, zeros elsewhere.

    Parameters
    ----------
    x : array_like
        Shape ``(..., *S)``, or ``(..., *S, C)`` with `channels_last`; every dtype of fixed size.
    factor : int or tuple of int
        Step between the elements, at least 1. An int means two spatial axes; a tuple has one entry
        per spatial axis.
    offset : int or tuple of int, default 0
        Place of the element within its cell, ``0 <= offset < factor``.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        Every spatial axis `factor` times as long, in the dtype of `x`.

    Raises
    ------
    ValueError
        A factor below 1, an offset outside its cell, a rank that does not fit, an empty spatial
        axis, or an unsuitable `out`.
    TypeError
        A dtype without a fixed meaning (object, string, structured), or a parameter that is not an
        integer.
    MemoryError
        The result cannot be allocated.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), chapter 4:
    the zeros inserted between elements by a transposed convolution.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.bed_of_nails([[1, 2], [3, 4]], 2)
    array([[1, 0, 2, 0],
           [0, 0, 0, 0],
           [3, 0, 4, 0],
           [0, 0, 0, 0]])
    >>> us.bed_of_nails([1, 2], (3,), offset=1)
    array([0, 1, 0, 0, 2, 0])
    """
    return _bed_of_nails(x, factor, offset, channels_last, out)


def bed_of_nails_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    factor: IntOrTuple,
    *,
    offset: IntOrTuple = 0,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`bed_of_nails`: the elements at the nails.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of the result's shape; every dtype of fixed size.
    input_size : tuple of int
        Whole shape of the forward input, leading axes and channels included.
    factor, offset, channels_last
        As given to :func:`bed_of_nails`, same defaults.
    out : ndarray, optional
        Array of shape `input_size` to write to; it may not overlap `grad_output`.

    Returns
    -------
    ndarray
        ``grad_output[..., offset::factor, offset::factor]``, one slice per spatial axis, as a new
        array.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`bed_of_nails`, and if `grad_output` does not have the shape the forward gives.

    References
    ----------
    The transpose of the forward's linear map, which here is a strided slice.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.bed_of_nails_backward(np.arange(16.0).reshape(4, 4), (2, 2), 2)
    array([[ 0.,  2.],
           [ 8., 10.]])
    """
    return _bed_of_nails_backward(grad_output, input_size, factor, offset, channels_last, out)
