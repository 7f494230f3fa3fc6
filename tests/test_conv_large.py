"""Convolutions large enough to be cut into bands, blocks and passes, against the direct loop.

Values are small whole numbers, so that sums are exact in float32 in any order, and any element that
is read twice, missed or taken from a neighbour shows. What each shape is cut into follows from
`layout` in src/ops/conv/map.rs and src/ops/conv/weight_grad.rs; the names say what is meant to
happen, and a change there only makes some of these shapes less telling.
"""

import functools

import numpy as np
import pytest

import laws
import reference as ref
import strategies as sts
import upsample_rs as us

# Name: shapes of x and weight, stride, padding, dilation, groups.
DOWN = {
    "several tiles": ((1, 9, 40, 50), (19, 9, 3, 3), 1, 1, 1, 1),
    "read where it lies, in bands": ((2, 8, 40, 96), (6, 8, 3, 3), 1, 0, 1, 1),
    "channels a power of two apart": ((1, 128, 32, 64), (3, 128, 1, 1), 1, 0, 1, 1),
    "bands of rows": ((1, 16, 120, 90), (3, 16, 3, 3), 1, 1, 1, 1),
    "bands of planes": ((1, 8, 14, 40, 40), (2, 8, 3, 2, 3), 1, 1, 1, 1),
    "bands of columns": ((1, 300, 1, 700), (3, 300, 1, 3), 1, (0, 1), 1, 1),
    "passes over channels": ((1, 8192, 3, 40), (3, 8192, 1, 3), 1, (0, 1), 1, 1),
    "passes, strided": ((2, 5000, 3, 41), (9, 5000, 2, 1), 2, 1, 1, 1),
    "several images in a band": ((9, 3, 5, 6), (4, 3, 3, 3), 1, 1, 1, 1),
    "bands of images": ((200, 16, 7, 7), (5, 16, 3, 3), 1, 1, 1, 1),
    "output channels in parts": ((1, 64, 24, 48), (70, 64, 1, 2), 1, 0, 1, 1),
    "one output channel": ((1, 64, 30, 31), (1, 64, 3, 3), 1, 1, 1, 1),
    "stride 2, odd": ((2, 9, 31, 53), (17, 9, 3, 3), 2, 1, 1, 1),
    "stride above the kernel": ((1, 6, 61, 62), (7, 6, 2, 3), 5, 1, 1, 1),
    "stride and dilation share a factor": ((1, 6, 45, 47), (7, 6, 3, 3), 4, 3, 6, 1),
    "taps far apart": ((3, 7, 1, 900), (5, 7, 1, 4), 1, (0, 100), (1, 250), 1),
    "taps far apart, strided": ((3, 7, 900), (5, 7, 4), 3, 10, 250, 1),
    "groups": ((2, 36, 20, 21), (54, 12, 3, 3), 1, 1, 1, 3),
    "depthwise": ((1, 50, 33, 35), (100, 1, 5, 5), 1, 2, 1, 50),
    "one row, one channel": ((1, 1, 20_000), (2, 1, 7), 1, 3, 1, 1),
    "1 pixel": ((40, 30, 1, 1), (20, 30, 3, 3), 1, 1, 1, 1),
    "long kernel": ((2, 3, 4000), (4, 3, 1001), 7, 500, 1, 1),
    "wide padding": ((1, 3, 10, 11), (4, 3, 3, 3), 1, 30, 1, 1),
    "its gradient is stamps": ((2, 9, 9, 9), (150, 9, 3, 3), 2, 1, 1, 1),
}

