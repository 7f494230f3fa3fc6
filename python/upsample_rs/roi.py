"""Regions of interest: boxes on a batch of images, each brought to the same number of bins.

Detectors find boxes of every size; what follows them wants arrays of one size. ``roi_pool`` rounds
a box to whole elements and takes the largest of each bin. ``roi_align`` rounds nothing: it reads
each bin at a few points between elements, by linear interpolation, and takes their mean.

Images are ``(N, C, H, W)``, or ``(N, H, W, C)`` with ``channels_last=True``: always four axes, for
a box says which image it is on. Results are ``(K, C, *output_size)`` or ``(K, *output_size, C)``
for ``K`` boxes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import roi_align as _roi_align
from ._core import roi_align_backward as _roi_align_backward
from ._core import roi_pool as _roi_pool
from ._core import roi_pool_backward as _roi_pool_backward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import Array, ArrayLike, Boxes, IntOrTuple, RoiMode, Rounding

__all__ = ["roi_align", "roi_align_backward", "roi_pool", "roi_pool_backward"]


def roi_align(
    x: ArrayLike,
    boxes: Boxes,
    output_size: IntOrTuple,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
    *,
    mode: RoiMode = "avg",
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Read the bins of every box at points between elements.

    Parameters
    ----------
    x : array_like
        Images of shape ``(N, C, H, W)``, or ``(N, H, W, C)`` with `channels_last`: four axes, no
        more and no fewer. Integers, float16, bfloat16, float32 or float64.
    boxes : array_like or sequence of array_like
        Shape ``(K, 5)``: image, x1, y1, x2, y2. Or a list or tuple with one array for each of the N
        images, of shape ``(L, 4)``: x1, y1, x2, y2. Integers or real numbers, taken as float64.
    output_size : int or tuple of int
        Bins along H and W.
    spatial_scale : float, default 1.0
        Elements of `x` for one unit of the boxes' coordinates: 1/16 if the boxes are those of a
        picture, and `x` has been made from it with a stride of 16.
    sampling_ratio : int, default -1
        Points along each side of a bin, at most 65536; 0 or less: as many as the bin has elements,
        rounded up.
    aligned : bool, default False
        True: element ``i`` reaches from ``i`` to ``i + 1``, and its value is that of its centre.
        False, the older rule: its value is that of ``i``, half an element off, and a box is at
        least one element wide and high.
    mode : str, default "avg"
        ``"avg"``: the mean of the bin's points. ``"max"``, ONNX's rule: the largest of all products
        of an element and its weight at a point.
    rounding : str, default "nearest"
        How an integer result is rounded, once: ``"nearest"`` (ties up), ``"half_even"``,
        ``"floor"`` or ``"trunc"``. It is then saturated to the dtype.
    channels_last : bool, default False
        The axis after the spatial axes is the channel, in `x` and in the result.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        ``(K, C, *output_size)``, or ``(K, *output_size, C)`` with `channels_last`, of the dtype of
        `x`; boxes in the order given, those of a list image by image. `out` if given.

    Raises
    ------
    ValueError
        `x` has not four axes, or an empty spatial axis; boxes of another shape, with a coordinate
        that is not finite or, scaled, further than 2**53 elements from 0; an output size below 1, a
        scale that is not finite and positive, a sampling ratio above 65536, an unknown `mode`, or
        an unsuitable `out`.
    IndexError
        A box is on an image there is not.
    TypeError
        A dtype that cannot be averaged (bool, complex), or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    Let a box reach from ``a`` to ``b`` along an axis, times `spatial_scale`, less 1/2 if `aligned`.
    Bin ``p`` of ``P`` then has the points ``a + (p + (i + 1/2)/G)*(b - a)/P`` for ``i`` from 0 to
    ``G - 1``, ``G`` being `sampling_ratio` or ``ceil((b - a)/P)``, and its grid of points is the
    product of those of H and W.

    A point between elements is their linear interpolation. Up to one element outside the image it
    has the value of the edge; further out it counts as zero, in the mean too. Weights of zero are
    not read, so a NaN there does not spread; in mode ``"max"`` they are a product of zero. A bin
    without points (`aligned` with the ends of a box the wrong way round) is zero.

    Coordinates and weights are computed in double, where torchvision uses the dtype of `x`. Half
    types are computed in float32, integers in double, and rounded once.

    References
    ----------
    He, Gkioxari, Dollar, Girshick, "Mask R-CNN", 2017. Parameters and rules: torchvision.ops
    roi_align. ONNX operator RoiAlign: ``half_pixel`` is ``aligned=True``, ``output_half_pixel``
    ``aligned=False``, and ``batch_indices`` are the first column of `boxes`.

    Examples
    --------
    A box from (0.5, 0) to (2.5, 2) in two by two bins, each read at its centre:

    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.arange(12.0).reshape(1, 1, 3, 4)
    >>> x[0, 0]
    array([[ 0.,  1.,  2.,  3.],
           [ 4.,  5.,  6.,  7.],
           [ 8.,  9., 10., 11.]])
    >>> boxes = [[0, 0.5, 0, 2.5, 2]]
    >>> us.roi_align(x, boxes, 2, aligned=True)
    array([[[[0.5, 1.5],
             [4.5, 5.5]]]])

    Boxes of a picture on features an eighth as large, as one array for each image:

    >>> features = np.ones((2, 256, 60, 80), np.float32)
    >>> per_image = [np.array([[16, 8, 200, 160]]), np.zeros((0, 4))]
    >>> us.roi_align(features, per_image, 7, 1 / 8, 2, True).shape
    (1, 256, 7, 7)
    """
    return _roi_align(
        x,
        boxes,
        output_size,
        spatial_scale,
        sampling_ratio,
        aligned,
        mode,
        rounding,
        channels_last,
        out,
    )


