"""`resize` and its backward: every filter, coordinate, nearest and edge rule, along any axes."""

import itertools
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import cases_resize
import laws
import reference_resize as direct
import strategies as sts
import upsample_rs as us

FILTERS = tuple(m for m in direct.METHODS if m != "nearest")
either = cases_resize.resize_cases() | cases.backward_of(
    cases_resize.resize_cases(dtypes=sts.FLOATS)
)
in_float64 = cases_resize.resize_cases(dtypes=[np.dtype("f8")], fills=[0], specials=False)


@given(case=cases_resize.resize_cases(("nearest",)))
def test_nearest_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=cases_resize.resize_cases(FILTERS, sts.FLOATS))
def test_filters_match_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=cases_resize.resize_cases(direct.METHODS, sts.INTEGERS))
def test_filters_of_integers_match_reference(engine, case):
    laws.forward_matches_reference(case)


@pytest.mark.parametrize("edge", cases_resize.EDGES)
@pytest.mark.parametrize("coordinates", cases_resize.COORDINATES)
@pytest.mark.parametrize("method", direct.METHODS)
def test_no_combination_is_left_to_chance(method, coordinates, edge):
    """One to three axes, up and down, with and without antialiasing, in every pair of rules."""
    for i, (shape, size) in enumerate([((7,), (17,)), ((9, 5), (4, 8)), ((3, 4, 6), (5, 3, 2))]):
        axes = tuple(range(len(shape)))
        options = {"axes": axes, "method": method, "coordinates": coordinates, "edge": edge}
        options |= {"size": size, "fill": 3, "antialias": method != "nearest" and i != 1}
        if coordinates == "tf_crop_and_resize":
            options["roi"] = cases_resize.REGIONS[i + 1 :][: len(shape)]
        x = sts.values(shape, np.float64, 2 * i + 1)
        own, rules = [method] * len(shape), [coordinates] * len(shape)
        laws.forward_matches_reference(cases_resize.resize_case(x, axes, own, rules, options))


@given(case=cases.backward_of(cases_resize.resize_cases(dtypes=sts.FLOATS)))
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


@given(case=in_float64, seed=sts.seeds)
def test_backward_is_adjoint(isa, case, seed):
    laws.backward_is_adjoint(case, seed)


@given(case=in_float64, seed=sts.seeds)
def test_backward_matches_finite_differences(isa, case, seed):
    laws.backward_matches_finite_differences(case, 0, seed)


# --- what is particular to resizing ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2"])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("method", ["cubic", "lanczos3"])
@pytest.mark.parametrize("size", [(131, 190), (33, 41), (60, 150)])
def test_integers_are_those_of_exact_arithmetic(isa, method, antialias, dtype, size):
    """Within one level everywhere; rounded as the exact value is, but for one in a thousand."""
    x = sts.values((70, 90), np.dtype(dtype), 1)
    got = us.resize(x, size, method=method, antialias=antialias)
    weights = [
        matrix(n, m, method=method, antialias=antialias) for n, m in zip(x.shape, size, strict=True)
    ]
    exact = weights[0] @ x.astype(np.longdouble) @ weights[1].T
    info = np.iinfo(dtype)
    want = np.clip(np.floor(exact + np.longdouble(0.5)), info.min, info.max)
    off = abs(got.astype(np.int64) - want)
    assert off.max() <= 1
    assert np.mean(off == 0) >= 0.999


