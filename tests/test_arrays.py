"""Arrays in, arrays out: what is read in place, what is copied first, what is refused."""

import ml_dtypes
import numpy as np
import pytest

import cases
import laws
import strategies as sts
import upsample_rs as us

ONES = np.ones((2, 2))

# Every operation as a function of one (4, 4) array, with further arrays of the same dtype.
OPS = {
    "interpolate": lambda x, **k: us.interpolate(x, scale_factor=(2, 2), **k),
    "interpolate_backward": lambda x, **k: us.interpolate_backward(x, (2, 2), **k),
    "bed_of_nails": lambda x, **k: us.bed_of_nails(x, 2, **k),
    "bed_of_nails_backward": lambda x, **k: us.bed_of_nails_backward(x, (2, 2), 2, **k),
    "max_pool2d": lambda x, **k: us.max_pool2d(x, 2, **k),
    "max_pool2d_backward": lambda x, **k: us.max_pool2d_backward(x, INDICES, (4, 4), **k),
    "min_pool2d": lambda x, **k: us.min_pool2d(x, 2, **k),
    "min_pool2d_backward": lambda x, **k: us.min_pool2d_backward(x, INDICES, (4, 4), **k),
    "avg_pool2d": lambda x, **k: us.avg_pool2d(x, 2, **k),
    "avg_pool2d_backward": lambda x, **k: us.avg_pool2d_backward(x, (8, 8), 2, **k),
    "lp_pool2d": lambda x, **k: us.lp_pool2d(x, 2, 2, **k),
    "lp_pool2d_backward": lambda x, **k: us.lp_pool2d_backward(
        ONES.astype(dtype_of(x)), x, 2, 2, **k
    ),
    "adaptive_max_pool2d": lambda x, **k: us.adaptive_max_pool2d(x, (3, 2), **k),
    "adaptive_max_pool2d_backward": lambda x, **k: us.adaptive_max_pool2d_backward(
        x, INDICES, (4, 4), **k
    ),
    "adaptive_avg_pool2d": lambda x, **k: us.adaptive_avg_pool2d(x, (3, 2), **k),
    "adaptive_avg_pool2d_backward": lambda x, **k: us.adaptive_avg_pool2d_backward(x, (6, 5), **k),
    "max_unpool2d": lambda x, **k: us.max_unpool2d(x, INDICES, 2, **k),
    "max_unpool2d_backward": lambda x, **k: us.max_unpool2d_backward(x, INDICES, **k),
    "conv2d": lambda x, **k: us.conv2d(x, ONES.astype(dtype_of(x)), **k),
    "conv_transpose2d": lambda x, **k: us.conv_transpose2d(x, ONES.astype(dtype_of(x)), **k),
}
INDICES = np.arange(16)[::-1].reshape(4, 4)
X = np.arange(16.0).reshape(4, 4)

every_op = pytest.mark.parametrize("op", OPS)


def dtype_of(x):
    """The dtype of whatever is passed, float64 for what has none."""
    dtype = np.dtype(getattr(x, "dtype", "f8"))
    return dtype if dtype.kind in "biufc" or dtype == sts.BFLOAT16 else np.dtype("f8")


