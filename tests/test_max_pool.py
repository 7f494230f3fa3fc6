"""`max_pool{1,2,3}d` and their backward."""

import contextlib
import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import strategies as sts
import upsample_rs as us
from upsample_rs import _core

forward = cases.max_pool_cases()
backward = cases.backward_of(cases.max_pool_cases(dtypes=sts.FLOATS, specials=False))
either = forward | backward
without_indices = cases.max_pool_cases(indices=False) | backward


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


@given(case=either, axis=st.integers(0, 5))
def test_zero_stride_equals_copy(isa, case, axis):
    laws.zero_stride_equals_copy(case, axis)


@given(case=without_indices, layout=st.sampled_from(sts.IN_PLACE))
def test_out_equals_fresh(isa, case, layout):
    laws.out_equals_fresh(case, layout)


@given(case=without_indices)
def test_bad_out_is_refused(case):
    laws.bad_out_is_refused(case)


@given(case=either)
def test_channels_last_equals_channels_first(isa, case):
    laws.channels_last_equals_channels_first(case)


# --- what is particular to max pooling ------------------------------------------------------------


@given(case=cases.max_pool_cases(sts.FLOATS, specials=False, indices=True), seed=sts.seeds)
def test_backward_matches_finite_differences(isa, case, seed):
    """Among values that are far apart a small step moves no maximum: the derivative is exact."""
    x = np.random.default_rng(seed).permutation(case.arrays[0].size).astype(np.float64)
    x = x.reshape(case.arrays[0].shape)
    values, indices = case.run([x], index_dtype="int64")
    y = sts.values(values.shape, np.float64, seed)
    direction = sts.values(x.shape, np.float64, seed + 1) / 16
    slope = np.vdot(case.run([x + direction])[0] - case.run([x - direction])[0], y) / 2
    gradient = getattr(us, f"{case.op}_backward")(y, indices, x.shape)
    scale = np.linalg.norm(gradient) + np.linalg.norm(values) * np.linalg.norm(y)
    assert abs(slope - np.vdot(gradient, direction)) <= 1e-13 * scale * x.size


@given(case=cases.max_pool_cases(indices=True))
def test_value_is_the_element_at_its_index(isa, case):
    """Bit for bit, the sign of zero included; and the index lies in the block."""
    values, indices = case.run()
    block = int(np.prod(case.arrays[0].shape[-case.n :]))
    assert indices.min() >= 0 and indices.max() < block
    laws.assert_identical(values, ref.take_flat(case.arrays[0], indices.astype(np.int64), case.n))


@given(case=forward)
def test_values_do_not_depend_on_asking_for_indices(isa, case):
    alone = case.call(case.given(), return_indices=False)[0]
    values = case.call(case.given(), return_indices=True)[0]
    laws.assert_identical(alone, values)


@given(case=cases.max_pool_cases(indices=True), layout=st.sampled_from(sts.IN_PLACE))
def test_out_takes_values_and_indices(isa, case, layout):
    """Both, or either; the other is then made."""
    given = case.given()
    want = case.call(given)
    for mask in ((True, True), (True, False), (False, True)):
        out = tuple(
            sts.lay_out(np.zeros_like(w), layout, case.n) if m else None
            for w, m in zip(want, mask, strict=True)
        )
        got = case.call(given, out=out)
        for g, w, o in zip(got, want, out, strict=True):
            assert o is None or g is o
            laws.assert_identical(np.ascontiguousarray(g), w)


@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
@pytest.mark.parametrize("length", [4, 16, 33, 65])
def test_nan_wins(isa, dtype, length):
    """Wherever it stands in a window, over infinity too, and the first of several."""
    rng = np.random.default_rng(length)
    for place in range(length):
        x = rng.standard_normal(length)
        x[rng.integers(0, length)] = np.inf
        x[place] = np.nan
        x[place + 1 :][rng.random(length - place - 1) < 0.2] = np.nan
        row = x.astype(dtype)
        value, index = us.max_pool1d(row, length, return_indices=True)
        assert np.isnan(value.astype(np.float32)).all() and index.tolist() == [place]
        column = np.stack([row, np.roll(row, 1)], 1)
        value, index = us.max_pool2d(column, (length, 1), return_indices=True)
        assert np.isnan(value.astype(np.float32)).all() and index[0, 0] == 2 * place


