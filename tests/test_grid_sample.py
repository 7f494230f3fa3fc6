"""`grid_sample` and its backward. The oracle is in `reference_grid.py`."""

from __future__ import annotations

import functools
import math
import runpy
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import reference_grid as ref_grid
import strategies as sts
import upsample_rs as us
from cases import Case

MODES = ("nearest", "bilinear", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
RULES = [(m, p, a) for m in MODES for p in PADDINGS for a in (False, True)]
TAPS = {"nearest": 1, "bilinear": 2, "bicubic": 4}
NAN, INF = float("nan"), float("inf")

# --- cases ----------------------------------------------------------------------------------------


class GridCase(Case):
    """Weights and slopes may be negative, so absolute arrays are not enough for the magnitude."""

    @functools.cached_property
    def magnitude(self):
        arrays = (a if a.dtype.kind in "biu" else abs(a) for a in self.arrays[:-1])
        return self.oracle(*arrays, self.arrays[-1], absolute=True)


def coordinates(shape, dtype, seed, odd):
    """Points in and around an array, many on elements and edges; `odd`: some not finite, or far."""
    rng = np.random.default_rng(seed)
    grid = rng.uniform(-1.6, 1.6, shape) * rng.choice([0.5, 1.0, 3.0])
    tidy = rng.integers(-12, 13, shape) / rng.choice([2, 4, 5, 6])
    grid = np.where(rng.random(shape) < 0.4, tidy, grid)
    if odd:
        some = np.array([NAN, INF, -INF, 6e4, -6e4, 1e38, -1e38])[rng.integers(0, 7, shape)]
        grid = np.where(rng.random(shape) < 0.15, some, grid)
    with np.errstate(over="ignore"):
        return grid.astype(dtype)


@st.composite
def shapes(draw, budget):
    """(leading axes, how many of them the grid has, *S, *S_out) that are not ambiguous."""
    n = draw(st.integers(2, 3))
    lead = draw(sts.leading_axes())
    if n == 3 and len(lead) == 1:
        lead = (2, *lead)
    shared = draw(st.integers(0 if n == 2 else min(len(lead), 1), max(len(lead) - 1, 0)))
    count = math.prod(lead[:shared])
    out = draw(sts.shapes(n, max(budget // count, 1)))
    size = draw(sts.shapes(n, 200))
    if (n == 2 or shared) and draw(st.integers(0, 3)) == 0:  # channels enough for whole vectors
        lead = (*lead[:shared], draw(st.sampled_from([3, 4, 5, 17, 33, 70])))
        size = tuple(min(s, 5) for s in size)
    return lead, shared, size, out


@st.composite
def sample_cases(draw, dtypes=None, modes=MODES, specials=True, same=False):
    """`same`: the grid has the dtype of the array."""
    mode = draw(st.sampled_from(modes))
    dtype = draw(st.sampled_from(dtypes or (sts.MOVED if mode == "nearest" else sts.RESIZED)))
    padding, align = draw(st.sampled_from(PADDINGS)), draw(st.booleans())
    budget = {"nearest": 200, "bilinear": 100, "bicubic": 20}[mode]
    lead, shared, size, out = draw(shapes(budget))
    n = len(size)
    seed = draw(sts.seeds)
    x = sts.values((*lead, *size), dtype, seed, specials and draw(st.booleans()))
    grid_dtype = dtype if same else draw(st.sampled_from(sts.FLOATS))
    grid = coordinates((*lead[:shared], *out, n), grid_dtype, seed + 1, draw(st.booleans()))
    rule = (mode, padding, align)
    return draw(cases.placed(sample_case(x, grid, rule, draw(st.sampled_from(list(ref.ROUNDING))))))


def sample_case(x, grid, rule, rounding="nearest"):
    mode, padding, align = rule
    n = grid.shape[-1]
    corners = TAPS[mode] ** n
    options = {"mode": mode, "padding_mode": padding, "align_corners": align}

    def gradient(grad):
        def oracle(g, x, _, absolute=False):
            return ref_grid.grid_sample_backward(g, x, grid, *rule, absolute)

        points = grid.size // n * corners
        channels = math.prod(x.shape) // max(math.prod(x.shape[-n:]), 1)
        return GridCase(
            op="grid_sample_backward",
            n=n,
            arrays=(grad, x, grid),
            options=options,
            oracle=oracle,
            exact=False,
            terms=(points + 6, (channels + 3) * corners + 12),
            slack=64.0 * corners * max(points, channels) * max(x.shape[-n:]),
            moved_in=(True, True, False),
            moved_out=(True, False),
        )

    return GridCase(
        op="grid_sample",
        n=n,
        arrays=(x, grid),
        options={**options, "rounding": rounding} if x.dtype.kind in "iu" else options,
        oracle=lambda x, _, absolute=False: (ref_grid.grid_sample(x, grid, *rule, absolute),),
        exact=mode == "nearest",
        terms=(corners + 6,),
        slack=64.0 * corners,
        rounding=rounding,
        moved_in=(True, False),
        gradient=gradient,
    )


floats = sample_cases(sts.FLOATS, same=True, specials=False)
forward = sample_cases() | sample_cases(sts.FLOATS)
backward = cases.backward_of(floats)
either = forward | backward

# --- laws -----------------------------------------------------------------------------------------


@given(case=forward)
def test_forward_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=backward)
def test_backward_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=either)
def test_same_bits_at_any_thread_count(isa, case):
    laws.same_bits_at_any_thread_count(case)


@given(case=either)
def test_every_isa_agrees(case):
    laws.every_isa_agrees(case)


@given(case=either, layout=sts.layouts)
def test_strided_equals_contiguous(isa, case, layout):
    laws.strided_equals_contiguous(case, layout)


@given(case=forward, axis=st.integers(0, 3))
def test_zero_stride_equals_copy(isa, case, axis):
    laws.zero_stride_equals_copy(case, axis)


@given(case=forward, layout=st.sampled_from(sts.IN_PLACE))
def test_out_equals_fresh(isa, case, layout):
    laws.out_equals_fresh(case, layout)


@given(case=forward)
def test_bad_out_is_refused(case):
    laws.bad_out_is_refused(case)


@given(case=either)
def test_channels_last_equals_channels_first(isa, case):
    laws.channels_last_equals_channels_first(case)


@given(case=sample_cases((np.dtype("f8"),), specials=False, same=True), seed=sts.seeds)
def test_backward_is_adjoint(isa, case, seed):
    laws.backward_is_adjoint(case, seed)


@given(case=sample_cases((np.dtype("f8"),), specials=False, same=True), seed=sts.seeds)
def test_x_gradient_matches_finite_differences(isa, case, seed):
    laws.backward_matches_finite_differences(case, 0, seed)


@pytest.mark.parametrize(("mode", "padding", "align"), RULES)
@pytest.mark.parametrize("size", [(5, 4), (3, 4, 5)])
def test_grid_gradient_matches_finite_differences(isa, mode, padding, align, size):
    """Between the kinks: each point a little aside from elements and edges."""
    n, rng = len(size), np.random.default_rng(3)
    x = rng.standard_normal((2, 3, *size))
    low = rng.integers(-4, 9, (2, 3, 4, *[1] * (n - 2), n))
    places = low + rng.uniform(0.1, 0.4, low.shape) + rng.integers(0, 2, low.shape) / 2
    lens = np.array(size[::-1])
    grid = 2 * places / (lens - 1) - 1 if align else (2 * places + 1) / lens - 1
    y = rng.standard_normal((2, 3, *low.shape[1:-1]))
    direction = rng.standard_normal(grid.shape)
    rule = {"mode": mode, "padding_mode": padding, "align_corners": align}
    _, gradient = us.grid_sample_backward(y, x, grid, **rule)
    h = 1e-6
    up, down = (us.grid_sample(x, grid + s * direction, **rule) for s in (h, -h))
    slope = np.vdot(up - down, y) / (2 * h)
    assert abs(slope - np.vdot(gradient, direction)) <= 1e-7
    if mode == "nearest":
        assert not gradient.any()


@pytest.mark.parametrize(("mode", "padding", "align"), RULES)
def test_vjp_is_the_backward(mode, padding, align):
    case = sample_case(
        sts.values((2, 3, 4, 5), "f4", 1),
        coordinates((2, 6, 7, 2), "f4", 2, True),
        (mode, padding, align),
    )
    y, pullback = us.vjp(us.grid_sample, *case.arrays, **case.options)
    back = case.backward(3)
    for got, want in zip(pullback(back.arrays[0]), back.run(), strict=True):
        assert laws.same_bits(got, want)
    assert laws.same_bits(y, case.run()[0])


# --- what is particular to points -----------------------------------------------------------------


@pytest.mark.parametrize(("mode", "padding", "align"), RULES)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "i8"])
def test_own_points_give_the_array(isa, mode, padding, align, dtype):
    """Each element read at its own coordinates; lengths whose coordinates are not exact, too."""
    for size in ((6, 11), (5, 4, 7)):
        x = sts.values((2, 3, *size), dtype, 1)
        x = x // 2 if dtype == "i8" else x
        identity = np.eye(len(size), len(size) + 1)
        got = us.grid_sample(x, us.affine_grid(identity, size, align), mode, padding, align)
        if x.dtype.kind in "iu" and dtype != "i8":
            assert np.array_equal(got, x)
        else:
            tolerance = max(np.finfo(dtype).eps, 1e-13) * 4 if x.dtype.kind == "f" else 1e-12
            scale = abs(x.astype(np.float64)).max()
            np.testing.assert_allclose(
                got.astype(np.float64), x.astype(np.float64), atol=tolerance * scale
            )


