"""`adaptive_max_pool{1,2,3}d`, `adaptive_avg_pool{1,2,3}d` and their backward."""

import functools
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import strategies as sts
import upsample_rs as us

MAX, AVG = "adaptive_max_pool", "adaptive_avg_pool"

maxima = cases.order_pool_cases(MAX)
averages = cases.avg_pool_cases(AVG)
backward = cases.backward_of(cases.order_pool_cases(MAX, sts.FLOATS, specials=False))
backward |= cases.backward_of(cases.avg_pool_cases(AVG, sts.FLOATS, specials=False))
either = maxima | averages | backward
without_indices = cases.order_pool_cases(MAX, indices=False) | averages | backward


@given(case=maxima)
def test_maxima_match_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=averages)
def test_averages_match_reference(engine, case):
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


@given(case=cases.avg_pool_cases(AVG, [np.dtype("f8")], specials=False), seed=sts.seeds)
def test_backward_is_adjoint(isa, case, seed):
    laws.backward_is_adjoint(case, seed)


# --- what is particular to bins -------------------------------------------------------------------


@pytest.mark.parametrize("size, out", [(1, 1), (1, 5), (5, 5), (7, 3), (10, 4), (3, 7), (100, 7)])
def test_bins(size, out):
    """floor(i*in/out) to ceil((i+1)*in/out): neighbours may share an element, or be the same."""
    x = np.random.default_rng(1).permutation(float(size) + np.arange(size))
    bins = [x[i * size // out : -(-(i + 1) * size // out)] for i in range(out)]
    assert us.adaptive_max_pool1d(x, out).tolist() == [b.max() for b in bins]
    np.testing.assert_allclose(us.adaptive_avg_pool1d(x, out), [b.mean() for b in bins], 1e-15)


@pytest.mark.parametrize("length", [2, 3, 64, 100, 255, 256, 257, 1001, 5003])
def test_bins_of_long_rows(isa, length):
    """Every number of bins from one to more than there are elements, by prefix sums."""
    x = sts.values((2, length), "i2", length).astype(np.int64)
    sums = np.pad(np.cumsum(x, -1), ((0, 0), (1, 0)))
    for out in sorted({1, 2, 3, 7, 64, length // 2 or 1, length - 1, length, length + 1, 3000}):
        at = np.arange(out + 1)
        start, end = at[:-1] * length // out, -(-at[1:] * length // out)
        want = np.floor((sums[:, end] - sums[:, start]) / (end - start) + 0.5)
        assert np.array_equal(us.adaptive_avg_pool1d(x, out), want)
        values, indices = us.adaptive_max_pool1d(x, out, return_indices=True)
        largest = np.array([[r[a:b].max() for a, b in zip(start, end, strict=True)] for r in x])
        assert np.array_equal(values, largest)
        assert np.array_equal(np.take_along_axis(x, indices, -1), values)
        assert np.all((indices >= start) & (indices < end))


@given(case=cases.order_pool_cases(MAX, indices=True))
def test_value_is_the_element_at_its_index(isa, case):
    values, indices = case.run()
    laws.assert_identical(values, ref.take_flat(case.arrays[0], indices.astype(np.int64), case.n))


@pytest.mark.parametrize("n", [1, 2, 3])
@given(data=st.data())
def test_bins_of_equal_length_are_strided_windows(n, data):
    """Where the output divides the input, adaptive pooling is plain pooling, bit for bit."""
    kernel = tuple(data.draw(st.integers(1, 5)) for _ in range(n))
    out = tuple(data.draw(st.integers(1, 6)) for _ in range(n))
    size = tuple(map(operator.mul, kernel, out))
    dtype = data.draw(st.sampled_from(sts.RESIZED))
    x = sts.values((2, *size), dtype, data.draw(sts.seeds), specials=True)
    for kind in ("max", "avg"):
        adaptive, plain = (getattr(us, f"{a}{kind}_pool{n}d") for a in ("adaptive_", ""))
        laws.assert_identical(adaptive(x, out), plain(x, kernel))


def test_none_keeps_an_axis():
    x = sts.values((2, 5, 6), "f8", 1)
    assert us.adaptive_avg_pool2d(x, (None, 1)).shape == (2, 5, 1)
    laws.assert_identical(us.adaptive_avg_pool2d(x, (None, None)), x)
    laws.assert_identical(us.adaptive_max_pool2d(x, [2, None]), us.adaptive_max_pool2d(x, (2, 6)))


def test_one_bin_is_global_pooling():
    x = sts.values((2, 3, 5, 6, 7), "f8", 2)
    got = us.adaptive_max_pool3d(x, 1)
    assert np.array_equal(got, x.max((2, 3, 4), keepdims=True))
    got = us.adaptive_avg_pool3d(x, 1)
    np.testing.assert_allclose(got, x.mean((2, 3, 4), keepdims=True), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
def test_nan_wins_and_spreads_to_its_bins_only(isa, dtype):
    for place in (0, 3, 4, 9):
        x = np.ones(10, dtype)
        x[place] = np.nan
        hit = [a <= place < b for a, b in ((0, 3), (2, 5), (5, 8), (7, 10))]
        values, indices = us.adaptive_max_pool1d(x, 4, return_indices=True)
        assert np.isnan(values.astype(np.float32)).tolist() == hit
        assert all(i == place for i, h in zip(indices, hit, strict=True) if h)
        mean = us.adaptive_avg_pool1d(x, 4).astype(np.float32)
        assert np.isnan(mean).tolist() == hit and np.all(mean[~np.isnan(mean)] == 1)


def test_backward_by_hand():
    """Bins of 5 elements in 3: 0-1, 1-3, 3-4."""
    grad = us.adaptive_avg_pool1d_backward(np.array([2.0, 3.0, 4.0]), (5,))
    assert grad.tolist() == [1, 2, 1, 3, 2]
    grad = us.adaptive_max_pool1d_backward(np.array([2.0, 3.0, 4.0]), np.array([1, 1, 3]), (5,))
    assert grad.tolist() == [0, 5, 0, 4, 0]


def test_more_bins_than_elements_add_up_in_the_gradient():
    y = us.adaptive_avg_pool1d(np.array([1.0, 2.0]), 5)
    assert y.tolist() == [1, 1, 1.5, 2, 2]
    grad = us.adaptive_avg_pool1d_backward(np.ones(5), (2,))
    assert grad.tolist() == [2.5, 2.5]


@pytest.mark.parametrize("name", [MAX, AVG])
def test_output_sizes_that_are_refused(name):
    x = np.ones((3, 4, 4))
    pool = functools.partial(getattr(us, f"{name}2d"), x)
    for size in (0, -1, (2, 0), (2, -3), (2, 2, 2), ()):
        laws.refused(lambda s=size: pool(s), ValueError, f"{name}2d: ", "output_size")
    for size in (2.0, "2", (2.5, 1)):
        laws.refused(lambda s=size: pool(s), TypeError, f"{name}2d: ", "output_size")
    for size in (2**40, 2**62, (2**33, 2**33)):
        with pytest.raises((ValueError, MemoryError)):
            pool(size)


@pytest.mark.parametrize("dtype", [*sts.BOOL, *sts.COMPLEX], ids=str)
def test_dtypes_without_an_average(dtype):
    x = np.ones((4, 4), dtype)
    laws.refused(lambda: us.adaptive_avg_pool2d(x, 2), TypeError, AVG + "2d: ", x.dtype.name)
    if x.dtype.kind == "c":
        laws.refused(lambda: us.adaptive_max_pool2d(x, 2), TypeError, MAX + "2d: ", x.dtype.name)
    else:
        assert us.adaptive_max_pool2d(x, 2).all()


def test_empty_batch_is_an_empty_result():
    x = np.ones((0, 3, 4, 4), "f4")
    values, indices = us.adaptive_max_pool2d(x, 3, return_indices=True)
    assert values.shape == indices.shape == us.adaptive_avg_pool2d(x, 3).shape == (0, 3, 3, 3)
    assert us.adaptive_max_pool2d_backward(values, indices, x.shape).shape == x.shape
    assert us.adaptive_avg_pool2d_backward(values, x.shape).shape == x.shape
