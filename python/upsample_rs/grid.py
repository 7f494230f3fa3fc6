"""Sampling at points: an array read wherever a grid of coordinates says.

A warp, a rotation, the flow from one picture to the next: each output says by its coordinates where
in the input it is taken from. ``grid_sample`` reads there, between elements if need be, and
``affine_grid`` makes the coordinates of an affine map.

Coordinates run from -1 to 1 along every axis, whatever its length, and name the last spatial axis
first: ``(x, y)`` for ``(H, W)``, ``(x, y, z)`` for ``(D, H, W)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import affine_grid as _affine_grid
from ._core import affine_grid_backward as _affine_grid_backward
from ._core import grid_sample as _grid_sample
from ._core import grid_sample_backward as _grid_sample_backward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import Array, ArrayLike, GridMode, GridPadding, OutputMask, Rounding

__all__ = ["affine_grid", "affine_grid_backward", "grid_sample", "grid_sample_backward"]


def grid_sample(
    x: ArrayLike,
    grid: ArrayLike,
    mode: GridMode = "bilinear",
    padding_mode: GridPadding = "zeros",
    align_corners: bool = False,
    *,
    rounding: Rounding = "nearest",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Read an array at points, in two or three dimensions.

    Parameters
    ----------
    x : array_like
        Shape ``(N, C, *S)``, or ``(N, *S, C)`` with `channels_last`: ``(H, W)`` or ``(D, H, W)``
        behind any number of leading axes, none included. Integers, float16, bfloat16, float32 or
        float64; with mode ``"nearest"`` every dtype of a fixed size.
    grid : array_like
        Shape ``(N, *S_out, n)``: for every output its `n` coordinates, 2 or 3 of them, the last
        spatial axis' first. Its leading axes are the first of those of `x`; the axes of `x` that
        follow them (channels, as a rule) are all read at the same points. A grid without leading
        axes serves all of `x`. float16, bfloat16, float32 or float64, whatever the dtype of `x`.
    mode : str, default "bilinear"
        ``"nearest"``: the nearest element, of two as near the even one. ``"bilinear"``: linear
        interpolation along each axis (trilinear in three dimensions). ``"bicubic"``: Keys' cubic
        with ``a = -0.75`` through four elements along each axis, in three dimensions too.
    padding_mode : str, default "zeros"
        What lies outside the array: ``"zeros"``; ``"border"``, the nearest element of the edge;
        ``"reflection"``, the array mirrored at its edges, over and over.
    align_corners : bool, default False
        Coordinates -1 and 1 are the centres of the first and the last element (True) or their
        outer edges (False).
    rounding : str, default "nearest"
        How an integer result is rounded, once: ``"nearest"`` (ties up), ``"half_even"``,
        ``"floor"`` or ``"trunc"``. It is then saturated to the dtype.
    channels_last : bool, default False
        The axis after the spatial axes of `x` is the channel, in the result too.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`
        or `grid`.

    Returns
    -------
    ndarray
        ``(N, C, *S_out)``, or ``(N, *S_out, C)`` with `channels_last`, of the dtype of `x`; `out`
        if given.

    Raises
    ------
    ValueError
        `grid` ends in neither 2 nor 3 coordinates, does not begin with the first axes of `x`, has
        an axis of 0 points, or 3 coordinates where both arrays have four axes (an image, in a batch
        or not, has 2); `x` has an empty spatial axis or one of more than 2**50 elements; an unknown
        `mode`, `padding_mode` or `rounding`; an unsuitable `out`.
    TypeError
        A dtype that is not accepted, or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    Coordinate ``c`` on an axis of ``L`` elements is at ``((c + 1)*L - 1)/2``, with `align_corners`
    at ``(c + 1)*(L - 1)/2``, counting from 0 at the centre of the first element. With
    ``"reflection"`` the mirrors stand at those centres of the edge that `align_corners` names, else
    at the outer edges. Places and weights are computed in double whatever the dtypes.

    Coordinates that are not finite count as outside. With ``"zeros"`` the point is then zero. With
    ``"border"`` an infinite one is at the last or first element, NaN at the first; with
    ``"reflection"`` both are at the first, as is what lies more than 2**50 elements from the array.

    A weight of zero is not read: NaN and infinity do not spread to a point that does not depend on
    them. Half types are computed in float32, integers in double, and rounded once.

    References
    ----------
    Jaderberg, Simonyan, Zisserman, Kavukcuoglu, "Spatial Transformer Networks", 2015. Parameters
    and rules: torch.nn.functional.grid_sample; ONNX operator GridSample, versions 16, 20 and 22.

    Examples
    --------
    The middle of four elements, one element, and half an element outside:

    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> points = np.array([[[0, 0], [-0.5, 0.5], [-1, -0.5]]])
    >>> us.grid_sample(x, points)
    array([[2.5, 3. , 0.5]])
    >>> us.grid_sample(x, points, padding_mode="border")
    array([[2.5, 3. , 1. ]])

    A picture turned by a quarter:

    >>> picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> quarter = us.affine_grid([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]], (4, 3))
    >>> us.grid_sample(picture, quarter, "nearest")
    array([[ 8,  4,  0],
           [ 9,  5,  1],
           [10,  6,  2],
           [11,  7,  3]], dtype=uint8)
    """
    return _grid_sample(x, grid, mode, padding_mode, align_corners, rounding, channels_last, out)


