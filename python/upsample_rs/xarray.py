"""Resizing and pooling of ``xarray.DataArray``, by names of dimensions.

The data may be NumPy or dask arrays: chunks are dealt with as in :mod:`upsample_rs.dask`. Every
parameter that has one entry for each axis is a mapping from dimensions here. Dimensions, name and
attributes stay; coordinates of dimensions that change are computed anew:

* a coordinate along one dimension is taken at the position of every output, between its values and
  beyond its ends as the nearest two go on; dates keep their unit, integers become float64;
* one that has a dimension that changes and no numbers or dates, or more dimensions, is left out;
* all others are kept.

Examples
--------
>>> import numpy as np
>>> import xarray as xr
>>> import upsample_rs.xarray as usx
>>> heat = xr.DataArray(np.arange(8.0).reshape(2, 4), {"t": [0, 1], "lon": [5, 15, 25, 35]})
>>> usx.resize(heat, {"lon": 8})["lon"].values
array([ 2.5,  7.5, 12.5, 17.5, 22.5, 27.5, 32.5, 37.5])
>>> usx.max_pool(heat, {"lon": 2})
<xarray.DataArray (t: 2, lon: 2)> Size: 32B
array([[1., 3.],
       [5., 7.]])
Coordinates:
  * t        (t) int64 16B 0 1
  * lon      (lon) float64 16B 10.0 30.0
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

import upsample_rs as us

from .bridges.shapes import named_padding

__all__ = [
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "interpolate",
    "lp_pool",
    "max_pool",
    "min_pool",
    "resize",
]

Sizes: TypeAlias = Mapping[Hashable, int]
PerDim: TypeAlias = "int | Mapping[Hashable, int]"


def _operation(name: str, data: Any) -> Callable[..., Any]:
    """Return an operation for the kind of array there is."""
    if isinstance(data, np.ndarray):
        return getattr(us, name)  # type: ignore[no-any-return]
    from . import dask  # the data are dask's

    return getattr(dask, name)  # type: ignore[no-any-return]


def _dims(op: str, array: xr.DataArray, name: str, given: Any) -> list[Hashable]:
    """Return the dimensions a mapping names, in the array's order."""
    if not isinstance(array, xr.DataArray):
        raise TypeError(f"{op}: array = {type(array).__name__}: must be an xarray.DataArray")
    if not isinstance(given, Mapping):
        raise TypeError(f"{op}: {name} = {given!r}: must be a mapping from dimensions")
    unknown = [dim for dim in given if dim not in array.dims]
    if unknown or not given:
        raise ValueError(
            f"{op}: {name} = {dict(given)!r}: must name some of the dimensions {array.dims}"
        )
    return [dim for dim in array.dims if dim in given]


def _each(op: str, name: str, given: Any, dims: list[Hashable], default: Any) -> list[Any]:
    """Return one entry for each dimension."""
    if not isinstance(given, Mapping):
        return [given] * len(dims)
    strange = [dim for dim in given if dim not in dims]
    if strange:
        raise ValueError(f"{op}: {name} = {dict(given)!r}: must name some of {tuple(dims)}")
    return [given.get(dim, default) for dim in dims]


def _coordinate(values: Any, positions: Any) -> Any:
    """Return a coordinate at fractional positions of it; None where it has nothing between."""
    kind = values.dtype.kind
    if kind not in "iufmM":
        return None
    if len(values) < 2:
        moved = not np.array_equal(positions, np.zeros_like(positions))
        return None if moved else np.repeat(values, len(positions))
    low = np.clip(np.floor(positions), 0, len(values) - 2).astype(np.intp)
    share = positions - low
    start, step = values[low], values[low + 1] - values[low]
    if kind in "mM":
        return start + np.rint(step.astype(np.int64) * share).astype(np.int64).astype(step.dtype)
    return start + step.astype(np.float64) * share