class Exporter:
    """An object that is nothing but `__dlpack__`."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class ArrayLike:
    """An object that is nothing but `__array__`."""

    dtype = np.dtype("f8")

    def __array__(self, dtype=None, copy=None):
        return X


class Subclass(np.ndarray):
    """An innocent subclass."""


# --- accepted -------------------------------------------------------------------------------------


@every_op
@pytest.mark.parametrize(
    "wrap",
    [np.ndarray.tolist, lambda x: tuple(map(tuple, x)), Exporter, lambda x: ArrayLike()],
    ids=["list", "tuple", "dlpack", "__array__"],
)
def test_anything_that_is_an_array_at_heart(op, wrap):
    laws.assert_identical(OPS[op](wrap(X)), OPS[op](X))


@every_op
def test_subclasses_are_read_as_plain_arrays(op):
    got = OPS[op](X.view(Subclass))
    assert type(got) is np.ndarray
    laws.assert_identical(got, OPS[op](X))


@every_op
@pytest.mark.parametrize("layout", sts.LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", sts.BFLOAT16], ids=str)
def test_every_layout(op, layout, dtype):
    x = X.astype(dtype)
    laws.assert_identical(OPS[op](sts.lay_out(x, layout)), OPS[op](x))


@every_op
def test_memory_mapped_read_only(op, tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    got = OPS[op](mapped)
    assert type(got) is np.ndarray
    laws.assert_identical(got, OPS[op](X))


def test_out_may_be_memory_mapped(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float64, (8, 8))
    assert us.interpolate(X, scale_factor=2, out=mapped) is mapped
    mapped.flush()
    assert np.array_equal(np.load(tmp_path / "y.npy"), us.interpolate(X, scale_factor=2))


@every_op
def test_strides_of_unit_axes_mean_nothing(op):
    """NumPy leaves any number there, and DLPack exporters write what they like."""
    shape = (1, 1, 4, 4) if op.startswith("conv") else (1, 4, 4)
    strange = np.lib.stride_tricks.as_strided(X, shape, (2**62,) * (len(shape) - 2) + X.strides)
    call = {
        "interpolate_backward": lambda x: us.interpolate_backward(
            x, (1, 2, 2), scale_factor=(2, 2)
        ),
        "bed_of_nails_backward": lambda x: us.bed_of_nails_backward(x, (1, 2, 2), 2),
        "max_pool2d_backward": lambda x: us.max_pool2d_backward(x, INDICES[None], (1, 4, 4)),
        "min_pool2d_backward": lambda x: us.min_pool2d_backward(x, INDICES[None], (1, 4, 4)),
        "avg_pool2d_backward": lambda x: us.avg_pool2d_backward(x, (1, 8, 8), 2),
        "lp_pool2d_backward": lambda x: us.lp_pool2d_backward(ONES[None], x, 2, 2),
        "adaptive_max_pool2d_backward": lambda x: us.adaptive_max_pool2d_backward(
            x, INDICES[None], (1, 4, 4)
        ),
        "adaptive_avg_pool2d_backward": lambda x: us.adaptive_avg_pool2d_backward(x, (1, 6, 5)),
        "max_unpool2d": lambda x: us.max_unpool2d(x, INDICES[None], 2),
        "max_unpool2d_backward": lambda x: us.max_unpool2d_backward(x, INDICES[None]),
        "conv2d": lambda x: us.conv2d(x, ONES[None, None]),
        "conv_transpose2d": lambda x: us.conv_transpose2d(x, ONES[None, None]),
    }.get(op, OPS[op])
    laws.assert_identical(call(strange), call(X.reshape(shape)))


def test_32_axes():
    x = X.reshape((1,) * 30 + (4, 4))
    assert us.max_pool2d(x, 2).shape == (1,) * 30 + (2, 2)
    assert us.bed_of_nails(x, 2).shape == (1,) * 30 + (8, 8)
    assert us.interpolate(x, (8, 8)).shape == (1,) * 30 + (8, 8)
    last = us.max_pool2d(X.reshape((1,) * 29 + (4, 4, 1)), 2, channels_last=True)
    assert last.shape == (1,) * 29 + (2, 2, 1)


def test_33_axes_are_refused():
    try:
        x = X.reshape((1,) * 31 + (4, 4))
    except ValueError:
        pytest.skip("this NumPy has no arrays of 33 axes")
    for op in ("interpolate", "bed_of_nails", "max_pool2d"):
        laws.refused(lambda op=op: OPS[op](x), ValueError, op + ": ", "33", "32")


def test_parameters_may_be_numpy_integers():
    """Anything with `__index__`; a zero-dimensional array of integers is one."""
    want = us.max_pool2d(X, 2, 1)
    for two, one in [(np.int8(2), np.uint64(1)), (np.array(2), np.array(1))]:
        laws.assert_identical(us.max_pool2d(X, two, one), want)
    laws.assert_identical(us.max_pool2d(X, np.array([2, 2]), [np.int32(1), 1]), want)
    laws.assert_identical(us.interpolate(X, np.array([8, 8])), us.interpolate(X, 8))
    twice = us.interpolate(X, scale_factor=2.0)
    laws.assert_identical(us.interpolate(X, scale_factor=np.float32(2)), twice)
    laws.assert_identical(us.interpolate(X, scale_factor=2), twice)


@every_op
@pytest.mark.parametrize("dtype", sts.MOVED, ids=str)
def test_dtypes(op, dtype):
    """A result of the input's own dtype, or a TypeError that names it."""
    if "pool" in op and "unpool" not in op:
        forward = sts.RESIZED if "avg" in op or "lp" in op else sts.ORDERED
        accepted = sts.FLOATS if op.endswith("_backward") else forward
    elif op == "interpolate_backward":
        accepted = sts.FLOATS
    else:
        accepted = sts.CONVOLVED if op.startswith("conv") else sts.MOVED
    x = sts.values((4, 4), dtype, 2)
    if dtype in accepted:
        assert OPS[op](x).dtype == dtype
    elif op == "interpolate_backward":
        pass  # nearest: the sum of a dtype that is not floating is neither promised nor refused
    else:
        laws.refused(lambda: OPS[op](x), TypeError, op + ": ", dtype.name)


