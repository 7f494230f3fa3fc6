"""The same calls as torch.nn.functional, values and gradients.

Where the two differ on purpose, and so are not compared here:

- interpolate: torch computes coordinates of nearest modes in float32 (wrong for 2 -> 82, for one);
  the linear modes copy an axis whose length does not change even if the scale factor is not 1; with
  `antialias` it reads a contiguous array whose output has a width of 1 wrongly, takes 2-D input
  only, and mixes the coordinates of `align_corners=True` with those of False; a NaN spreads with
  weight 0. Integers other than uint8 are refused.
- poolings: padding is symmetric; `differences from torch`, below, states the rest.
- max_unpool: `output_size` must be within one stride of the default; repeated indices race.
- conv: `padding="same"` needs a stride of 1; complex gradients are conjugated (ours: none).
- Leading axes other than batch and channel are refused.
"""

import itertools
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import strategies as sts
import upsample_rs as us

pytestmark = [
    pytest.mark.peer,
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel"),
]
torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")
torch.set_num_threads(1)  # its pool costs more than arrays of this size

small = st.integers(1, 8)


def compare(got, *gradients, peer, arrays, seed):
    """Our value against the peer's, and the gradients `pull(grad_output)` of each array."""
    tensors = [None if a is None else torch.from_numpy(a).requires_grad_() for a in arrays]
    want = peer(*tensors)
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-11, atol=1e-11)
    grad = sts.values(got.shape, np.float64, seed)
    wanted = torch.autograd.grad(
        want, [t for t in tensors if t is not None], torch.from_numpy(grad)
    )
    (pull,) = gradients
    for mine, theirs in zip(pull(grad), wanted, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-11, atol=1e-11)


def batch(draw, n, largest=8):
    """`(N, C, *S)` of doubles."""
    size = [draw(st.integers(1, largest)) for _ in range(n)]
    return sts.values((2, 3, *size), np.float64, draw(sts.seeds))


@pytest.mark.parametrize("mode", cases.MODES)
@given(data=st.data())
def test_interpolate(mode, data):
    linear = mode in cases.LINEAR
    n = cases.LINEAR.index(mode) + 1 if linear else data.draw(st.integers(1, 3))
    x = batch(data.draw, n)
    options = {"mode": mode}
    if linear:
        options["align_corners"] = data.draw(st.booleans())
        if n == 2 and not options["align_corners"]:
            options["antialias"] = data.draw(st.booleans())
    backward = dict(options)
    if data.draw(st.booleans()):
        size = tuple(data.draw(small) for _ in range(n))
        options["size"] = size
    else:
        scale = tuple(data.draw(st.sampled_from([0.5, 0.7, 1.3, 2.0, 2.5, 3.1])) for _ in range(n))
        size = tuple(math.floor(i * f) for i, f in zip(x.shape[2:], scale, strict=True))
        assume(min(size) >= 1)
        assume(all(a != b for a, b in zip(size, x.shape[2:], strict=True)))
        options |= {"scale_factor": scale, "recompute_scale_factor": data.draw(st.booleans())}
        if not options["recompute_scale_factor"]:
            backward["scale_factor"] = scale
    assume(not (options.get("antialias") and size[-1] == 1))
    compare(
        us.interpolate(x, **options),
        lambda grad: [us.interpolate_backward(grad, x.shape, **backward)],
        peer=lambda t: F.interpolate(t, **options),
        arrays=[x],
        seed=data.draw(sts.seeds),
    )