# Name: shapes of x and weight, stride, padding, output_padding, dilation, groups.
UP = {
    "k4s2p1": ((2, 40, 17, 33), (40, 9, 4, 4), 2, 1, 0, 1, 1),
    "k2s2": ((1, 33, 29, 31), (33, 18, 2, 2), 2, 0, 0, 1, 1),
    "k3s2, odd": ((1, 20, 30, 31), (20, 9, 3, 3), 2, 1, 0, 1, 1),
    "k3s2, one more": ((1, 20, 30, 31), (20, 9, 3, 3), 2, 1, 1, 1, 1),
    "k5s3": ((2, 9, 19, 20), (9, 10, 5, 5), 3, ((1, 2), (2, 0)), 2, 1, 1),
    "k4s4": ((1, 9, 19, 20), (9, 10, 4, 4), 4, ((0, 1), (3, 2)), 0, 1, 1),
    "k16s8": ((1, 12, 200), (12, 11, 16), 8, 4, 3, 1, 1),
    "k9s5": ((1, 12, 150), (12, 11, 9), 5, 4, 3, 1, 1),
    "phases without taps": ((1, 9, 40, 15), (9, 10, 2, 2), 5, 0, 3, 1, 1),
    "stride above the kernel, one tap": ((2, 9, 300), (9, 10, 1), 8, 0, 7, 1, 1),
    "dilation and stride share a factor": ((1, 9, 21, 22), (9, 10, 3, 3), 4, 2, 5, 6, 1),
    "dilation above the stride": ((1, 9, 21, 22), (9, 10, 3, 3), 2, 3, 4, 5, 1),
    "passes over channels": ((1, 6000, 2, 40), (6000, 2, 1, 4), 2, (0, 1), 0, 1, 1),
    "bands of columns": ((1, 600, 1, 300), (600, 3, 1, 4), (1, 2), (0, 1), 0, 1, 1),
    "bands of images": ((120, 16, 6, 5), (16, 5, 4, 4), 2, 1, 0, 1, 1),
    "bands of planes": ((1, 8, 12, 20, 30), (8, 3, 2, 4, 2), 2, (0, 1, 0), 0, 1, 1),
    "1 pixel": ((50, 30, 1, 1), (30, 20, 4, 4), 2, 1, 0, 1, 1),
    "groups": ((2, 24, 20, 21), (24, 6, 4, 4), 2, 1, 0, 1, 4),
    "depthwise": ((1, 50, 21, 22), (50, 1, 4, 4), 2, 1, 0, 1, 50),
    "many output channels": ((1, 30, 14, 40), (30, 80, 2, 2), 2, 0, 0, 1, 1),
    "cropped to the middle": ((1, 5, 30, 31), (5, 7, 3, 3), 2, 25, 0, 1, 1),
    "stamps": ((3, 40, 5, 6), (40, 9, 4, 4), 2, 1, 1, 1, 1),
    "stamps, groups, dilation": ((2, 128, 4, 5), (128, 7, 3, 3), (3, 2), (1, 0), 0, (2, 1), 2),
    "stamps of single taps": ((1, 70, 4, 5), (70, 8, 3, 3), 2, 2, 0, (1, 3), 1),
    "stamps, 3-D": ((2, 130, 2, 3, 4), (130, 5, 2, 3, 2), (2, 1, 2), (0, 2, 1), (1, 0, 1), 1, 1),
    "stamps of a long kernel": ((1, 300, 30), (300, 3, 100), 7, 13, 5, 1, 1),
    "stamps, images in blocks": ((70, 64, 3, 3), (64, 4, 3, 3), 2, 1, 0, 1, 1),
    "stamps farther apart than long": ((2, 64, 3, 4), (64, 40, 2, 2), 5, 0, 4, 1, 1),
}
NAMES = [("down", name) for name in DOWN] + [("up", name) for name in UP]
every_shape = pytest.mark.parametrize("kind, name", NAMES, ids=[": ".join(n) for n in NAMES])


def small(shape, dtype, seed):
    """Whole numbers from -2 to 2 without 0."""
    values = np.random.default_rng(seed).choice([-2, -1, 1, 2], shape)
    return values.astype(dtype)


class Large:
    """Arrays, functions and what the oracle says, for one shape."""

    def __init__(self, kind, name):
        self.n = len((DOWN if kind == "down" else UP)[name][0]) - 2
        if kind == "down":
            shape, kernel, stride, pad, dilation, groups = DOWN[name]
            self.options = {"stride": stride, "padding": pad, "dilation": dilation}
            self.op, self.outs = f"conv{self.n}d", kernel[0]
            rule = (self.n, stride, pad, dilation, groups)
            self.oracle, self.back = ref.conv, ref.conv_backward
        else:
            shape, kernel, stride, pad, extra, dilation, groups = UP[name]
            self.options = {"stride": stride, "padding": pad, "dilation": dilation}
            self.options["output_padding"] = extra
            self.op, self.outs = f"conv_transpose{self.n}d", kernel[1] * groups
            rule = (self.n, stride, pad, extra, groups, dilation)
            self.oracle, self.back = ref.conv_transpose, ref.conv_transpose_backward
        self.rule = rule
        self.options["groups"] = groups
        self.x, self.weight = small(shape, "f8", 1), small(kernel, "f8", 2)
        self.bias = small((self.outs,), "f8", 3)

    @functools.cached_property
    def want(self):
        return self.oracle(self.x, self.weight, self.bias, *self.rule)

    @functools.cached_property
    def grad(self):
        return small(self.want.shape, "f8", 4)

    @functools.cached_property
    def want_back(self):
        return self.back(self.grad, self.x, self.weight, *self.rule)

    def call(self, x, weight, bias, **more):
        return getattr(us, self.op)(x, weight, bias, **self.options, **more)


