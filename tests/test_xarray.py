"""DataArrays: named dimensions, and coordinates that say where the results lie."""

import numpy as np
import pytest

import upsample_rs as us

xr = pytest.importorskip("xarray")
usx = pytest.importorskip("upsample_rs.xarray")
pytest.importorskip("dask.array")

RNG = np.random.default_rng(5)
FOUR = dict.fromkeys("tyxw", 1)


def field(*shape, dims="tyx"):
    coords = {
        "t": np.datetime64("2026-01-01") + np.arange(shape[0]).astype("m8[D]") * 2,
        "y": np.linspace(-1, 1, shape[1]),
        "x": 10 * np.arange(shape[2]),
        "label": ("y", [f"row {i}" for i in range(shape[1])]),
        "area": (("y", "x"), RNG.random(shape[1:])),
        "scalar": 7,
    }
    return xr.DataArray(
        RNG.random(shape), coords, tuple(dims), "field", {"units": "K"}
    ).assign_coords(month=("t", np.arange(shape[0])))


def test_dimensions_are_named_and_may_lie_anywhere():
    x = field(4, 6, 8)
    for chunks in ({}, {"t": 2, "y": 5, "x": 3}):
        lazy = x.chunk(chunks) if chunks else x
        made = usx.resize(lazy, {"t": 5, "x": 12}, method={"t": "cubic"}, antialias=True)
        want = us.resize(x.values, (5, 12), axes=(0, 2), method=("cubic", "linear"), antialias=True)
        assert made.dims == x.dims and made.name == "field" and made.attrs == {"units": "K"}
        assert (made.chunks is not None) == bool(chunks)
        np.testing.assert_array_equal(made.values, want)
        pooled = usx.max_pool(lazy, {"t": 2, "y": 3}, stride={"y": 1})
        by_hand = us.max_pool2d(x.values.transpose(2, 0, 1), (2, 3), (1, 1)).transpose(1, 2, 0)
        np.testing.assert_array_equal(pooled.values, by_hand)


def test_the_order_of_a_mapping_means_nothing():
    x = field(4, 6, 8)
    one = usx.avg_pool(x, {"y": 3, "t": 2}, padding={"y": 1})
    other = usx.avg_pool(x, {"t": 2, "y": 3}, padding={"t": 0, "y": 1})
    xr.testing.assert_identical(one, other)


def test_coordinates_of_resized_dimensions():
    x = field(3, 4, 4)
    made = usx.resize(x, {"x": 8, "t": 6})
    np.testing.assert_allclose(made.x.values, np.arange(8) * 5 - 2.5)
    assert made.t.dtype.kind == "M" and len(made.t) == 6
    np.testing.assert_allclose(made.month.values, (np.arange(6) + 0.5) / 2 - 0.5)
    xr.testing.assert_identical(made.y, x.y)
    assert made.scalar == 7 and "label" in made.coords and "area" not in made.coords
    assert "label" not in usx.resize(x, {"y": 3}).coords
    corners = usx.resize(x, {"x": 7}, coordinates="align_corners")
    np.testing.assert_allclose(corners.x.values, np.arange(7) * 5)
    by_factor = usx.resize(x, scale={"x": 1.7}, coordinates="asymmetric")
    np.testing.assert_allclose(by_factor.x.values, np.arange(6) / 1.7 * 10)
    crop = usx.resize(x, {"x": 3}, coordinates={"x": "tf_crop_and_resize"}, roi={"x": (0.25, 0.75)})
    np.testing.assert_allclose(crop.x.values, [7.5, 15, 22.5])


@pytest.mark.parametrize("rule", ["half_pixel", "align_corners", "asymmetric"])
@pytest.mark.parametrize("size", [3, 9, 16])
def test_a_coordinate_is_where_linear_interpolation_reads(rule, size):
    """Away from the ends, a ramp resized linearly has the values of its own coordinate."""
    x = xr.DataArray(np.arange(9.0), {"x": np.arange(9.0)}, ("x",))
    made = usx.resize(x, {"x": size}, coordinates=rule)
    inside = (made.x.values >= 0) & (made.x.values <= 8)
    np.testing.assert_allclose(made.values[inside], made.x.values[inside], atol=1e-12)


