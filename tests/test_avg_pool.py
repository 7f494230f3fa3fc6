"""`avg_pool{1,2,3}d` and their backward."""

import functools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import strategies as sts
import upsample_rs as us

DOUBLE = [np.dtype("f8")]

forward = cases.avg_pool_cases()
backward = cases.backward_of(cases.avg_pool_cases(dtypes=sts.FLOATS, specials=False))
either = forward | backward


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


@given(case=either, layout=st.sampled_from(sts.IN_PLACE))
def test_out_equals_fresh(isa, case, layout):
    laws.out_equals_fresh(case, layout)


@given(case=either)
def test_bad_out_is_refused(case):
    laws.bad_out_is_refused(case)


@given(case=either)
def test_channels_last_equals_channels_first(isa, case):
    laws.channels_last_equals_channels_first(case)


@given(case=cases.avg_pool_cases(dtypes=DOUBLE, specials=False), seed=sts.seeds)
def test_backward_is_adjoint(isa, case, seed):
    laws.backward_is_adjoint(case, seed)


# --- what is particular to averages ---------------------------------------------------------------


@given(case=cases.avg_pool_cases(dtypes=sts.FLOATS, specials=False))
def test_average_of_a_constant_is_that_constant(isa, case):
    """Where padding does not count and no divisor is given."""
    x = np.full_like(case.arrays[0], 3)
    y = case.run([x], count_include_pad=False, divisor_override=None)[0]
    assert np.all(y == 3)


@functools.cache
def long_averages(window, dtype, count_include_pad):
    """(x, exact averages, averages of the magnitudes) over rows around the window's length."""
    rows = []
    for x, axes in cases.long_windows(window, dtype):
        rule = {"count_include_pad": count_include_pad}
        size = ref.avg_pool(abs(x), axes, **rule) if x.dtype.kind == "f" else None
        rows.append((x, ref.avg_pool(x, axes, **rule), size))
    return rows


@pytest.mark.parametrize("window", cases.LONG_WINDOWS, ids=str)
@pytest.mark.parametrize("dtype", ["u1", "i4", "f2", "f4", "f8"])
def test_long_windows(isa, window, dtype):
    """Longer than any vector, across rows and down them."""
    counted = {"count_include_pad": dtype != "f4"}
    for x, exact, size in long_averages(window, dtype, dtype != "f4"):
        across = us.avg_pool1d(x, **cases.along(window, 0, 1), **counted)
        last = us.avg_pool1d(x.T, **cases.along(window, 0, 1), **counted, channels_last=True)
        rows = us.avg_pool2d(x.T, **cases.along(window, 0, 2), **counted)
        layers = us.avg_pool3d(x.T[:, None], **cases.along(window, 0, 3), **counted)
        for got in (across, last.T, rows.T, layers[:, 0].T):
            if size is None:
                laws.assert_rounded(got, exact, "nearest", x.dtype, laws.largest(x), 2**32)
            else:
                bound = laws.rounding_bound(exact, size, 0, window[0] + 3, 0, x.dtype)
                laws.assert_within(got, exact, bound)


