"""The same calls as torch.nn.functional, values and gradients, in float64.

Where the two differ on purpose, and so are not compared here:

- interpolate: torch computes coordinates of nearest modes in float32 (wrong for 2 -> 82, for one);
  the linear modes copy an axis whose length does not change even if the scale factor is not 1; with
  `antialias` it reads a contiguous array whose output has a width of 1 wrongly, takes 2-D input
  only, and mixes the coordinates of `align_corners=True` with those of False; a NaN spreads with
  weight 0. Integers other than uint8 are refused.
- max_pool: padding is symmetric; the sign of a zero maximum is left open.
- max_unpool: `output_size` must be within one stride of the default; repeated indices race.
- conv: `padding="same"` needs a stride of 1; complex gradients are conjugated (ours: none).
- Leading axes other than batch and channel are refused.
"""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import cases
import strategies as sts
import upsample_rs as us

pytestmark = [
    pytest.mark.peer,
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel"),
]
torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

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
