"""Windows longer than what is worked on at once: in pieces, of which the first decides nothing."""

import numpy as np
import pytest

import upsample_rs as us

PIECE = 1 << 14
LENGTHS = [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 100_003]
DTYPES = ["f2", "f4", "f8", "u1", "i8"]


def row(n, dtype, seed=0):
    """Many equal elements, the largest and the smallest once in each half, late."""
    x = np.random.default_rng(seed).integers(10, 100, n)
    x[[n // 2 - 3, n - 2]], x[[n // 2 - 2, n - 3]] = 101, 1
    return x.astype(dtype)


def windows(x, n):
    """One window of everything, or two of a half each."""
    k = len(x) // n
    return k, x[: n * k].reshape(n, k)


def layouts(x):
    """The same row, contiguous and not, and as one of three channels that come last."""
    apart = np.zeros(2 * len(x), x.dtype)
    apart[::2] = x
    yield x, {}, lambda got: got
    yield apart[::2], {}, lambda got: got
    yield x[::-1].copy()[::-1], {}, lambda got: got
    channels = np.stack([x[::-1], x, x // 2], -1)
    yield channels, {"channels_last": True}, lambda got: got[:, 1]


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", LENGTHS)
def test_order_and_positions(n, dtype, parts):
    x = row(n, dtype)
    k, each = windows(x, parts)
    starts = k * np.arange(parts)
    for given, how, of in layouts(x):
        for op, best, at in (
            (us.max_pool1d, each.max(1), each.argmax(1)),
            (us.min_pool1d, each.min(1), each.argmin(1)),
        ):
            values, places = op(given, k, return_indices=True, **how)
            assert np.array_equal(of(values), best)
            assert np.array_equal(of(places), starts + at)
            assert np.array_equal(of(op(given, k, **how)), best)


@pytest.mark.parametrize("op", [us.max_pool1d, us.min_pool1d])
@pytest.mark.parametrize("place", [0, PIECE - 1, PIECE, 40_000])
def test_a_nan_wins_wherever_it_is(op, place):
    x = row(50_000, "f4")
    x[place] = np.nan
    values, places = op(x, len(x), return_indices=True)
    assert np.isnan(values[0]) and np.isnan(op(x, len(x))[0])
    assert places[0] == place


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
@pytest.mark.parametrize("n", [63, 64, 65, 1000, *LENGTHS])
def test_sums(n, dtype, parts):
    """Of whole numbers, exact in any order: one that is lost, or counted twice, shows."""
    x = row(n, dtype)
    k, each = windows(x, parts)
    mean = each.sum(1, dtype="f8") / k
    want = np.rint(mean).astype(dtype) if dtype == "u1" else mean.astype(dtype)
    for given, how, of in layouts(x):
        assert np.array_equal(of(us.avg_pool1d(given, k, **how)), want)
        if dtype != "u1":
            norm = (each.astype("f8") ** 2).sum(1) ** 0.5
            np.testing.assert_allclose(of(us.lp_pool1d(given, 2, k, **how)), norm, rtol=1e-5)


@pytest.mark.parametrize("n", [63, 64, 100, 1000, PIECE + 5, 100_003])
@pytest.mark.parametrize("channels", [1, 3, 16, 17])
def test_sums_are_the_same_bits_in_every_layout(n, channels):
    x = np.random.default_rng(n).random((2, channels, n), "f4")
    last = np.ascontiguousarray(x.swapaxes(1, 2))
    for op in (
        lambda x, **how: us.avg_pool1d(x, n, **how),
        lambda x, **how: us.avg_pool1d(x, n // 2, **how),
        lambda x, **how: us.adaptive_avg_pool1d(x, 3, **how),
        lambda x, **how: us.lp_pool1d(x, 3, n, **how),
    ):
        want = op(x)
        assert np.array_equal(op(last, channels_last=True).swapaxes(1, 2), want)
        thin = np.zeros((2, channels, 2 * n), "f4")
        thin[..., ::2] = x
        assert np.array_equal(op(thin[..., ::2]), want)


def test_a_long_sum_does_not_stop_where_the_type_ends_counting():
    """One after the other, ones in float32 would add up to 2**24 and no further."""
    ones = np.broadcast_to(np.float32(1), (1 << 25,))
    assert us.avg_pool1d(ones, len(ones))[0] == 1
    assert us.adaptive_avg_pool1d(ones, 1)[0] == 1
