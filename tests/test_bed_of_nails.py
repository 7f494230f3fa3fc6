"""`bed_of_nails` and its backward."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import strategies as sts
import upsample_rs as us

forward = cases.bed_of_nails_cases()
backward = cases.backward_of(forward)
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


@given(case=forward)
def test_backward_undoes_forward(isa, case):
    """The slice at the nails gives back every element, bit for bit."""
    (y,) = case.run(channels_last=False, layouts=("contiguous",))
    back = us.bed_of_nails_backward
    x = back(y, case.arrays[0].shape, case.options["factor"], offset=case.options["offset"])
    laws.assert_identical(x, case.arrays[0])


@given(case=cases.bed_of_nails_cases(dtypes=[np.dtype("i8")]), seed=sts.seeds)
def test_backward_is_adjoint(isa, case, seed):
    """In integers modulo 2**64 the two sides are equal, not nearly so."""
    (ax,) = case.run()
    back = case.backward(seed)
    (aty,) = back.run()
    assert np.vdot(ax, back.arrays[0]) == np.vdot(case.arrays[0], aty)


def test_an_int_means_two_axes():
    """And a tuple as many as it has entries, whatever comes in front."""
    assert us.bed_of_nails(np.ones((5, 3, 4)), 2).shape == (5, 6, 8)
    assert us.bed_of_nails(np.ones((5, 3, 4)), (2,)).shape == (5, 3, 8)
    assert us.bed_of_nails(np.ones((5, 3, 4)), (1, 3, 2)).shape == (5, 9, 8)
    assert us.bed_of_nails(np.ones((3, 4, 5)), 2, channels_last=True).shape == (6, 8, 5)


@pytest.mark.parametrize("factor, offset", [(2, 1), ((2, 3), (0, 2)), ((3, 1), (2, 0))])
def test_offset_moves_the_nails(factor, offset):
    x = np.arange(1, 7).reshape(2, 3)
    y = us.bed_of_nails(x, factor, offset=offset)
    (fy, fx), (oy, ox) = np.broadcast_to(factor, 2), np.broadcast_to(offset, 2)
    assert np.array_equal(y[oy::fy, ox::fx], x) and np.count_nonzero(y) == x.size


def test_empty_batch_is_an_empty_result():
    assert us.bed_of_nails(np.ones((0, 3, 2, 2)), 2).shape == (0, 3, 4, 4)
    assert us.bed_of_nails_backward(np.ones((0, 4, 4)), (0, 2, 2), 2).shape == (0, 2, 2)