@pytest.mark.parametrize("n", [1, 2, 3])
@given(data=st.data())
def test_max_pool_and_unpool(n, data):
    """Values, indices, gradient; and back to the input's size."""
    x = batch(data.draw, n, 9)
    x += np.random.default_rng(1).permutation(x.size).reshape(x.shape)  # no ties
    size = x.shape[2:]
    kernel, stride, pads, dilation = data.draw(cases.pool_windows(size, 4))
    padding = tuple(min(p) for p in pads)
    assume(
        all(
            i + 2 * p >= cases.extent(k, d) and (d == 1 or p == 0)
            for i, k, p, d in zip(size, kernel, padding, dilation, strict=True)
        )
    )
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    options["ceil_mode"] = data.draw(st.booleans())
    pool, name = getattr(us, f"max_pool{n}d"), f"max_pool{n}d"
    values, indices = pool(x, kernel, **options, return_indices=True)
    want = getattr(F, name)(torch.from_numpy(x), kernel, **options, return_indices=True)
    assert np.array_equal(values, want[0]) and np.array_equal(indices, want[1])
    backward = getattr(us, name + "_backward")
    compare(
        values,
        lambda grad: [backward(grad, indices, x.shape)],
        peer=lambda t: getattr(F, name)(t, kernel, **options),
        arrays=[x],
        seed=data.draw(sts.seeds),
    )
    pairs = zip(indices.reshape(6, -1), values.reshape(6, -1), strict=True)
    assume(all(len(np.unique(i)) == len(i) for i, _ in pairs))
    spans = [cases.extent(k, d) for k, d in zip(kernel, dilation, strict=True)]
    scattered = getattr(us, f"max_unpool{n}d")(values, indices, spans, stride, padding, size)
    flat = torch.zeros(6, math.prod(size), dtype=torch.float64)
    flat.scatter_(1, torch.from_numpy(indices.reshape(6, -1)), want[0].reshape(6, -1))
    assert np.array_equal(scattered.reshape(6, -1), flat.numpy())


@pytest.mark.parametrize("n", [1, 2, 3])
@given(data=st.data())
def test_max_unpool_of_plain_pooling(n, data):
    """Within the sizes torch allows."""
    kernel = tuple(data.draw(st.integers(1, 3)) for _ in range(n))
    size = tuple(k * data.draw(st.integers(1, 3)) for k in kernel)
    x = sts.values((2, 3, *size), np.float64, data.draw(sts.seeds))
    values, indices = getattr(us, f"max_pool{n}d")(x, kernel, return_indices=True)
    unpool, peer = getattr(us, f"max_unpool{n}d"), getattr(F, f"max_unpool{n}d")
    compare(
        unpool(values, indices, kernel),
        lambda grad: [getattr(us, f"max_unpool{n}d_backward")(grad, indices)],
        peer=lambda t: peer(t, torch.from_numpy(indices), kernel),
        arrays=[values],
        seed=data.draw(sts.seeds),
    )


# --- pooling: every combination that torch accepts ------------------------------------------------

HALF = (np.dtype("f2"), sts.BFLOAT16)
FLOATS = (np.dtype("f8"), np.dtype("f4"), *HALF)

# Along one axis: (length, kernel, stride, padding, dilation, ceil mode).
ONE_AXIS = [
    (i, k, s, p, d, c)
    for i, k, s, p, d, c in itertools.product(
        (1, 2, 3, 4, 5, 6, 9), (1, 2, 3, 4), (1, 2, 3, None), (0, 1, 2), (1, 2, 3), (False, True)
    )
    if p <= cases.extent(k, d) // 2 and i + 2 * p >= cases.extent(k, d)
]


def poolings(n, count, keep=lambda dilation, padding: True):
    """(size, kernel, stride, padding, dilation, ceil mode) of every pooling along one axis.

    Of two and three axes `count` pairs and triples of them.
    """
    along = [axis for axis in ONE_AXIS if keep(axis[4], axis[3])]
    rng = np.random.default_rng(n)
    chosen = (
        [(i,) for i in range(len(along))] if n == 1 else rng.integers(0, len(along), (count, n))
    )
    for places in chosen:
        axes = [along[i] for i in places]
        size, kernel, stride, padding, dilation = (tuple(a[i] for a in axes) for i in range(5))
        if None in stride:
            stride = None
        yield size, kernel, stride, padding, dilation, axes[0][5]