@pytest.mark.parametrize("odd", [NAN, INF, -INF])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
def test_what_is_not_finite_is_outside(isa, mode, odd, dtype):
    x = np.arange(1.0, 10).reshape(3, 3)
    for n, other in ((2, 0.0), (3, 0.0)):
        array = np.stack([x, x, x]) if n == 3 else x
        grid = np.full((1,) * n + (n,), other, dtype)
        grid[..., 0] = odd
        row = array[1, 1] if n == 3 else array[1]
        read = functools.partial(us.grid_sample, array, grid, mode)
        assert read("zeros").item() == 0
        assert read("border").item() == (row[-1] if odd == INF else row[0])
        assert read("reflection").item() == row[0]
        for padding in PADDINGS:
            grad_x, grad_grid = us.grid_sample_backward(
                np.ones((1,) * n), array, grid, mode, padding
            )
            assert grad_grid[..., 0].item() == 0
            assert np.isfinite(grad_grid.astype(float)).all()
            assert grad_x.sum() == (0 if padding == "zeros" else 1)


@pytest.mark.parametrize("mode", MODES)
def test_far_is_where_the_padding_says(isa, mode):
    x = np.arange(9.0, 0, -1).reshape(3, 3)
    for far in (2.5e38, 1e300, 1e5):
        point = np.full((1, 1, 2), far)
        assert us.grid_sample(x, point, mode).item() == 0
        np.testing.assert_allclose(us.grid_sample(x, point, mode, "border").item(), 1, rtol=1e-12)
        np.testing.assert_allclose(us.grid_sample(x, -point, mode, "border").item(), 9, rtol=1e-12)
        assert 1 <= us.grid_sample(x, point, mode, "reflection").item() <= 9.5


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_one_element_is_everywhere(isa, mode, align):
    x, grid = np.full((1, 1, 1, 1), 3.0), np.array([-7, -1, 0, 0.3, 5]).reshape(1, 1, 5, 1)
    grid = np.concatenate([grid, grid[:, :, ::-1]], -1)
    for padding in ("border", "reflection"):
        got = us.grid_sample(x, grid, mode, padding, align)
        np.testing.assert_allclose(got, 3, rtol=1e-12)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("special", [NAN, INF, -INF])
