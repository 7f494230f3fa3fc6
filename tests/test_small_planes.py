"""Many small planes are worked on side by side: that gives what each of them gives by itself."""

import functools

import numpy as np
import pytest

import laws
import strategies as sts
import upsample_rs as us
from upsample_rs import _core

DTYPES = ["f4", "f8", "f2", "u1", "i2", "i8"]
COUNTS = [(16,), (3, 37), (2, 3, 40), (1, 530)]


def pool(name, *args, **kwargs):
    return lambda x, rank: getattr(us, f"{name}_pool{rank}d")(x, *args, **kwargs)


def resized(target, **kwargs):
    """To a length, or by a factor, along the last axes."""
    by = {"size": target} if isinstance(target, int) else {"scale": target}
    return lambda x, rank: us.resize(x, axes=range(-rank, 0), **by, **kwargs)


OPERATIONS = {
    "max": pool("max", 3, 2, 1),
    "max, dilated": pool("max", 2, 1, 1, 2),
    "max and where": pool("max", 3, 2, 1, return_indices=True),
    "max of long windows and where": pool("max", 5, 5, return_indices=True),
    "min": pool("min", 2, 2),
    "min and where, dilated": pool("min", 2, 1, 1, 2, return_indices=True),
    "avg": pool("avg", 3, 1, 1),
    "avg, ceil": pool("avg", 2, 2, 1, ceil_mode=True),
    "avg, whole": lambda x, rank: getattr(us, f"avg_pool{rank}d")(x, x.shape[-rank:]),
    "lp": pool("lp", 2, 2, 2),
    "adaptive avg": pool("adaptive_avg", 3),
    "adaptive max": pool("adaptive_max", 2),
    "adaptive max and where": pool("adaptive_max", 3, return_indices=True),
    "nearest": resized(2.0, method="nearest"),
    "nearest, odd": resized(8, method="nearest"),
    "linear": resized(2.0),
    "linear, fewer": resized(3, antialias=True),
    "linear, outside": resized(9, coordinates="asymmetric", edge="constant", fill=7),
    "cubic": resized(9, method="cubic"),
    "lanczos": resized(4, method="lanczos3", antialias=True),
    "nails": lambda x, rank: us.bed_of_nails(x, (2,) * rank, offset=1),
}
GRADIENTS = {
    "avg": lambda g, rank: getattr(us, f"avg_pool{rank}d_backward")(
        g, (*g.shape[:-rank], *lengths(rank)), 2, 1
    ),
    "linear": lambda g, rank: us.resize_backward(
        g, (*g.shape[:-rank], *(n + 2 for n in lengths(rank))), axes=range(-rank, 0)
    ),
}


def lengths(rank):
    return (6, 5, 7)[:rank]


def parts(result):
    return result if isinstance(result, tuple) else (result,)


