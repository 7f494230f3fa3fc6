"""`unfold` and `fold`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as plain
import reference_moves as ref
import strategies as sts
import upsample_rs as us
from cases import Case

ADDED = sts.BOOL + sts.INTEGERS + sts.FLOATS + sts.COMPLEX
DOUBLE = [np.dtype("f8")]


@dataclass(frozen=True, repr=False)
class Columns(Case):
    """A case whose result has another number of axes after the channel than its array."""

    n_out: int = 1

    def first(self, results, channels_last=None):
        if not (self.channels_last if channels_last is None else channels_last):
            return results
        return tuple(plain.to_channels_first(r, self.n_out) for r in results)


@st.composite
def windows(draw, size, longest):
    """(kernel, dilation, pads, stride) per axis such that a window fits."""
    axes = []
    for length in size:
        k, d = draw(st.integers(1, longest)), draw(st.integers(1, 3))
        pad = (draw(st.integers(0, 4)), draw(st.integers(0, 4)))
        if length + sum(pad) < d * (k - 1) + 1:
            k, d = min(k, length), 1
        axes.append((k, d, pad, draw(st.sampled_from([1, 1, 2, 3, 4, 5, 9]))))
    if draw(st.integers(0, 4)) == 0:  # side by side
        divisors = [[k for k in range(1, longest + 1) if s % k == 0] for s in size]
        axes = [(k, 1, (0, 0), k) for k in (draw(st.sampled_from(some)) for some in divisors)]
    return tuple(zip(*axes, strict=True))


def spelled(draw, n, kernel, dilation, pads, stride):
    """The parameters as a user may write them; the kernel always says the number of axes."""
    kernel = draw(sts.spelled(kernel)) if n == 2 else draw(st.sampled_from([kernel, list(kernel)]))
    options = {"kernel_size": kernel, "padding": draw(sts.spelled_pads(pads))}
    options["dilation"] = draw(sts.spelled(dilation))
    options["stride"] = draw(sts.spelled(stride))
    return options


@st.composite
def unfold_cases(draw, dtypes=sts.MOVED, specials=True):
    n = draw(st.integers(1, 3))
    size = draw(sts.shapes(n, 150))
    lead = draw(sts.leading_axes(3))[:2]
    params = draw(windows(size, {1: 9, 2: 4, 3: 3}[n]))
    dtype = draw(st.sampled_from(dtypes))
    x = sts.values((*lead, *size), dtype, draw(sts.seeds), specials)
    return draw(cases.placed(unfold_case(x, params, spelled(draw, n, *params))))


def unfold_case(x, params, options):
    n = len(params[0])
    size = x.shape[-n:]
    return Columns(
        op="unfold",
        n=n,
        arrays=(x,),
        options=options,
        oracle=lambda x: (ref.unfold(x, *params),),
        exact=True,
        gradient=lambda grad: fold_case(grad, size, params, options),
    )


@st.composite
def fold_cases(draw, dtypes=ADDED, specials=False):
    case = draw(unfold_cases(dtypes=DOUBLE))
    if case.arrays[0].ndim == case.n:
        case = unfold_case(case.arrays[0][None], *remembered(case))
    dtype = draw(st.sampled_from(dtypes))
    columns = sts.values(case.expected[0].shape, dtype, draw(sts.seeds), specials)
    return draw(cases.placed(case.gradient(columns)))


def remembered(case):
    """What an unfold case was made of."""
    n, o = case.n, case.options
    kernel, dilation, stride = (
        tuple(int(v) for v in plain.per_axis(as_plain(o[key]), n))
        for key in ("kernel_size", "dilation", "stride")
    )
    pads = tuple(tuple(int(v) for v in pair) for pair in plain.pad_pairs(as_plain(o["padding"]), n))
    return (kernel, dilation, pads, stride), o


def as_plain(value):
    return value if isinstance(value, tuple | list) else int(value)


def fold_case(columns, size, params, options):
    return Columns(
        op="fold",
        n=1,
        n_out=len(size),
        arrays=(columns,),
        options={**options, "output_size": size},
        oracle=lambda c: (ref.fold(c, size, *params),),
        exact=columns.dtype.kind in "biu",
        terms=(math.prod(params[0]) + 1,),
        gradient=lambda grad: unfold_case(grad, params, options),
    )


either = unfold_cases() | fold_cases()


@given(case=either)
def test_matches_reference(engine, case):
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


@given(case=fold_cases(dtypes=DOUBLE), seed=sts.seeds)
def test_unfold_is_the_adjoint_of_fold(isa, case, seed):
    laws.backward_is_adjoint(case, seed)


@given(case=unfold_cases(dtypes=DOUBLE, specials=False), seed=sts.seeds)
def test_vjp(isa, case, seed):
    """Of both, batch and channel axes or none: <A x, y> = <x, A' y>."""
    (x,) = case.given()
    last = {"channels_last": True} if case.channels_last else {}
    y, pullback = us.vjp(us.unfold, x, **case.options, **last)
    grad = sts.values(y.shape, y.dtype, seed)
    (back,) = pullback(grad)
    assert back.shape == x.shape
    scale = np.abs(y).sum() * np.abs(grad).max() + 1
    assert abs(np.vdot(y, grad) - np.vdot(x, back)) <= 1e-13 * scale
    size = x.shape[-case.n - case.channels_last :][: case.n]
    image, pullback = us.vjp(us.fold, grad, size, **case.options, **last)
    laws.assert_identical(pullback(image)[0], us.unfold(image, **case.options, **last))


