"""Convolutions with outputs in pairs, by Winograd's minimal filtering, and the switch for it.

Forced on shapes of any size: by themselves only those take this way that gain by it. Its sums are
of sums and differences, so what bounds their error is wider than for a sum of products.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import strategies as sts
import upsample_rs as us
from upsample_rs import _core

DOUBLE = [np.dtype("f8")]
plain, transposed = cases.conv_cases(sts.FLOATS), cases.conv_transpose_cases(sts.FLOATS)
forward = plain | transposed
either = forward | cases.backward_of(plain) | cases.backward_of(transposed)
in_float64 = cases.conv_cases(DOUBLE) | cases.conv_transpose_cases(DOUBLE)


@pytest.fixture(autouse=True)
def in_pairs():
    """Outputs in pairs, wherever that saves a product."""
    _core._force_conv("winograd")
    yield
    _core._force_conv(None)


def summed(weight, n):
    """Every tap the sum of all absolute ones of its pair of channels."""
    weight = abs(weight.astype("f8"))
    return np.broadcast_to(weight.sum(tuple(range(-n, 0)), keepdims=True), weight.shape)


def widened(case):
    """The case with the bound of docs/numerics.md for outputs in pairs."""
    x = next(i for i, a in enumerate(case.arrays) if a is not None)

    def magnitude():
        wide = list(case.arrays)
        wide[1 + x] = summed(case.arrays[1 + x], case.n)
        given = [None if a is None else abs(np.nan_to_num(a.astype("f8"))) for a in wide]
        return [2**case.n * m for m in case.oracle(*given)]

    wider = replace(case, terms=tuple(t + 8 for t in case.terms))
    wider.__dict__["magnitude"] = magnitude()
    return wider


@given(case=forward)
def test_forward_matches_reference(engine, case):
    laws.forward_matches_reference(widened(case))


@given(case=either)
def test_same_bits_at_any_thread_count(isa, case):
    laws.same_bits_at_any_thread_count(case)


@given(case=forward, layout=sts.layouts)
def test_strided_equals_contiguous(isa, case, layout):
    laws.strided_equals_contiguous(case, layout)


@given(case=forward, layout=st.sampled_from(sts.IN_PLACE))
def test_out_equals_fresh(isa, case, layout):
    laws.out_equals_fresh(case, layout)


@given(case=either)
def test_channels_last_equals_channels_first(isa, case):
    laws.channels_last_equals_channels_first(case)


@given(case=in_float64, seed=sts.seeds)
def test_backward_is_adjoint(isa, case, seed):
    """<conv(x, w), y> = <x, grad_x>, both in pairs."""
    x, weight, _ = case.arrays
    (y0,) = case.run([x, weight, None])
    back = case.backward(seed)
    y, grad_x = back.arrays[0], back.run()[0]
    scale = np.linalg.norm(y0) * np.linalg.norm(y) + np.linalg.norm(x) * np.linalg.norm(grad_x)
    scale += np.linalg.norm(summed(weight, case.n)) * np.linalg.norm(x) * np.linalg.norm(y)
    assert abs(np.vdot(y0, y) - np.vdot(x, grad_x)) <= 1e-14 * max(back.terms) * scale


@given(case=forward)
def test_prepared_gives_the_same_bits(isa, case):
    x, weight, bias = case.given()
    options = {k: v for k, v in case.options.items() if k != "output_size"}
    if "output_size" in case.options:
        return
    last = {"channels_last": case.channels_last}
    prepare = us.prepare_conv_transpose if "transpose" in case.op else us.prepare_conv
    prepared = prepare(weight, bias, **options, **last, rank=case.n)
    want = getattr(us, case.op)(x, weight, bias, **options, **last)
    for _ in range(2):
        assert laws.same_bits(prepared(x), want)


# --- what is particular to pairs ------------------------------------------------------------------

# Operation, shapes of x and weight, stride, padding.
SHAPES = [
    ("conv1d", (2, 5, 40), (7, 5, 3), 1, 1),
    ("conv1d", (2, 5, 41), (7, 5, 2), 1, 0),
    ("conv1d", (1, 4, 300), (3, 4, 5), 2, 2),
    ("conv2d", (2, 6, 13, 18), (13, 6, 3, 3), 1, 1),
    ("conv2d", (1, 6, 14, 17), (9, 6, 3, 3), 2, 1),
    ("conv2d", (1, 3, 20, 21), (4, 3, 1, 3), 1, (0, 1)),
    ("conv2d", (1, 9, 33, 70), (6, 9, 3, 3), 1, 1),
    ("conv3d", (1, 4, 6, 7, 8), (5, 4, 3, 3, 3), 1, 1),
    ("conv_transpose1d", (1, 6, 50), (6, 5, 16), 8, 4),
    ("conv_transpose2d", (2, 7, 9, 10), (7, 8, 4, 4), 2, 1),
    ("conv_transpose2d", (1, 7, 9, 10), (7, 3, 3, 3), 2, 1),
    ("conv_transpose2d", (1, 5, 12, 11), (5, 1, 9, 9), 3, 3),
    ("conv_transpose3d", (1, 4, 5, 6, 7), (4, 3, 4, 4, 4), 2, 1),
]
every_shape = pytest.mark.parametrize("op, shape, kernel, stride, padding", SHAPES)


def whole_numbers(*shapes):
    random = np.random.default_rng(8)
    return [random.integers(-9, 10, shape).astype("f4") for shape in shapes]


@every_shape
def test_every_way_is_exact_where_sums_are(isa, op, shape, kernel, stride, padding):
    """Whole numbers and quarters of them: no rounding, whatever way."""
    outs = kernel[0] if "transpose" not in op else kernel[1]
    x, weight, bias = whole_numbers(shape, kernel, (outs,))
    for dtype in ("f4", "f8", "f2"):
        arrays = [a.astype(dtype) for a in (x, weight, bias)]
        results = []
        for way in ("winograd", "direct"):
            _core._force_conv(way)
            assert us.config()["conv"] == way
            results.append(getattr(us, op)(*arrays, stride, padding))
        laws.assert_identical(*results)


@every_shape
def test_the_way_is_taken(op, shape, kernel, stride, padding):
    """Random numbers round differently: else all the others would test nothing."""
    random = np.random.default_rng(9)
    x, weight = (random.standard_normal(s).astype("f4") for s in (shape, kernel))
    paired = getattr(us, op)(x, weight, None, stride, padding)
    _core._force_conv("direct")
    assert not laws.same_bits(getattr(us, op)(x, weight, None, stride, padding), paired)


@every_shape
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
def test_what_is_not_finite_is_as_every_product_by_itself_has_it(
    isa, op, shape, kernel, stride, padding, value
):
    """Infinity less infinity is no number: such outputs are computed anew."""
    random = np.random.default_rng(10)
    x, weight = whole_numbers(shape, kernel)
    for where in (x, weight):
        at = tuple(random.integers(0, s) for s in where.shape)
        before, where[at] = where[at], value
        with np.errstate(all="ignore"):
            paired = getattr(us, op)(x, weight, None, stride, padding)
            _core._force_conv("direct")
            direct = getattr(us, op)(x, weight, None, stride, padding)
        _core._force_conv("winograd")
        where[at] = before
        odd = ~np.isfinite(direct)
        assert np.array_equal(paired[odd], direct[odd], equal_nan=True)
        assert np.isfinite(paired[~odd]).all()
        if not abs(value) < np.inf:
            assert odd.any() and np.array_equal(paired[~odd], direct[~odd])


def part_of(op, x, weight, outs, *rest):
    """Some of the outputs, from the inputs they read and no others."""
    nothing = np.empty(0, x.dtype)
    reads = getattr(us, op)(_core.Part(nothing, x.shape, outs, True), weight, None, *rest)
    held = x[tuple(slice(*read) for read in reads)]
    return getattr(us, op)(_core.Part(held, x.shape, outs), weight, None, *rest)


@every_shape
def test_parts_are_the_wholes_bits(op, shape, kernel, stride, padding):
    """Wherever a part begins, its outputs are in the whole's pairs."""
    random = np.random.default_rng(11)
    x, weight = (random.standard_normal(s).astype("f4") for s in (shape, kernel))
    whole = getattr(us, op)(x, weight, None, stride, padding)
    for _ in range(30):
        outs = [(0, whole.shape[0]), (0, whole.shape[1])]
        for length in whole.shape[2:]:
            start, end = sorted(random.choice(length + 1, 2, replace=False))
            outs.append((int(start), int(end)))
        got = part_of(op, x, weight, outs, stride, padding)
        assert laws.same_bits(got, np.ascontiguousarray(whole[tuple(slice(*o) for o in outs)]))


def test_a_prepared_weight_serves_both_ways_in_turns():
    """A small image has too few positions for pairs, a larger one enough."""
    _core._force_conv("auto")
    random = np.random.default_rng(12)
    weight = random.standard_normal((64, 64, 3, 3)).astype("f4")
    prepared = us.prepare_conv(weight, padding=1)
    images = [random.standard_normal((1, 64, n, n)).astype("f4") for n in (4, 40)]
    for x in images * 2:
        assert laws.same_bits(prepared(x), us.conv2d(x, weight, padding=1))
    _core._force_conv("direct")
    small, large = (us.conv2d(x, weight, padding=1) for x in images)
    assert laws.same_bits(prepared(images[0]), small)
    _core._force_conv("auto")
    assert laws.same_bits(prepared(images[0]), small)
    assert not laws.same_bits(prepared(images[1]), large)