@pytest.mark.parametrize("last", [False, True])
def test_weightless_neighbours_are_not_read(isa, mode, special, last):
    """A point on an element has its value; the NaN beside it has no weight."""
    x = np.full((1, 5, 9, 9), special)
    x[..., ::2, ::2] = 3
    step = np.arange(0, 9, 2) / 4 - 1
    grid = np.stack(np.meshgrid(step, step), -1)[None]
    given_x = np.moveaxis(x, 1, -1) if last else x
    got = us.grid_sample(given_x, grid, mode, align_corners=True, channels_last=last)
    assert np.array_equal(got, np.full_like(got, 3))
    grad = us.grid_sample_backward(
        np.full_like(got, special), given_x, grid, mode, align_corners=True, channels_last=last
    )[0]
    touched = ~np.isfinite(np.moveaxis(grad, -1, 1) if last else grad)
    assert touched[..., ::2, ::2].all() and touched.sum() == 5 * 25


def test_ties_go_to_the_even_element(isa):
    x = np.arange(8.0).reshape(1, 8)
    places = np.arange(0.5, 7)
    grid = np.stack([(2 * places + 1) / 8 - 1, 0 * places], -1)[None]
    assert us.grid_sample(x, grid, "nearest").tolist() == [[0, 2, 2, 4, 4, 6, 6]]