def _rebuilt(
    array: xr.DataArray, data: Any, positions: dict[Hashable, Any], name: Any = None
) -> xr.DataArray:
    """Return a result with what stays of the coordinates, and those that are new."""
    coords: dict[Hashable, Any] = {}
    for key, coord in array.coords.items():
        changed = [dim for dim in coord.dims if dim in positions]
        if not changed:
            coords[key] = coord
        elif len(coord.dims) == 1:
            made = _coordinate(coord.values, positions[changed[0]])
            if made is not None:
                coords[key] = xr.Variable(coord.dims, made, coord.attrs)
    name = array.name if name is None else name
    return xr.DataArray(data, coords, array.dims, name, array.attrs)


def _positions(rule: str, length: int, size: int, factor: float | None, roi: Any) -> Any:
    """Return where outputs lie on an axis, in elements."""
    o = np.arange(size, dtype=np.float64)
    ratio = length / size if factor is None else 1 / factor
    if rule == "align_corners":
        return o * ((length - 1) / (size - 1)) if size > 1 else o
    if rule == "asymmetric":
        return o * ratio
    if rule == "pytorch_half_pixel" and size == 1:
        return o
    if rule == "half_pixel_symmetric" and factor is not None:
        shift = length / 2 * (1 - size / (length * factor))
        return shift + (o + 0.5) * ratio - 0.5
    if rule == "tf_crop_and_resize":
        start, end = roi
        if size == 1:
            return (start + end) * (length - 1) / 2 + o
        return start * (length - 1) + o * ((end - start) * (length - 1) / (size - 1))
    return (o + 0.5) * ratio - 0.5


def resize(
    array: xr.DataArray,
    size: Sizes | None = None,
    scale: Mapping[Hashable, float] | None = None,
    *,
    method: str | Mapping[Hashable, str] = "linear",
    coordinates: str | Mapping[Hashable, str] = "half_pixel",
    roi: Mapping[Hashable, tuple[float, float]] | None = None,
    **options: Any,
) -> xr.DataArray:
    """Resize along named dimensions, as :func:`upsample_rs.resize`.

    Parameters
    ----------
    array : DataArray
        What is resized.
    size, scale : mapping
        One of them: the new length of each dimension, or the factor.
    method, coordinates : str or mapping, default "linear" and "half_pixel"
        For all dimensions, or for each; one that is not named has the default.
    roi : mapping, optional
        Start and end of each dimension for ``"tf_crop_and_resize"``.
    **options
        `antialias`, `edge`, `fill`, `cubic_a`, `nearest_rounding`, `exclude_outside` and
        `rounding`, as there.

    Returns
    -------
    DataArray
        With the coordinates of what changed computed anew.

    Raises
    ------
    ValueError, TypeError
        A dimension that is not there; else as :func:`upsample_rs.resize`.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import upsample_rs.xarray as usx
    >>> x = xr.DataArray([0.0, 4.0, 8.0], {"x": [0, 1, 2]})
    >>> usx.resize(x, {"x": 5}, coordinates="align_corners").x.values
    array([0. , 0.5, 1. , 1.5, 2. ])
    """
    if (size is None) == (scale is None):
        raise ValueError("resize: size and scale: exactly one of them must be given")
    if "keep_aspect_ratio" in options or "axes" in options or "out" in options:
        raise TypeError("resize: keep_aspect_ratio, axes, out: are not for DataArrays")
    name, wanted = ("size", size) if scale is None else ("scale", scale)
    dims = _dims("resize", array, name, wanted)
    rules = _each("resize", "coordinates", coordinates, dims, "half_pixel")
    regions = None if roi is None else _each("resize", "roi", roi, dims, (0.0, 1.0))
    data = _operation("resize", array.data)(
        array.data,
        axes=[array.get_axis_num(dim) for dim in dims],
        method=_each("resize", "method", method, dims, "linear"),
        coordinates=rules,
        roi=regions,
        **{name: [wanted[dim] for dim in dims]},  # type: ignore[index]
        **options,
    )
    positions = {}
    for i, dim in enumerate(dims):
        factor = None if scale is None else float(scale[dim])
        lens = array.sizes[dim], data.shape[array.get_axis_num(dim)]
        if rules[i] != "half_pixel" or lens[0] != lens[1] or factor is not None:
            region = (0.0, 1.0) if regions is None else regions[i]
            positions[dim] = _positions(rules[i], *lens, factor, region)
    return _rebuilt(array, data, positions)