def test_coordinates_of_windows_are_their_middles():
    x = xr.DataArray(np.arange(10.0), {"x": np.arange(10.0)}, ("x",))
    for options in (
        {"kernel_size": {"x": 3}},
        {"kernel_size": {"x": 3}, "stride": 1, "padding": "same"},
        {"kernel_size": {"x": 2}, "stride": 2, "dilation": 3},
    ):
        made = usx.avg_pool(x, **options, count_include_pad=False)
        inside = slice(1, -1)
        np.testing.assert_allclose(made.values[inside], made.x.values[inside])
    bins = usx.adaptive_avg_pool(x, {"x": 4})
    np.testing.assert_allclose(bins.values, bins.x.values)
    values, places = usx.max_pool(x, {"x": 3}, return_indices=True)
    xr.testing.assert_identical(values.x, places.x)
    assert places.name == "indices" and places.values.tolist() == [2, 5, 8]


def test_interpolate():
    x = field(4, 6, 8)
    made = usx.interpolate(x, scale_factor={"y": 2, "x": 2}, mode="linear")
    want = us.interpolate(x.values, scale_factor=(2, 2), mode="bilinear")
    np.testing.assert_array_equal(made.values, want)
    nearest = usx.interpolate(x, {"x": 16})
    np.testing.assert_array_equal(nearest.values, np.repeat(x.values, 2, axis=2))
    np.testing.assert_allclose(nearest.x.values, (np.arange(16) + 0.5) * 5 - 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: usx.resize(x, {"z": 3}), "resize: size = {'z': 3}: must name some of the dim"),
        (lambda x: usx.resize(x), "resize: size and scale: exactly one of them must be given"),
        (lambda x: usx.resize(x, {"x": 3}, method={"y": "cubic"}), "resize: method = {'y': 'cub"),
        (lambda x: usx.max_pool(x, {}), "max_pool: kernel_size = {}: must name some"),
        (lambda x: usx.max_pool(x, {"x": 99}), "max_pool1d: kernel_size[0] = 99 exceeds axis W"),
        (lambda x: usx.avg_pool(x, {"x": 2}, stride={"y": 1}), "avg_pool: stride = {'y': 1}: must"),
        (lambda x: usx.interpolate(x), "interpolate: size and scale_factor: exactly one of them"),
        (
            lambda x: usx.max_pool(x, FOUR),
            "max_pool: kernel_size = {'t': 1, 'y': 1, 'x': 1, 'w': 1",
        ),
        (lambda x: usx.adaptive_max_pool(x, FOUR), "adaptive_max_pool: output_size = {'t': 1, 'y'"),
        (lambda x: usx.resize(x, 3), "resize: size = 3: must be a mapping from dimensions"),
        (lambda x: usx.resize(x, {"x": 3}, axes=(0,)), "resize: keep_aspect_ratio, axes, out: are"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(call, message):
    with pytest.raises((ValueError, TypeError)) as refused:
        call(field(2, 3, 4).expand_dims("w"))
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_only_data_arrays():
    with pytest.raises(TypeError, match="resize: array = ndarray: must be an xarray.DataArray"):
        usx.resize(np.ones(3), {"x": 3})


def test_coordinates_of_single_elements_and_symmetric_halves():
    one = xr.DataArray([[7.0]], {"a": [3.0], "b": [5.0]})
    np.testing.assert_array_equal(usx.resize(one, {"a": 1, "b": 1}).b, [5.0])
    # Two results lie on both sides of a single coordinate, which says not how far.
    assert "b" not in usx.resize(one, {"b": 2}).coords
    x = xr.DataArray(np.arange(6.0), {"a": np.arange(6.0)})
    # Of values that are their own coordinates, the coordinates go where the values do.
    rule = "half_pixel_symmetric"
    halved = usx.resize(x, scale={"a": 0.7}, coordinates=rule)
    np.testing.assert_allclose(halved.a, halved.values, rtol=1e-6)
    # One output of PyTorch's rule is the first element, wherever the size is one.
    first = usx.resize(x, {"a": 1}, coordinates="pytorch_half_pixel")
    np.testing.assert_array_equal(first.a, first.values)
    options = {"coordinates": "tf_crop_and_resize", "roi": {"a": (0.2, 0.6)}}
    cropped = usx.resize(x, {"a": 1}, **options)
    np.testing.assert_allclose(cropped.a, [2.0])
    np.testing.assert_allclose(cropped.values, [2.0])


def test_positions_of_adaptive_maxima():
    x = xr.DataArray(np.arange(12.0).reshape(3, 4), {"a": [0, 1, 2], "b": [0.0, 1.0, 2.0, 3.0]})
    values, places = usx.adaptive_max_pool(x, {"b": 2}, return_indices=True)
    np.testing.assert_array_equal(values, [[1, 3], [5, 7], [9, 11]])
    np.testing.assert_array_equal(places, [[1, 3]] * 3)
    np.testing.assert_array_equal(values.b, [0.5, 2.5])
