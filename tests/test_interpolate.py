"""`interpolate` and its backward, in every mode."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import cases_resize
import laws
import reference as ref
import strategies as sts
import upsample_rs as us

forward = cases.interpolate_cases() | cases_resize.interpolate_cases()
backward = cases.backward_of(
    cases.interpolate_cases(dtypes=sts.FLOATS) | cases_resize.interpolate_cases(dtypes=sts.FLOATS)
)
either = forward | backward
in_float64 = cases.interpolate_cases(
    dtypes=[np.dtype("f8")], specials=False
) | cases_resize.interpolate_cases([np.dtype("f8")])


@given(case=cases.interpolate_cases(cases.NEAREST))
def test_nearest_forward_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=cases.interpolate_cases(cases.LINEAR, sts.FLOATS))
def test_linear_forward_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=cases.interpolate_cases(cases.LINEAR, sts.INTEGERS))
def test_linear_forward_of_integers_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=cases_resize.interpolate_cases(sts.FLOATS))
def test_wider_filters_match_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=cases_resize.interpolate_cases(sts.INTEGERS))
def test_wider_filters_of_integers_match_reference(engine, case):
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


@given(case=in_float64, seed=sts.seeds)
def test_backward_is_adjoint(isa, case, seed):
    laws.backward_is_adjoint(case, seed)


# --- what is particular to resizing ---------------------------------------------------------------


@given(case=cases.interpolate_cases(cases.LINEAR, sts.FLOATS, sized=True), seed=sts.seeds)
def test_nan_spreads_only_to_what_it_has_weight_in(isa, case, seed):
    """A neighbour of weight 0 is not read: NaN comes out where the oracle's taps meet it."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(case.arrays[0].shape) < 0.1, np.nan, case.arrays[0])
    x = x.astype(case.arrays[0].dtype)
    (got,) = case.run([x])
    (want,) = case.oracle(x)
    assert np.array_equal(np.isnan(got.astype(np.float64)), np.isnan(want))


@pytest.mark.parametrize("rule", [{}, {"align_corners": True}, {"antialias": True}], ids=str)
def test_taps_of_weight_zero_are_not_read(isa, rule):
    """Every resize up to 24 elements: NaN at j comes out where the exact weight of j is not 0."""
    for in_len in range(1, 25):
        x = np.zeros((in_len, in_len))
        np.fill_diagonal(x, np.nan)
        for out_len in range(1, 25):
            y = us.interpolate(x, out_len, mode="linear", **rule)
            want = np.zeros((in_len, out_len), bool)
            for o, row in enumerate(ref.linear_taps(in_len, out_len, **rule)):
                want[[i for i, _ in row], o] = True
            assert np.array_equal(np.isnan(y), want), (in_len, out_len)


@pytest.mark.parametrize("mode", cases.LINEAR)
@pytest.mark.parametrize("rounding", ref.ROUNDING)
@given(data=st.data())
def test_constant_stays_constant(isa, mode, rounding, data):
    """The weights of every output add up to 1, also after rounding, in every integer type."""
    case = data.draw(cases.interpolate_cases([mode], sts.INTEGERS))
    info = np.iinfo(case.arrays[0].dtype)
    low, high = max(info.min, -(2**31)), min(info.max, 2**32 - 1)
    constant = data.draw(st.sampled_from([low, high, 0, 1, 7, 100]))
    (got,) = case.run([np.full_like(case.arrays[0], constant)], rounding=rounding)
    assert np.all(got == constant)


@pytest.mark.parametrize("in_len, out_len", [(35, 1), (41, 4), (51, 2), (200, 3), (1000, 7)])
@pytest.mark.parametrize("dtype", ["u1", "i4", "u4"])
def test_constant_stays_constant_through_many_taps(isa, in_len, out_len, dtype):
    """The error of a long antialiased sum of large integers is still seen through."""
    x = np.full((in_len, in_len), np.iinfo(dtype).max, dtype)
    got = us.interpolate(x, out_len, mode="bilinear", antialias=True, rounding="floor")
    assert np.all(got == x[0, 0])