@pytest.mark.parametrize("mode", cases.LINEAR)
@pytest.mark.parametrize("dtype", sts.MOVED, ids=str)
def test_dtypes_of_linear_modes(mode, dtype):
    n = cases.LINEAR.index(mode) + 1
    x = sts.values((3,) * n, dtype, 2)
    if dtype in sts.RESIZED:
        assert us.interpolate(x, 5, mode=mode).dtype == dtype
    else:
        laws.refused(
            lambda: us.interpolate(x, 5, mode=mode), TypeError, "interpolate: ", dtype.name
        )


# --- refused --------------------------------------------------------------------------------------

REFUSED = {
    "masked": np.ma.masked_greater(X, 10),
    "masked, nothing masked": np.ma.array(X),
    "matrix": np.asmatrix(X),
    "object": X.astype(object),
    "str": np.full((4, 4), "1"),
    "bytes": np.full((4, 4), b"1"),
    "structured": np.zeros((4, 4), "i4,i4"),
    "void": np.zeros((4, 4), "V8"),
    "datetime": np.zeros((4, 4), "datetime64[s]"),
    "timedelta": np.zeros((4, 4), "timedelta64[s]"),
    "float8": np.zeros((4, 4), ml_dtypes.float8_e4m3fn),
    "list of strings": [["a", "b"], ["c", "d"]],
    "None": None,
    "a set": {1, 2},
}


@every_op
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_arrays_of_the_wrong_kind_are_refused(op, name):
    laws.refused(lambda: OPS[op](REFUSED[name]), TypeError, op + ": ")


@every_op
def test_ragged_lists_are_refused(op):
    with pytest.raises((ValueError, TypeError)) as caught:
        OPS[op]([[1.0, 2.0], [3.0]])
    assert "\n" not in str(caught.value)


@every_op
@pytest.mark.parametrize("x", [np.float32(1), 3.0, np.zeros(())], ids=["scalar", "float", "0-d"])
def test_zero_axes_are_refused(op, x):
    laws.refused(lambda: OPS[op](x), ValueError, op + ": ")


@every_op
@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (3, 0, 4)])
def test_empty_spatial_axes_are_refused(op, shape):
    """Nothing can be resized, pooled or convolved; a gradient of it fits nothing either."""
    laws.refused(lambda: OPS[op](np.zeros(shape)), ValueError, op + ": ")


def test_a_broken_dlpack_exporter_raises_its_own_error():
    class Broken(Exporter):
        def __dlpack__(self, **kwargs):
            raise BufferError("not today")

    with pytest.raises((BufferError, TypeError, ValueError)):
        us.max_pool2d(Broken(X), 2)


# --- out ------------------------------------------------------------------------------------------


def test_out_of_another_byte_order_is_refused():
    out = np.zeros((2, 2), ">f8")
    laws.refused(lambda: us.max_pool2d(X, 2, out=out), TypeError, "max_pool2d: ", "out")
    assert not out.any()


def test_out_that_overlaps_itself_is_refused():
    """Two results cannot live in one element."""
    cell = np.zeros(1)
    out = np.lib.stride_tricks.as_strided(cell, (2, 2), (0, 0), writeable=True)
    laws.refused(lambda: us.max_pool2d(X, 2, out=out), ValueError, "max_pool2d: ", "out")
    assert cell[0] == 0