@pytest.mark.parametrize("dtype", ["u2", "f4", "f8"])
@pytest.mark.parametrize("shape, kernel, stride", cases.TALL)
def test_tall_windows(isa, dtype, shape, kernel, stride):
    """Of more rows than are kept at once, of many rows that few windows share, of many layers."""
    x = sts.values(shape, dtype, 1)
    views = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), kernel)
    every = tuple(slice(None, None, s) for s in stride)
    want = views[every].mean((-3, -2, -1))
    got = us.avg_pool3d(x, kernel, stride)
    if dtype == "u2":
        assert np.array_equal(got, np.floor(want + 0.5))
    else:
        tolerance = np.prod(kernel) * np.finfo(dtype).eps * 2
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "f8"])
@pytest.mark.parametrize("kernel, stride", [((1, 3), 1), ((3, 7), 2), ((2, 64), 1), ((5, 101), 3)])
def test_rows_of_many_tiles(isa, dtype, kernel, stride):
    """A row is worked on in pieces; windows across their borders are as any other."""
    x = sts.values((6, 20_011), dtype, 3)
    views = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), kernel)
    want = views[::stride, ::stride].mean((-2, -1))
    got = us.avg_pool2d(x, kernel, stride)
    tolerance = {"u1": 0.5 + 1e-9, "f2": 2.0**-9, "f4": 1e-5, "f8": 1e-13}[dtype]
    assert got.dtype == x.dtype
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("lead", [(5000,), (70, 70), (3, 1, 1001)])
def test_many_small_blocks(isa, dtype, lead):
    x = sts.values((*lead, 4, 6), dtype, 2)
    sums = x.astype(np.float64).reshape(*lead, 2, 2, 2, 3).sum((-3, -1))
    want = np.floor(sums / 6 + 0.5) if dtype == "u1" else sums / 6
    np.testing.assert_allclose(us.avg_pool2d(x, (2, 3)), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
@pytest.mark.parametrize("kernel", [2, 3, 13, 64, 101])
def test_nan_and_infinity_stay_in_their_windows(isa, kernel, dtype, odd):
    """They reach every window that covers them, and no other."""
    length = 300
    x = np.ones(length)
    for place in (0, 1, kernel - 1, kernel, 150, length - kernel, length - 1):
        row = x.copy()
        row[place] = odd
        row = row.astype(dtype)
        covered = np.convolve(np.arange(length) == place, np.ones(kernel), "valid") > 0
        want = np.where(covered, odd, 1)
        both = np.stack([row, row], -1)
        columns = us.avg_pool1d(both, kernel, 1, channels_last=True)
        for got in (us.avg_pool1d(row, kernel, 1), columns[:, 0], columns[:, 1]):
            got = got.astype(np.float64)
            assert np.array_equal(np.isnan(got), np.isnan(want))
            assert np.array_equal(np.isinf(got), np.isinf(want))
            np.testing.assert_allclose(got, want, rtol=1e-2)


@pytest.mark.parametrize("kernel", [2, 64])
@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
def test_opposite_infinities_are_no_number(isa, dtype, kernel):
    x = np.zeros(2 * kernel, dtype)
    x[0], x[kernel - 1], x[kernel], x[-1] = np.inf, -np.inf, np.inf, np.inf
    got = us.avg_pool1d(x, kernel).astype(np.float64)
    assert np.isnan(got[0]) and got[1] == np.inf


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_subnormals_are_kept(isa, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([tiny * 4, 0, tiny * 2, tiny * 2] * 20, dtype)
    assert np.all(us.avg_pool1d(x, 2) == tiny * 2)
    assert np.all(us.avg_pool1d(x, 2, divisor_override=1) == tiny * 4)


@pytest.mark.parametrize("dtype", sts.INTEGERS, ids=str)
def test_extremes_of_integers(isa, dtype):
    """A window of the largest value has that mean, and a sum beyond the type saturates."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    for value in (low, high):
        x = np.full((6, 7), value, dtype)
        laws.assert_identical(us.avg_pool2d(x, 3, 1), np.full((4, 5), value, dtype))
        total = us.avg_pool2d(x, 3, 1, divisor_override=1)
        laws.assert_identical(total, np.full((4, 5), value, dtype))
    both = np.array([low, high] * 20, dtype)
    for rounding in ref.ROUNDING:
        exact = np.array([Fraction(int(low) + int(high), 2)] * 20, object)
        want = ref.round_integers(exact, dtype, rounding)
        if dtype.itemsize < 8:
            laws.assert_identical(us.avg_pool1d(both, 2, rounding=rounding), want)


@pytest.mark.parametrize("rounding", ref.ROUNDING)
@pytest.mark.parametrize("dtype", [d for d in sts.INTEGERS if d.itemsize < 8], ids=str)
@pytest.mark.parametrize("kernel", [2, 3, 4, 7, 10])
def test_every_fraction_is_rounded_once(isa, dtype, kernel, rounding):
    """Sums around each multiple of the divisor: ties, integers and everything beside them."""
    reach = range(100 * kernel, 101 * kernel + 1)
    totals = [t for t in (*range(3 * kernel + 1), *reach) if t <= 2 * np.iinfo(dtype).max]
    totals += [-t for t in totals] if dtype.kind == "i" else []
    x = np.zeros((len(totals), kernel), dtype)
    x[:, 0] = [t // 2 for t in totals]
    x[:, 1] = [t - t // 2 for t in totals]
    want = [[ref.ROUNDING[rounding](Fraction(t, kernel))] for t in totals]
    assert us.avg_pool1d(x, kernel, rounding=rounding).tolist() == want


def test_divisors():
    """Padding counts or not; what ceil mode adds never does; an override replaces all of it."""
    x = np.array([2.0, 4.0, 6.0, 8.0, 10.0])
    assert us.avg_pool1d(x, 2, 2, 1).tolist() == [1, 5, 9]
    assert us.avg_pool1d(x, 2, 2, 1, count_include_pad=False).tolist() == [2, 5, 9]
    assert us.avg_pool1d(x, 2, 2, ceil_mode=True).tolist() == [3, 7, 10]
    assert us.avg_pool1d(x, 3, 3, 1, True).tolist() == [2, 8]
    assert us.avg_pool1d(x, 4, 3, 1, True).tolist() == [3, 6]
    assert us.avg_pool1d(x, 4, 3, 1, True, False).tolist() == [4, 8]
    assert us.avg_pool1d(x, 2, 2, 0, True, True, 4).tolist() == [1.5, 3.5, 2.5]


def test_a_dilated_window_counts_its_own_places():
    """Of the last window's places 5, 7 and 9 one is an element, one padding, one beyond it."""
    x = np.arange(1.0, 8.0)
    got = us.avg_pool1d(x, 3, 3, 1, True, dilation=2)
    assert got.tolist() == [(2 + 4) / 3, (3 + 5 + 7) / 3, 6 / 2]


def test_backward_by_hand():
    grad = us.avg_pool1d_backward(np.array([3.0, 6.0]), (5,), 3, 2)
    assert grad.tolist() == [1, 1, 3, 2, 2]
    grad = us.avg_pool1d_backward(np.array([2.0, 4.0]), (3,), 2, 2, 1, count_include_pad=False)
    assert grad.tolist() == [2, 2, 2]
    grad = us.avg_pool1d_backward(np.array([2.0]), (3,), 2, divisor_override=4)
    assert grad.tolist() == [0.5, 0.5, 0]


@pytest.mark.parametrize("dtype", [*sts.BOOL, *sts.COMPLEX], ids=str)
def test_no_average_of_bool_or_complex(dtype):
    x = np.ones((4, 4), dtype)
    laws.refused(lambda: us.avg_pool2d(x, 2), TypeError, "avg_pool2d: ", x.dtype.name)
    laws.refused(
        lambda: us.avg_pool2d_backward(x, (8, 8), 2),
        TypeError,
        "avg_pool2d_backward: ",
        x.dtype.name,
    )


def test_empty_batch_is_an_empty_result():
    y = us.avg_pool2d(np.ones((0, 3, 4, 4), "f4"), 2)
    assert y.shape == (0, 3, 2, 2)
    assert us.avg_pool2d_backward(y, (0, 3, 4, 4), 2).shape == (0, 3, 4, 4)