@pytest.mark.parametrize("dtype", [d for d in sts.ORDERED if d.kind != "b"], ids=str)
def test_first_of_equal_maxima(isa, dtype):
    """Row-major order decides, at every offset into a vector."""
    for length in (2, 7, 16, 33, 64):
        x = np.zeros((3, length), dtype)
        for place in range(length):
            x[:] = 1
            x[:, place:] = 3
            _, index = us.max_pool2d(x, x.shape, return_indices=True)
            assert index.tolist() == [[place]]


@pytest.mark.parametrize(
    "first, second", [(0.0, -0.0), (-0.0, 0.0)], ids=["plus first", "minus first"]
)
@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
def test_signed_zeros_are_equal(isa, dtype, first, second):
    """Neither zero is larger: the first one is taken, sign and all."""
    x = np.array([first, second] * 20, dtype)
    for kernel in (2, 4, 8):
        value, index = us.max_pool1d(x, kernel, return_indices=True)
        assert np.all(np.signbit(value.astype(np.float32)) == np.signbit(first))
        assert np.all(index == np.arange(0, 40, kernel))


@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
def test_minus_infinity_everywhere(isa, dtype):
    """Padding never wins, not even against -inf, and the index stays inside."""
    x = np.full((5, 6), -np.inf, dtype)
    value, index = us.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert np.all(value == -np.inf) and index.tolist() == [[0, 1, 3], [6, 7, 9], [18, 19, 21]]


@pytest.mark.parametrize("dtype", [d for d in sts.INTEGERS if d.kind == "i"], ids=str)
def test_padding_never_wins_against_the_smallest_integer(isa, dtype):
    x = np.full((4, 5), np.iinfo(dtype).min, dtype)
    value, index = us.max_pool2d(x, 3, 1, 1, return_indices=True)
    assert np.array_equal(value, x) and index[0, 0] == 0 and index[3, 4] == 13


@pytest.mark.parametrize(
    "shape, kernel, stride, padding",
    [
        ((2, 40, 40), 13, 1, 6),
        ((1, 17, 70), 31, 1, 15),
        ((3, 200), (1, 61), 1, (0, 30)),
        ((2, 33, 65), (2, 2), 2, 0),
        ((2, 34, 66), (3, 3), 2, 1),
        ((130, 9), (100, 1), 1, (50, 0)),
        ((1, 64, 64), (64, 64), 64, 0),
    ],
)
@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "f8"])
def test_long_and_common_windows(isa, shape, kernel, stride, padding, dtype):
    """Windows longer than any vector, and the ones networks use."""
    x = sts.values(shape, dtype, 4)
    values, indices = us.max_pool2d(x, kernel, stride, padding, return_indices=True)
    want, at = ref.max_pool(x, ref.pooling(x.shape[-2:], kernel, stride, padding))
    laws.assert_identical(values, want)
    laws.assert_identical(indices, at)
    laws.assert_identical(us.max_pool2d(x, kernel, stride, padding), want)


@functools.cache
def long_extrema(op, window, dtype):
    """(x, values, indices) over rows around the window's length."""
    oracle = getattr(ref, op)
    return [(x, *oracle(x, axes)) for x, axes in cases.long_windows(window, dtype, specials=True)]


def long_rows(x):
    """The three rows as they are, as columns of a matrix, as columns of layers, as channels."""
    return {
        "W": (x, 0, 1, {}),
        "H": (x.T, 0, 2, {}),
        "D": (x.T[:, None], 0, 3, {}),
        "channels": (x.T, 0, 1, {"channels_last": True}),
    }