def interpolate(
    array: xr.DataArray,
    size: Sizes | None = None,
    scale_factor: Mapping[Hashable, float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
    **options: Any,
) -> xr.DataArray:
    """Interpolate along one to three named dimensions, as :func:`upsample_rs.interpolate`.

    Parameters
    ----------
    array : DataArray
        What is interpolated.
    size, scale_factor : mapping
        One of them: the new length of each dimension, or the factor.
    mode : str, default "nearest"
        ``"nearest"``, ``"nearest-exact"``, ``"linear"`` (whatever the number of dimensions),
        ``"cubic"``, ``"area"`` or ``"lanczos"``.
    align_corners, antialias : bool, default False
        As there.
    **options
        `rounding`, as there.

    Returns
    -------
    DataArray
        With the coordinates of what changed computed anew.

    Raises
    ------
    ValueError, TypeError
        A dimension that is not there; else as :func:`upsample_rs.interpolate`.

    Examples
    --------
    >>> import xarray as xr
    >>> import upsample_rs.xarray as usx
    >>> x = xr.DataArray([[0.0, 2.0], [4.0, 6.0]], dims=("y", "x"))
    >>> usx.interpolate(x, {"y": 3}, mode="linear", align_corners=True).values
    array([[0., 2.],
           [2., 4.],
           [4., 6.]])
    """
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: size and scale_factor: exactly one of them must be given")
    name, wanted = ("size", size) if scale_factor is None else ("scale_factor", scale_factor)
    dims = _dims("interpolate", array, name, wanted)
    named = {"linear": ("linear", "bilinear", "trilinear"), "cubic": ("", "bicubic", "tricubic")}
    if mode in named and len(dims) <= 3:
        mode = named[mode][len(dims) - 1] or mode
    flags = {"align_corners": True} if align_corners else {}
    flags |= {"antialias": True} if antialias else {}
    values = tuple(wanted[dim] for dim in dims)  # type: ignore[index]
    given = {name: values, "mode": mode} | flags | options
    data, back = _spatial(array, dims, "interpolate", given)
    rule = "align_corners" if align_corners else "half_pixel"
    rule = "asymmetric" if mode == "nearest" else rule
    positions = {}
    for dim in dims:
        factor = None if scale_factor is None else float(scale_factor[dim])
        lens = array.sizes[dim], back(data).shape[array.get_axis_num(dim)]
        if lens[0] != lens[1] or factor is not None:
            # The centre of what an element repeats is its place, however it is found.
            place = "half_pixel" if mode == "nearest" else rule
            positions[dim] = _positions(place, *lens, factor, None)
    return _rebuilt(array, back(data), positions)


def _spatial(
    array: xr.DataArray, dims: list[Hashable], name: str, given: dict[str, Any]
) -> tuple[Any, Callable[[Any], Any]]:
    """Run an operation whose spatial axes are the last ones; return it and the way back."""
    axes = [array.get_axis_num(dim) for dim in dims]
    order = [axis for axis in range(array.ndim) if axis not in axes] + axes
    inverse = [order.index(axis) for axis in range(array.ndim)]
    data = _operation(name, array.data)(array.data.transpose(order), **given)
    return data, lambda made: made.transpose(inverse)


def _pool(
    name: str,
    array: xr.DataArray,
    kernel_size: Sizes,
    stride: PerDim | None,
    padding: Any,
    dilation: PerDim,
    options: dict[str, Any],
) -> Any:
    """Pool windows along named dimensions."""
    dims = _dims(name, array, "kernel_size", kernel_size)
    if len(dims) > 3:
        given = dict(kernel_size)
        raise ValueError(f"{name}: kernel_size = {given!r}: must name 1 to 3 dimensions")
    kernel = [kernel_size[dim] for dim in dims]
    steps = kernel if stride is None else _each(name, "stride", stride, dims, 1)
    gaps = _each(name, "dilation", dilation, dims, 1)
    pads = padding if isinstance(padding, str) else _each(name, "padding", padding, dims, 0)
    more = {"kernel_size": kernel, "stride": steps, "padding": pads, "dilation": gaps} | options
    data, back = _spatial(array, dims, f"{name}{len(dims)}d", more)
    first = back(data[0] if isinstance(data, tuple) else data)
    positions = {}
    for i, dim in enumerate(dims):
        length, count = array.sizes[dim], first.shape[array.get_axis_num(dim)]
        span = (kernel[i] - 1) * gaps[i]
        before = _before(pads if isinstance(pads, str) else pads[i], length, steps[i], span + 1)
        positions[dim] = np.arange(count) * float(steps[i]) - before + span / 2
    if isinstance(data, tuple):
        return _both(array, data, back, positions)
    return _rebuilt(array, first, positions)


def _both(
    array: xr.DataArray, data: Any, back: Callable[[Any], Any], positions: dict[Hashable, Any]
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return values and indices as arrays with the same coordinates."""
    values = _rebuilt(array, back(data[0]), positions)
    indices = _rebuilt(array, back(data[1]), positions, "indices")
    indices.attrs = {}
    return values, indices


def _before(pad: Any, length: int, stride: int, span: int) -> int:
    """Return the elements of padding before an axis."""
    if isinstance(pad, str):
        return named_padding(pad, length, span, stride)[0]
    return int(pad[0] if isinstance(pad, (tuple, list)) else pad)


def max_pool(
    array: xr.DataArray,
    kernel_size: Sizes,
    stride: PerDim | None = None,
    padding: Any = 0,
    dilation: PerDim = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    **options: Any,
) -> Any:
    """Return the largest element of every window, as :func:`upsample_rs.max_pool2d`.

    Parameters
    ----------
    array : DataArray
        What is pooled.
    kernel_size : mapping
        Elements of a window along one to three dimensions.
    stride, dilation : int or mapping, optional
        For all of those dimensions, or for each.
    padding : int, str or mapping, default 0
        The same; an entry may be a pair, and ``"same"`` or ``"same_lower"`` stands for all.
    ceil_mode, return_indices : bool, default False
        As there. Indices are flat in the dimensions of `kernel_size`, in the array's order.
    **options
        `index_dtype`, as there.

    Returns
    -------
    DataArray, or a tuple of two
        The coordinate of a window is that of its middle.

    Raises
    ------
    ValueError, TypeError
        A dimension that is not there; else as :func:`upsample_rs.max_pool2d`.

    Examples
    --------
    >>> import xarray as xr
    >>> import upsample_rs.xarray as usx
    >>> x = xr.DataArray([3, 1, 4, 1, 5, 9], {"x": [0, 1, 2, 3, 4, 5]})
    >>> usx.max_pool(x, {"x": 3}).x.values
    array([1., 4.])
    """
    more = {"ceil_mode": ceil_mode, "return_indices": return_indices} | options
    return _pool("max_pool", array, kernel_size, stride, padding, dilation, more)


def min_pool(
    array: xr.DataArray,
    kernel_size: Sizes,
    stride: PerDim | None = None,
    padding: Any = 0,
    dilation: PerDim = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    **options: Any,
) -> Any:
    """Return the smallest element of every window: :func:`max_pool`, mirrored.

    Parameters
    ----------
    array, kernel_size, stride, padding, dilation, ceil_mode, return_indices, **options
        As for :func:`max_pool`.

    Returns
    -------
    DataArray, or a tuple of two
        As there.

    Examples
    --------
    >>> import xarray as xr
    >>> import upsample_rs.xarray as usx
    >>> usx.min_pool(xr.DataArray([3, 1, 4, 1, 5, 9], dims="x"), {"x": 3}).values
    array([1, 1])
    """
    more = {"ceil_mode": ceil_mode, "return_indices": return_indices} | options
    return _pool("min_pool", array, kernel_size, stride, padding, dilation, more)


def avg_pool(
    array: xr.DataArray,
    kernel_size: Sizes,
    stride: PerDim | None = None,
    padding: Any = 0,
    dilation: PerDim = 1,
    ceil_mode: bool = False,
    **options: Any,
) -> xr.DataArray:
    """Return the mean of every window, as :func:`upsample_rs.avg_pool2d`.

    Parameters
    ----------
    array, kernel_size, stride, padding, dilation, ceil_mode
        As for :func:`max_pool`.
    **options
        `count_include_pad`, `divisor_override` and `rounding`, as there.

    Returns
    -------
    DataArray
        As for :func:`max_pool`.

    Examples
    --------
    >>> import xarray as xr
    >>> import upsample_rs.xarray as usx
    >>> usx.avg_pool(xr.DataArray([3.0, 1.0, 4.0, 2.0], dims="x"), {"x": 2}).values
    array([2., 3.])
    """
    more = {"ceil_mode": ceil_mode} | options
    made: xr.DataArray = _pool("avg_pool", array, kernel_size, stride, padding, dilation, more)
    return made


def lp_pool(
    array: xr.DataArray,
    norm_type: float,
    kernel_size: Sizes,
    stride: PerDim | None = None,
    padding: Any = 0,
    dilation: PerDim = 1,
    ceil_mode: bool = False,
    **options: Any,
) -> xr.DataArray:
    """Return the norm of every window, as :func:`upsample_rs.lp_pool2d`.

    Parameters
    ----------
    array, kernel_size, stride, padding, dilation, ceil_mode
        As for :func:`max_pool`.
    norm_type : float
        The exponent.
    **options
        `rounding`, as there.

    Returns
    -------
    DataArray
        As for :func:`max_pool`.

    Examples
    --------
    >>> import xarray as xr
    >>> import upsample_rs.xarray as usx
    >>> usx.lp_pool(xr.DataArray([3.0, 4.0], dims="x"), 2, {"x": 2}).values
    array([5.])
    """
    more = {"ceil_mode": ceil_mode, "norm_type": norm_type} | options
    made: xr.DataArray = _pool("lp_pool", array, kernel_size, stride, padding, dilation, more)
    return made


def _adaptive(name: str, array: xr.DataArray, size: Sizes, options: dict[str, Any]) -> Any:
    dims = _dims(name, array, "output_size", size)
    if len(dims) > 3:
        raise ValueError(f"{name}: output_size = {dict(size)!r}: must name 1 to 3 dimensions")
    given = {"output_size": [size[dim] for dim in dims]} | options
    data, back = _spatial(array, dims, f"{name}{len(dims)}d", given)
    positions = {}
    for dim in dims:
        length, count = array.sizes[dim], size[dim]
        start = np.arange(count) * length // count
        end = -(-(np.arange(count) + 1) * length // count)
        if length != count:
            positions[dim] = (start + end - 1) / 2
    if isinstance(data, tuple):
        return _both(array, data, back, positions)
    return _rebuilt(array, back(data), positions)


def adaptive_max_pool(
    array: xr.DataArray, output_size: Sizes, return_indices: bool = False, **options: Any
) -> Any:
    """Return the largest element of so many windows, as :func:`upsample_rs.adaptive_max_pool2d`.

    Parameters
    ----------
    array : DataArray
        What is pooled.
    output_size : mapping
        Windows along one to three dimensions.
    return_indices : bool, default False
        As for :func:`max_pool`.
    **options
        `index_dtype`, as there.

    Returns
    -------
    DataArray, or a tuple of two
        As for :func:`max_pool`.

    Examples
    --------
    >>> import xarray as xr
    >>> import upsample_rs.xarray as usx
    >>> usx.adaptive_max_pool(xr.DataArray([3, 1, 4, 1, 5], dims="x"), {"x": 2}).values
    array([4, 5])
    """
    more = {"return_indices": return_indices} | options
    return _adaptive("adaptive_max_pool", array, output_size, more)


def adaptive_avg_pool(array: xr.DataArray, output_size: Sizes, **options: Any) -> xr.DataArray:
    """Return the mean of so many windows, as :func:`upsample_rs.adaptive_avg_pool2d`.

    Parameters
    ----------
    array : DataArray
        What is pooled.
    output_size : mapping
        Windows along one to three dimensions.
    **options
        `rounding`, as there.

    Returns
    -------
    DataArray
        As for :func:`max_pool`.

    Examples
    --------
    >>> import xarray as xr
    >>> import upsample_rs.xarray as usx
    >>> usx.adaptive_avg_pool(xr.DataArray([3.0, 1.0, 4.0, 2.0], dims="x"), {"x": 1}).values
    array([2.5])
    """
    made: xr.DataArray = _adaptive("adaptive_avg_pool", array, output_size, options)
    return made
