"""The size formulas as functions of ints and tuples, and that operations keep to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import strategies as sts
import upsample_rs as us

small = st.integers(1, 9)


@st.composite
def conv_axes(draw):
    """(size, kernel, stride, pad, dilation) of up to three axes with at least one window each."""
    axes = []
    for _ in range(draw(st.integers(1, 3))):
        kernel, dilation, pad = draw(small), draw(small), draw(st.tuples(small, small))
        least = max(cases.extent(kernel, dilation) - sum(pad), 1)
        axes.append((draw(st.integers(least, least + 50)), kernel, draw(small), pad, dilation))
    return axes


@given(axes=conv_axes(), data=st.data())
def test_conv_output_size(axes, data):
    size, kernel, stride, pads, dilation = zip(*axes, strict=True)
    want = tuple(ref.pool_axis_size(i, k, s, p, d) for i, k, s, p, d in axes)
    spell = [data.draw(sts.spelled(v)) for v in (kernel, stride, dilation)]
    assert us.conv_output_size(size, *spell[:2], pads, spell[2]) == want


@given(size=st.integers(1, 200), kernel=small, stride=small, ceil_mode=st.booleans())
def test_same_padding_of_a_pooling(size, kernel, stride, ceil_mode):
    for padding in ("same", "same_lower"):
        got = us.pool_output_size(size, kernel, stride, padding, 1, ceil_mode)
        assert (
            got == -(-size // stride) == len(us.max_pool1d(np.ones(size), kernel, stride, padding))
        )


@given(axes=conv_axes())
def test_conv_output_size_of_an_int_is_an_int(axes):
    size, kernel, stride, pad, dilation = axes[0]
    want = ref.pool_axis_size(size, kernel, stride, (pad[0], pad[0]), dilation)
    if want >= 1:
        got = us.conv_output_size(size, kernel, stride, pad[0], dilation)
        assert type(got) is int and got == want


@given(size=st.integers(1, 200), kernel=small, stride=small, dilation=small)
def test_same_padding_gives_ceil_of_size_over_stride(size, kernel, stride, dilation):
    for padding in ("same", "same_lower"):
        got = us.conv_output_size((size, size), kernel, stride, padding, dilation)
        assert got == (-(-size // stride),) * 2


@given(axes=conv_axes(), ceil_mode=st.booleans())
def test_pool_output_size(axes, ceil_mode):
    size, kernel, stride, _, dilation = zip(*axes, strict=True)
    size = tuple(max(s, cases.extent(k, d)) for s, k, d in zip(size, kernel, dilation, strict=True))
    half = [cases.extent(k, d) // 2 for k, d in zip(kernel, dilation, strict=True)]
    pads = tuple((h, h // 2) for h in half)
    want = tuple(
        ref.pool_axis_size(*axis, ceil_mode)
        for axis in zip(size, kernel, stride, pads, dilation, strict=True)
    )
    assert us.pool_output_size(size, kernel, stride, pads, dilation, ceil_mode) == want
    without_stride = us.pool_output_size(size, kernel, None, pads, dilation, ceil_mode)
    assert without_stride == us.pool_output_size(size, kernel, kernel, pads, dilation, ceil_mode)


@given(axes=conv_axes(), data=st.data())
def test_conv_transpose_output_size(axes, data):
    size, kernel, stride, pads, dilation = zip(*axes, strict=True)
    extra = tuple(data.draw(st.integers(0, max(s, d) - 1)) for _, _, s, _, d in axes)
    want = tuple(
        ref.conv_transpose_axis_size(*axis)
        for axis in zip(size, kernel, stride, pads, dilation, extra, strict=True)
    )
    call = (size, kernel, stride, pads, extra, dilation)
    if min(want) >= 1:
        assert us.conv_transpose_output_size(*call) == want
    else:
        laws.refused(
            lambda: us.conv_transpose_output_size(*call), ValueError, "conv_transpose_output_size: "
        )


@pytest.mark.parametrize(
    "call, want",
    [
        (lambda: us.conv_output_size(5, 3), 3),
        (lambda: us.conv_output_size(224, 7, 2, 3), 112),
        (lambda: us.conv_output_size((5, 6), 3, padding="valid"), (3, 4)),
        (lambda: us.conv_output_size([5], [3]), (3,)),
        (lambda: us.conv_output_size(np.int64(5), np.int8(3)), 3),
        (lambda: us.conv_output_size(2**62, 2**61), 2**61 + 1),
        (lambda: us.conv_output_size(4, 2, 2**62), 1),
        (lambda: us.conv_output_size(4, 1, dilation=2**62), 4),
        (lambda: us.pool_output_size(5, 2), 2),
        (lambda: us.pool_output_size(5, 2, ceil_mode=True), 3),
        (lambda: us.pool_output_size(4, 1, 3, ceil_mode=True), 2),
        (lambda: us.pool_output_size(192002, 1921, 1, 960), 192002),
        (lambda: us.conv_transpose_output_size(2, 2), 3),
        (lambda: us.conv_transpose_output_size(8, 4, 2, 1), 16),
        (lambda: us.conv_transpose_output_size((8, 3), 3, 2, 1, 1), (16, 6)),
        (lambda: us.conv_transpose_output_size(2**31, 2, 2**31), 2**62 - 2**31 + 2),
    ],
)
def test_known_sizes(call, want):
    got = call()
    assert got == want and type(got) is type(want)


@pytest.mark.parametrize("op", [us.conv_output_size, us.pool_output_size])
@pytest.mark.parametrize(
    "args, words",
    [
        ((5, 6), ("kernel_size", "6")),
        ((0, 1), ("0",)),
        ((-3, 1), ("size", "-3")),
        ((5, 0), ("kernel_size", "0")),
        ((5, 2, 0), ("stride", "0")),
        ((5, 2, -1), ("stride", "-1")),
        ((5, 2, 1, -1), ("padding", "-1")),
        ((5, 2, 1, 0, 0), ("dilation", "0")),
        ((5, 2**62, 1, 0, 2**62), ("kernel_size", str(2**62))),
        ((5, 2, 1, 2**63 - 1), ("padding",)),
        (((5, 5), (2, 2, 2)), ("kernel_size",)),
        (((5, 5), 2, (1,)), ("stride",)),
        (((), 2), ("size",)),
    ],
)
def test_bad_sizes_are_refused(op, args, words):
    laws.refused(lambda: op(*args), ValueError, op.__name__ + ": ", *words)


@pytest.mark.parametrize(
    "op", [us.conv_output_size, us.pool_output_size, us.conv_transpose_output_size]
)
@pytest.mark.parametrize("args", [(5.0, 2), (5, 2.5), (5, 2, "3"), (None, 2), (5, 2, 1.0)])
def test_sizes_that_are_no_integers_are_refused(op, args):
    laws.refused(lambda: op(*args), TypeError, op.__name__ + ": ")


@pytest.mark.parametrize(
    "args, words",
    [
        ((4, 3, 1, 5), ("padding", "5")),
        ((4, 3, 2, 0, 2), ("output_padding", "2")),
        ((4, 3, 2, 0, -1), ("output_padding", "-1")),
        ((2**40, 3, 2**40), ("stride", str(2**40))),
    ],
)
def test_bad_transposed_sizes_are_refused(args, words):
    call = us.conv_transpose_output_size
    laws.refused(lambda: call(*args), ValueError, "conv_transpose_output_size: ", *words)
