"""`min_pool{1,2,3}d` and their backward: `max_pool` in a mirror."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import strategies as sts
import upsample_rs as us

forward = cases.order_pool_cases("min_pool")
backward = cases.backward_of(cases.order_pool_cases("min_pool", sts.FLOATS, specials=False))
either = forward | backward
without_indices = cases.order_pool_cases("min_pool", indices=False) | backward


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


# --- the mirror -----------------------------------------------------------------------------------


@given(case=cases.order_pool_cases("min_pool", sts.FLOATS + sts.INTEGERS, indices=True))
def test_minimum_is_the_maximum_of_the_mirrored_values(isa, case):
    """Negated floats, complemented integers; the indices are the same."""
    (x,) = case.arrays
    mirror = np.negative if ref.is_float(x.dtype) else np.invert
    values, indices = case.run()
    largest = getattr(us, case.op.replace("min", "max"))
    mirrored, at = largest(mirror(x), **case.options)
    laws.assert_identical(values, mirror(mirrored))
    laws.assert_identical(indices, at)


@given(case=cases.order_pool_cases("min_pool", indices=True))
def test_value_is_the_element_at_its_index(isa, case):
    values, indices = case.run()
    laws.assert_identical(values, ref.take_flat(case.arrays[0], indices.astype(np.int64), case.n))


@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
@pytest.mark.parametrize("length", [4, 16, 33, 65])
def test_nan_wins(isa, dtype, length):
    """Wherever it stands in a window, over minus infinity too, and the first of several."""
    rng = np.random.default_rng(length)
    for place in range(length):
        x = rng.standard_normal(length)
        x[rng.integers(0, length)] = -np.inf
        x[place] = np.nan
        x[place + 1 :][rng.random(length - place - 1) < 0.2] = np.nan
        value, index = us.min_pool1d(x.astype(dtype), length, return_indices=True)
        assert np.isnan(value.astype(np.float32)).all() and index.tolist() == [place]


@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
def test_padding_is_no_minimum(isa, dtype):
    """Not of infinities, of positive values or of zeros of either sign."""
    for value in (np.inf, 5.0, 0.0, -0.0):
        x = np.full((5, 6), value, dtype)
        got, index = us.min_pool2d(x, 3, 2, 1, return_indices=True)
        laws.assert_identical(got, np.full((3, 3), value, dtype))
        assert index.tolist() == [[0, 1, 3], [6, 7, 9], [18, 19, 21]]


@pytest.mark.parametrize("dtype", sts.INTEGERS, ids=str)
def test_padding_is_no_minimum_of_the_largest_integers(isa, dtype):
    x = np.full((4, 5), np.iinfo(dtype).max, dtype)
    got, index = us.min_pool2d(x, 3, 1, "same", return_indices=True)
    assert np.array_equal(got, x) and index[0, 0] == 0 and index[3, 4] == 13


def test_signed_zeros_are_equal(isa):
    for first in (0.0, -0.0):
        x = np.array([first, -first] * 20)
        value, index = us.min_pool1d(x, 4, return_indices=True)
        assert np.all(np.signbit(value) == np.signbit(first))
        assert index.tolist() == list(range(0, 40, 4))


def test_bool_is_all():
    x = np.ones((4, 4), bool)
    x[3, 0] = False
    assert us.min_pool2d(x, 2).tolist() == [[True, True], [False, True]]


def test_backward_by_hand():
    grad = us.min_pool1d_backward(np.array([1.0, 2.0, 4.0]), np.array([1, 1, 3]), (5,))
    assert grad.tolist() == [0, 3, 0, 4, 0]


@pytest.mark.parametrize("index", [-1, 5, 2**40])
def test_backward_refuses_an_index_out_of_range(index):
    laws.refused(
        lambda: us.min_pool1d_backward(np.ones(2), np.array([1, index]), (5,)),
        IndexError,
        "min_pool1d_backward: ",
        "indices",
        str(index),
    )


def test_empty_batch_is_an_empty_result():
    values, indices = us.min_pool2d(np.ones((0, 3, 4, 4), "f4"), 2, return_indices=True)
    assert values.shape == indices.shape == (0, 3, 2, 2)
    assert us.min_pool2d_backward(values, indices, (0, 3, 4, 4)).shape == (0, 3, 4, 4)