def matrix(n, m, **options):
    """The weights of one axis, in long double."""
    dense = np.zeros((m, n), np.longdouble)
    for o, row in enumerate(direct.axis_rows(n, m, **options)):
        for i, w in row.items():
            exact = getattr(w, "numerator", None) is not None and not isinstance(w, float)
            dense[o, i] = np.longdouble(w.numerator) / w.denominator if exact else w
    return dense


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric"])
def test_nearest_indices_are_exact(coordinates):
    """Every pair of lengths below 400, by integer arithmetic, and one far beyond 2**24."""
    rule = {"method": "nearest", "coordinates": coordinates}
    lengths = [*range(1, 400, 7), 399]
    for n in range(1, 400):
        x = np.arange(n, dtype=np.int32)
        for m in lengths:
            o = np.arange(m, dtype=np.int64)
            num, den = {
                "half_pixel": ((2 * o + 1) * n - m, 2 * m),
                "align_corners": (o * (n - 1), max(m - 1, 1)),
                "asymmetric": (o * n, m),
            }[coordinates]
            for rounding, index in {
                "floor": num // den,
                "ceil": -(-num // den),
                "round_prefer_ceil": (2 * num + den) // (2 * den),
                "round_prefer_floor": -((den - 2 * num) // (2 * den)),
            }.items():
                got = us.resize(x, m, nearest_rounding=rounding, **rule)
                assert np.array_equal(got, np.clip(index, 0, n - 1)), (n, m, rounding)


def test_nearest_far_along_an_axis():
    """Where float32 has no fractions left."""
    n, m = 2**24 + 9, 2**25 + 77
    x = (np.arange(n) % 251).astype(np.uint8)
    o = np.arange(m, dtype=np.int64)
    index = np.clip(-((2 * m - 2 * ((2 * o + 1) * n - m)) // (4 * m)), 0, n - 1)
    got = us.resize(x, m, method="nearest", nearest_rounding="round_prefer_floor")
    assert np.array_equal(got, x[index])


@pytest.mark.parametrize("method", ["linear", "cubic"])
@pytest.mark.parametrize("ratio", [(1, 1), (2, 1), (3, 1), (4, 1), (8, 1), (1, 2), (1, 3), (1, 4)])
def test_rows_of_every_length(isa, method, ratio):
    """Repeating taps are taken for many repetitions at once: whole blocks, one more, one less."""
    outs, ins = ratio
    for blocks, beyond in itertools.product((16, 64, 128), range(-2, 9)):
        repeats = blocks + beyond
        n, m = repeats * ins, repeats * outs
        x = sts.values((2, n), np.dtype("f8"), repeats)
        weights = matrix(n, m, method=method, coordinates="half_pixel").astype(np.float64)
        # Rows after each other begin at other elements of a vector.
        got = us.resize(x, m, axes=1, method=method)
        assert np.allclose(got, x @ weights.T, rtol=0, atol=1e-9), repeats
        got = us.resize(x.astype(np.float32), m, axes=1, method=method)
        want = x.astype(np.float32) @ weights.T
        assert np.allclose(got, want, rtol=1e-5, atol=1e-4), repeats


def test_axes():
    """Any of them, in any order, negative or not; the others stay as they are."""
    x = sts.values((3, 4, 5, 6), np.float64, 1)
    both = us.resize(x, (7, 2), axes=(3, 1))
    assert both.shape == (3, 2, 5, 7)
    assert laws.same_bits(both, us.resize(x, (2, 7), axes=(1, -1)))
    assert us.resize(x, 8, axes=2).shape == (3, 4, 8, 6)
    assert us.resize(x, 8, axes=()).tobytes() == x.tobytes()
    assert us.resize(x, 2).shape == (2, 2, 2, 2)


def test_integers_are_rounded_once_through_five_axes():
    """More axes than one pass has: what lies between is not rounded."""
    x = sts.values((3, 4, 2, 3, 5), np.dtype("i2"), 3)
    size = (2, 5, 3, 4, 3)
    exact = us.resize(x.astype(np.float64), size, method="lanczos3")
    got = us.resize(x, size, method="lanczos3")
    clipped = np.clip(exact, -(2**15), 2**15 - 1)
    assert np.all(abs(got - clipped) <= 0.5 + 1e-9)


def test_interpolate_is_resize():
    """The modes of PyTorch in the words of `resize`."""
    x = sts.values((2, 9, 12), np.float64, 1)
    for mode, method in {"bilinear": "linear", "bicubic": "cubic", "lanczos": "lanczos3"}.items():
        for antialias in (False, True):
            options = {"axes": (1, 2), "method": method, "antialias": antialias}
            one = us.interpolate(x, (5, 20), mode=mode, antialias=antialias)
            assert laws.same_bits(one, us.resize(x, (5, 20), **options))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 12), (9, 12), (20, 13)])
def test_area_is_adaptive_average_pooling(size):
    """And its gradient that of the pooling."""
    x = sts.values((2, 9, 12), np.float64, 1)
    want = us.adaptive_avg_pool2d(x, size)
    np.testing.assert_allclose(us.interpolate(x, size, mode="area"), want, rtol=1e-13)
    back = us.interpolate_backward(want, x.shape, mode="area")
    np.testing.assert_allclose(
        back, us.adaptive_avg_pool2d_backward(want, x.shape), rtol=1e-13, atol=1e-15
    )


def test_a_constant_of_any_dtype():
    """NaN, complex and bool around a region; a value that a dtype does not hold is refused."""
    rule = {"coordinates": "tf_crop_and_resize", "roi": [(-0.5, 1.5)]}
    assert np.isnan(us.resize([1.0, 2.0], 5, fill=np.nan, **rule)).tolist() == [
        True,
        False,
        False,
        False,
        True,
    ]
    moved = us.resize(np.array([1j, 2]), 5, method="nearest", fill=3 - 1j, **rule)
    assert moved.tolist() == [3 - 1j, 1j, 2, 2, 3 - 1j]
    moved = us.resize(np.array([False, False]), 5, method="nearest", fill=True, **rule)
    assert moved.tolist() == [True, False, False, False, True]
    for fill in (300, -1, 0.5, np.nan, 1j):
        laws.refused(
            lambda f=fill: us.resize(np.zeros(4, np.uint8), 2, fill=f),
            ValueError,
            "resize: fill = ",
        )
    laws.refused(lambda: us.resize(np.zeros(4), 2, fill="one"), TypeError, "resize: fill ")


@pytest.mark.parametrize("method", [m for m in FILTERS if m != "box"])
def test_a_single_element_that_a_factor_keeps_single(method):
    """It lies beside its output, which reads what is outside: no copy of it."""
    x = np.array([2.0])
    for scale, coordinates in itertools.product((1.3, 1.9), ("half_pixel", "asymmetric")):
        options = {"scale": scale, "method": method, "coordinates": coordinates}
        rows = [direct.axis_rows(1, 1, edge="constant", **options)]
        want = direct.resize(x, rows, fill=10.0)
        got = us.resize(x, axes=0, edge="constant", fill=10.0, **options)
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_far_regions_are_refused_or_filled():
    """A region a billion elements away takes no memory, or says why not."""
    rule = {"coordinates": "tf_crop_and_resize", "roi": [(1e8, 1e9)]}
    assert us.resize(np.ones(9), 5, fill=2, **rule).tolist() == [2.0] * 5
    for options in ({"scale": 1e300}, {"scale": np.nan}, {"scale": -1}, {"size": 0}):
        laws.refused(lambda o=options: us.resize(np.ones(9), **o), ValueError, "resize: ")
    laws.refused(lambda: us.resize(np.ones(2, np.uint8), 2**31), MemoryError, "resize: ")


def test_empty_batch_is_an_empty_result():
    """No elements in, none out, in the right shape; an empty gradient likewise."""
    x = np.zeros((0, 3, 4), np.float32)
    y = us.resize(x, (8, 9), axes=(1, 2), method="cubic", edge="wrap")
    assert y.shape == (0, 8, 9) and y.dtype == np.float32
    back = us.resize_backward(y, x.shape, axes=(1, 2), method="cubic", edge="wrap")
    assert back.shape == x.shape


# --- the documentation's drawings -----------------------------------------------------------------

FIGURES = Path(__file__).parents[1] / "docs" / "figures_resize.py"


@pytest.mark.skipif(not FIGURES.exists(), reason="the package has no docs")
def test_drawings_are_what_their_script_draws():
    """`python docs/figures_resize.py` would change no drawing."""
    drawings = runpy.run_path(str(FIGURES))["figures"]()
    images = FIGURES.parent / "images" / "resize"
    for name, drawing in drawings.items():
        assert (images / name).read_text(encoding="utf-8") == drawing, name
    galleries = {"larger.png", "smaller.png"}
    assert {p.name for p in images.iterdir()} == {*drawings, *galleries}