def alike(operation, x, rank):
    """All planes at once, and each by itself."""
    got = parts(operation(x, rank))
    planes = x.reshape(-1, *x.shape[-rank:])
    each = [parts(operation(plane, rank)) for plane in planes]
    for i, found in enumerate(got):
        want = np.stack([one[i] for one in each])
        laws.assert_identical(found.reshape(want.shape), want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_planes_side_by_side_are_as_each_alone(isa, name, rank, dtype):
    for count in COUNTS[: 4 if rank < 3 else 2]:
        alike(OPERATIONS[name], sts.values((*count, *lengths(rank)), np.dtype(dtype), rank), rank)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_side_by_side_are_as_each_alone(isa, name, rank, dtype):
    for count in COUNTS[:3]:
        shape = [(n - 2) + 1 for n in lengths(rank)]
        alike(GRADIENTS[name], sts.values((*count, *shape), np.dtype(dtype), rank), rank)


@pytest.mark.parametrize("name", ["max and where", "avg", "linear", "nearest", "nails"])
def test_however_they_lie_and_whoever_works(isa, name):
    """Other strides, results into other strides, several threads."""
    operation = OPERATIONS[name]
    x = sts.values((4, 70, 6, 5), np.float32, 5)
    want = parts(operation(x, 2))
    spread = np.zeros((4, 140, 13, 10), np.float32)[:, ::2, 1::2, ::-2]
    spread[...] = x
    turned = np.asfortranarray(x)
    across = x.transpose(1, 0, 2, 3).copy().transpose(1, 0, 2, 3)
    repeated = np.broadcast_to(x[:1], x.shape)
    for other in (spread, turned, across):
        for got, expected in zip(parts(operation(other, 2)), want, strict=True):
            laws.assert_identical(got, expected)
    for got, expected in zip(parts(operation(repeated, 2)), want, strict=True):
        laws.assert_identical(got[3], expected[0])
    for n in (2, 5):
        for got, expected in zip(by_threads(n, lambda: parts(operation(x, 2))), want, strict=True):
            laws.assert_identical(got, expected)


def by_threads(n, call):
    """The result of a call that so many threads share, however little there is to do."""
    threads = us.get_num_threads()
    try:
        us.set_num_threads(n)
        _core._force_grain(64)
        return call()
    finally:
        _core._force_grain(None)
        us.set_num_threads(threads)


CONVOLUTIONS = {
    "3 x 3": {"padding": 1},
    "strided": {"stride": 2, "padding": 1},
    "sparse": {"stride": 4},
    "dilated": {"dilation": 2, "padding": (2, 1)},
    "up": {"up": True, "stride": 2, "padding": 1},
    "up, odd": {"up": True, "stride": 3, "output_padding": 2},
    "up, sparse": {"up": True, "stride": 5},
    "up, dilated": {"up": True, "stride": 2, "dilation": 3},
}


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "u1", "i4", "c8"])
@pytest.mark.parametrize("multiple", [1, 2])
@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("channels", [16, 37, 150])
def test_channels_side_by_side_are_as_each_alone(isa, channels, name, multiple, dtype):
    """Depthwise: one input channel a group, one or two of output; channels first or last."""
    p = dict(CONVOLUTIONS[name])
    up = p.pop("up", False)
    conv = us.conv_transpose2d if up else us.conv2d
    rng = np.random.default_rng(channels)
    x = rng.integers(-9, 9, (2, channels, 6, 7)).astype(dtype)
    shape = (channels, multiple, 3, 2) if up else (channels * multiple, 1, 3, 2)
    w = rng.integers(-9, 9, shape).astype(dtype)
    if np.dtype(dtype).kind in "fc":
        x, w = (x * 0.37).astype(dtype), (w * 0.73).astype(dtype)
    bias = x[0, :1, 0, 0].repeat(channels * multiple) if multiple == 2 else None
    one_by_one = []
    for c in range(channels):
        outs = slice(c * multiple, (c + 1) * multiple)
        weight = w[c : c + 1] if up else w[outs]
        one_by_one.append(conv(x[:, c : c + 1], weight, None if bias is None else bias[outs], **p))
    want = np.concatenate(one_by_one, 1)
    laws.assert_identical(conv(x, w, bias, groups=channels, **p), want)
    last = conv(np.moveaxis(x, 1, -1).copy(), w, bias, groups=channels, channels_last=True, **p)
    laws.assert_identical(np.moveaxis(last, -1, 1), want)


def depthwise(rank, channels, multiple, up, dtype, side):
    """x, weights, a gradient of the result, and what else there is to say."""
    rng = np.random.default_rng(channels)
    p = {"stride": 2, "padding": 1} | ({"output_padding": 1} if up else {"dilation": 2})
    make = getattr(us, f"conv{'_transpose' if up else ''}{rank}d")
    shape = (channels, multiple) if up else (channels * multiple, 1)
    x = rng.integers(-9, 9, (2, channels, *side)).astype(dtype)
    w = rng.integers(-9, 9, (*shape, *(3, 2, 4)[:rank])).astype(dtype)
    y = make(x, w, groups=channels, **p)
    return x, w, rng.integers(-9, 9, y.shape).astype(dtype), p


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("multiple", [1, 3])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels", [16, 37, 150])
def test_gradients_of_weights_are_those_of_each_channel(isa, channels, rank, up, multiple, dtype):
    """Depthwise, of whole numbers, whose sums are the same in any order; however the arrays lie."""
    x, w, g, p = depthwise(rank, channels, multiple, up, dtype, (5, 4, 6)[-rank:])
    name = f"conv{'_transpose' if up else ''}{rank}d_backward"
    backward = functools.partial(getattr(us, name), output_mask=(False, True, False), **p)
    got = backward(g, x, w, groups=channels)[1]
    for c in range(channels):
        outs = slice(c * multiple, (c + 1) * multiple)
        own = slice(c, c + 1) if up else outs
        want = backward(g[:, outs].copy(), x[:, c : c + 1].copy(), w[own])[1]
        laws.assert_identical(got[own], want)
    last = [np.moveaxis(a, 1, -1).copy() for a in (g, x)]
    laws.assert_identical(backward(*last, w, groups=channels, channels_last=True)[1], got)
    wide = [np.repeat(a, 2, axis=-1)[..., ::-2][..., ::-1] for a in (g, x)]
    laws.assert_identical(backward(*wide, w, groups=channels)[1], got)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("side", [(9000,), (130, 90), (12, 40, 30), (4, 4000)])