@pytest.mark.parametrize("op", ["max_pool", "min_pool"])
@pytest.mark.parametrize("window", cases.LONG_WINDOWS, ids=str)
@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", "f4", "f8"])
def test_long_windows_along_every_axis(isa, op, window, dtype):
    """With NaN, infinities and both zeros among the values, with indices and without."""
    for x, values, indices in long_extrema(op, window, dtype):
        for way, (view, axis, n, layout) in long_rows(x).items():
            options = cases.along(window, axis, n) | layout
            pool = getattr(us, f"{op}{n}d")
            want, at = values, indices
            if way != "W":
                want = np.ascontiguousarray(values.T).reshape(-1, *view.shape[1:])
                at = indices.T.reshape(want.shape)
                at = np.ascontiguousarray(at if way == "channels" else 3 * at + np.arange(3))
            laws.assert_identical(pool(view, **options), want)
            got, places = pool(view, **options, return_indices=True)
            laws.assert_identical(got, want)
            laws.assert_identical(places, at)


@pytest.mark.parametrize("op", ["max", "min"])
@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "f8"])
@pytest.mark.parametrize("shape, kernel, stride", cases.TALL)
def test_tall_windows(isa, op, dtype, shape, kernel, stride):
    """Of more rows than are kept at once, of many rows that few windows share, of many layers."""
    x = sts.values(shape, dtype, 2)
    every = tuple(slice(None, None, s) for s in stride)
    views = np.lib.stride_tricks.sliding_window_view(x, kernel)[every]
    flat = views.reshape(*views.shape[:3], -1)
    first = np.unravel_index(getattr(flat, f"arg{op}")(-1), kernel)
    corner = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(flat.shape, stride, strict=False)), indexing="ij"
    )
    at = np.ravel_multi_index([c + f for c, f in zip(corner, first, strict=True)], shape)
    pool = getattr(us, f"{op}_pool3d")
    laws.assert_identical(pool(x, kernel, stride), x.ravel()[at])
    values, indices = pool(x, kernel, stride, return_indices=True)
    laws.assert_identical(values, x.ravel()[at])
    assert np.array_equal(indices, at)


@pytest.mark.parametrize("op", ["max", "min"])
@pytest.mark.parametrize("dtype", ["u1", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize(
    "kernel, stride", [(3, 2), (5, 2), ((4, 5), (3, 2)), (3, 3), (5, 4), (7, 7)]
)
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("among", ["positive", "zeros", "one minus zero", "one NaN"])
def test_the_first_wins_whichever_way_windows_are_folded(
    isa, op, dtype, kernel, stride, dilation, among
):
    """By rows or by columns: of zeros of both signs, of NaN, of ties, the first of them all."""
    random = np.random.default_rng(7)
    x = random.integers(1, 4, (8, 57, 61)).astype(dtype)
    if x.dtype.kind == "f":
        if among == "zeros":
            x = random.choice(np.array([0.0, -0.0], dtype), x.shape)
        elif among == "one minus zero":
            x[:] = 0
            x[1, 20:23, 30] = -0.0
        elif among == "one NaN":
            x[0, 33, 8] = np.nan
    kernel, stride = np.broadcast_to(kernel, 2), np.broadcast_to(stride, 2)
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel - 1) * dilation + 1, (-2, -1))
    windows = windows[:, :: stride[0], :: stride[1], ::dilation, ::dilation]
    windows = windows.reshape(*windows.shape[:3], kernel.prod())
    first = getattr(windows, f"arg{op}")(-1)
    want = np.take_along_axis(windows, first[..., None], -1)[..., 0]
    pool = getattr(us, f"{op}_pool2d")
    how = {"kernel_size": tuple(kernel), "stride": tuple(stride), "dilation": dilation}
    laws.assert_identical(pool(x, **how), want)
    last = pool(np.moveaxis(x, 0, -1).copy(), channels_last=True, **how)
    laws.assert_identical(last, np.moveaxis(want, 0, -1))


