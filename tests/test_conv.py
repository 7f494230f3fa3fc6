"""`conv{1,2,3}d`, `conv_transpose{1,2,3}d` and their backward."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import strategies as sts
import upsample_rs as us

plain = cases.conv_cases()
transposed = cases.conv_transpose_cases()
forward = plain | transposed
backward = cases.backward_of(cases.conv_cases(sts.FLOATS)) | cases.backward_of(
    cases.conv_transpose_cases(sts.FLOATS)
)
either = forward | backward
DOUBLE = [np.dtype("f8")]
in_float64 = cases.conv_cases(DOUBLE) | cases.conv_transpose_cases(DOUBLE)


@given(case=plain)
def test_conv_forward_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=transposed)
def test_conv_transpose_forward_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=cases.backward_of(cases.conv_cases(sts.FLOATS)))
def test_conv_backward_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=cases.backward_of(cases.conv_transpose_cases(sts.FLOATS)))
def test_conv_transpose_backward_matches_reference(engine, case):
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


@given(case=forward, layout=st.sampled_from(sts.IN_PLACE))
def test_out_equals_fresh(isa, case, layout):
    laws.out_equals_fresh(case, layout)


@given(case=forward)
def test_bad_out_is_refused(case):
    laws.bad_out_is_refused(case)


@given(case=either)
def test_channels_last_equals_channels_first(isa, case):
    laws.channels_last_equals_channels_first(case)


@given(case=in_float64, seed=sts.seeds)
def test_backward_is_adjoint(isa, case, seed):
    """<conv(x, w), y> = <x, grad_x> = <w, grad_w>: linear in either; the bias adds <b, grad_b>."""
    x, weight, bias = case.arrays
    (y0,) = case.run([x, weight, None])
    back = case.backward(seed)
    y = back.arrays[0]
    grad_x, grad_weight, grad_bias = back.run()
    product = np.vdot(y0, y)
    scale = np.linalg.norm(y0) * np.linalg.norm(y)
    scale += np.linalg.norm(x) * np.linalg.norm(grad_x)
    scale += np.linalg.norm(weight) * np.linalg.norm(grad_weight)
    allowed = 1e-14 * max(back.terms) * scale
    assert abs(product - np.vdot(x, grad_x)) <= allowed
    assert abs(product - np.vdot(weight, grad_weight)) <= allowed
    if bias is not None:
        (y1,) = case.run()
        allowed += 1e-14 * max(back.terms) * np.linalg.norm(y1) * np.linalg.norm(y)
        assert abs(np.vdot(y1, y) - product - np.vdot(bias, grad_bias)) <= allowed


@given(case=in_float64, which=st.integers(0, 2), seed=sts.seeds)
def test_backward_matches_finite_differences(isa, case, which, seed):
    if case.arrays[which] is not None:
        laws.backward_matches_finite_differences(case, which, seed)


# --- what is particular to convolution ------------------------------------------------------------


@given(case=backward, mask=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_output_mask_leaves_out_and_changes_nothing_else(isa, case, mask):
    given = case.given()
    masked = case.call(given, output_mask=mask)
    for got, want, wanted in zip(masked, case.call(given), mask, strict=True):
        assert (got is not None) == wanted
        assert got is None or laws.same_bits(got, want)


@pytest.mark.parametrize("dtype", sts.INTEGERS, ids=str)
def test_integers_wrap(dtype):
    """As NumPy's own arithmetic in that type."""
    top = np.iinfo(dtype).max
    x, weight = np.array([top, 2, top], dtype), np.array([2, 3], dtype)
    with np.errstate(over="ignore"):
        slid = x[:-1] * weight[0] + x[1:] * weight[1]
        stamped = np.append(x * weight[0], dtype.type(0))
        stamped[1:] += x * weight[1]
    laws.assert_identical(us.conv1d(x, weight), slid)
    laws.assert_identical(us.conv_transpose1d(x, weight), stamped)


@pytest.mark.parametrize("dtype", ["f2", sts.BFLOAT16], ids=str)
def test_half_types_sum_in_float32(isa, dtype):
    """2,048 ones: a sum kept in the half type itself would stop at 2,048 or 256."""
    x, weight = np.ones((4096, 4), dtype), np.ones((1, 4096, 1), dtype)
    assert us.conv1d(x, weight).astype(np.float64).tolist() == [[4096] * 4]
    up = us.conv_transpose1d(x, np.ones((4096, 1, 1), dtype))
    assert up.astype(np.float64).tolist() == [[4096] * 4]
    grad = us.conv1d_backward(np.ones((1, 4), dtype), x, weight)[1]
    assert np.all(grad.astype(np.float64) == 4)