def roi_align_backward(
    grad_output: ArrayLike,
    boxes: Boxes,
    input_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
    *,
    mode: RoiMode = "avg",
    x: ArrayLike | None = None,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`roi_align` with respect to the images.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of its shape, which says the output size. Floating dtypes only.
    boxes, spatial_scale, sampling_ratio, aligned, mode, channels_last
        As given to :func:`roi_align`, same defaults.
    input_size : tuple of int
        Whole shape of the forward input.
    x : array_like, optional
        The forward input, of the dtype of `grad_output`. Mode ``"max"`` needs it; ``"avg"`` does
        not look at it.
    out : ndarray, optional
        Array of shape `input_size` to write to; it may not overlap `grad_output` or `x`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, IndexError, TypeError, MemoryError
        As :func:`roi_align`; if `grad_output` has not the shape of the result; if `x` is needed and
        missing, or of another shape or dtype.

    Notes
    -----
    Where boxes overlap, gradients are added in the order of the boxes, in float32 for half types:
    the same bits at any thread count. In mode ``"max"`` a bin's gradient goes to the first element
    in row-major order that has the largest product, times its weight, and nowhere if a product of
    zero is larger. The boxes have no gradient.

    References
    ----------
    The transpose of the forward's linear map; torchvision.ops.roi_align under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.roi_align_backward([[[[8.0]]]], [[0, 0.5, 0, 1.5, 1]], (1, 1, 2, 3), aligned=True)
    array([[[[4., 4., 0.],
             [0., 0., 0.]]]])
    """
    return _roi_align_backward(
        grad_output,
        boxes,
        input_size,
        spatial_scale,
        sampling_ratio,
        aligned,
        mode,
        x,
        channels_last,
        out,
    )


def roi_pool(
    x: ArrayLike,
    boxes: Boxes,
    output_size: IntOrTuple,
    spatial_scale: float = 1.0,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Take the largest element of each bin of every box, rounded to whole elements.

    Parameters
    ----------
    x : array_like
        Images of shape ``(N, C, H, W)``, or ``(N, H, W, C)`` with `channels_last`: four axes, no
        more and no fewer. Bool, integers, float16, bfloat16, float32 or float64.
    boxes, output_size, spatial_scale
        As for :func:`roi_align`.
    channels_last : bool, default False
        The axis after the spatial axes is the channel, in `x` and in the result.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        ``(K, C, *output_size)``, or ``(K, *output_size, C)`` with `channels_last`, of the dtype of
        `x`; `out` if given.

    Raises
    ------
    ValueError, IndexError, TypeError, MemoryError
        As :func:`roi_align`.

    Notes
    -----
    Corners times `spatial_scale` are rounded to the nearest element, halves away from zero, and
    belong to the box: it is ``n = max(b - a + 1, 1)`` elements wide. Bin ``p`` of ``P`` takes
    ``a + floor(p*n/P) .. a + ceil((p + 1)*n/P)``, as far as that lies in the image; a bin with no
    element is zero (False). Neighbouring bins share the element their border falls into.

    A NaN wins. Where the largest element is a zero, the result is the positive one. The bins are
    exact; torchvision and ONNX Runtime compute their borders in float32, which may add an element.

    References
    ----------
    Girshick, "Fast R-CNN", 2015. Parameters and rules: torchvision.ops.roi_pool; ONNX operator
    MaxRoiPool.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.arange(12).reshape(1, 1, 3, 4)
    >>> us.roi_pool(x, [[0, 0, 0, 3, 1]], 2)
    array([[[[1, 3],
             [5, 7]]]])
    """
    return _roi_pool(x, boxes, output_size, spatial_scale, channels_last, out)


def roi_pool_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    boxes: Boxes,
    spatial_scale: float = 1.0,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`roi_pool` with respect to the images.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of its shape, which says the output size. Floating dtypes only.
    x : array_like
        The forward input, of the dtype of `grad_output`.
    boxes, spatial_scale, channels_last
        As given to :func:`roi_pool`, same defaults.
    out : ndarray, optional
        Array of the shape of `x` to write to; it may not overlap `grad_output` or `x`.

    Returns
    -------
    ndarray
        Gradient of the shape and dtype of `x`.

    Raises
    ------
    ValueError, IndexError, TypeError, MemoryError
        As :func:`roi_pool`, and if `grad_output` has not the shape of the result.

    Notes
    -----
    A bin's gradient goes to its first largest element in row-major order, the first NaN if there is
    one; where several meet they are added in the order of the boxes, in float32 for half types. The
    boxes have no gradient.

    References
    ----------
    torchvision.ops.roi_pool under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.arange(12.0).reshape(1, 1, 3, 4)
    >>> us.roi_pool_backward(np.ones((1, 1, 2, 2)), x, [[0, 0, 0, 3, 1]])
    array([[[[0., 1., 0., 1.],
             [0., 1., 0., 1.],
             [0., 0., 0., 0.]]]])
    """
    return _roi_pool_backward(grad_output, x, boxes, spatial_scale, channels_last, out)