@pytest.mark.parametrize("op", ["max", "min"])
@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "f8"])
@pytest.mark.parametrize("kernel, stride", [((1, 3), 1), ((3, 7), 2), ((2, 64), 1), ((5, 101), 3)])
def test_rows_of_many_tiles(isa, op, dtype, kernel, stride):
    """A row is worked on in pieces; windows across their borders are as any other."""
    x = sts.values((6, 20_011), dtype, 4)
    views = np.lib.stride_tricks.sliding_window_view(x, kernel)[::stride, ::stride]
    want = getattr(views, op)((-2, -1))
    pool = getattr(us, f"{op}_pool2d")
    assert np.array_equal(pool(x, kernel, stride), want)
    values, at = pool(x, kernel, stride, return_indices=True)
    assert np.array_equal(values, want) and np.array_equal(x.ravel()[at], want)
    rows, columns = np.divmod(at, x.shape[1])
    top = np.arange(want.shape[0])[:, None] * stride
    left = np.arange(want.shape[1]) * stride
    assert np.all((rows >= top) & (rows < top + kernel[0]))
    assert np.all((columns >= left) & (columns < left + kernel[1]))


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("lead", [(5000,), (70, 70), (3, 1, 1001)])
def test_many_small_blocks(isa, dtype, lead):
    x = sts.values((*lead, 4, 6), dtype, 2)
    blocks = x.reshape(*lead, 2, 2, 2, 3)
    assert np.array_equal(us.max_pool2d(x, (2, 3)), blocks.max((-3, -1)))
    assert np.array_equal(us.min_pool2d(x, (2, 3)), blocks.min((-3, -1)))


