"""`affine_grid` and its backward. The oracle is in `reference_grid.py`."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import laws
import reference_grid as ref_grid
import strategies as sts
import upsample_rs as us
from cases import Case


class AffineCase(Case):
    """Coordinates may be negative, so absolute arrays are not enough for the magnitude."""

    @functools.cached_property
    def magnitude(self):
        return self.oracle(abs(self.arrays[0]), absolute=True)


@st.composite
def affine_cases(draw, dtypes=sts.FLOATS, specials=True):
    n = draw(st.integers(2, 3))
    batch = draw(sts.leading_axes())
    between = draw(sts.leading_axes()) if draw(st.booleans()) else ()
    spatial = draw(sts.shapes(n, 2000))
    align = draw(st.booleans())
    dtype = draw(st.sampled_from(dtypes))
    theta = sts.values((*batch, n, n + 1), dtype, draw(sts.seeds), specials and draw(st.booleans()))
    options = {"size": (*batch, *between, *spatial), "align_corners": align}
    if draw(st.booleans()):
        options["size"] = [*options["size"], 5]
        options["channels_last"] = True

    def gradient(grad):
        return AffineCase(
            op="affine_grid_backward",
            n=2,
            arrays=(grad,),
            options=options,
            oracle=lambda g, absolute=False: (ref_grid.affine_grid_backward(g, align, absolute),),
            exact=False,
            terms=(math.prod(spatial) + 9,),
            slack=64.0,
        )

    return AffineCase(
        op="affine_grid",
        n=2,
        arrays=(theta,),
        options=options,
        oracle=lambda t, absolute=False: (ref_grid.affine_grid(t, spatial, align, absolute),),
        exact=False,
        terms=(n + 6,),
        slack=64.0,
        gradient=gradient,
        layouts=(draw(sts.layouts),),
    )


@st.composite
def backward_cases(draw):
    case = draw(affine_cases(specials=False)).backward(draw(sts.seeds))
    return draw(st.sampled_from([case, replace(case, layouts=(draw(sts.layouts),))]))


either = affine_cases() | backward_cases()


@given(case=either)
def test_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=either)
def test_same_bits_at_any_thread_count(isa, case):
    laws.same_bits_at_any_thread_count(case)


@given(case=either, layout=sts.layouts)
def test_strided_equals_contiguous(isa, case, layout):
    laws.strided_equals_contiguous(case, layout)


@given(case=either, layout=st.sampled_from(sts.IN_PLACE))
def test_out_equals_fresh(isa, case, layout):
    laws.out_equals_fresh(case, layout)


@given(case=either)
def test_bad_out_is_refused(case):
    laws.bad_out_is_refused(case)


@given(case=either)
def test_every_isa_gives_the_same_bits(case):
    """Nothing here is fused."""
    results = []
    for isa in laws.ISAS:
        us._core._force_isa(isa)
        results.append(case.run()[0])
    assert all(laws.same_bits(r, results[0]) for r in results)


@given(case=affine_cases((np.dtype("f8"),), specials=False), seed=sts.seeds)
def test_backward_is_adjoint(case, seed):
    laws.backward_is_adjoint(case, seed)


@given(case=affine_cases((np.dtype("f8"),), specials=False), seed=sts.seeds)
def test_backward_matches_finite_differences(case, seed):
    laws.backward_matches_finite_differences(case, 0, seed)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("n", [2, 3])
def test_coordinates_are_correctly_rounded(n, align):
    """Those of a float32 grid, to the last bit, and symmetric."""
    for length in (1, 2, 3, 7, 10, 1000):
        size = (2,) * (n - 1) + (length,)
        got = us.affine_grid(np.eye(n, n + 1, dtype="f4"), size, align)[(0,) * (n - 1)][:, 0]
        exact = ref_grid.base((length,), align)[:, 0]
        assert np.array_equal(got, exact.astype("f4"))
        assert np.array_equal(got, -got[::-1])


def test_vjp():
    theta = sts.values((2, 2, 3), "f8", 1)
    y, pullback = us.vjp(us.affine_grid, theta, (2, 3, 4, 5), align_corners=True)
    assert np.array_equal(y, us.affine_grid(theta, (2, 3, 4, 5), True))
    grad = sts.values(y.shape, "f8", 2)
    (got,) = pullback(grad)
    assert np.array_equal(got, us.affine_grid_backward(grad, (2, 3, 4, 5), True))


def test_many_points_in_parts():
    """Sums of sums, cut the same way on any number of threads."""
    grad = sts.values((2, 300, 400, 2), "f4", 1)
    want = ref_grid.affine_grid_backward(grad, False)
    results = []
    for threads in (1, 2, 5):
        us.set_num_threads(threads)
        results.append(us.affine_grid_backward(grad, (2, 1, 300, 400)))
    assert all(laws.same_bits(r, results[0]) for r in results)
    np.testing.assert_allclose(results[0], want, rtol=1e-6, atol=1e-4)


def test_nothing_to_do():
    assert us.affine_grid(np.ones((0, 2, 3)), (0, 3, 4, 5)).shape == (0, 4, 5, 2)
    assert us.affine_grid_backward(np.ones((0, 4, 5, 2)), (0, 3, 4, 5)).shape == (0, 2, 3)


THETA = np.ones((2, 2, 3))
REFUSED = [
    (us.affine_grid, (np.ones((2, 2, 2)), (2, 3, 4, 5)), ValueError, ["theta.shape", "(2, 2, 2)"]),
    (us.affine_grid, (np.ones((2, 4, 5)), (2, 3, 4, 5)), ValueError, ["theta.shape"]),
    (us.affine_grid, (np.ones(6), (4, 5)), ValueError, ["theta.shape", "(6,)"]),
    (us.affine_grid, (THETA, (3, 3, 4, 5)), ValueError, ["size", "(3, 3, 4, 5)", "(2, 2, 3)"]),
    (us.affine_grid, (THETA, (4, 5)), ValueError, ["size", "3 entries"]),
    (us.affine_grid, (THETA, (2, 3, 0, 5)), ValueError, ["size", "axis H"]),
    (us.affine_grid, (THETA, (2, 3, -4, 5)), ValueError, ["size", "-4"]),
    (us.affine_grid, (THETA, (2, 3, 4.0, 5)), TypeError, ["size"]),
    (us.affine_grid, (THETA, 4), ValueError, ["size"]),
    (us.affine_grid, (THETA, (2, 3, 2**40, 2**40)), ValueError, ["2**63"]),
    (us.affine_grid, (THETA.astype(int), (2, 3, 4, 5)), TypeError, ["theta", "int64"]),
    (us.affine_grid, (THETA, (2, 3, 4, 5), None), TypeError, ["align_corners"]),
    (us.affine_grid_backward, (np.ones((2, 4, 5, 2)), (2, 3, 5, 4)), ValueError, ["grad_output"]),
    (us.affine_grid_backward, (np.ones((2, 4, 5, 4)), (2, 3, 4, 5)), ValueError, ["grad_output"]),
    (us.affine_grid_backward, (np.ones(2), (2, 3, 4, 5)), ValueError, ["grad_output.shape"]),
    (us.affine_grid_backward, (np.ones((3, 4, 5, 2)), (2, 3, 4, 5)), ValueError, ["size"]),
]


@pytest.mark.parametrize(("function", "args", "exception", "words"), REFUSED)
def test_refusal(function, args, exception, words):
    line = laws.refused(lambda: function(*args), exception, *words)
    assert line.startswith(function.__name__ + ": ") and len(line) < 300
