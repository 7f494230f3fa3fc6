"""`resize` and `interpolate` against PyTorch, Pillow, OpenCV and SciPy, each where it is installed.

What each call here equals there is in docs/from; these tests run it over many sizes and dtypes.
"""

import numpy as np
import pytest

import strategies as sts
import upsample_rs as us

pytestmark = pytest.mark.peer

SIZES = [(5, 13), (14, 20), (33, 9), (21, 30), (1, 1)]
SHAPE = (21, 30)


def pixels(dtype, shape=SHAPE):
    """Levels a camera could give, or numbers around zero."""
    return sts.values(shape, np.dtype(dtype), 1)


def levels_apart(one, other):
    """The largest difference of two pictures of integers."""
    return int(abs(one.astype(np.int64) - other.astype(np.int64)).max())


# --- PyTorch --------------------------------------------------------------------------------------

RANKS = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}


@pytest.mark.parametrize("align_corners", [None, True])
@pytest.mark.parametrize("mode", ["linear", "bilinear", "trilinear", "bicubic"])
def test_torch_filters(mode, align_corners):
    torch = pytest.importorskip("torch")
    n = RANKS[mode]
    x = pixels("f4", (2, 3, *(7, 10, 9)[:n]))
    for size in [(5, 13, 4), (14, 20, 18), (7, 10, 9), (1, 1, 1)]:
        options = {"mode": mode, "align_corners": align_corners}
        theirs = torch.tensor(x, requires_grad=True)
        want = torch.nn.functional.interpolate(theirs, size=size[:n], **options)
        got = us.interpolate(x, size[:n], **options)
        np.testing.assert_allclose(got, want.detach(), rtol=1e-5, atol=1e-5)
        want.backward(torch.tensor(got))
        back = us.interpolate_backward(got, x.shape, **options)
        np.testing.assert_allclose(back, theirs.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "area"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_torch_modes_of_any_rank(mode, n):
    torch = pytest.importorskip("torch")
    x = pixels("f4", (2, 3, *(7, 10, 9)[:n]))
    for size in [(5, 13, 4), (14, 20, 18), (3, 3, 3)]:
        want = torch.nn.functional.interpolate(torch.tensor(x), size=size[:n], mode=mode)
        got = us.interpolate(x, size[:n], mode=mode)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", ["f4", "u1"])
def test_torch_antialias(mode, dtype):
    """Floats agree; of bytes torch rounds each pass, so it is off by a level or more by itself."""
    torch = pytest.importorskip("torch")
    x = pixels(dtype, (1, 3, *SHAPE))
    for size in SIZES[:-1]:  # to one pixel of bytes it fails
        options = {"size": size, "mode": mode, "antialias": True}
        want = torch.nn.functional.interpolate(torch.tensor(x), **options).numpy()
        got = us.interpolate(x, **options)
        if dtype == "f4":
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
        elif mode == "bilinear":
            assert levels_apart(got, want) <= 1, size
        else:
            # Clipped between its passes, too: only where exact arithmetic agrees is it a level.
            exact = us.interpolate(x.astype(np.float64), **options)
            wide = np.clip(np.floor(exact + 0.5), 0, 255)
            near = abs(want - wide) <= 1
            assert np.mean(near) > 0.9 and levels_apart(got[near], want[near]) <= 1


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_torch_bytes(mode):
    torch = pytest.importorskip("torch")
    x = pixels("u1", (1, 3, *SHAPE))
    for size in SIZES[:-1]:
        want = torch.nn.functional.interpolate(torch.tensor(x), size=size, mode=mode).numpy()
        exact = us.interpolate(x.astype(np.float64), size=size, mode=mode)
        near = abs(want - np.clip(exact, 0, 255)) <= 1.5
        got = us.interpolate(x, size=size, mode=mode)
        assert np.mean(near) > 0.9 and levels_apart(got[near], want[near]) <= 1


def test_torch_scale_factor():
    torch = pytest.importorskip("torch")
    x = pixels("f4", (1, 1, *SHAPE))
    for factor in (0.37, 1.3, 2.5):
        for recompute in (None, True):
            options = {"scale_factor": factor, "mode": "bicubic"}
            options["recompute_scale_factor"] = recompute
            want = torch.nn.functional.interpolate(torch.tensor(x), **options)
            got = us.interpolate(x, **options)
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


# --- Pillow ---------------------------------------------------------------------------------------

PILLOW = {
    "BILINEAR": "linear",
    "BICUBIC": "cubic",
    "LANCZOS": "lanczos3",
    "BOX": "box",
    "HAMMING": "hamming",
}


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("dtype", ["f4", "u1"])
def test_pillow(name, dtype):
    """Floats agree; bytes are within a level wherever Pillow is within one of exact arithmetic."""
    image = pytest.importorskip("PIL.Image")
    x = pixels(dtype)
    for height, width in SIZES:
        options = {"method": PILLOW[name], "antialias": True}
        want = np.asarray(image.fromarray(x).resize((width, height), image.Resampling[name]))
        got = us.resize(x, (height, width), **options)
        if dtype == "f4":
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
            continue
        exact = np.clip(us.resize(x.astype(np.float64), (height, width), **options), 0, 255)
        near = abs(want - exact) <= 1
        assert np.mean(near) > 0.75 and levels_apart(got[near], want[near]) <= 1


def test_pillow_nearest():
    image = pytest.importorskip("PIL.Image")
    x = pixels("u1")
    for height, width in [(5, 14), (14, 20), (33, 8)]:  # nowhere between two, where it takes either
        want = np.asarray(image.fromarray(x).resize((width, height), image.Resampling.NEAREST))
        assert np.array_equal(us.resize(x, (height, width), method="nearest"), want)


# --- OpenCV ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, method", [("LINEAR", "linear"), ("CUBIC", "cubic")])
@pytest.mark.parametrize("dtype", ["f4", "u1"])
def test_opencv(name, method, dtype):
    cv2 = pytest.importorskip("cv2")
    x = pixels(dtype)
    for height, width in SIZES:
        want = cv2.resize(x, (width, height), interpolation=getattr(cv2, "INTER_" + name))
        got = us.resize(x, (height, width), method=method)
        if dtype == "u1":
            assert levels_apart(got, want) <= 1
        else:
            # Its coordinates are float32.
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["f4", "u1"])
def test_opencv_area_when_shrinking(dtype):
    cv2 = pytest.importorskip("cv2")
    x = pixels(dtype)
    for height, width in [(7, 10), (5, 13), (20, 29), (21, 15), (1, 1)]:
        want = cv2.resize(x, (width, height), interpolation=cv2.INTER_AREA)
        got = us.resize(x, (height, width), method="area")
        if dtype == "u1":
            assert levels_apart(got, want) <= 1
        else:
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