def tensor(array):
    """A torch tensor of the array; bfloat16 goes through its bits."""
    if array.dtype == sts.BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def array(tensor):
    """The way back."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def accepted(call, *args, **kwargs):
    """What torch returns, or None where it refuses (no such dtype, padding or window)."""
    try:
        return call(*args, **kwargs)
    except (RuntimeError, ValueError, NotImplementedError):
        return None


def assert_close(got, want, dtype):
    """Equal but for rounding: of sums of a few terms, and of half types once more."""
    assert got.dtype == want.dtype and got.shape == want.shape
    got, want = got.astype(np.float64), want.astype(np.float64)
    eps = float(ml_dtypes.finfo(dtype).eps)
    np.testing.assert_allclose(got, want, rtol=20 * eps, atol=20 * eps)


def covers_nothing(size, kernel, stride, padding, dilation, ceil):
    """Whether some window holds padding only."""
    axes = ref.pooling(size, kernel, stride, padding, dilation, ceil)
    return any(not inside for axis in axes for inside, _ in axis)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_max_pool_of_every_kind(n, dtype):
    """Values, indices and gradients; where torch finds a window of padding alone, we refuse."""
    pool, peer = getattr(us, f"max_pool{n}d"), getattr(F, f"max_pool{n}d")
    backward = getattr(us, f"max_pool{n}d_backward")
    compared = 0
    for seed, (size, kernel, stride, padding, dilation, ceil) in enumerate(poolings(n, 400)):
        x = sts.values((2, 2, *size), dtype, seed)
        args = (kernel, stride, padding, dilation, ceil)
        t = tensor(x).requires_grad_()
        want = accepted(peer, t, *args, return_indices=True)
        if want is None:
            continue
        if covers_nothing(size, kernel, *args[1:4], ceil):
            with pytest.raises(ValueError, match="padding only"):
                pool(x, *args)
            continue
        values, indices = pool(x, *args, return_indices=True)
        assert np.array_equal(values, array(want[0])) and values.dtype == dtype
        assert np.array_equal(indices, array(want[1]))
        assert np.array_equal(pool(x, *args), values)
        grad = sts.values(values.shape, dtype, seed + 1)
        (back,) = torch.autograd.grad(want[0], [t], tensor(grad))
        got = backward(grad, indices, x.shape)
        if dtype in HALF:  # torch adds in the half type itself, we in float32
            many = 1 + 2 * math.prod(kernel)
            eps = float(ml_dtypes.finfo(dtype).eps)
            np.testing.assert_allclose(
                got.astype(float), array(back).astype(float), rtol=many * eps, atol=many * eps * 4
            )
        else:
            assert_close(got, array(back), dtype)
        compared += 1
    assert compared > 150


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_avg_pool_of_every_kind(n, dtype):
    """Each with padding that counts and that does not, and (2-D and 3-D) with a divisor."""
    pool, peer = getattr(us, f"avg_pool{n}d"), getattr(F, f"avg_pool{n}d")
    backward = getattr(us, f"avg_pool{n}d_backward")
    rules = [(True,), (False,)] if n == 1 else [(True,), (False,), (True, 3), (False, 5)]
    compared, takes = 0, not (n == 3 and dtype in HALF)
    drawn = poolings(n, 150, keep=lambda dilation, padding: dilation == 1)
    for seed, (size, kernel, stride, padding, _, ceil) in enumerate(drawn):
        x = sts.values((2, 2, *size), dtype, seed)
        for rule in rules:
            args = (kernel, stride, padding, ceil, *rule)
            t = tensor(x).requires_grad_()
            want = accepted(peer, t, *args)
            if want is None:
                continue
            got = pool(x, *args)
            assert_close(got, array(want), dtype)
            grad = sts.values(got.shape, dtype, seed + 1)
            (back,) = torch.autograd.grad(want, [t], tensor(grad))
            got = backward(grad, x.shape, *args).astype(float)
            eps = float(ml_dtypes.finfo(dtype).eps)
            many = (1 + 2 * math.prod(kernel)) if dtype in HALF else 20
            np.testing.assert_allclose(
                got, array(back).astype(float), rtol=many * eps, atol=4 * many * eps
            )
            compared += 1
    assert compared > 40 if takes else compared == 0


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_adaptive_pools_of_every_kind(n, dtype):
    """Fewer bins than elements, as many, and more; None where torch takes it."""
    lengths = range(1, 9) if n == 1 else (1, 3, 5) if n == 2 else (2, 3)
    wanted = (*range(1, 10), None) if n == 1 else (1, 2, 4, 5, None) if n == 2 else (1, 3, None)
    kinds = [getattr(us, f"adaptive_{k}_pool{n}d") for k in ("max", "avg")]
    peers = [getattr(F, f"adaptive_{k}_pool{n}d") for k in ("max", "avg")]
    backs = [getattr(us, f"adaptive_{k}_pool{n}d_backward") for k in ("max", "avg")]
    sizes = itertools.product(
        itertools.product(lengths, repeat=n), itertools.product(wanted, repeat=n)
    )
    for seed, (size, out) in enumerate(sizes):
        x = sts.values((2, 2, *size), dtype, seed)
        asked = tuple(i if n == 1 and o is None else o for i, o in zip(size, out, strict=True))
        t = tensor(x).requires_grad_()
        values, indices = kinds[0](x, out, return_indices=True)
        largest, at = peers[0](t, asked, return_indices=True)
        assert np.array_equal(values, array(largest)) and np.array_equal(indices, array(at))
        average = peers[1](t, asked)
        assert_close(kinds[1](x, out), array(average), dtype)
        grad = sts.values(values.shape, dtype, seed + 1)
        many = 100 if dtype in HALF else 20
        eps = float(ml_dtypes.finfo(dtype).eps)
        for got, output in (
            (backs[0](grad, indices, x.shape), largest),
            (backs[1](grad, x.shape), average),
        ):
            (back,) = torch.autograd.grad(output, [t], tensor(grad))
            np.testing.assert_allclose(
                got.astype(float), array(back).astype(float), rtol=many * eps, atol=many * eps
            )


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("p", [1, 2, 3, 2.5, math.inf])
def test_lp_pool_of_every_kind(n, dtype, p):
    """Of positive values and without ceil mode; torch knows no padding and no dilation."""
    if n == 3 and dtype in HALF:
        pytest.skip("torch has no average of three axes in half types")
    pool, peer = getattr(us, f"lp_pool{n}d"), getattr(F, f"lp_pool{n}d")
    backward = getattr(us, f"lp_pool{n}d_backward")
    compared = 0
    drawn = poolings(n, 100, keep=lambda dilation, padding: dilation == 1 and padding == 0)
    for seed, (size, kernel, stride, _, _, ceil) in enumerate(drawn):
        if ceil:
            continue
        x = (np.random.default_rng(seed).random((2, 2, *size)) + 0.5).astype(dtype)
        t = tensor(x).requires_grad_()
        step = stride[0] if n == 1 and stride is not None else stride
        want = accepted(peer, t, p, kernel[0] if n == 1 else kernel, step)
        if want is None:
            continue
        got = pool(x, p, kernel, stride)
        grad = sts.values(got.shape, dtype, seed + 1)
        (back,) = torch.autograd.grad(want, [t], tensor(grad))
        gradient = backward(grad, x, p, kernel, stride)
        eps = float(ml_dtypes.finfo(dtype).eps)  # torch rounds half types at every step
        for ours, theirs in ((got, want), (gradient, back)):
            np.testing.assert_allclose(
                ours.astype(float), array(theirs).astype(float), rtol=50 * eps, atol=100 * eps
            )
        compared += 1
    assert compared > 10


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_max_unpool_of_every_kind(n, dtype):
    """What pooling took, put back, to every size that torch allows; indices do not repeat."""
    pool, unpool = getattr(us, f"max_pool{n}d"), getattr(us, f"max_unpool{n}d")
    peer, backward = getattr(F, f"max_unpool{n}d"), getattr(us, f"max_unpool{n}d_backward")
    compared = 0
    drawn = poolings(n, 300, keep=lambda dilation, padding: dilation == 1)
    for seed, (size, kernel, stride, padding, _, ceil) in enumerate(drawn):
        x = sts.values((2, 2, *size), dtype, 2 * seed + 1)
        values, indices = pool(x, kernel, stride, padding, 1, ceil, return_indices=True)
        blocks = indices.reshape(4, -1)
        if any(len(np.unique(block)) < len(block) for block in blocks):
            continue
        t = tensor(values).requires_grad_()
        want = accepted(
            peer, t, torch.from_numpy(indices), kernel, stride, padding, output_size=size
        )
        if want is None:
            continue
        got = unpool(values, indices, kernel, stride, padding, size)
        laws.assert_identical(got, array(want))
        grad = sts.values(got.shape, dtype, seed)
        (back,) = torch.autograd.grad(want, [t], tensor(grad))
        laws.assert_identical(backward(grad, indices), array(back))
        compared += 1
    assert compared > 10


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_max_pool_of_integers(dtype):
    x = sts.values((2, 3, 9, 8), dtype, 5)
    want = F.max_pool2d(torch.from_numpy(x), 3, 2, 1, return_indices=True)
    values, indices = us.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert np.array_equal(values, want[0]) and np.array_equal(indices, want[1])


# --- pooling: differences from torch, as docs/from/torch.md lists them ----------------------------

NAN = math.nan


def test_difference_index_of_nan():
    """Both give NaN; torch points at the last one of the window, we at the first."""
    x = np.array([[[NAN, 1.0, NAN, 2.0]]])
    for ours, theirs in (
        (us.max_pool1d, F.max_pool1d),
        (us.adaptive_max_pool1d, F.adaptive_max_pool1d),
    ):
        size = 4 if ours is us.max_pool1d else 1
        value, index = ours(x, size, return_indices=True)
        want, at = theirs(torch.from_numpy(x), size, return_indices=True)
        assert np.isnan(value).all() and want.isnan().all()
        assert index.item() == 0 and at.item() == 2


def test_difference_absolute_values_of_norms():
    """torch drops them: odd powers of negative values cancel, or have no root."""
    x = np.array([[[-3.0, -2.0, -3.0, 4.0]]])
    want = F.lp_pool1d(torch.from_numpy(x), 3, 2)
    assert want[0, 0, 0].isnan()
    np.testing.assert_allclose(us.lp_pool1d(x, 3, 2), [[[35 ** (1 / 3), 91 ** (1 / 3)]]])
    np.testing.assert_allclose(want[0, 0, 1], 37 ** (1 / 3))
    assert F.lp_pool1d(torch.from_numpy(x), 2.5, 2).isnan().all()
    assert np.isfinite(us.lp_pool1d(x, 2.5, 2)).all()


def test_difference_norms_in_ceil_mode():
    """torch scales a clipped window up to the size of a whole one; we add what is there."""
    x = np.array([[[1.0, 2.0, 3.0]]])
    want = F.lp_pool1d(torch.from_numpy(x), 2, 2, ceil_mode=True)
    np.testing.assert_allclose(want, [[[5**0.5, 18**0.5]]])
    np.testing.assert_allclose(us.lp_pool1d(x, 2, 2, ceil_mode=True), [[[5**0.5, 3]]])


def test_difference_rounding_of_integers():
    """torch averages int64 alone, and truncates; here that is one of four rules."""
    x = np.array([[[1, 2, -1, -2, 7, 8]]])
    want = F.avg_pool1d(torch.from_numpy(x), 2)
    assert want.tolist() == [[[1, -1, 7]]]
    assert np.array_equal(us.avg_pool1d(x, 2, rounding="trunc"), want)
    assert us.avg_pool1d(x, 2).tolist() == [[[2, -1, 8]]]
    with pytest.raises((RuntimeError, NotImplementedError)):
        F.avg_pool1d(torch.from_numpy(x.astype(np.int32)), 2)


def test_difference_windows_of_padding_alone():
    """torch returns -inf and an index outside the array; we refuse."""
    x = np.ones((1, 1, 2))
    value, index = F.max_pool1d(torch.from_numpy(x), 2, 1, 1, 3, return_indices=True)
    assert value.isinf().all() and index.item() >= 2
    laws.refused(lambda: us.max_pool1d(x, 2, 1, 1, 3), ValueError, "max_pool1d: ", "padding only")


def test_difference_output_of_nothing():
    """torch makes an empty result of an output size of 0; we refuse."""
    assert F.adaptive_max_pool2d(torch.ones(1, 1, 4, 4), 0).shape == (1, 1, 0, 0)
    laws.refused(
        lambda: us.adaptive_max_pool2d(np.ones((1, 1, 4, 4)), 0), ValueError, "output_size"
    )


def test_difference_divisors_below_zero():
    """torch negates; we refuse."""
    x = np.ones((1, 1, 2, 2))
    assert F.avg_pool2d(torch.from_numpy(x), 2, divisor_override=-1).item() == -4
    laws.refused(
        lambda: us.avg_pool2d(x, 2, divisor_override=-1), ValueError, "divisor_override", "-1"
    )


# --- convolution ----------------------------------------------------------------------------------


def window_options(draw, n):
    """stride, padding, dilation."""
    return {
        "stride": tuple(draw(st.integers(1, 3)) for _ in range(n)),
        "padding": tuple(draw(st.integers(0, 3)) for _ in range(n)),
        "dilation": tuple(draw(st.integers(1, 2)) for _ in range(n)),
    }


@pytest.mark.parametrize("n", [1, 2, 3])
@given(data=st.data())
def test_conv(n, data):
    groups = data.draw(st.integers(1, 3))
    ins, outs = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    options = {**window_options(data.draw, n), "groups": groups}
    kernel = [data.draw(st.integers(1, 3)) for _ in range(n)]
    size = [
        data.draw(st.integers(max(1, cases.extent(k, d) - 2 * p), 9))
        for k, d, p in zip(kernel, options["dilation"], options["padding"], strict=True)
    ]
    if data.draw(st.booleans()):
        options |= {"padding": "same", "stride": 1}
    x = sts.values((2, groups * ins, *size), np.float64, data.draw(sts.seeds))
    weight = sts.values((groups * outs, ins, *kernel), np.float64, data.draw(sts.seeds))
    bias = sts.values((groups * outs,), np.float64, data.draw(sts.seeds))
    compare(
        getattr(us, f"conv{n}d")(x, weight, bias, **options),
        lambda grad: getattr(us, f"conv{n}d_backward")(grad, x, weight, **options),
        peer=lambda *t: getattr(F, f"conv{n}d")(*t, **options),
        arrays=[x, weight, bias],
        seed=data.draw(sts.seeds),
    )


@pytest.mark.parametrize("n", [1, 2, 3])
@given(data=st.data())
def test_conv_transpose(n, data):
    groups = data.draw(st.integers(1, 3))
    ins, outs = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    options = {**window_options(data.draw, n), "groups": groups}
    kernel = [data.draw(st.integers(1, 3)) for _ in range(n)]
    size = [data.draw(st.integers(1, 6)) for _ in range(n)]
    extra, padding = [], []
    for i, k, s, d, p in zip(
        size, kernel, options["stride"], options["dilation"], options["padding"], strict=True
    ):
        extra.append(data.draw(st.integers(0, max(s, d) - 1)))
        padding.append(min(p, ((i - 1) * s + cases.extent(k, d) - 1) // 2))
    options |= {"output_padding": tuple(extra), "padding": tuple(padding)}
    x = sts.values((2, groups * ins, *size), np.float64, data.draw(sts.seeds))
    weight = sts.values((groups * ins, outs, *kernel), np.float64, data.draw(sts.seeds))
    bias = sts.values((groups * outs,), np.float64, data.draw(sts.seeds))
    compare(
        getattr(us, f"conv_transpose{n}d")(x, weight, bias, **options),
        lambda grad: getattr(us, f"conv_transpose{n}d_backward")(grad, x, weight, **options),
        peer=lambda *t: getattr(F, f"conv_transpose{n}d")(*t, **options),
        arrays=[x, weight, bias],
        seed=data.draw(sts.seeds),
    )


# --- moves ----------------------------------------------------------------------------------------


@given(data=st.data())
def test_pixel_shuffle(data):
    """Both directions, values and gradients."""
    r, channels = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    size = [data.draw(small) for _ in range(2)]
    seed = data.draw(sts.seeds)
    deep = sts.values((2, channels * r * r, *size), np.float64, seed)
    wide = sts.values((2, channels, *(s * r for s in size)), np.float64, seed)
    for name, x in (("pixel_shuffle", deep), ("pixel_unshuffle", wide)):
        y, pullback = us.vjp(getattr(us, name), x, r)
        compare(y, pullback, peer=lambda t, n=name: getattr(F, n)(t, r), arrays=[x], seed=seed)


@given(data=st.data())
def test_channel_shuffle(data):
    groups, each = data.draw(small), data.draw(small)
    size = [data.draw(small) for _ in range(data.draw(st.integers(1, 3)))]
    x = sts.values((2, groups * each, *size), np.float64, data.draw(sts.seeds))
    want = F.channel_shuffle(torch.from_numpy(x), groups).numpy()
    assert np.array_equal(us.channel_shuffle(x, groups), want)


@given(data=st.data())
def test_unfold_and_fold(data):
    """Values and gradients of both, with a batch and without."""
    x = batch(data.draw, 2)
    x = x[0] if data.draw(st.booleans()) else x
    kernel, dilation, padding, stride = [], [], [], []
    for length in x.shape[-2:]:
        k, d, p = data.draw(small), data.draw(st.integers(1, 3)), data.draw(st.integers(0, 3))
        if cases.extent(k, d) > length + 2 * p:
            k, d = min(k, length), 1
        kernel.append(k)
        dilation.append(d)
        padding.append(p)
        stride.append(data.draw(st.integers(1, 4)))
    params, size, seed = (kernel, dilation, padding, stride), x.shape[-2:], data.draw(sts.seeds)
    columns, pullback = us.vjp(us.unfold, x, *params)
    compare(columns, pullback, peer=lambda t: F.unfold(t, *params), arrays=[x], seed=seed)
    y, pullback = us.vjp(us.fold, columns, size, *params)
    compare(y, pullback, peer=lambda t: F.fold(t, size, *params), arrays=[columns], seed=seed)


# --- sampling -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "mode"),
    [(2, "nearest"), (2, "bilinear"), (2, "bicubic"), (3, "nearest"), (3, "bilinear")],
)
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [False, True])
@given(data=st.data())
def test_grid_sample(n, mode, padding, align, data):
    """Values and both gradients."""
    x = batch(data.draw, n)
    seed = data.draw(sts.seeds)
    out = [data.draw(small) for _ in range(n)]
    grid = np.random.default_rng(seed).uniform(-2.5, 2.5, (2, *out, n))
    compare(
        us.grid_sample(x, grid, mode, padding, align),
        lambda grad: us.grid_sample_backward(grad, x, grid, mode, padding, align),
        peer=lambda x, grid: F.grid_sample(x, grid, mode, padding, align),
        arrays=[x, grid],
        seed=seed,
    )


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_grid_sample_in_float32(mode):
    """Places are double here and float32 there, where they are off by 1e-5 elements or so."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 3, 40, 50)).astype("f4")
    grid = rng.uniform(-1.1, 1.1, (2, 60, 70, 2)).astype("f4")
    for padding, align in itertools.product(("zeros", "border", "reflection"), (False, True)):
        got = us.grid_sample(x, grid, mode, padding, align)
        want = F.grid_sample(torch.from_numpy(x), torch.from_numpy(grid), mode, padding, align)
        off = abs(got - want.numpy()) > 2e-4
        assert off.mean() < (1e-4 if mode == "nearest" else 1e-9)


@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid")
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("align", [False, True])
@given(data=st.data())
def test_affine_grid(n, align, data):
    theta = sts.values((2, n, n + 1), np.float64, data.draw(sts.seeds))
    size = (2, 3, *(data.draw(small) for _ in range(n)))
    compare(
        us.affine_grid(theta, size, align),
        lambda grad: (us.affine_grid_backward(grad, size, align),),
        peer=lambda theta: F.affine_grid(theta, size, align),
        arrays=[theta],
        seed=data.draw(sts.seeds),
    )