def test_gradients_of_weights_of_more_than_a_band(isa, side, up):
    """By several threads the same bits; and sums that are near those of float64."""
    rank = len(side)
    x, w, g, p = depthwise(rank, 70, 1, up, "f4", side)
    x, g = x * np.float32(0.37), g * np.float32(0.73)
    backward = getattr(us, f"conv{'_transpose' if up else ''}{rank}d_backward")
    call = functools.partial(backward, g, x, w, groups=70, output_mask=(False, True, False), **p)
    got = call()[1]
    doubled = [a.astype("f8") for a in (g, x, w)]
    exact = backward(*doubled, groups=70, output_mask=(False, True, False), **p)[1]
    np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())
    for n in (2, 5):
        laws.assert_identical(by_threads(n, lambda: call()[1]), got)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("side", [(5,), (7, 7), (3, 4, 18), (40, 37), (3, 700)])
@pytest.mark.parametrize("channels", [16, 37, 150])
def test_gradients_of_biases_are_those_of_each_channel(isa, channels, side, dtype):
    """Side by side, or one after the other; however the gradient lies, and whoever works."""
    rank = len(side)
    g = np.random.default_rng(channels).standard_normal((3, channels, *side)).astype(dtype)
    x, w = g[:, :1], np.ones((channels, 1, *(1,) * rank), dtype)
    backward = getattr(us, f"conv{rank}d_backward")
    mask = (False, False, True)
    parts = np.split(g, channels, axis=1)
    want = np.concatenate([backward(p.copy(), x, w[:1], output_mask=mask)[2] for p in parts])
    call = functools.partial(backward, g, x, w, output_mask=mask)
    laws.assert_identical(call()[2], want)
    last = [np.moveaxis(a, 1, -1).copy() for a in (g, x)]
    laws.assert_identical(backward(*last, w, output_mask=mask, channels_last=True)[2], want)
    for n in (2, 5):
        laws.assert_identical(by_threads(n, lambda: call()[2]), want)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels", [16, 20, 200])
def test_wide_arrays_that_lie_channels_last(isa, rank, channels):
    """More than a band of them, in one to three dimensions, by several threads."""
    side = {1: (3000,), 2: (60, 70), 3: (9, 17, 24)}[rank]
    conv, up = getattr(us, f"conv{rank}d"), getattr(us, f"conv_transpose{rank}d")
    rng = np.random.default_rng(rank)
    x = rng.standard_normal((1, *side, channels), np.float32)
    w = rng.standard_normal((channels, 1, *(3,) * rank), np.float32)
    first = np.moveaxis(x, -1, 1)
    for way, p in [(conv, {"padding": 1}), (conv, {"stride": 2}), (up, {"stride": 2})]:
        got = way(x, w, groups=channels, channels_last=True, **p)
        for c in (0, 1, channels // 2, channels - 1):
            want = way(first[:, c : c + 1].copy(), w[c : c + 1], **p)
            laws.assert_identical(np.moveaxis(got, -1, 1)[:, c : c + 1], want)
        again = functools.partial(way, x, w, groups=channels, channels_last=True, **p)
        for n in (2, 5):
            laws.assert_identical(by_threads(n, again), got)


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "f2"])
@pytest.mark.parametrize("among", ["any", "a NaN", "a minus zero"])
@pytest.mark.parametrize("side", [(30, 41), (100, 9), (9, 100), (90, 70)])
def test_adaptive_maxima_of_few_and_many_planes(isa, side, among, dtype):
    """Windows of many rows, one plane and sixty; with elements not to be compared plainly."""
    if among != "any" and dtype == "u1":
        return
    x = sts.values((60, *side), np.dtype(dtype), 3)
    x = np.nan_to_num(x, posinf=9, neginf=-9) if x.dtype.kind == "f" else x
    if among == "a NaN":
        x[7, side[0] // 2, 3] = np.nan
    elif among == "a minus zero":
        x[:] = np.where(x > 0, 0, x)
        x[::3, ::4, ::5] = -0.0
    for size in (1, 2, 3, 7):
        values, at = us.adaptive_max_pool2d(x, size, return_indices=True)
        laws.assert_identical(us.adaptive_max_pool2d(x, size), values)
        for i in (0, 7, 59):
            one, place = us.adaptive_max_pool2d(x[i], size, return_indices=True)
            laws.assert_identical(values[i], one)
            laws.assert_identical(at[i], place)
            for o in np.ndindex(one.shape):
                window = tuple(
                    slice(k * n // size, -(-(k + 1) * n // size))
                    for k, n in zip(o, side, strict=True)
                )
                inside = x[i][window]
                first = np.argmax(np.isnan(inside) if np.isnan(inside).any() else inside)
                h, w = np.unravel_index(first, inside.shape)
                assert place[o] == (h + window[0].start) * side[1] + w + window[1].start