def grid_sample_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    grid: ArrayLike,
    mode: GridMode = "bilinear",
    padding_mode: GridPadding = "zeros",
    align_corners: bool = False,
    *,
    output_mask: OutputMask = (True, True),
    channels_last: bool = False,
) -> tuple[Array | None, Array | None]:
    """Return the gradients of :func:`grid_sample` with respect to the array and the points.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result, of its shape. Floating dtypes only.
    x : array_like
        The forward input, of the dtype of `grad_output`.
    grid, mode, padding_mode, align_corners, channels_last
        As given to :func:`grid_sample`, same defaults.
    output_mask : sequence of 2 bool, default (True, True)
        Which gradients to compute: that of `x`, that of `grid`.

    Returns
    -------
    grad_x : ndarray or None
        Gradient of the shape and dtype of `x`.
    grad_grid : ndarray or None
        Gradient of the shape and dtype of `grid`; zero for mode ``"nearest"``.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`grid_sample`, and if `grad_output` has not the shape of the result or the dtype
        of `x`.

    Notes
    -----
    Where several points read an element, their gradients are added in the order of the points; a
    coordinate's gradient is a sum over the channels in theirs. The same bits at any thread count.

    At an element, where the linear interpolation has a kink, the derivative is the one toward the
    next element. Where ``"border"`` or ``"reflection"`` has to put a place at the first or the last
    element, its coordinate has the gradient 0, and so has a coordinate that is not finite.

    References
    ----------
    torch.nn.functional.grid_sample under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> grad_x, grad_grid = us.grid_sample_backward([[8.0]], x, [[[0.0, 0.0]]])
    >>> grad_x
    array([[2., 2.],
           [2., 2.]])
    >>> grad_grid
    array([[[ 8., 16.]]])
    """
    return _grid_sample_backward(
        grad_output, x, grid, mode, padding_mode, align_corners, output_mask, channels_last
    )


def affine_grid(
    theta: ArrayLike,
    size: Sequence[int],
    align_corners: bool = False,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Make the points at which :func:`grid_sample` takes an array under an affine map.

    Parameters
    ----------
    theta : array_like
        Matrices of shape ``(N, 2, 3)`` or ``(N, 3, 4)``, or one without a batch axis, or with
        several: the map from a coordinate of the output, 1 appended, to one of the input.
        float16, bfloat16, float32 or float64.
    size : tuple of int
        Shape of the array that the points are for, ``(N, C, *S)``, or ``(N, *S, C)`` with
        `channels_last`. It begins with the leading axes of `theta`; what lies between these and
        the spatial axes has no effect and may be left out.
    align_corners : bool, default False
        Coordinates -1 and 1 are the centres of the first and the last element (True) or their
        outer edges (False): as :func:`grid_sample` will be told.
    channels_last : bool, default False
        The last entry of `size` is the channel.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap
        `theta`.

    Returns
    -------
    ndarray
        Points of shape ``(N, *S, 2)`` or ``(N, *S, 3)`` and the dtype of `theta`, the coordinate
        of the last spatial axis first; `out` if given.

    Raises
    ------
    ValueError
        `theta` ends in neither (2, 3) nor (3, 4); `size` has too few entries, does not begin with
        the leading axes of `theta`, or has a spatial entry below 1; an unsuitable `out`.
    TypeError
        A dtype that is not floating, or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    Element ``i`` of ``L`` has the coordinate ``(2*i + 1)/L - 1``, with `align_corners`
    ``2*i/(L - 1) - 1``, or 0 on an axis of one element. Points are computed in double and rounded
    once.

    References
    ----------
    Jaderberg, Simonyan, Zisserman, Kavukcuoglu, "Spatial Transformer Networks", 2015. Parameters
    and rules: torch.nn.functional.affine_grid; ONNX operator AffineGrid.

    Examples
    --------
    The points of the array itself, and those of its mirror image:

    >>> import upsample_rs as us
    >>> us.affine_grid([[1.0, 0, 0], [0, 1.0, 0]], (1, 2))
    array([[[-0.5,  0. ],
            [ 0.5,  0. ]]])
    >>> us.affine_grid([[-1.0, 0, 0], [0, 1.0, 0]], (1, 2))
    array([[[ 0.5,  0. ],
            [-0.5,  0. ]]])
    """
    return _affine_grid(theta, size, align_corners, channels_last, out)


def affine_grid_backward(
    grad_output: ArrayLike,
    size: Sequence[int],
    align_corners: bool = False,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`affine_grid` with respect to the matrices.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the points, of their shape. Floating dtypes only.
    size, align_corners, channels_last
        As given to :func:`affine_grid`, same defaults.
    out : ndarray, optional
        Array of the shape of `theta` to write to; it may not overlap `grad_output`.

    Returns
    -------
    ndarray
        Gradient of shape ``(N, 2, 3)`` or ``(N, 3, 4)`` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`affine_grid`, and if `grad_output` has not the shape of the points.

    Notes
    -----
    Summed in double, in an order that follows from the shape alone, and rounded once.

    References
    ----------
    The transpose of the forward's linear map; torch.nn.functional.affine_grid under autograd.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.affine_grid_backward([[[1.0, 2.0], [3.0, 4.0]]], (1, 2))
    array([[1., 0., 4.],
           [1., 0., 6.]])
    """
    return _affine_grid_backward(grad_output, size, align_corners, channels_last, out)
