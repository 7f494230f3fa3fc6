"""Gradients of dask arrays: the bits of the whole call, whatever the chunks."""

import inspect
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import upsample_rs as us
from bridge_calls import BOXES, CALLS, IDS
from upsample_rs.bridges.table import OPS

da = pytest.importorskip("dask.array")
usd = pytest.importorskip("upsample_rs.dask")
from chunks import (  # noqa: E402 - only where there is dask
    COORDINATES,
    FAST,
    METHODS,
    array,
    chunked,
    computed,
    cuts,
    quietly,
    same,
    sides,
)

BACKWARD = [name for name in us.__all__ if name.endswith("_backward")]
FLOATS = ("float32", "float64", "float16", "bfloat16")


def wanted(results):
    """The gradients that are there."""
    if not isinstance(results, tuple):
        return (results,)
    return tuple(result for result in results if result is not None)


def check(name, arrays, chunks, **kwargs):
    """Compare with the whole call; shapes and dtypes are right before anything is computed."""
    try:
        want = getattr(us, name)(**arrays, **kwargs)
    except ValueError:
        assume(False)
    lazy = {key: da.from_array(value, chunks=chunks(value.shape)) for key, value in arrays.items()}
    made = quietly(getattr(usd, name), **lazy, **kwargs)
    assert [g is None for g in made] == [g is None for g in want] if type(want) is tuple else True
    made, want = wanted(made), wanted(want)
    for ours, theirs in zip(made, want, strict=True):
        assert isinstance(ours, da.Array)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert ours._meta.dtype == theirs.dtype and ours._meta.ndim == theirs.ndim
    assert same(computed(made), want), {key: value.chunks for key, value in lazy.items()}


def drawn(data):
    return lambda shape: data.draw(cuts(shape), label="chunks")


def test_every_gradient_is_there():
    assert BACKWARD == sorted(name for name in usd.__all__ if name.endswith("_backward"))
    for name in BACKWARD:
        ours, theirs = (inspect.signature(getattr(m, name)).parameters for m in (usd, us))
        assert list(ours) == [key for key in theirs if key != "out"]


@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS, ids=IDS)
def test_vjp(name, args, kwargs):
    op = OPS[name]
    given = op.bind(args, kwargs)
    want, theirs = us.vjp(op.forward, **given)
    for i, key in enumerate(op.arrays):
        if given[key] is not None:
            given[key] = chunked(np.asarray(given[key]), 3 * i)
    made, ours = quietly(usd.vjp, getattr(usd, name), **given)
    assert same(computed(made), want)
    grad = np.random.default_rng(0).random((want[0] if isinstance(want, tuple) else want).shape)
    grads = quietly(ours, da.from_array(grad, chunks=3))
    assert same(computed(grads), theirs(grad))


def test_vjp_refuses():
    x = da.ones((4, 4), chunks=2)
    for fn in (np.sin, usd.resize_backward, len):
        with pytest.raises(TypeError, match="vjp: no gradient for"):
            usd.vjp(fn, x)
    with pytest.raises(TypeError, match="vjp: max_pool2d: x has dtype int64; a gradient needs"):
        usd.vjp(usd.max_pool2d, x.astype(int), 2)
    _, pullback = usd.vjp(us.max_pool2d, x, 2)
    with pytest.raises(ValueError, match="grad_output has shape"):
        pullback(x)


CALLS = {i: c for i, c in zip(IDS, CALLS, strict=True) if f"{c[0]}_backward" in BACKWARD}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS.values(), ids=CALLS)
def test_every_call(name, args, kwargs, seed):
    op = OPS[name]
    forward = op.bind(args, kwargs)
    if op.indexed:
        forward["return_indices"] = True
    out = op.forward(**forward)
    values, *indices = out if isinstance(out, tuple) else (out,)
    known = forward | {"grad_output": np.random.default_rng(0).random(values.shape)}
    known["input_size"] = np.asarray(forward.get("x")).shape
    known["output_mask"] = (True,) * len(op.rule.arrays)
    known |= {"indices": indices[0]} if indices else {}
    if op.rule.adjust is not None:
        op.rule.adjust(known, values)
    needed = {key: known[key] for key in op.backward_kinds}
    want = wanted(op.backward(**needed))
    lazy = {
        key: chunked(np.asarray(value), seed + 5 * i)
        if "Array" in op.backward_kinds[key] or key == "boxes"
        else value
        for i, (key, value) in enumerate(needed.items())
    }
    made = wanted(quietly(getattr(usd, f"{name}_backward"), **lazy))
    assert [g.shape for g in made] == [g.shape for g in want]
    assert same(computed(made), want)


