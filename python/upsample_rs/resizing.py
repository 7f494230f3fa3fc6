"""Resizing along any axes, by any of the filters and coordinate rules in use.

:func:`upsample_rs.interpolate` is this function in the words of PyTorch. Sizes, positions and
filters count elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import resize as _resize
from ._core import resize_backward as _resize_backward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import (
        Array,
        ArrayLike,
        AspectPolicy,
        Coordinates,
        FloatOrTuple,
        IntOrTuple,
        NearestRounding,
        ResizeEdge,
        ResizeMethod,
        Rounding,
    )

__all__ = ["resize", "resize_backward"]


def resize(
    x: ArrayLike,
    size: IntOrTuple | None = None,
    scale: FloatOrTuple | None = None,
    *,
    axes: IntOrTuple | None = None,
    method: ResizeMethod | Sequence[ResizeMethod] = "linear",
    coordinates: Coordinates | Sequence[Coordinates] = "half_pixel",
    antialias: bool = False,
    edge: ResizeEdge = "clamp",
    fill: complex = 0,
    cubic_a: float | None = None,
    nearest_rounding: NearestRounding = "round_prefer_ceil",
    exclude_outside: bool | None = None,
    roi: Sequence[tuple[float, float]] | None = None,
    keep_aspect_ratio: AspectPolicy = "stretch",
    rounding: Rounding = "nearest",
    out: Array | None = None,
) -> Array:
    """Resample an array to another size along any of its axes.

    Parameters
    ----------
    x : array_like
        At least one axis. ``"nearest"`` takes every dtype of fixed size; the other methods every
        integer and float16, bfloat16, float32, float64.
    size : int or tuple of int, optional
        Output elements along each of `axes`. Give either `size` or `scale`.
    scale : float or tuple of float, optional
        Output over input elements; the size is ``floor(length * scale)``, and coordinates follow
        the factor.
    axes : int or tuple of int, optional
        The axes to resize, negative ones counted from the end, in any order; `size`, `scale`,
        `roi` and the tuples below have one entry for each. All axes if not given. The others cost
        nothing, wherever they are.
    method : str or tuple of str, default "linear"
        ``"nearest"``, ``"linear"``, ``"cubic"``, ``"lanczos2"`` to ``"lanczos5"``, ``"gaussian"``
        (sigma 1/2), ``"mitchell"``, ``"box"``, ``"hamming"``, or ``"area"``, which weighs each
        element by its share of the output's box, up and down.
    coordinates : str or tuple of str, default "half_pixel"
        Where output ``o`` of ``m`` lies among ``n`` inputs, ``s`` being `scale` or ``m / n``:

        * ``"half_pixel"``: ``(o + 0.5)/s - 0.5``, so that the outer edges coincide;
        * ``"half_pixel_symmetric"``: as that, and the middles coincide too where ``n*s`` is not
          whole;
        * ``"pytorch_half_pixel"``: as ``"half_pixel"``, but 0 if ``m`` is 1;
        * ``"align_corners"``: ``o*(n - 1)/(m - 1)``, so that the outer centres coincide;
        * ``"asymmetric"``: ``o/s``;
        * ``"tf_crop_and_resize"``: from ``start*(n - 1)`` to ``end*(n - 1)`` in equal steps, the
          pair being this axis' `roi`; outputs outside the input are `fill`.
    antialias : bool, default False
        Widen the filter by the ratio of shrinking, so that every input element counts. Axes that
        grow are as without.
    edge : str, default "clamp"
        What lies outside: ``"clamp"`` repeats the last element, ``"reflect"`` (``b a | a b c | c
        b``) and ``"mirror"`` (``c b | a b c | b a``) turn round, ``"wrap"`` begins again,
        ``"constant"`` is `fill`.
    fill : number, default 0
        The constant, as a value of the dtype of `x`.
    cubic_a : float, optional
        The parameter of ``"cubic"``: -0.75, or -0.5 with `antialias`, if not given.
    nearest_rounding : str, default "round_prefer_ceil"
        Which element ``"nearest"`` takes: the one whose centre is nearest and of two the right
        (``"round_prefer_ceil"``) or the left (``"round_prefer_floor"``), or the one at or left of
        the position (``"floor"``) or right of it (``"ceil"``).
    exclude_outside : bool, optional
        Leave out what lies outside and make the other weights sum to one. If not given, this is so
        with `antialias` and ``edge="clamp"``.
    roi : sequence of (float, float), optional
        Start and end along each of `axes`, for ``"tf_crop_and_resize"``: 0 is the centre of the
        first element, 1 that of the last; the end may come before the start.
    keep_aspect_ratio : str, default "stretch"
        With `size`: ``"not_larger"`` and ``"not_smaller"`` resize all axes by one factor, the
        largest with which no axis exceeds its size, or the smallest with which none falls short;
        lengths are rounded to the nearest.
    rounding : str, default "nearest"
        How an integer result is rounded, once: ``"nearest"`` (ties up), ``"half_even"``,
        ``"floor"`` or ``"trunc"``. The result is then saturated to the dtype.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        Resampled array of the dtype of `x`; `out` if given.

    Raises
    ------
    ValueError
        Neither or both of `size` and `scale`, a size below 1, a factor that is not finite and
        positive, an axis out of range or named twice, a wrong number of entries, `roi` without its
        rule or the other way round, an empty axis, or an unsuitable `fill` or `out`.
    TypeError
        A dtype `method` does not take (bool and complex but for ``"nearest"``), or a parameter of
        the wrong kind.
    MemoryError
        The result or a table of weights cannot be allocated.

    See Also
    --------
    interpolate : The same in the words of PyTorch.

    Notes
    -----
    Positions are exact fractions where they follow from two lengths, else double; so are the
    weights, and integers are summed in double and rounded once, however many axes there are. A
    weight of zero at either end of a filter is not read, so a NaN there does not spread; within the
    reach of ``"cubic"`` and ``"lanczos"`` a zero may be. The weights of filters that do not sum to
    one by themselves (lanczos, gaussian, box, hamming), and of all widened ones, are divided by
    their sum.

    References
    ----------
    Coordinate rules, nearest rules, `exclude_outside`, `roi` and aspect policies are those of the
    ONNX operator Resize, version 19. Cubic: Keys (1981); ``"mitchell"``: Mitchell and Netravali
    (1988), B = C = 1/3; ``"box"``, ``"hamming"`` and the widening are Pillow's. The document
    ``docs/from`` says which call here equals which call of other packages.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.resize([0.0, 4.0, 8.0], 6)
    array([0., 1., 3., 5., 7., 8.])

    Colour pictures to half their size, each pixel the mean of four, and a volume along two axes:

    >>> pictures = np.zeros((8, 480, 640, 3), np.uint8)
    >>> us.resize(pictures, (240, 320), axes=(1, 2), method="area").shape
    (8, 240, 320, 3)
    >>> volume = np.zeros((40, 64, 64), np.float32)
    >>> us.resize(volume, scale=(2.5, 0.5), axes=(0, -1), method=("cubic", "linear")).shape
    (100, 64, 32)

    Within a box of 300 by 300, as large as it goes:

    >>> us.resize(pictures, 300, axes=(1, 2), keep_aspect_ratio="not_larger").shape
    (8, 225, 300, 3)
    """
    return _resize(
        x,
        size,
        scale,
        axes,
        method,
        coordinates,
        antialias,
        edge,
        fill,
        cubic_a,
        nearest_rounding,
        exclude_outside,
        roi,
        keep_aspect_ratio,
        rounding,
        out,
    )


def resize_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    *,
    size: IntOrTuple | None = None,
    scale: FloatOrTuple | None = None,
    axes: IntOrTuple | None = None,
    method: ResizeMethod | Sequence[ResizeMethod] = "linear",
    coordinates: Coordinates | Sequence[Coordinates] = "half_pixel",
    antialias: bool = False,
    edge: ResizeEdge = "clamp",
    cubic_a: float | None = None,
    nearest_rounding: NearestRounding = "round_prefer_ceil",
    exclude_outside: bool | None = None,
    roi: Sequence[tuple[float, float]] | None = None,
    keep_aspect_ratio: AspectPolicy = "stretch",
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`resize` with respect to its input.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the result: float16, bfloat16, float32 or float64, of the result's shape.
    input_size : tuple of int
        Whole shape of the forward input.
    size, scale
        As given to :func:`resize`; `size` may be left out where `keep_aspect_ratio` is.
    axes, method, coordinates, antialias, edge, cubic_a, nearest_rounding, exclude_outside, roi, \
keep_aspect_ratio
        As given to :func:`resize`, same defaults.
    out : ndarray, optional
        Array of shape `input_size` to write to; it may not overlap `grad_output`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`resize`, and if `grad_output` does not have the shape the forward gives.

    References
    ----------
    The transpose of the forward's linear map. What an edge rule repeats collects all its gradients;
    a constant has none.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.resize_backward([1.0, 1.0, 1.0, 1.0], (2,))
    array([2., 2.])
    """
    return _resize_backward(
        grad_output,
        input_size,
        size,
        scale,
        axes,
        method,
        coordinates,
        antialias,
        edge,
        cubic_a,
        nearest_rounding,
        exclude_outside,
        roi,
        keep_aspect_ratio,
        out,
    )