@functools.cache
def large(kind, name):
    """Oracles of large arrays take their time: each is asked once."""
    return Large(kind, name)


def exact(dtype, *arrays):
    return [a.astype(dtype) for a in arrays]


@every_shape
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", sts.BFLOAT16, "i2"], ids=str)
def test_forward(isa, kind, name, dtype):
    c = large(kind, name)
    got = c.call(*exact(dtype, c.x, c.weight, c.bias))
    laws.assert_identical(got, c.want.astype(dtype) + np.zeros((), dtype))


@every_shape
@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_backward(isa, kind, name, dtype):
    c = large(kind, name)
    arrays = exact(dtype, c.grad, c.x, c.weight)
    got = getattr(us, f"{c.op}_backward")(*arrays, **c.options)
    for one, want in zip(got, c.want_back, strict=True):
        laws.assert_identical(one, want.astype(dtype) + np.zeros((), dtype))


@every_shape
@pytest.mark.parametrize("layout", ["step2", "channels_innermost", "reversed", "rows_apart"])
def test_layouts(isa, kind, name, layout):
    """Arrays laid out so, and a result of NaNs laid out so, all of which are overwritten."""
    c = large(kind, name)
    given = [sts.lay_out(a, layout, c.n) for a in exact("f4", c.x, c.weight)]
    out = sts.lay_out(np.full(c.want.shape, np.nan, "f4"), layout, c.n)
    assert c.call(*given, c.bias.astype("f4"), out=out) is out
    assert np.array_equal(out, c.want)


@every_shape
def test_channels_last(kind, name):
    c = large(kind, name)
    x = np.ascontiguousarray(ref.to_channels_last(c.x.astype("f4"), c.n))
    for dtype in ("f4", "f2"):
        got = c.call(*exact(dtype, x, c.weight, c.bias), channels_last=True)
        assert got.flags.c_contiguous
        want = c.want.astype(dtype)
        assert np.array_equal(ref.to_channels_first(got, c.n), want)


@every_shape
def test_prepared_gives_the_same_bits(kind, name):
    c = large(kind, name)
    prepare = us.prepare_conv if kind == "down" else us.prepare_conv_transpose
    random = np.random.default_rng(5)
    for dtype in ("f4", "f2"):
        arrays = (c.x, c.weight, c.bias)
        x, weight, bias = (random.standard_normal(a.shape).astype(dtype) for a in arrays)
        prepared = prepare(weight, bias, **c.options)
        assert laws.same_bits(prepared(x), c.call(x, weight, bias))


@every_shape
def test_nothing_comes_from_around_the_array(isa, kind, name):
    """Memory before, behind and between the rows of `x` is NaN; none of it reaches a result."""
    c = large(kind, name)
    for around in (1, 2, 40):
        whole = np.full([s + 2 * around for s in c.x.shape], np.nan, "f4") if around < 3 else None
        if whole is None:  # rows far apart
            whole = np.full((*c.x.shape[:-1], c.x.shape[-1] + 2 * around), np.nan, "f4")
            view = whole[..., around:-around]
        else:
            view = whole[(slice(around, -around),) * c.x.ndim]
        if whole.size > 4_000_000:
            continue
        view[...] = c.x
        got = c.call(view, *exact("f4", c.weight, c.bias))
        assert np.array_equal(got, c.want)


@every_shape
def test_one_nan_reaches_what_meets_it(kind, name):
    """An output is NaN where the oracle's is; every other one is what it would be without."""
    c = large(kind, name)
    random = np.random.default_rng(6)
    for value in (np.nan, np.inf):
        x = c.x.copy()
        x[tuple(random.integers(0, s) for s in x.shape)] = value
        want = c.oracle(x, c.weight, c.bias, *c.rule)
        got = c.call(*exact("f4", x, c.weight, c.bias))
        assert np.array_equal(got, want.astype("f4"), equal_nan=True)


@every_shape
def test_threads(kind, name):
    """Random values: the same bits at any number of threads, however small the tasks."""
    c = large(kind, name)
    random = np.random.default_rng(7)
    arrays = [random.standard_normal(a.shape).astype("f4") for a in (c.x, c.weight, c.bias)]
    us.set_num_threads(1)
    want = c.call(*arrays)
    for threads, grain in ((2, None), (3, 1)):
        us.set_num_threads(threads)
        us._core._force_grain(grain)
        assert laws.same_bits(c.call(*arrays), want)