def test_leading_axes():
    """Those of the grid are the first ones of the array; none serves all of it."""
    x = sts.values((2, 3, 4, 5, 6), "f8", 1)
    grid = coordinates((2, 3, 7, 8, 2), "f8", 2, False)
    whole = us.grid_sample(x, grid)
    assert whole.shape == (2, 3, 4, 7, 8)
    for i, j in np.ndindex(2, 3):
        assert np.array_equal(whole[i, j], us.grid_sample(x[i, j], grid[i, j]))
    shared = us.grid_sample(x, grid[0, 0])
    assert np.array_equal(shared[0, 0], whole[0, 0]) and shared.shape == whole.shape
    assert np.array_equal(us.grid_sample(x[0, 0, 0], grid[0, 0]), whole[0, 0, 0])
    assert np.array_equal(us.grid_sample(x[:, 0, 0], grid[:, 0]), whole[:, 0, 0])
    last = us.grid_sample(np.moveaxis(x, 2, -1), grid, channels_last=True)
    np.testing.assert_allclose(np.moveaxis(last, -1, 2), whole, atol=1e-14)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grid_dtype", sts.FLOATS, ids=str)
@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
def test_grid_of_another_dtype(isa, mode, dtype, grid_dtype):
    """It is read as it is, and has a gradient of its own dtype."""
    x = sts.values((2, 3, 5, 6), dtype, 1)
    grid = coordinates((2, 4, 7, 2), grid_dtype, 2, False)
    wide = grid.astype(np.float64)
    assert laws.same_bits(us.grid_sample(x, grid, mode), us.grid_sample(x, wide, mode))
    grad = sts.values((2, 3, 4, 7), dtype, 3)
    got, want = (us.grid_sample_backward(grad, x, g, mode) for g in (grid, wide))
    assert laws.same_bits(got[0], want[0])
    assert got[1].dtype == grid_dtype
    rounded = want[1] if grid_dtype == np.float64 else want[1].astype(np.float32).astype(grid_dtype)
    assert np.array_equal(got[1], rounded)


def test_output_mask(isa):
    x, grid = sts.values((2, 3, 5, 6), "f4", 1), coordinates((2, 4, 7, 2), "f4", 2, True)
    grad = sts.values((2, 3, 4, 7), "f4", 3)
    both = us.grid_sample_backward(grad, x, grid)
    for mask in ((True, False), (False, True), (False, False), [1, 0]):
        for got, want, wanted in zip(
            us.grid_sample_backward(grad, x, grid, output_mask=mask), both, mask, strict=True
        ):
            assert got is None if not wanted else laws.same_bits(got, want)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 16, 19, 70])
@pytest.mark.parametrize("dtype", ["f4", "f2", "u1"])
@pytest.mark.parametrize("mode", MODES)
def test_more_points_than_a_run_holds(isa, channels, dtype, mode):
    """Large grids, in planes and side by side, over images cut into stretches."""
    x = sts.values((2, channels, 37, 53), dtype, 5)
    grid = coordinates((2, 23, 41, 2), "f4", 6, True)
    first = us.grid_sample(x, grid, mode, "border")
    last = us.grid_sample(np.moveaxis(x, 1, -1), grid, mode, "border", channels_last=True)
    assert first.shape == (2, channels, 23, 41)
    wide = first.astype(np.float64), np.moveaxis(last, -1, 1).astype(np.float64)
    one = us.grid_sample(x[1, -1], grid[1], mode, "border").astype(np.float64)
    tolerance = {"f4": 1e-5, "f2": 0.01, "u1": 0}[dtype]
    np.testing.assert_allclose(*wide, atol=tolerance)
    np.testing.assert_allclose(wide[0][1, -1], one, atol=tolerance)
    if dtype != "u1":
        grad = sts.values(first.shape, dtype, 7)
        moved = [np.moveaxis(a, 1, -1) for a in (grad, x)]
        got = us.grid_sample_backward(grad, x, grid, mode, "border")
        turned = us.grid_sample_backward(*moved, grid, mode, "border", channels_last=True)
        turned = (np.moveaxis(turned[0], -1, 1), turned[1])
        for a, b in zip(got, turned, strict=True):
            a, b = a.astype(np.float64), b.astype(np.float64)
            np.testing.assert_allclose(a, b, atol=1e-3 * (1 + abs(a).max()))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 40])