@given(case=fold_cases(dtypes=sts.FLOATS, specials=True))
def test_specials_reach_their_element_only(isa, case):
    laws.forward_matches_reference(case)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i8", "u8"])
def test_integers_are_added_exactly_and_saturated_once(dtype):
    info = np.iinfo(dtype)
    column = np.array([info.max, info.max, info.min, info.min], dtype)
    x = np.zeros((4, 4), dtype)
    x[range(4), range(3, -1, -1)] = column  # all four meet in element 3 of 7
    want = min(max(2 * int(info.max) + 2 * int(info.min), int(info.min)), int(info.max))
    assert us.fold(x, (7,), (4,))[0].tolist() == [0, 0, 0, want, 0, 0, 0]


def test_half_types_are_rounded_once():
    x = np.zeros((3, 3), np.float16)
    x[range(3), [2, 1, 0]] = [2048, 1, 1]  # 2048 + 1 is no float16
    assert us.fold(x, (5,), (3,))[0, 2] == 2050


@given(st.data())
def test_long_rows(isa, data):
    """Rows of several tiles, and strides whose remainders are kept apart or not."""
    stride, kernel = data.draw(st.integers(1, 10)), data.draw(st.integers(1, 6))
    x = np.arange(2 * 20011.0).reshape(2, 20011)
    pads = ((3, 2),)
    y = us.unfold(x, (kernel,), padding=pads, stride=stride)
    assert np.array_equal(y, ref.unfold(x, (kernel,), (1,), pads, (stride,)))
    back = us.fold(y, (20011,), (kernel,), padding=pads, stride=stride)
    assert np.array_equal(back, ref.fold(y, (20011,), (kernel,), (1,), pads, (stride,)))


def test_unfold_is_the_product_of_a_convolution():
    x, weight = np.random.default_rng(1).random((2, 3, 9, 8)), np.ones((4, 3, 3, 2))
    columns = us.unfold(x, (3, 2), padding=1, stride=2)
    y = (weight.reshape(4, -1) @ columns).reshape(2, 4, 5, 5)
    np.testing.assert_allclose(y, us.conv2d(x, weight, stride=2, padding=1))


def test_axes_follow_the_kernel():
    """An int means two axes; an array of spatial axes alone has one channel."""
    assert us.unfold(np.ones((5, 6)), 2).shape == (4, 20)
    assert us.unfold(np.ones((3, 5, 6)), (2,)).shape == (3, 10, 5)
    assert us.unfold(np.ones((2, 5, 6, 7)), (2, 2, 2)).shape == (16, 120)
    assert us.unfold(np.ones((5, 6, 3)), 2, channels_last=True).shape == (20, 12)
    assert us.fold(np.ones((4, 20)), (5, 6), 2).shape == (1, 5, 6)
    assert us.fold(np.ones((20, 12)), (5, 6), 2, channels_last=True).shape == (5, 6, 3)
    assert us.fold(np.ones((8, 6)), (5,), 2, padding=1).shape == (4, 5)


def test_empty_batches():
    assert us.unfold(np.ones((0, 3, 4, 4)), 3).shape == (0, 27, 4)
    assert us.fold(np.ones((0, 27, 4)), 4, 3).shape == (0, 3, 4, 4)
    assert us.fold(np.ones((2, 0, 4)), 4, 3).shape == (2, 0, 4, 4)


def test_elements_without_a_window_are_zero():
    assert us.fold(np.ones((2, 2)), (9,), (2,), stride=5).tolist() == [[1, 1, 0, 0, 0, 1, 1, 0, 0]]