@pytest.mark.parametrize("which", [0, 1, 2], ids=["x", "weight", "bias"])
def test_out_may_overlap_no_input(which):
    """Not only the first one."""
    weight, bias = np.ones((3, 1, 2, 2)), np.ones(3)
    x = np.ones((1, 1, 3, 3))
    arrays = [x, weight, bias]
    shared, out = laws.sharing_memory(arrays[which], us.conv2d(*arrays))
    arrays[which] = shared
    before = out.copy()
    laws.refused(lambda: us.conv2d(*arrays, out=out), ValueError, "conv2d: ", "out")
    assert np.array_equal(out, before)


def test_out_may_not_overlap_the_indices():
    at = np.arange(4)
    laws.refused(lambda: us.max_unpool1d(np.arange(4), at, 1, out=at), ValueError, "out")
    assert at.tolist() == [0, 1, 2, 3]


def test_the_two_outs_of_max_pool_may_not_overlap():
    x = np.arange(8)
    both = np.zeros(4, np.int64)
    laws.refused(
        lambda: us.max_pool1d(x, 2, return_indices=True, out=(both, both)), ValueError, "out"
    )
    assert not both.any()


def test_out_between_the_elements_of_the_input():
    """Interleaved arrays share no element; either answer but a wrong one will do."""
    buffer = np.zeros(32)
    x, out = buffer[::2].reshape(4, 4), buffer[1::2].reshape(4, 4)
    x[...] = X
    try:
        us.interpolate(x, (4, 4), out=out)
    except ValueError as error:
        assert str(error).startswith("interpolate: ")
        assert not out.any()
    else:
        assert np.array_equal(out, X)
    assert np.array_equal(x, X)


@pytest.mark.parametrize(
    "out, exception",
    [((None,), ValueError), ((None,) * 3, ValueError), ("xy", TypeError), (X, TypeError)],
)
def test_out_of_max_pool_with_indices_is_a_pair(out, exception):
    laws.refused(
        lambda: us.max_pool2d(X, 2, return_indices=True, out=out), exception, "max_pool2d: ", "out"
    )


def test_rows_of_records_whose_length_no_element_divides():
    records = np.zeros(6, np.dtype([("z", "c16"), ("n", "f8")]))
    records["z"] = np.arange(6) * (1 + 2j)
    assert records["z"].strides == (24,)
    got = us.interpolate(records["z"], scale_factor=2)
    np.testing.assert_array_equal(got, np.repeat(records["z"], 2))


def test_the_largest_numbers_are_moved():
    x = np.arange(4).astype(np.clongdouble)
    np.testing.assert_array_equal(us.interpolate(x, scale_factor=2), np.repeat(x, 2))


def test_what_an_argument_raises_comes_through():
    class Size:
        def __len__(self):
            return 2

        def __iter__(self):
            raise RuntimeError("of its own")

    class Array:
        def __array__(self, *_, **__):
            raise MemoryError("of its own")

    with pytest.raises(RuntimeError, match="of its own"):
        us.interpolate(np.ones((2, 3, 4, 4)), Size())
    with pytest.raises(MemoryError, match="of its own"):
        us.interpolate(Array(), 4)


@pytest.mark.parametrize(
    ("given", "dtype"), [(np.int32, "i4"), (np.dtype("i8"), "i8"), ("int32", "i4")]
)
def test_dtypes_of_indices_by_name_or_object(given, dtype):
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    _, indices = us.max_pool2d(x, 2, return_indices=True, index_dtype=given)
    assert indices.dtype == dtype


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_complex_sums_and_doubles_largest_at_one_place(dtype):
    at = np.zeros((1, 1, 2, 2), dtype)
    z = np.array([1 + 2j, 3, 4j, 5]).reshape(1, 1, 2, 2)
    assert us.max_unpool2d(z, at, 2, duplicates="sum").flat[0] == 9 + 6j
    x = np.array([1.0, 3, 2, 0]).reshape(1, 1, 2, 2)
    assert us.max_unpool2d(x, at, 2, duplicates="max").flat[0] == 3


def test_what_is_larger_than_what_may_be_kept_is_given_back():
    limit = us.config()["cache_limit"]
    try:
        made = us.interpolate(np.ones((1, 1, 512, 512), "f4"), scale_factor=2)
        us.set_cache_limit(1 << 20)
        del made
        assert us.config()["cache_bytes"] <= 1 << 20
    finally:
        us.set_cache_limit(limit)