def test_stretches_change_no_bit(channels, last):
    """The gradient of a large image is cut according to the number of threads."""
    x = np.zeros((1, channels, 260, 300), "f4")
    grid = coordinates((1, 50, 60, 2), "f4", 1, True)
    grad = sts.values((1, channels, 50, 60), "f4", 1)
    if last:
        x, grad = np.moveaxis(x, 1, -1), np.moveaxis(grad, 1, -1)
    results = []
    for threads in (1, 2, 7, 64):
        us.set_num_threads(threads)
        results.append(us.grid_sample_backward(grad, x, grid, channels_last=last)[0])
    assert all(laws.same_bits(r, results[0]) for r in results[1:])
    want = ref_grid.grid_sample_backward(
        *(np.moveaxis(a, -1, 1)[:, :1] if last else a[:, :1] for a in (grad, x)),
        grid,
        "bilinear",
        "zeros",
        False,
    )[0]
    got = (np.moveaxis(results[0], -1, 1) if last else results[0])[:, :1]
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_large_offsets():
    """More than 2**31 elements, by strides of zero: places are 64-bit."""
    x = np.broadcast_to(np.float32(2), (1, 1, 32769, 65536))
    corners = np.array([[[[-1, -1], [1, -1]], [[-1, 1], [1, 1]]]], "f4")
    assert np.array_equal(us.grid_sample(x, corners, align_corners=True), np.full((1, 1, 2, 2), 2))


def test_a_grid_that_changes_meanwhile():
    """What another thread writes may or may not be seen; nothing outside the array ever is."""
    x = np.full((1, 8, 64, 64), 5, "f4")
    grid = np.zeros((1, 128, 128, 2), "f4")
    stop = threading.Event()

    def change():
        values = [0.3, 1e30, NAN, -0.9, INF]
        while not stop.is_set():
            for v in values:
                grid[:, ::3] = v

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(20):
            got = us.grid_sample(x, grid, padding_mode="border")
            assert got.min() == got.max() == 5
            us.grid_sample_backward(got, x, grid)
    finally:
        stop.set()
        thread.join()


def test_nothing_to_do():
    assert us.grid_sample(np.ones((0, 3, 4, 4)), np.ones((0, 5, 6, 2))).shape == (0, 3, 5, 6)
    assert us.grid_sample(np.ones((2, 0, 4, 4)), np.ones((2, 5, 6, 2))).shape == (2, 0, 5, 6)
    empty = np.ones((2, 0, 4, 4)), np.ones((2, 5, 6, 2))
    grad_x, grad_grid = us.grid_sample_backward(np.ones((2, 0, 5, 6)), *empty)
    assert grad_x.shape == empty[0].shape
    assert grad_grid.shape == empty[1].shape and not grad_grid.any()
    none = np.ones((0, 3, 5, 6)), np.ones((0, 3, 4, 4)), np.ones((0, 5, 6, 2))
    grads = us.grid_sample_backward(*none)
    assert [g.shape for g in grads] == [(0, 3, 4, 4), (0, 5, 6, 2)]


# --- refusals -------------------------------------------------------------------------------------

X, GRID, Y = np.ones((2, 3, 4, 5)), np.zeros((2, 6, 7, 2)), np.ones((2, 3, 6, 7))