@pytest.mark.parametrize("padding", ["same", "same_lower"])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_same_keeps_ceil_of_size_over_stride(padding, stride):
    """The odd element of padding goes after the axis, with `same_lower` before it."""
    for length in range(1, 12):
        for kernel in range(1, 6):
            y = us.conv1d(np.arange(1.0, length + 1), np.ones(kernel), None, stride, padding)
            assert len(y) == -(-length // stride)
    x, weight = np.array([1, 2, 3, 4]), np.array([1, 10])
    assert us.conv1d(x, weight, padding="same").tolist() == [21, 32, 43, 4]
    assert us.conv1d(x, weight, padding="same_lower").tolist() == [10, 21, 32, 43]


def test_forms_of_input():
    """With a batch, without, and bare: the same numbers in the shape that was given."""
    rng = np.random.default_rng(0)
    x, weight = rng.integers(-9, 9, (1, 1, 5, 6)), rng.integers(-9, 9, (1, 1, 2, 3))
    for op in (us.conv2d, us.conv_transpose2d):
        batch = op(x, weight)
        assert batch.ndim == 4
        laws.assert_identical(op(x[0], weight), batch[0])
        laws.assert_identical(op(x[0, 0], weight[0, 0]), batch[0, 0])
        laws.assert_identical(op(x[0, 0], weight[0, 0], np.array([7])), batch[0, 0] + 7)


def test_groups_are_separate_convolutions():
    rng = np.random.default_rng(1)
    x = rng.integers(-9, 9, (2, 6, 7))
    weight = rng.integers(-9, 9, (9, 2, 3))
    parts = [us.conv1d(x[:, 2 * g : 2 * g + 2], weight[3 * g : 3 * g + 3]) for g in range(3)]
    laws.assert_identical(us.conv1d(x, weight, groups=3), np.concatenate(parts, 1))
    weight = rng.integers(-9, 9, (6, 4, 3))
    parts = [
        us.conv_transpose1d(x[:, 2 * g : 2 * g + 2], weight[2 * g : 2 * g + 2]) for g in range(3)
    ]
    laws.assert_identical(us.conv_transpose1d(x, weight, groups=3), np.concatenate(parts, 1))


@given(case=cases.conv_transpose_cases([np.dtype("i8")]))
def test_conv_transpose_is_the_gradient_of_conv(isa, case):
    """<conv_transpose(x, w), y> = <x, conv(y, w)>, exact in integers modulo 2**64."""
    x, weight, _ = case.arrays
    (up,) = case.run([x, weight, None], channels_last=False)
    y = sts.values(up.shape, np.int64, 3)
    n = case.n
    options = {k: case.options[k] for k in ("stride", "dilation", "groups")}
    pads = ref.pad_pairs(case.options["padding"], n)
    down = getattr(us, f"conv{n}d")(y, weight, padding=tuple(pads), **options)
    places = tuple(slice(0, s) for s in x.shape[-n:])
    assert np.vdot(up, y) == np.vdot(x, down[(..., *places)])


@pytest.mark.parametrize("op", [us.conv2d, us.conv_transpose2d])
def test_nan_and_infinity_follow_arithmetic(isa, op):
    """One NaN reaches the outputs whose kernel meets it, and no others."""
    x = np.zeros((9, 40), np.float32)
    x[4, 20] = np.nan
    y = op(x, np.ones((3, 3), np.float32))
    assert np.isnan(y).sum() == 9 and np.count_nonzero(np.nan_to_num(y)) == 0
    x[4, 20] = np.inf
    y = op(x, np.ones((3, 3), np.float32))
    assert np.isinf(y).sum() == 9 and not np.isnan(y).any()


def test_empty_batch_is_an_empty_result():
    """And the gradient of the weights of no examples is zero."""
    x, weight = np.ones((0, 2, 5, 5), "f4"), np.ones((3, 2, 2, 2), "f4")
    y = us.conv2d(x, weight)
    assert y.shape == (0, 3, 4, 4)
    grad_x, grad_weight, grad_bias = us.conv2d_backward(y, x, weight)
    assert grad_x.shape == x.shape and not grad_weight.any() and not grad_bias.any()
    assert us.conv_transpose2d(x, np.ones((2, 3, 2, 2), "f4"), stride=2).shape == (0, 3, 10, 10)


def test_huge_strides_are_one_window():
    """Parameters are not narrowed to 32 bits."""
    x, weight = np.arange(16.0).reshape(4, 4), np.ones((2, 2))
    assert us.conv2d(x, weight, stride=2**32 + 1).tolist() == [[10.0]]
    assert us.conv2d(x, np.ones((1, 1)), dilation=2**32 + 1).tolist() == x.tolist()


# --- documentation --------------------------------------------------------------------------------

FIGURES = Path(__file__).parents[1] / "docs" / "figures_conv.py"


@pytest.mark.skipif(not FIGURES.exists(), reason="the installed package has no docs")
def test_pictures_are_what_their_script_draws():
    """`python docs/figures_conv.py` would change no file."""
    pictures = runpy.run_path(str(FIGURES))["figures"]()
    folder = FIGURES.parent / "images" / "conv"
    assert {p.name for p in folder.iterdir()} == set(pictures)
    for name, picture in pictures.items():
        assert (folder / name).read_text(encoding="utf-8") == picture, name


@pytest.mark.parametrize("dtype", ["f2", "f4", "i4"])
def test_padding_wider_than_a_band(dtype):
    """A band of outputs may see nothing but padding; it once looked for its rows all the same."""
    x = np.ones((1, 800, 5, 5), dtype)
    y = us.conv2d(x, np.ones((2, 800, 3, 3), dtype), padding=(1, 700))
    assert y.shape == (1, 2, 5, 1403)
    middle = us.conv2d(x, np.ones((2, 800, 3, 3), dtype), padding=1)
    np.testing.assert_array_equal(y[..., 699:704], middle)
    assert not y[..., :698].any() and not y[..., 705:].any()
