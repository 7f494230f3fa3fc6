"""`lp_pool{1,2,3}d` and their backward."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import strategies as sts
import upsample_rs as us

forward = cases.lp_pool_cases()
backward = cases.backward_of(cases.lp_pool_cases(dtypes=sts.FLOATS, specials=False))
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


# --- what is particular to norms ------------------------------------------------------------------


@given(
    case=cases.lp_pool_cases([np.dtype("f8")], (1, 1.5, 2, 3, 4.5, 0.7), specials=False),
    seed=sts.seeds,
)
def test_backward_matches_finite_differences(isa, case, seed):
    """Away from zero, where a norm has a derivative."""
    rng = np.random.default_rng(seed)
    shape = case.arrays[0].shape
    x = (1 + rng.random(shape)) * rng.choice([-1, 1], shape)
    y, direction = rng.standard_normal(case.expected[0].shape), rng.standard_normal(shape)
    h = 2.0**-14
    slope = np.vdot(case.run([x + h * direction])[0] - case.run([x - h * direction])[0], y)
    back = getattr(us, f"{case.op}_backward")
    options = {k: v for k, v in case.options.items() if k != "rounding"}
    if case.channels_last:
        grads = back(
            ref.to_channels_last(y, case.n),
            ref.to_channels_last(x, case.n),
            **options,
            channels_last=True,
        )
        gradient = ref.to_channels_first(grads, case.n)
    else:
        gradient = back(y, x, **options)
    scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
    assert abs(slope / (2 * h) - np.vdot(gradient, direction)) <= 1e-6 * scale


@given(case=cases.lp_pool_cases(norms=(1, 2, 3, 1.5)))
def test_the_sign_of_an_element_does_not_matter(isa, case):
    """Odd and fractional powers included, the least integer and the zeros too."""
    (x,) = case.arrays
    if x.dtype.kind == "u":
        return
    mirrored = -x if ref.is_float(x.dtype) else np.where(x == np.iinfo(x.dtype).min, x, -x)
    laws.assert_identical(case.run([mirrored])[0], case.run()[0])


@given(case=cases.lp_pool_cases(sts.FLOATS, norms=(math.inf,)))
def test_an_infinite_power_takes_the_largest(isa, case):
    """The maximum of the absolute values, bit for bit."""
    (x,) = case.arrays
    options = {k: v for k, v in case.options.items() if k not in ("norm_type", "rounding")}
    want = getattr(us, case.op.replace("lp", "max"))(abs(x), **options)
    laws.assert_identical(case.run()[0], want)


@given(case=cases.lp_pool_cases(sts.FLOATS, norms=(1,), specials=False))
def test_a_power_of_one_is_a_sum(isa, case):
    (x,) = case.arrays
    options = {k: v for k, v in case.options.items() if k not in ("norm_type", "rounding")}
    want = getattr(us, case.op.replace("lp", "avg"))(abs(x), **options, divisor_override=1)
    bound = np.array(2 * laws.bounds(case)[0], np.float64)
    laws.assert_within(case.run()[0], want.astype(ref.wide(x.dtype)), bound)


@pytest.mark.parametrize("dtype", sts.INTEGERS, ids=str)
@pytest.mark.parametrize("p", [1, 2, 3, 4, math.inf])
def test_roots_of_integers_that_are_integers(isa, dtype, p):
    """Exact, under every rounding: a floor does not fall one below."""
    for value in (0, 1, 2, 3, 7, 10, 100, 127):
        x = np.full((2, 2), value, dtype)
        for rounding in ref.ROUNDING:
            assert us.lp_pool2d(x, p, 1, rounding=rounding).tolist() == x.tolist()
    if p == 2:
        sides = np.array([3, 4, 5, 12, 8, 15, 0, 9, 20, 21, 28, 45], dtype)
        for rounding in ref.ROUNDING:
            got = us.lp_pool1d(sides, 2, 2, rounding=rounding)
            assert got.tolist() == [5, 13, 17, 9, 29, 53]


@pytest.mark.parametrize("dtype", sts.INTEGERS, ids=str)
def test_integers_saturate(isa, dtype):
    """The magnitude of the least integer is one more than the largest."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    worst = low if low < 0 else high
    assert us.lp_pool1d(np.array([worst, 0], dtype), 2, 2).tolist() == [high]
    assert us.lp_pool1d(np.full(9, worst, dtype), 3, 3).tolist() == [high] * 3


@pytest.mark.parametrize("p", [1, 2, 3, 2.5, math.inf])
@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
def test_nan_and_infinity(isa, dtype, p):
    x = np.array([1, np.nan, 1, -np.inf, np.inf, 2, -np.inf, np.nan, 0, -0.0], dtype)
    got = us.lp_pool1d(x, p, 2).astype(np.float64)
    assert np.array_equal(got, [np.nan, np.inf, np.inf, np.nan, 0], equal_nan=True)
    assert not np.signbit(got[4])


@pytest.mark.parametrize("p", [1, 2, 3, 1.5, math.inf])
@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
def test_no_gradient_where_the_norm_is_zero(isa, dtype, p):
    """Nor to an element that is zero."""
    x = np.array([0, -0.0, 3, 0, -4, 0], dtype)
    grad = us.lp_pool1d_backward(np.ones(3, dtype), x, p, 2)
    zeros = [0, 1, 3, 5]
    assert grad.dtype == dtype and np.all(grad[zeros] == 0)
    np.testing.assert_allclose(grad[[2, 4]].astype(np.float64), [1, -1], rtol=1e-6)


def test_backward_by_hand():
    grad = us.lp_pool1d_backward(np.array([10.0, 1.0]), np.array([3.0, -4.0, 5.0, 12.0]), 2, 2)
    assert grad.tolist() == [6, -8, 5 / 13, 12 / 13]
    grad = us.lp_pool1d_backward(np.array([1.0, 2.0]), np.array([-3.0, 4.0, -7.0]), 1, 2, 1)
    assert grad.tolist() == [-1, 3, -2]


@pytest.mark.parametrize("dtype", [*sts.BOOL, *sts.COMPLEX], ids=str)
def test_no_norm_of_bool_or_complex(dtype):
    x = np.ones((4, 4), dtype)
    laws.refused(lambda: us.lp_pool2d(x, 2, 2), TypeError, "lp_pool2d: ", x.dtype.name)


@pytest.mark.parametrize("p", [0, -1, -0.5, math.nan, -math.inf])
def test_powers_without_a_norm(p):
    for call in (
        lambda: us.lp_pool2d(np.ones((4, 4)), p, 2),
        lambda: us.lp_pool2d_backward(np.ones((2, 2)), np.ones((4, 4)), p, 2),
    ):
        laws.refused(call, ValueError, "lp_pool2d", "norm_type")


def test_empty_batch_is_an_empty_result():
    x = np.ones((0, 3, 4, 4), "f4")
    y = us.lp_pool2d(x, 2, 2)
    assert y.shape == (0, 3, 2, 2)
    assert us.lp_pool2d_backward(y, x, 2, 2).shape == (0, 3, 4, 4)