REFUSED = [
    ({"grid": np.zeros((2, 6, 7, 1))}, ValueError, ["grid.shape", "(2, 6, 7, 1)"]),
    ({"grid": np.zeros((2, 6, 7, 4))}, ValueError, ["grid.shape"]),
    ({"grid": np.zeros((2, 6, 7, 3))}, ValueError, ["grid.shape", "(N, H, W, 2)"]),
    ({"grid": np.zeros(2)}, ValueError, ["grid.shape", "(2,)"]),
    ({"grid": np.zeros((7, 2))}, ValueError, ["grid.shape", "(7, 2)"]),
    ({"grid": np.zeros((3, 6, 7, 2))}, ValueError, ["grid.shape", "(2, 3, 4, 5)"]),
    ({"grid": np.zeros((2, 4, 6, 7, 2))}, ValueError, ["grid.shape", "(2, 3, 4, 5)"]),
    ({"grid": np.zeros((2, 3, 1, 6, 7, 2))}, ValueError, ["grid.shape"]),
    ({"grid": np.zeros((2, 0, 7, 2))}, ValueError, ["grid.shape", "0"]),
    ({"grid": GRID.astype(int)}, TypeError, ["grid.dtype", "int64"]),
    ({"grid": GRID * 1j}, TypeError, ["grid.dtype", "complex128"]),
    ({"x": np.ones(5)}, ValueError, ["x.ndim", "1"]),
    ({"x": np.ones((2, 3, 0, 5))}, ValueError, ["axis H", "0"]),
    ({"x": np.ones((2, 3, 4, 0))}, ValueError, ["axis W", "0"]),
    ({"x": X > 0}, TypeError, ["x.dtype", "bool"]),
    ({"x": X * 1j}, TypeError, ["x.dtype", "complex128"]),
    ({"mode": "linear"}, ValueError, ["mode", "linear", "bilinear"]),
    ({"mode": None}, TypeError, ["mode"]),
    ({"padding_mode": "zero"}, ValueError, ["padding_mode", "zero", "reflection"]),
    ({"padding_mode": 0}, TypeError, ["padding_mode"]),
    ({"align_corners": None}, TypeError, ["align_corners"]),
    ({"channels_last": 2.0}, TypeError, ["channels_last"]),
]


def call(function, arguments):
    x, grid = arguments.pop("x", X), arguments.pop("grid", GRID)
    if function is us.grid_sample:
        return lambda: function(x, grid, **arguments)
    grad = arguments.pop("grad_output", Y.astype(x.dtype))
    return lambda: function(grad, x, grid, **arguments)


@pytest.mark.parametrize("function", [us.grid_sample, us.grid_sample_backward])
@pytest.mark.parametrize(("change", "exception", "words"), REFUSED)
def test_refusal(function, change, exception, words):
    words = [w if w != "x.dtype" or function is us.grid_sample else "dtype" for w in words]
    line = laws.refused(call(function, dict(change)), exception, *words)
    assert line.startswith(function.__name__ + ": ") and len(line) < 300


REFUSED_BACKWARD = [
    ({"grad_output": np.ones((2, 3, 7, 6))}, ValueError, ["grad_output.shape", "(2, 3, 6, 7)"]),
    ({"grad_output": np.ones((1, 1, 8, 8))}, ValueError, ["grad_output.shape"]),
    ({"grad_output": Y.astype("f4")}, TypeError, ["x.dtype", "float32"]),
    ({"grad_output": Y.astype(int), "x": X.astype(int)}, TypeError, ["grad_output", "int64"]),
    ({"output_mask": True}, TypeError, ["output_mask"]),
    ({"output_mask": (True,)}, ValueError, ["output_mask", "1"]),
    ({"output_mask": (True, "no")}, TypeError, ["output_mask[1]"]),
]


@pytest.mark.parametrize(("change", "exception", "words"), REFUSED_BACKWARD)
def test_refusal_of_the_backward(change, exception, words):
    line = laws.refused(call(us.grid_sample_backward, dict(change)), exception, *words)
    assert line.startswith("grid_sample_backward: ") and len(line) < 300


def test_rounding_is_checked():
    laws.refused(lambda: us.grid_sample(X, GRID, rounding="up"), ValueError, "rounding", "up")


def test_results_that_no_memory_holds_are_refused():
    wide = np.broadcast_to(np.zeros(2), (2**21, 2**21, 2))
    with pytest.raises((ValueError, MemoryError)):
        us.grid_sample(np.broadcast_to(1.0, (2**20, 4, 4)), wide)
    line = laws.refused(
        lambda: us.grid_sample(np.broadcast_to(np.uint8(1), (1, 2**51)), np.zeros((1, 1, 2))),
        ValueError,
        "axis W",
        "2**50",
    )
    assert line.startswith("grid_sample: ")


# --- documentation --------------------------------------------------------------------------------

FIGURES = Path(__file__).parents[1] / "docs" / "figures_grid.py"


@pytest.mark.skipif(not FIGURES.exists(), reason="the installed package has no docs")
def test_pictures_are_what_their_script_draws():
    """`python docs/figures_grid.py` would change no file."""
    pictures = runpy.run_path(str(FIGURES))["figures"]()
    folder = FIGURES.parent / "images" / "grid"
    assert {p.name for p in folder.iterdir()} == set(pictures)
    for name, picture in pictures.items():
        assert (folder / name).read_text(encoding="utf-8") == picture, name