@FAST
@given(st.data())
def test_convolutions(data):
    n = data.draw(st.integers(1, 3), label="rank")
    size = sides(data, n, {1: 200, 2: 40, 3: 9}[n])
    kernel = tuple(data.draw(st.integers(1, 5), label="kernel") for _ in size)
    groups = data.draw(st.sampled_from([1, 1, 2, 3, 5]), label="groups")
    ins, outs = groups * data.draw(st.integers(1, 5)), groups * data.draw(st.integers(1, 4))
    last = data.draw(st.booleans(), label="channels_last")
    batch = data.draw(st.sampled_from([(3,), (1,), ()]), label="batch")
    bare = groups == ins == outs == 1 and data.draw(st.booleans(), label="bare")
    shape = size if bare else (*batch, *size, ins) if last else (*batch, ins, *size)
    x = array(data, shape, FLOATS)
    transposed = data.draw(st.booleans(), label="transposed")
    channels = () if bare else (ins, outs // groups) if transposed else (outs, ins // groups)
    rng = np.random.default_rng(3)
    weight = (rng.standard_normal((*channels, *kernel)) * 4).astype(x.dtype)
    if data.draw(st.integers(0, 4), label="infinite weight") == 0:
        weight.reshape(-1)[0] = np.inf
    options = {"groups": groups, "channels_last": last}
    options["stride"] = tuple(data.draw(st.integers(1, 4), label="stride") for _ in size)
    options["dilation"] = data.draw(st.sampled_from([1, 1, 2, 3]), label="dilation")
    if transposed:
        options["padding"] = tuple(data.draw(st.integers(0, 2), label="padding") for _ in size)
        options["output_padding"] = tuple(
            data.draw(st.integers(0, max(s, options["dilation"]) - 1), label="output_padding")
            for s in options["stride"]
        )
    else:
        pads = tuple((data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))) for _ in size)
        options["padding"] = data.draw(st.sampled_from([0, pads, "same", "same_lower"]))
    name = f"conv_transpose{n}d" if transposed else f"conv{n}d"
    try:
        y = getattr(us, name)(x, weight, **options)
    except ValueError:
        assume(False)
    grad = rng.standard_normal(y.shape).astype(x.dtype)
    options["output_mask"] = data.draw(st.tuples(*[st.booleans()] * 3), label="output_mask")
    arrays = {"grad_output": grad, "x": x, "weight": weight}
    check(f"{name}_backward", arrays, drawn(data), **options)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_many_channels_are_summed_as_in_the_whole(name):
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 700, 7, 90)), rng.standard_normal((700, 700, 2, 3))
    x, weight = x.astype(np.float32), weight.astype(np.float32)
    grad = rng.standard_normal(getattr(us, name)(x, weight).shape).astype(np.float32)
    arrays = {"grad_output": grad, "x": x, "weight": weight}
    chunks = dict(zip([a.shape for a in arrays.values()], [(1, 90, 3, 40)] * 2 + [-1], strict=True))
    check(f"{name}_backward", arrays, chunks.get)


@FAST
@given(st.data())
def test_points(data):
    n, last = data.draw(st.integers(2, 3)), data.draw(st.booleans(), label="channels_last")
    size, places = sides(data, n, 9), sides(data, n, 9)
    lead, channels = data.draw(st.sampled_from([((2,), (3,)), ((), ()), ((2,), ()), ((), (2, 9))]))
    if last:
        x = array(data, (*lead, *size, 3), FLOATS)
        shape = (*lead, *places, 3)
    else:
        x = array(data, (*lead, *channels, *size), FLOATS)
        shape = (*lead, *channels, *places)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    kind = data.draw(st.sampled_from(["f4", "f8"]))
    arrays = {
        "grad_output": rng.standard_normal(shape).astype(x.dtype),
        "x": x,
        "grid": rng.uniform(-1.3, 1.3, (*lead, *places, n)).astype(kind),
    }
    options = {
        "mode": data.draw(st.sampled_from(["nearest", "bilinear", "bicubic"][: 4 - (n - 1)])),
        "padding_mode": data.draw(st.sampled_from(["zeros", "border", "reflection"])),
        "align_corners": data.draw(st.booleans()),
        "channels_last": last,
        "output_mask": data.draw(st.tuples(st.booleans(), st.booleans())),
    }
    check("grid_sample_backward", arrays, drawn(data), **options)


