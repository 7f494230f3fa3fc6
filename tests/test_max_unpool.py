"""`max_unpool{1,2,3}d` and their backward."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import strategies as sts
import upsample_rs as us

ADDED = tuple(d for d in sts.INTEGERS + sts.FLOATS if d.itemsize > 1 and d != sts.BFLOAT16)

forward = cases.max_unpool_cases() | cases.max_unpool_cases(duplicates=["last", "first"])
backward = cases.backward_of(forward)
either = forward | backward


@given(case=forward)
def test_forward_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=cases.max_unpool_cases(sts.ORDERED[1:], duplicates=["max"]))
def test_forward_matches_reference_for_the_largest(engine, case):
    laws.forward_matches_reference(case)


@given(case=cases.max_unpool_cases(ADDED, duplicates=["sum"], small=True))
def test_forward_matches_reference_for_the_sum(engine, case):
    laws.forward_matches_reference(case)


@given(case=backward)
def test_backward_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(
    case=either
    | cases.max_unpool_cases(sts.ORDERED[1:], duplicates=["max"])
    | cases.max_unpool_cases(sts.FLOATS, duplicates=["sum"])
)
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


@given(
    case=cases.max_unpool_cases([np.dtype("f8")], unique=True, specials=False)
    | cases.max_unpool_cases([np.dtype("f8")], ["sum"], unique=False, specials=False),
    seed=sts.seeds,
)
def test_backward_is_adjoint(isa, case, seed):
    """Where no value is dropped: indices without repetition, or their sum."""
    laws.backward_is_adjoint(case, seed)


# --- what is particular to unpooling --------------------------------------------------------------


@given(case=cases.max_pool_cases(sts.FLOATS, specials=False, indices=True))
def test_unpooling_puts_the_maxima_back(isa, case):
    """At every pooled index the pooled value, elsewhere zero; repeated indices agree."""
    values, indices = case.run(channels_last=False)
    shape = case.arrays[0].shape
    unpool = getattr(us, case.op.replace("pool", "unpool"))
    kernel, dilation = case.options["kernel_size"], case.options["dilation"]
    spans = np.multiply(dilation, np.subtract(kernel, 1)) + 1  # as unpooling knows no dilation
    stride = case.options.get("stride", kernel)
    padding = ref.pad_pairs(
        case.options["padding"],
        case.n,
        shape[-case.n :],
        ref.per_axis(kernel, case.n),
        stride,
        dilation,
    )
    y = unpool(values, indices, spans, stride, padding, shape[-case.n :])
    assert y.shape == shape
    x, y = case.arrays[0].reshape(*shape[: -case.n], -1), y.reshape(*shape[: -case.n], -1)
    kept = np.zeros(x.shape, bool)
    at = indices.reshape(*shape[: -case.n], -1).astype(np.int64)
    np.put_along_axis(kept, at, True, axis=-1)
    assert np.array_equal(y, np.where(kept, x, np.zeros((), x.dtype)))


X = np.array([1.0, 5.0, 3.0, 2.0])
AT = np.array([4, 1, 4, 1])


@pytest.mark.parametrize(
    "policy, ones, fours",
    [("last", 2, 3), ("first", 5, 1), ("sum", 7, 4), ("max", 5, 3)],
)
@pytest.mark.parametrize("dtype", ADDED, ids=str)
def test_duplicates(isa, dtype, policy, ones, fours):
    got = us.max_unpool1d(X.astype(dtype), AT, 2, duplicates=policy)
    assert got.dtype == dtype and got.tolist() == [0, ones, 0, 0, fours, 0, 0, 0]


def test_duplicates_max_keeps_a_nan():
    x = np.array([1.0, np.nan, 3.0, -2.0, np.nan, 4.0])
    got = us.max_unpool1d(x, np.array([0, 0, 0, 1, 2, 2]), 1, duplicates="max")
    assert np.array_equal(got, [np.nan, -2, np.nan, 0, 0, 0], equal_nan=True)


def test_duplicates_max_of_negative_values():
    """The zero of an untouched place does not take part."""
    got = us.max_unpool1d(np.array([-5, -3]), np.array([1, 1]), 2, duplicates="max")
    assert got.tolist() == [0, -3, 0, 0]


def test_duplicates_error_names_the_first_repeated_index():
    for at, named in (([4, 1, 4, 1], "4"), ([1, 2, 3, 2], "2")):
        laws.refused(
            lambda at=at: us.max_unpool1d(X, np.array(at), 2, duplicates="error"),
            ValueError,
            "max_unpool1d: ",
            named,
        )
    got = us.max_unpool1d(X, np.array([3, 1, 0, 2]), 1, duplicates="error")
    assert got.tolist() == [3, 5, 2, 1]


def test_duplicates_are_counted_per_block():
    """The same index in two channels is no repetition."""
    x = np.arange(1.0, 5.0).reshape(2, 2)
    got = us.max_unpool1d(x, np.array([[0, 3], [0, 3]]), 2, duplicates="error")
    assert got.tolist() == [[1, 0, 0, 2], [3, 0, 0, 4]]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "uint64"])
def test_indices_of_any_integer_dtype(dtype):
    at = np.array([4, 1], dtype)
    assert us.max_unpool1d(np.array([1, 2]), at, 3).tolist() == [0, 2, 0, 0, 1, 0]
    assert us.max_unpool1d_backward(np.arange(6.0), at).tolist() == [4, 1]


BAD_INDICES = [(-1, "int64"), (6, "int64"), (2**32 + 1, "int64"), (2**63 - 1, "int64")]
BAD_INDICES += [(-(2**63), "int64"), (2**64 - 1, "uint64"), (-1, "int8"), (200, "uint8")]


@pytest.mark.parametrize("policy", ["last", "first", "sum", "max", "error"])
@pytest.mark.parametrize("index, dtype", BAD_INDICES)
def test_index_out_of_range_is_refused(isa, index, dtype, policy):
    """At full width, naming it; and `out` is as it was."""
    at = np.array([1, index], dtype)
    out = np.full(6, 7.0)
    x = np.array([1.0, 2.0])
    laws.refused(
        lambda: us.max_unpool1d(x, at, 3, duplicates=policy, out=out),
        IndexError,
        "max_unpool1d: ",
        "indices",
        str(index),
    )
    assert np.all(out == 7)


@pytest.mark.parametrize("index, dtype", BAD_INDICES)
def test_backward_refuses_an_index_out_of_range(isa, index, dtype):
    at, out = np.array([1, index], dtype), np.full(2, 7.0)
    laws.refused(
        lambda: us.max_unpool1d_backward(np.ones(6), at, out=out), IndexError, "indices", str(index)
    )
    assert np.all(out == 7)
    out = np.full(6, 7.0)
    laws.refused(
        lambda: us.max_pool1d_backward(np.ones(2), at, (6,), out=out),
        IndexError,
        "indices",
        str(index),
    )
    assert np.all(out == 7)


def test_output_size():
    """The default is the smallest that pooling takes back; up to a stride from it may be asked."""
    x, at = np.ones((2, 2)), np.array([[0, 1], [2, 3]])
    assert us.max_unpool2d(x, at, 3, 2).shape == (5, 5)
    assert us.max_unpool2d(x, at, 3, 2, 1).shape == (3, 3)
    assert us.max_unpool2d(x, at, 3, 2, ((1, 0), (0, 2))).shape == (4, 3)
    assert us.max_unpool2d(x, at, 3, 2, output_size=(6, 5)).shape == (6, 5)
    assert us.max_unpool2d(x, at, 3, 2, output_size=6).shape == (6, 6)


def test_output_size_where_the_default_would_be_empty():
    """Pooling takes one element with padding to one; only the size asked for has to hold it."""
    x, at = us.max_pool1d(np.array([5.0]), 2, 2, 1, return_indices=True)
    assert us.max_unpool1d(x, at, 2, 2, 1, output_size=1).tolist() == [5]


def test_empty_batch_is_an_empty_result():
    x, at = np.ones((0, 1, 2, 2), "f4"), np.zeros((0, 1, 2, 2), "i8")
    assert us.max_unpool2d(x, at, 2).shape == (0, 1, 4, 4)
    assert us.max_unpool2d_backward(np.ones((0, 1, 4, 4)), at).shape == (0, 1, 2, 2)