@pytest.mark.parametrize("rounding", ref.ROUNDING)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
@pytest.mark.parametrize(
    "lens, outs",
    [((45, 55), (10, 12)), ((27, 96), (6, 21)), ((64, 77), (9, 9)), ((7, 300), (7, 47))],
)
def test_means_of_windows_of_two_lengths_are_exact(isa, lens, outs, dtype, rounding):
    """By integers: a window of 30 elements is halfway between two numbers every thirtieth time."""
    info = np.iinfo(dtype)
    rng = np.random.default_rng(7)
    x = rng.integers(info.min, info.max, (3, *lens), dtype, endpoint=True)
    x[0] //= 16  # small numbers: as many ties, and both signs
    edges = [
        [(o * n // m, -(-(o + 1) * n // m)) for o in range(m)]
        for n, m in zip(lens, outs, strict=True)
    ]
    want = np.empty((3, *outs), np.int64)
    for i, (top, bottom) in enumerate(edges[0]):
        for j, (left, right) in enumerate(edges[1]):
            window = x[:, top:bottom, left:right].reshape(3, -1).astype(np.int64)
            total, n = window.sum(1), window.shape[1]
            down, up = total // n, (2 * total + n) // (2 * n)
            even = down + (2 * (total - down * n) > n - down % 2)
            toward = np.where(total < 0, -(-total // n), down)
            rules = {"nearest": up, "half_even": even, "floor": down, "trunc": toward}
            want[:, i, j] = rules[rounding]
    got = us.interpolate(x, outs, mode="area", rounding=rounding)
    assert np.array_equal(got, want)


@pytest.mark.parametrize("mode", cases.NEAREST)
@pytest.mark.parametrize("in_len, out_len", [(2, 82), (3, 2**24 + 9), (7, 5_000_011), (50_021, 7)])
def test_nearest_indices_are_exact(isa, mode, in_len, out_len):
    """Where float32 coordinates pick the wrong neighbour: 2 -> 82, and beyond 2**24."""
    o = np.arange(out_len, dtype=np.int64)
    exact = (
        (2 * o + 1) * in_len // (2 * out_len) if mode == "nearest-exact" else o * in_len // out_len
    )
    x = (np.arange(in_len) % 251).astype(np.uint8)
    assert np.array_equal(us.interpolate(x, out_len, mode=mode), x[exact])


@pytest.mark.parametrize(
    "rounding, expected",
    [
        ("nearest", [-3, -2, -2, -1, -1, 0, 0]),
        ("half_even", [-3, -2, -2, -2, -1, 0, 0]),
        ("floor", [-3, -3, -2, -2, -1, -1, 0]),
        ("trunc", [-3, -2, -2, -1, -1, 0, 0]),
    ],
)
def test_ties_of_negative_integers(rounding, expected):
    """-3, -2.5, -2, -1.5, -1, -0.5, 0: each rounding has its own idea of a half."""
    x = np.array([-3, -2, -1, 0], np.int8)
    got = us.interpolate(x, 7, mode="linear", align_corners=True, rounding=rounding)
    assert got.dtype == np.int8 and got.tolist() == expected


@pytest.mark.parametrize("dtype", sts.INTEGERS, ids=str)
def test_positive_ties_and_extremes(dtype):
    """0.5 and 1.5 by each rule, and a range whose ends are the type's own."""
    x = np.array([0, 1, 2], dtype)
    want = {"nearest": [0, 1, 1, 2, 2], "half_even": [0, 0, 1, 2, 2]}
    want |= {"floor": [0, 0, 1, 1, 2], "trunc": [0, 0, 1, 1, 2]}
    for rounding, line in want.items():
        got = us.interpolate(x, 5, mode="linear", align_corners=True, rounding=rounding)
        assert got.tolist() == line, rounding
    ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
    assert np.array_equal(us.interpolate(ends, 2, mode="linear"), ends)


def test_scale_factor_rules():
    """The size is floor(length * factor); positions follow the factor unless recomputed."""
    x = np.arange(3.0)
    given_factor = us.interpolate(x, scale_factor=1.5, mode="linear")
    recomputed = us.interpolate(x, scale_factor=1.5, mode="linear", recompute_scale_factor=True)
    np.testing.assert_allclose(given_factor, [0, 0.5, 7 / 6, 11 / 6], rtol=1e-14)
    np.testing.assert_allclose(recomputed, us.interpolate(x, 4, mode="linear"), rtol=0)
    assert us.interpolate(np.zeros((88, 88)), scale_factor=120 / 88).shape == (119, 119)
    assert us.interpolate(np.zeros((4, 6)), scale_factor=(0.5, 1.5)).shape == (2, 9)


def test_spatial_rank():
    """From the mode's name, else the length of `size`, else ndim - 2, else every axis."""
    assert us.interpolate(np.zeros(4), 8).shape == (8,)
    assert us.interpolate(np.zeros((4, 4)), 8).shape == (8, 8)
    assert us.interpolate(np.zeros((2, 3, 4)), 8).shape == (2, 3, 8)
    assert us.interpolate(np.zeros((2, 3, 4, 4)), 8).shape == (2, 3, 8, 8)
    assert us.interpolate(np.zeros((2, 3, 4, 4, 4)), 8).shape == (2, 3, 8, 8, 8)
    assert us.interpolate(np.zeros((2, 3, 4)), (8,)).shape == (2, 3, 8)
    assert us.interpolate(np.zeros((2, 3, 4)), (6, 8)).shape == (2, 6, 8)
    assert us.interpolate(np.zeros((2, 3, 4)), (6, 6, 8)).shape == (6, 6, 8)
    assert us.interpolate(np.zeros((2, 3, 4)), 8, mode="linear").shape == (2, 3, 8)
    assert us.interpolate(np.zeros((2, 3, 4)), 8, mode="bilinear").shape == (2, 8, 8)
    assert us.interpolate(np.zeros((2, 3, 4)), 8, mode="trilinear").shape == (8, 8, 8)
    last = us.interpolate(np.zeros((2, 4, 4, 3)), 8, channels_last=True)
    assert last.shape == (2, 8, 8, 3)


def test_same_size_is_a_copy():
    """Nothing to do is no reason to hand the input back."""
    x = np.arange(6.0).reshape(2, 3)
    for mode in ("nearest", "nearest-exact", "bilinear"):
        y = us.interpolate(x, (2, 3), mode=mode)
        assert np.array_equal(x, y) and not np.shares_memory(x, y)


@pytest.mark.parametrize("mode", cases.MODES)
def test_empty_batch_is_an_empty_result(mode):
    """No elements in, none out, in the right shape; an empty gradient likewise."""
    n = {"linear": 1, "trilinear": 3}.get(mode, 2)
    y = us.interpolate(np.zeros((0, 3) + (4,) * n, np.float32), (8,) * n, mode=mode)
    assert y.shape == (0, 3) + (8,) * n and y.dtype == np.float32
    back = us.interpolate_backward(y, (0, 3) + (4,) * n, mode=mode)
    assert back.shape == (0, 3) + (4,) * n


@pytest.mark.parametrize("size", [(4, 9), (5, 9), (7, 20), (33, 64)])
def test_antialias_changes_nothing_when_enlarging(isa, size):
    """The triangle widens only where an axis shrinks."""
    x = sts.values((2, 4, 9), np.float64, 1)
    plain = us.interpolate(x, size, mode="bilinear")
    soft = us.interpolate(x, size, mode="bilinear", antialias=True)
    np.testing.assert_allclose(soft, plain, rtol=1e-13, atol=1e-14)