@FAST
@given(st.data())
def test_matrices(data):
    n, last = data.draw(st.integers(2, 3)), data.draw(st.booleans(), label="channels_last")
    lead = data.draw(st.sampled_from([(), (3,), (2, 3)]))
    places = sides(data, n, 30 if n == 2 else 9)
    grad = array(data, (*lead, *places, n), FLOATS)
    size = (*lead, *places, 2) if last else (*lead, 2, *places)
    options = {"align_corners": data.draw(st.booleans()), "channels_last": last}
    check("affine_grid_backward", {"grad_output": grad}, drawn(data), size=size, **options)


@FAST
@given(st.data())
def test_boxes(data):
    last, listed = data.draw(st.booleans()), data.draw(st.booleans(), label="as a list")
    size = sides(data, 2, 20)
    x = array(data, (2, *size, 5) if last else (2, 5, *size), FLOATS)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    count = data.draw(st.integers(1, 9))
    corners = rng.uniform(0, 20, (count, 2, 2))
    corners.sort(axis=1)
    corners = corners.reshape(count, 4)
    images = np.sort(rng.integers(0, 2, (count, 1)), axis=0)
    boxes = np.concatenate([images, corners], 1)
    name = data.draw(st.sampled_from(["roi_align", "roi_pool"]))
    bins = (2, 3)
    shape = (count, *bins, 5) if last else (count, 5, *bins)
    arrays = {"grad_output": rng.standard_normal(shape).astype(x.dtype), "boxes": boxes}
    options = {"spatial_scale": 0.7, "channels_last": last}
    if name == "roi_align":
        options |= {"sampling_ratio": data.draw(st.integers(0, 2)), "aligned": True}
        options |= {"input_size": x.shape, "mode": data.draw(st.sampled_from(["avg", "max"]))}
    if name == "roi_pool" or options["mode"] == "max" or data.draw(st.booleans()):
        arrays["x"] = x
    if listed:
        each = [corners[images[:, 0] == i] for i in range(2)]
        want = getattr(us, f"{name}_backward")(**(arrays | {"boxes": each}), **options)
        made = quietly(getattr(usd, f"{name}_backward"), **(arrays | {"boxes": each}), **options)
        assert same(computed(made), want)
    check(f"{name}_backward", arrays, drawn(data), **options)


@FAST
@given(st.data())
def test_resizing(data):
    n = data.draw(st.integers(1, 3), label="ndim")
    size = sides(data, n, {1: 60, 2: 25, 3: 8}[n])
    out = tuple(data.draw(st.integers(1, 2 * i + 1)) for i in size)
    grad = array(data, out, ("float32", "float64", "float16"))
    options = {
        "axes": tuple(range(n)),
        "method": [data.draw(st.sampled_from(METHODS)) for _ in size],
        "coordinates": [data.draw(st.sampled_from(COORDINATES)) for _ in size],
        "edge": data.draw(st.sampled_from(["clamp", "clamp", "reflect", "constant"])),
        "antialias": data.draw(st.booleans()),
    }
    options |= {"input_size": size, "size": out}
    check("resize_backward", {"grad_output": grad}, drawn(data), **options)


def test_a_negative_zero_where_some_elements_are_not_read():
    grad, options = np.full(3, -0.0), {"input_size": (4,), "size": 3, "method": "nearest"}
    made = usd.resize_backward(da.from_array(grad, chunks=1), **options)
    assert same(computed(made), us.resize_backward(grad, **options))


def never(shape, chunks, dtype=np.float64):
    """An array that must not be computed."""

    def fail(block):
        raise AssertionError("computed")

    meta = np.empty((0,) * len(shape), dtype)
    return da.zeros(shape, dtype, chunks=chunks).map_blocks(fail, dtype=dtype, meta=meta)