# --- SciPy ----------------------------------------------------------------------------------------

SCIPY_EDGES = {
    "nearest": "clamp",
    "reflect": "reflect",
    "mirror": "mirror",
    "grid-wrap": "wrap",
    "grid-constant": "constant",
}


@pytest.mark.parametrize("mode", SCIPY_EDGES)
@pytest.mark.parametrize("order", [0, 1])
def test_scipy_zoom(order, mode):
    """With `grid_mode` pixels are areas; the sizes are rounded there, so they are given here."""
    ndimage = pytest.importorskip("scipy.ndimage")
    x = pixels("f8", (7, 9, 5))
    for zoom in [(2, 2, 2), (1.5, 0.5, 3), (0.4, 1, 2.2)]:
        want = ndimage.zoom(x, zoom, order=order, mode=mode, grid_mode=True, cval=2.0)
        edge = {"edge": SCIPY_EDGES[mode], "fill": 2.0}
        got = us.resize(x, want.shape, method=("nearest", "linear")[order], **edge)
        if order == 0:  # of two equally near it takes either, as rounding has it
            near = np.isclose(got, want)
            ties = us.resize(
                x, want.shape, method="nearest", nearest_rounding="round_prefer_floor", **edge
            )
            assert np.all(near | np.isclose(ties, want) | (got != ties))
            continue
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_scipy_zoom_of_points():
    """Without `grid_mode` the corners are aligned."""
    ndimage = pytest.importorskip("scipy.ndimage")
    x = pixels("f8", (7, 9))
    for zoom in [(2, 2), (1.5, 0.5)]:
        want = ndimage.zoom(x, zoom, order=1)
        got = us.resize(x, want.shape, coordinates="align_corners")
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)