@given(data=st.data())
def test_same_padding_is_explicit_padding(data):
    """Ceil(size / stride) windows; the odd element of padding after the axis, or before it."""
    length, kernel = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 9))
    stride, rule = data.draw(st.integers(1, 5)), data.draw(st.sampled_from(["same", "same_lower"]))
    x = sts.values((2, length), "f8", data.draw(sts.seeds), specials=True)
    (pair,) = ref.pad_pairs(rule, 1, (length,), (kernel,), stride)
    got = us.max_pool1d(x, kernel, stride, rule, return_indices=True)
    assert got[0].shape == (2, -(-length // stride))
    for one, other in zip(
        got, us.max_pool1d(x, kernel, stride, (pair,), return_indices=True), strict=True
    ):
        laws.assert_identical(one, other)
    laws.assert_identical(us.max_pool1d(x, 1, stride, "valid"), us.max_pool1d(x, 1, stride))


def test_bool_is_any():
    x = np.zeros((4, 4), bool)
    x[3, 0] = True
    assert us.max_pool2d(x, 2).tolist() == [[False, False], [True, False]]


def test_ceil_mode_drops_a_window_that_starts_past_the_input():
    assert us.max_pool1d(np.arange(4.0), 1, 3, ceil_mode=True).tolist() == [0, 3]
    assert us.max_pool1d(np.arange(5.0), 1, 3, ceil_mode=True).tolist() == [0, 3]
    assert us.max_pool1d(np.arange(5.0), 2, 2, ceil_mode=True).tolist() == [1, 3, 4]
    assert us.max_pool1d(np.arange(5.0), 2, 2, 1, ceil_mode=True).tolist() == [0, 2, 4]


def test_gradients_that_meet_are_added():
    grad = us.max_pool1d_backward(np.array([1.0, 2.0, 4.0]), np.array([1, 1, 3]), (5,))
    assert grad.tolist() == [0, 3, 0, 4, 0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "uint64"])
def test_backward_takes_indices_of_any_integer_dtype(dtype):
    grad = us.max_pool1d_backward(np.ones(2), np.array([4, 2], dtype), (5,))
    assert grad.tolist() == [0, 0, 1, 0, 1]


def test_indices_that_int32_cannot_hold_are_refused():
    """Before anything is read: the input is one byte seen two thousand million times."""
    x = np.broadcast_to(np.uint8(1), (2**31 + 8,))
    call = dict(kernel_size=2**30, return_indices=True, index_dtype="int32")
    laws.refused(lambda: us.max_pool1d(x, **call), ValueError, "max_pool1d: ", "int32")


@contextlib.contextmanager
def positions_afterwards():
    """Positions looked for when the values are known, as in windows of billions of elements."""
    _core._force_span(0)
    try:
        yield
    finally:
        _core._force_span(None)


@given(case=forward)
def test_positions_found_afterwards_match_reference(engine, case):
    with positions_afterwards():
        laws.forward_matches_reference(case)


@given(case=forward, layout=sts.layouts)
def test_positions_found_afterwards_of_any_layout(isa, case, layout):
    with positions_afterwards():
        laws.strided_equals_contiguous(case, layout)


# Rows of one element seen billions of times, each row's its own: of equal elements the first
# counts, and of these rows the third is the largest.
FAR = 2**32
HUGE = np.lib.stride_tricks.as_strided(np.uint8([3, 1, 4, 1, 2]), (5, FAR + 9), (1, 0))
PLANE = 70_000  # squared beyond 2**32
DEEP = np.lib.stride_tricks.as_strided(np.int16([3, 1, 4, 1, 2]), (5, PLANE, PLANE), (2, 0, 0))


def test_positions_beyond_32_bits():
    """Each window's first element, or that of the largest of its rows."""
    rows, cols = np.arange(5)[:, None] * (FAR + 9), np.array([0, FAR // 2, FAR])
    values, indices = us.max_pool2d(HUGE, (1, 3), (1, FAR // 2), return_indices=True)
    assert (values == np.array([3, 1, 4, 1, 2])[:, None]).all()
    assert (indices == rows + cols).all()
    # Windows of rows that are further apart than that.
    values, indices = us.max_pool2d(HUGE, (2, 3), (1, FAR // 2), return_indices=True)
    assert (indices == rows[[0, 2, 2, 4]] + cols).all()
    values, indices = us.min_pool2d(HUGE, (3, 3), (2, FAR // 2), return_indices=True)
    assert (indices == rows[[1, 3]] + cols).all()
    values, indices = us.max_pool1d(HUGE, 3, FAR // 2, 1, return_indices=True)
    assert (indices == np.maximum(cols - 1, 0)).all() and (values[:, 0] == HUGE[:, 0]).all()


def test_positions_in_volumes_beyond_32_bits():
    far = PLANE - 2
    planes = np.arange(5)[:, None, None] * PLANE**2
    corners = np.array([[0, far], [far * PLANE, far * PLANE + far]])
    for kernel, of in (
        ((1, 2, 2), [0, 1, 2, 3, 4]),
        ((3, 2, 2), [2, 2, 2]),
        ((2, 1, 2), [0, 2, 2, 4]),
    ):
        values, indices = us.max_pool3d(DEEP, kernel, (1, far, far), return_indices=True)
        assert (indices == planes[of] + corners).all()
        assert (values == DEEP[of, 0, 0][:, None, None]).all()


def test_empty_batch_is_an_empty_result():
    values, indices = us.max_pool2d(np.ones((0, 3, 4, 4), "f4"), 2, return_indices=True)
    assert values.shape == indices.shape == (0, 3, 2, 2)
    assert us.max_pool2d_backward(values, indices, (0, 3, 4, 4)).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("width", [224, 111])
@pytest.mark.parametrize("kernel, stride", [(2, 2), (3, 2), (3, 1), (3, 3)])
def test_one_nan_among_many_rows_is_found(isa, kernel, stride, width, dtype):
    """Wherever in a band of rows it is met: what went across before it is made again."""
    clean = np.random.default_rng(width).standard_normal((2, 200, width)).astype(dtype)
    for place in [(0, 0, 0), (0, 37, width - 1), (1, 163, 2), (1, 198, width // 2)]:
        x = clean.copy()
        x[place] = np.nan
        windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(1, 2))
        want = windows[:, ::stride, ::stride].max(axis=(3, 4))
        laws.assert_identical(us.max_pool2d(x, kernel, stride), want)
        values, at = us.max_pool2d(x, kernel, stride, return_indices=True)
        laws.assert_identical(values, want)
        laws.assert_identical(
            np.take_along_axis(x.reshape(2, -1), at.reshape(2, -1), 1), want.reshape(2, -1)
        )