def test_a_gradient_reads_only_what_it_is_made_of():
    rng = np.random.default_rng(0)
    x, weight, grad = rng.random((4, 3, 9, 8)), rng.random((6, 3, 3, 3)), rng.random((4, 6, 9, 8))
    lazy = da.from_array(grad, chunks=(2, 6, 4, 4))
    want = us.conv2d_backward(grad, x, weight, 1, 1)
    no_x, no_weight = never(x.shape, (1, 3, 9, 8)), never(weight.shape, -1)
    by_x, _, by_bias = quietly(usd.conv2d_backward, lazy, no_x, weight, 1, 1)
    assert same(computed((by_x, by_bias)), (want[0], want[2]))
    by_weight = quietly(usd.conv2d_backward, lazy, x, no_weight, 1, 1)[1]
    assert same(computed(by_weight), want[1])
    image, grid = rng.random((2, 3, 5, 5)), rng.uniform(-1, 1, (2, 4, 4, 2))
    grad = rng.random((2, 3, 4, 4))
    by_x = usd.grid_sample_backward(grad, never(image.shape, -1), grid)[0]
    assert same(computed(by_x), us.grid_sample_backward(grad, image, grid)[0])
    boxes, grad = BOXES, rng.random((3, 3, 2, 2))
    made = usd.roi_align_backward(grad, boxes, image.shape, x=never(image.shape, -1))
    assert same(computed(made), us.roi_align_backward(grad, boxes, image.shape))


def test_what_is_independent_keeps_its_chunks():
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grad = da.from_array(rng.random((4, 6, 20, 30)), chunks=(2, 6, 10, 10))
        x = da.zeros((4, 3, 20, 30), chunks=(1, 3, 7, -1))
        kernels = rng.random((6, 3, 3, 3))
        only_x = {"padding": 1, "output_mask": (True, False, False)}
        assert usd.conv2d_backward(grad, x, kernels, **only_x)[0].numblocks == (2, 1, 2, 3)
        x = da.zeros((4, 6, 10, 15), chunks=(1, 6, 7, -1))
        kernels = rng.random((6, 6, 2, 2))
        only_x = {"stride": 2, "output_mask": (True, False, False)}
        made = usd.conv_transpose2d_backward(grad, x, kernels, **only_x)[0]
        assert made.numblocks == (2, 1, 2, 3)
        # Depthwise: every group is by itself, where the places are in one chunk.
        one, other = (da.zeros((2, 12, 9, 9), chunks=(2, n, 9, 9)) for n in (4, 5))
        _, kernel, bias = usd.conv2d_backward(one, other, np.ones((12, 1, 3, 3)), 1, 1, 1, 12)
        assert kernel.chunks == ((5, 5, 2), (1,), (3,), (3,)) and bias.chunks == ((4, 4, 4),)
        points = da.from_array(rng.uniform(-1, 1, (4, 8, 8, 2)), chunks=(2, 3, 8, 2))
        x = da.zeros((4, 3, 5, 5), chunks=(1, 3, 5, 5))
        grad = da.zeros((4, 3, 8, 8), chunks=(2, 3, 8, 4))
        made = usd.grid_sample_backward(grad, x, points, output_mask=(False, True))[1]
        assert made.numblocks == (4, 3, 2, 1)
        grad = da.zeros((4, 3, 8, 8), chunks=(2, 1, 8, 8))
        points = points.rechunk((2, 8, 8, 2))
        made = usd.grid_sample_backward(grad, x, points, output_mask=(True, False))[0]
        assert made.numblocks == (2, 3, 1, 1)
        assert usd.affine_grid_backward(points, (4, 3, 8, 8)).numblocks == (2, 1, 1)
        grad = da.zeros((3, 6, 2, 2), chunks=(3, 2, 2, 2))
        made = usd.roi_align_backward(grad, BOXES, (2, 6, 5, 5))
        assert made.numblocks == (1, 3, 1, 1)


