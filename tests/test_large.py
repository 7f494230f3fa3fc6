"""Results of tens of megabytes, where stores stream past the caches and work is cut into tasks.

Small arrays never take those paths. The answers here come from whole-array NumPy expressions.
"""

import functools

import numpy as np
import pytest

import laws
import reference as ref
import strategies as sts
import upsample_rs as us
from upsample_rs import _core

MIB = 1 << 20
DTYPES = ["u1", "f4", "f8"]


@pytest.fixture(autouse=True)
def tasks_as_users_have_them(isa):
    """On every instruction set, but with tasks as large as they come."""
    _core._force_grain(None)


def picture(dtype, mib, *, rows=None, columns=None, odd=1):
    """`(C, H, W)` of about `mib` MiB, with an odd width so that rows start anywhere in a vector."""
    columns = columns or 1024 + odd
    rows = rows or mib * MIB // (3 * columns * np.dtype(dtype).itemsize)
    return sts.values((3, rows, columns), dtype, 4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factor", [2, 3])
def test_nearest_repeats(dtype, factor):
    x = picture(dtype, 9)
    want = x.repeat(factor, -1).repeat(factor, -2)
    assert laws.same_bits(us.interpolate(x, scale_factor=(factor, factor)), want)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bed_of_nails_is_a_strided_assignment(dtype):
    x = picture(dtype, 9)
    want = np.zeros((3, 2 * x.shape[1], 2 * x.shape[2]), dtype)
    want[:, 1::2, ::2] = x
    y = us.bed_of_nails(x, 2, offset=(1, 0))
    assert laws.same_bits(y, want)
    assert laws.same_bits(us.bed_of_nails_backward(y, x.shape, 2, offset=(1, 0)), x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pool_of_blocks_and_back(dtype):
    """The maximum of every 2x2 block, its index, and the block with all else zeroed."""
    x = picture(dtype, 40, odd=2)
    c, h, w = x.shape
    h -= h % 2
    x = x[:, :h]
    blocks = x.reshape(c, h // 2, 2, w // 2, 2).swapaxes(2, 3).reshape(c, h // 2, w // 2, 4)
    within = blocks.argmax(-1)
    rows, columns = np.arange(h // 2)[:, None] * 2, np.arange(w // 2) * 2
    want = (rows + within // 2) * w + columns + within % 2
    values, indices = us.max_pool2d(x, 2, return_indices=True)
    assert np.array_equal(values, blocks.max(-1)) and np.array_equal(indices, want)
    assert np.array_equal(us.max_pool2d(x, 2), values)
    back = np.zeros((c, h * w), dtype)
    np.put_along_axis(back, want.reshape(c, -1), values.reshape(c, -1), -1)
    assert np.array_equal(us.max_unpool2d(values, indices, 2).reshape(c, -1), back)


@pytest.mark.parametrize("dtype", DTYPES)
def test_means_of_blocks_and_back(dtype):
    """The mean of every 2x2 block; a quarter of its gradient for each element."""
    x = picture(dtype, 20, odd=2)
    x = x[:, : x.shape[1] // 2 * 2]
    sums = sum(x[:, i::2, j::2].astype(np.float64) for i in (0, 1) for j in (0, 1))
    want = np.floor(sums / 4 + 0.5) if dtype == "u1" else sums / 4
    got = us.avg_pool2d(x, 2)
    assert got.dtype == x.dtype
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    if dtype != "u1":
        back = us.avg_pool2d_backward(got, x.shape, 2)
        assert np.array_equal(back, (got / 4).repeat(2, -1).repeat(2, -2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_overlapping_windows(dtype):
    """Maxima and means of 3x3, each from nine shifted copies."""
    x = picture(dtype, 9)
    h, w = x.shape[1] - 2, x.shape[2] - 2
    shifted = [x[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    assert np.array_equal(us.max_pool2d(x, 3, 1), functools.reduce(np.maximum, shifted))
    assert np.array_equal(us.min_pool2d(x, 3, 1), functools.reduce(np.minimum, shifted))
    mean = sum(s.astype(np.float64) for s in shifted) / 9
    want = np.floor(mean + 0.5) if dtype == "u1" else mean
    np.testing.assert_allclose(us.avg_pool2d(x, 3, 1), want, rtol=1e-5, atol=1e-5)


@functools.cache
def weight_matrix(in_len, out_len, antialias):
    """The oracle's taps of one axis, `(out_len, in_len)`."""
    matrix = np.zeros((out_len, in_len))
    for o, row in enumerate(ref.linear_taps(in_len, out_len, antialias=antialias)):
        for i, weight in row:
            matrix[o, i] = float(weight)
    return matrix


@pytest.mark.parametrize("size", [(2051, 2046), (600, 3001), (3001, 300)])
@pytest.mark.parametrize("antialias", [False, True])
def test_bilinear_is_two_matrices(size, antialias):
    """`rows @ x @ columns.T`, with the oracle's weights, in double."""
    x = picture("f4", 0, rows=1023, columns=1025)
    lengths = zip(x.shape[1:], size, strict=True)
    matrices = [weight_matrix(*pair, antialias) for pair in lengths]
    want = matrices[0] @ x.astype(np.float64) @ matrices[1].T
    scale = matrices[0] @ abs(x).astype(np.float64) @ matrices[1].T
    terms = sum((m != 0).sum(1).max() + 3 for m in matrices)
    got = us.interpolate(x, size, mode="bilinear", antialias=antialias)
    laws.assert_within(got, want, terms * np.finfo(np.float32).eps * scale)
    last = us.interpolate(
        np.moveaxis(x, 0, -1), size, mode="bilinear", antialias=antialias, channels_last=True
    )
    laws.assert_within(np.moveaxis(last, -1, 0), want, terms * np.finfo(np.float32).eps * scale)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "area"])
@pytest.mark.parametrize("factor", [2, 4, 1.5, 3])
def test_short_rows_wherever_they_are_written(dtype, mode, factor):
    """Past the caches, where no row begins a line, and plane by plane: the same bits."""
    x = sts.values((6, 60, 96), dtype, 4)
    planes = np.stack([us.interpolate(p, scale_factor=(factor, factor), mode=mode) for p in x])
    repeats = -(-8 * MIB // planes.nbytes)
    x, want = np.concatenate([x] * repeats), np.concatenate([planes] * repeats)
    y = us.interpolate(x, scale_factor=(factor, factor), mode=mode)
    assert laws.same_bits(y, want)
    out = np.empty(y.size + 1, dtype)[1:].reshape(y.shape)
    assert laws.same_bits(
        us.interpolate(x, scale_factor=(factor, factor), mode=mode, out=out), want
    )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_volumes_past_the_caches(dtype):
    """Four rows make one of a volume: as along each axis by itself, but for the order of sums."""
    x = sts.values((4, 24, 40, 64), dtype, 4)
    y = us.interpolate(x, scale_factor=(2, 2, 2), mode="trilinear")
    assert y.nbytes >= 6 * MIB
    want = x.astype("f8")
    for axis in (1, 2, 3):
        want = us.resize(want, scale=2, axes=(axis,))
    np.testing.assert_allclose(y, want, rtol=0, atol=8 * np.finfo(dtype).eps * np.abs(x).max())
    out = np.empty(y.size + 1, dtype)[1:].reshape(y.shape)
    assert laws.same_bits(us.interpolate(x, scale_factor=(2, 2, 2), mode="trilinear", out=out), y)


def test_convolution_of_many_tiles():
    """More channels and pixels than any cache block, in integers so that equal means equal."""
    x, weight = sts.values((70, 130, 129), "i4", 1), sts.values((67, 70, 3, 3), "i4", 2)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1)])
    want = np.zeros((67, 130, 129), np.int64)
    for (i, j), places in ref.tap_slices((3, 3), (130, 129), (1, 1), (1, 1)):
        want += np.tensordot(weight[:, :, i, j].astype(np.int64), padded[(..., *places)], 1)
    assert np.array_equal(us.conv2d(x, weight, padding=1), want.astype(np.int32))


def test_transposed_convolution_of_many_tiles():
    """<conv_transpose(x, w), y> = <x, conv(y, w)> modulo 2**64."""
    x, weight = sts.values((33, 65, 70), "i8", 1), sts.values((33, 36, 4, 4), "i8", 2)
    y = sts.values((36, 130, 140), "i8", 3)
    up = us.conv_transpose2d(x, weight, stride=2, padding=1)
    down = us.conv2d(y, weight, stride=2, padding=1)
    assert np.vdot(up, y) == np.vdot(x, down)