@pytest.mark.parametrize(
    ("call", "texts"),
    [
        (
            lambda: usd.conv1d_backward(da.ones((4, 2, 5), chunks=2), np.ones((4, 2, 5)), ONE),
            ["conv1d_backward: grad_output is put into one chunk along axis 0, 2: a sum over all"],
        ),
        (
            lambda: usd.conv_transpose1d_backward(
                da.ones((4, 2, 7), chunks=(2, 2, 7)), np.ones((4, 2, 5)), ONE, 1, 0, 2, 1, 3
            ),
            ["conv_transpose1d_backward: grad_output is put into one chunk along axis 0: a sum"],
        ),
        (
            lambda: usd.affine_grid_backward(da.ones((2, 4, 4, 2), chunks=2), (2, 1, 4, 4)),
            ["affine_grid_backward: grad_output is put into one chunk along axis 1, 2: a sum over"],
        ),
        (
            lambda: usd.roi_pool_backward(
                np.ones((3, 1, 2, 2)), da.ones((2, 1, 5, 5), chunks=4), BOXES
            ),
            ["roi_pool_backward: x is put into one chunk along axis 2, 3: a box may lie anywhere"],
        ),
        (
            lambda: usd.grid_sample_backward(
                da.ones((2, 3, 4, 4), chunks=2), np.ones((2, 3, 5, 5)), np.zeros((2, 4, 4, 2))
            ),
            [
                "grid_sample_backward: grad_output is put into one chunk along axis 2, 3: points",
                "grid_sample_backward: grad_output is put into one chunk along axis 1: a sum over",
            ],
        ),
    ],
)
def test_what_is_put_into_one_chunk_is_said_where_it_was_called(call, texts):
    with pytest.warns(usd.RechunkWarning) as told:
        call()
    for text in texts:
        assert any(str(w.message).startswith(text) for w in told), [str(w.message) for w in told]
    assert {w.filename for w in told} == {__file__}


ONE = np.ones((2, 2, 1))


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("conv1d_backward", (np.ones((1, 2, 4)), np.ones((1, 2, 5)), ONE), {}),
        ("conv1d_backward", (np.ones((1, 2, 5)), np.ones((1, 3, 5)), ONE), {}),
        ("conv1d_backward", (np.ones((1, 2, 5)), np.ones((1, 2, 5)), ONE), {"groups": 0}),
        ("conv1d_backward", (np.ones((1, 2, 5)), np.ones((1, 2, 5)), ONE), {"output_mask": 1}),
        (
            "conv1d_backward",
            (np.ones((1, 2, 5)), np.ones((1, 2, 5)), ONE),
            {"output_mask": (True, False)},
        ),
        ("conv1d_backward", (np.ones((1, 2, 5), int), np.ones((1, 2, 5), int), ONE), {}),
        (
            "conv_transpose1d_backward",
            (np.ones((1, 2, 5)), np.ones((1, 2, 5)), ONE),
            {"output_padding": 1},
        ),
        ("grid_sample_backward", (np.ones((1, 1, 3, 3)), np.ones((1, 1, 5, 5)), ONE), {}),
        (
            "grid_sample_backward",
            (np.ones((1, 1, 3, 4)), np.ones((1, 1, 5, 5)), np.ones((1, 3, 3, 2))),
            {},
        ),
        ("roi_align_backward", (np.ones((2, 1, 2, 2)), BOXES, (2, 1, 5, 5)), {}),
        (
            "roi_align_backward",
            (np.ones((3, 1, 2, 2)), BOXES, (2, 1, 5, 5)),
            {"mode": "max"},
        ),
        (
            "roi_pool_backward",
            (np.ones((3, 1, 2, 2)), np.ones((2, 1, 5, 5), np.float32), BOXES),
            {},
        ),
    ],
)
def test_a_wrong_call_is_refused_when_it_is_made(name, args, kwargs):
    with pytest.raises((ValueError, TypeError)) as theirs:
        getattr(us, name)(*args, **kwargs)
    lazy = [da.from_array(a) if isinstance(a, np.ndarray) else a for a in args]
    with pytest.raises(type(theirs.value)) as ours:
        getattr(usd, name)(*lazy, **kwargs)
    assert str(ours.value) == str(theirs.value)


def test_images_that_are_not_those_of_the_gradient():
    call = (np.ones((3, 1, 2, 2), "f4"), BOXES, (2, 1, 5, 5))
    x = da.from_array(np.ones((4, 1, 5, 5), np.float32))
    with pytest.raises(ValueError, match=r"x.shape = \(4, 1, 5, 5\): must be input_size"):
        usd.roi_align_backward(*map(da.from_array, call[:2]), call[2], mode="max", x=x)


def test_gradients_of_nothing():
    x = np.ones((0, 2, 6), np.float32)
    made = usd.interpolate_backward(da.from_array(x), (0, 2, 3), mode="linear")
    assert made.shape == (0, 2, 3) and made.compute().size == 0
