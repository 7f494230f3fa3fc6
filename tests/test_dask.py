"""Dask arrays: the bits of the whole call, whatever the chunks."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import upsample_rs as us
from bridge_calls import CALLS, IDS
from upsample_rs._parts import _boxes
from upsample_rs.bridges.table import OPS

da = pytest.importorskip("dask.array")
usd = pytest.importorskip("upsample_rs.dask")
from chunks import (  # noqa: E402
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


def in_chunks(op, args, kwargs, seed):
    """The arguments of a call with its arrays as dask arrays."""
    given = op.bind(args, kwargs)
    for i, name in enumerate(op.arrays):
        if given[name] is not None and not isinstance(given[name], (list, tuple)):
            given[name] = chunked(np.asarray(given[name]), seed + 7 * i)
    return given


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS, ids=IDS)
def test_every_operation(name, args, kwargs, seed):
    want = getattr(us, name)(*args, **kwargs)
    made = quietly(getattr(usd, name), **in_chunks(OPS[name], args, kwargs, seed))
    shapes = [array.shape for array in (made if isinstance(made, tuple) else (made,))]
    assert shapes == [array.shape for array in (want if isinstance(want, tuple) else (want,))]
    assert same(computed(made), want)


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [c for c in CALLS if OPS[c[0]].indexed],
    ids=[i for i, c in zip(IDS, CALLS, strict=True) if OPS[c[0]].indexed],
)
def test_indices_are_those_of_the_whole(name, args, kwargs):
    kwargs = kwargs | {"return_indices": True}
    want = getattr(us, name)(*args, **kwargs)
    made = quietly(getattr(usd, name), **in_chunks(OPS[name], args, kwargs, 1))
    assert same(computed(made), want)


def check(data, name, x, **kwargs):
    """Compare with the whole call, on one random cutting of `x`."""
    try:
        want = getattr(us, name)(x, **kwargs)
    except ValueError:
        assume(False)
    lazy = da.from_array(x, chunks=data.draw(cuts(x.shape), label="chunks"))
    made = quietly(getattr(usd, name), lazy, **kwargs)
    assert same(computed(made), want), (x.shape, x.dtype, lazy.chunks, kwargs)


@FAST
@given(st.data())
def test_resize(data):
    n = data.draw(st.integers(1, 4), label="ndim")
    x = array(data, sides(data, n, 200 if n == 1 else 40 if n == 2 else 9))
    axes = data.draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True), label="axes")
    each = {
        "method": [data.draw(st.sampled_from(METHODS)) for _ in axes],
        "coordinates": [data.draw(st.sampled_from(COORDINATES)) for _ in axes],
        "edge": data.draw(st.sampled_from(["clamp", "reflect", "mirror", "wrap", "constant"])),
        "antialias": data.draw(st.booleans()),
        "exclude_outside": data.draw(st.sampled_from([None, True, False])),
    }
    if data.draw(st.booleans(), label="by size"):
        each["size"] = [data.draw(st.integers(1, 3 * x.shape[axis])) for axis in axes]
    else:
        each["scale"] = [data.draw(st.sampled_from([0.3, 0.5, 1, 1.5, 2, 3, 2.7])) for _ in axes]
    if each["edge"] == "constant":
        each["fill"] = data.draw(st.sampled_from([0, 7]))
    check(data, "resize", x, axes=axes, **each)


@FAST
@given(st.data())
def test_crop_and_resize(data):
    x = array(data, sides(data, 2))
    end = st.floats(-0.5, 1.5)
    check(
        data,
        "resize",
        x,
        size=[data.draw(st.integers(1, 60)) for _ in range(2)],
        coordinates="tf_crop_and_resize",
        roi=[(data.draw(end), data.draw(end)) for _ in range(2)],
        method=data.draw(st.sampled_from(["linear", "nearest", "cubic"])),
        fill=data.draw(st.sampled_from([0, 3])),
        edge=data.draw(st.sampled_from(["clamp", "reflect", "constant"])),
    )


@FAST
@given(st.data())
def test_pieces_are_all_outputs_once(data):
    """However a chunk is cut; and what is put together once is not taken apart again."""
    n = data.draw(st.integers(1, 3), label="rank")
    pieces, together, stretches = [], [], []
    for _ in range(n):
        stretches.append([(0, 5), (5, 10), (10, 15)])
        ends = sorted(data.draw(st.sets(st.integers(1, 14), max_size=4))) + [15]
        halo = data.draw(st.integers(0, 1))
        cut = list(zip([0, *ends], ends, strict=False))
        pieces.append([(p, (max(p[0] - halo, 0), min(p[1] + halo, 15))) for p in cut])
        together.append(((0, 15), (0, 15)))
    made = np.zeros((15,) * n, int)
    for box in _boxes(pieces, together, stretches):
        made[tuple(slice(*outs) for outs, _ in box)] += 1
        across = [not any(a <= r[0] and r[1] <= b for a, b in stretches[0]) for _, r in box]
        if any(across[:-1]):
            assert all(outs == (0, 15) for outs, _ in box[across.index(True) + 1 :])
    assert (made == 1).all()


@FAST
@given(st.data())
def test_interpolate(data):
    n = data.draw(st.integers(1, 3), label="rank")
    last = data.draw(st.booleans(), label="channels_last")
    size = sides(data, n, {1: 300, 2: 70, 3: 12}[n])
    x = array(data, (*size, 3) if last else (2, *size))
    named = {1: ["linear"], 2: ["bilinear", "bicubic"], 3: ["trilinear", "tricubic"]}[n]
    mode = data.draw(st.sampled_from([*named, "lanczos", "area", "nearest", "nearest-exact"]))
    options = {"mode": mode, "channels_last": last}
    if mode in named or mode == "lanczos":
        options["align_corners"] = data.draw(st.booleans())
        options["antialias"] = data.draw(st.booleans())
    if data.draw(st.booleans()):
        options["scale_factor"] = tuple(
            data.draw(st.sampled_from([0.4, 0.5, 1, 2, 3, 4, 1.5, 8])) for _ in range(n)
        )
    else:
        options["size"] = tuple(data.draw(st.integers(1, 2 * i + 1)) for i in size)
    check(data, "interpolate", x, **options)


def windows(data, n, size):
    kernel = tuple(data.draw(st.integers(1, min(i, 12)), label="kernel") for i in size)
    dilation = data.draw(st.sampled_from([1, 1, 1, 2, 3]), label="dilation")
    pads = tuple(
        (
            data.draw(st.integers(0, (dilation * (k - 1) + 1) // 2)),
            data.draw(st.integers(0, (dilation * (k - 1) + 1) // 2)),
        )
        for k in kernel
    )
    return {
        "kernel_size": kernel,
        "stride": tuple(data.draw(st.integers(1, 5), label="stride") for _ in size),
        "padding": data.draw(st.sampled_from([0, pads, "same", "same_lower"]), label="padding"),
        "dilation": dilation,
        "ceil_mode": data.draw(st.booleans(), label="ceil"),
    }


@FAST
@given(st.data())
def test_pools(data):
    n = data.draw(st.integers(1, 3), label="rank")
    size = sides(data, n, {1: 300, 2: 60, 3: 14}[n])
    last = data.draw(st.booleans(), label="channels_last")
    x = array(data, (*size, 3) if last else (2, *size))
    kind = data.draw(st.sampled_from(["max", "min", "avg", "lp"]))
    options = windows(data, n, size) | {"channels_last": last}
    if kind in ("max", "min"):
        options["return_indices"] = data.draw(st.booleans())
        options["index_dtype"] = data.draw(st.sampled_from(["int64", "int32"]))
    elif kind == "avg":
        options["count_include_pad"] = data.draw(st.booleans())
        options["divisor_override"] = data.draw(st.sampled_from([None, None, 3]))
    else:
        options["norm_type"] = data.draw(st.sampled_from([1, 2, 3, 2.5, np.inf]))
    check(data, f"{kind}_pool{n}d", x, **options)


@FAST
@given(st.data())
def test_long_windows(data):
    """Windows along H that are folded in blocks, whose borders must be those of the whole."""
    height = data.draw(st.integers(20, 90), label="height")
    kernel = data.draw(st.integers(5, height), label="kernel")
    before, after = (data.draw(st.integers(0, kernel // 2)) for _ in range(2))
    kind = data.draw(st.sampled_from(["avg", "max"]))
    check(
        data,
        f"{kind}_pool2d",
        array(data, (height, data.draw(st.integers(1, 30))), ("float32", "float64")),
        kernel_size=(kernel, 1),
        stride=(data.draw(st.integers(1, 2)), 1),
        padding=((before, after), 0),
    )


@FAST
@given(st.data())
def test_adaptive_pools(data):
    n = data.draw(st.integers(1, 3), label="rank")
    size = sides(data, n, {1: 300, 2: 60, 3: 14}[n])
    x = array(data, (2, *size))
    kind = data.draw(st.sampled_from(["max", "avg"]))
    options = {"output_size": tuple(data.draw(st.integers(1, 2 * i)) for i in size)}
    if kind == "max":
        options["return_indices"] = data.draw(st.booleans())
    check(data, f"adaptive_{kind}_pool{n}d", x, **options)


@FAST
@given(st.data())
def test_nails(data):
    n = data.draw(st.integers(1, 3), label="rank")
    x = array(data, (2, *sides(data, n, 9)))
    factor = tuple(data.draw(st.integers(1, 4)) for _ in range(n))
    offset = tuple(data.draw(st.integers(0, f - 1)) for f in factor)
    check(data, "bed_of_nails", x, factor=factor, offset=offset)


@FAST
@given(st.data())
def test_convolutions(data):
    n = data.draw(st.integers(1, 3), label="rank")
    size = sides(data, n, {1: 300, 2: 50, 3: 10}[n])
    kernel = tuple(data.draw(st.integers(1, 5), label="kernel") for _ in size)
    groups = data.draw(st.sampled_from([1, 1, 2, 3]), label="groups")
    ins, outs = groups * data.draw(st.integers(1, 5)), groups * data.draw(st.integers(1, 4))
    last = data.draw(st.booleans(), label="channels_last")
    kinds = ("float32", "float64", "int32", "float16")
    x = array(data, (2, *size, ins) if last else (2, ins, *size), kinds)
    transposed = data.draw(st.booleans(), label="transposed")
    shape = (ins, outs // groups) if transposed else (outs, ins // groups)
    rng = np.random.default_rng(3)
    weight = (rng.standard_normal((*shape, *kernel)) * 4).astype(x.dtype)
    if data.draw(st.integers(0, 4), label="infinite weight") == 0 and x.dtype.kind == "f":
        weight.reshape(-1)[0] = np.inf
    bias = data.draw(st.sampled_from([None, np.arange(outs).astype(x.dtype)]), label="bias")
    options = {"weight": weight, "bias": bias, "groups": groups, "channels_last": last}
    options["stride"] = tuple(data.draw(st.integers(1, 4), label="stride") for _ in size)
    options["dilation"] = data.draw(st.sampled_from([1, 1, 2, 3]), label="dilation")
    if transposed:
        options["padding"] = tuple(data.draw(st.integers(0, 2)) for _ in size)
        options["output_padding"] = tuple(
            data.draw(st.integers(0, max(s, options["dilation"]) - 1)) for s in options["stride"]
        )
        check(data, f"conv_transpose{n}d", x, **options)
    else:
        pads = tuple((data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))) for _ in size)
        options["padding"] = data.draw(st.sampled_from([0, pads, "same", "same_lower"]))
        check(data, f"conv{n}d", x, **options)


@pytest.mark.parametrize("channels", [300, 1200])
def test_many_channels_are_summed_as_in_the_whole(channels):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, channels, 9, 130)).astype(np.float32)
    weight = rng.standard_normal((2, channels, 3, 3)).astype(np.float32)
    for options in ({"padding": 1}, {}):
        want = us.conv2d(x, weight, **options)
        lazy = da.from_array(x, chunks=(1, 200, 4, 50))
        assert same(computed(usd.conv2d(lazy, weight, **options)), want)


def check_all(data, name, arrays, **kwargs):
    """As `check`, with every array in chunks."""
    try:
        want = getattr(us, name)(**arrays, **kwargs)
    except ValueError:
        assume(False)
    lazy = {
        key: da.from_array(a, chunks=data.draw(cuts(a.shape), label=key))
        for key, a in arrays.items()
    }
    made = quietly(getattr(usd, name), **lazy, **kwargs)
    assert same(computed(made), want), (arrays.keys(), {k: a.chunks for k, a in lazy.items()})


@FAST
@given(st.data())
def test_shuffles(data):
    n = data.draw(st.integers(1, 3), label="rank")
    last = data.draw(st.booleans(), label="channels_last")
    block = tuple(data.draw(st.integers(1, 3), label="block") for _ in range(n))
    name = data.draw(
        st.sampled_from(["pixel_shuffle", "pixel_unshuffle", "depth_to_space", "space_to_depth"])
    )
    size, channels = sides(data, n, 6), data.draw(st.integers(1, 4))
    if name in ("pixel_shuffle", "depth_to_space"):
        channels *= int(np.prod(block))
    else:
        size = tuple(i * b for i, b in zip(size, block, strict=True))
    x = array(data, (2, *size, channels) if last else (2, channels, *size))
    options = {"channels_last": last}
    if "depth" in name:
        options |= {"mode": data.draw(st.sampled_from(["DCR", "CRD"])), "block": block}
    else:
        options["upscale_factor" if name == "pixel_shuffle" else "downscale_factor"] = block
    check(data, name, x, **options)


@FAST
@given(st.data())
def test_channel_shuffle(data):
    groups, last = data.draw(st.integers(1, 4)), data.draw(st.booleans())
    channels = groups * data.draw(st.integers(1, 4))
    size = sides(data, 2, 6)
    x = array(data, (2, *size, channels) if last else (2, channels, *size))
    check(data, "channel_shuffle", x, groups=groups, channels_last=last)


@FAST
@given(st.data())
def test_columns(data):
    n = data.draw(st.integers(1, 3), label="rank")
    last = data.draw(st.booleans(), label="channels_last")
    size, channels = sides(data, n, 8), data.draw(st.integers(1, 3))
    options = {"channels_last": last, "kernel_size": tuple(min(2, i) for i in size)}
    options["stride"] = data.draw(st.integers(1, 3))
    options["padding"] = data.draw(st.integers(0, 1))
    x = array(data, (2, *size, channels) if last else (2, channels, *size))
    check(data, "unfold", x, **options)
    columns = us.unfold(x, **options)
    check(data, "fold", columns, output_size=size, **options)


@FAST
@given(st.data())
def test_unpooling(data):
    n = data.draw(st.integers(1, 3), label="rank")
    last = data.draw(st.booleans(), label="channels_last")
    size = tuple(2 * i for i in sides(data, n, 6))
    x = array(data, (2, *size, 3) if last else (2, 3, *size), ("float32", "uint8"))
    y, places = getattr(us, f"max_pool{n}d")(x, 2, return_indices=True, channels_last=last)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    if data.draw(st.booleans(), label="anywhere"):
        places = rng.integers(0, np.prod(size), places.shape)
    rules = st.sampled_from(["last", "first", "sum", "max"])
    options = {"kernel_size": 2, "duplicates": data.draw(rules), "channels_last": last}
    check_all(data, f"max_unpool{n}d", {"x": y, "indices": places}, **options)


@FAST
@given(st.data())
def test_fractional(data):
    n, last = data.draw(st.integers(2, 3)), data.draw(st.booleans())
    size = tuple(i + 4 for i in sides(data, n, 8))
    x = array(data, (2, *size, 3) if last else (2, 3, *size), ("float32", "uint8"))
    options = {"kernel_size": 2, "output_size": tuple(i // 2 for i in size), "seed": 5}
    options |= {"return_indices": data.draw(st.booleans()), "channels_last": last}
    check(data, f"fractional_max_pool{n}d", x, **options)


@FAST
@given(st.data())
def test_points(data):
    n, last = data.draw(st.integers(2, 3)), data.draw(st.booleans())
    size, places = sides(data, n, 9), sides(data, n, 9)
    x = array(data, (2, *size, 3) if last else (2, 3, *size))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    grid = rng.uniform(-1.3, 1.3, (2, *places, n)).astype(data.draw(st.sampled_from(["f4", "f8"])))
    options = {
        "mode": data.draw(st.sampled_from(["nearest", "bilinear"])),
        "padding_mode": data.draw(st.sampled_from(["zeros", "border", "reflection"])),
        "align_corners": data.draw(st.booleans()),
        "channels_last": last,
    }
    check_all(data, "grid_sample", {"x": x, "grid": grid}, **options)
    theta = rng.standard_normal((3, n, n + 1))
    check_all(data, "affine_grid", {"theta": theta}, size=(3, 2, *places))


@FAST
@given(st.data())
def test_boxes(data):
    last = data.draw(st.booleans())
    size = sides(data, 2, 20)
    x = array(data, (2, *size, 5) if last else (2, 5, *size), ("float32", "float64"))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    count = data.draw(st.integers(1, 9))
    corners = rng.uniform(0, 20, (count, 2, 2))
    corners.sort(axis=1)
    boxes = np.concatenate([rng.integers(0, 2, (count, 1)), corners.reshape(count, 4)], 1)
    name = data.draw(st.sampled_from(["roi_align", "roi_pool"]))
    options = {"output_size": (2, 3), "spatial_scale": 0.7, "channels_last": last}
    if name == "roi_align":
        options |= {"sampling_ratio": data.draw(st.integers(0, 2)), "aligned": True}
    check_all(data, name, {"x": x, "boxes": boxes.astype(x.dtype)}, **options)


@pytest.mark.parametrize("kernel", [100, 20_000, 40_003])
@pytest.mark.parametrize("op", ["avg_pool1d", "lp_pool1d", "max_pool1d"])
def test_windows_in_pieces(op, kernel):
    """Their sums have an order of their own, and more columns than are worked on at once."""
    x = np.random.default_rng(0).random((2, 40_003), "f4")
    args = (3, kernel) if op == "lp_pool1d" else (kernel,)
    want = getattr(us, op)(x, *args)
    for chunks in (7_001, 16_384, (5, 39_998)):
        lazy = da.from_array(x, chunks=(1, chunks))
        assert same(computed(quietly(getattr(usd, op), lazy, *args)), want)


@pytest.mark.parametrize("inputs", [30, 90, 300])
def test_few_inputs_and_many_channels(inputs):
    """Whether inputs are stamped, up to so many of them, is decided by the whole array."""
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 64, inputs), "f4")
    weight = random.standard_normal((64, 5, 4), "f4")
    want = us.conv_transpose1d(x, weight, None, 2, 1)
    for chunks in (7, inputs // 2, (1, inputs - 1)):
        lazy = da.from_array(x, chunks=(1, 64, chunks))
        assert same(computed(quietly(usd.conv_transpose1d, lazy, weight, None, 2, 1)), want)


def test_lists_of_boxes_have_four_columns():
    x = da.ones((2, 1, 5, 5), chunks=(1, 1, 3, 5), dtype="f4")
    with pytest.raises(ValueError, match=r"roi_align: boxes\[1\].shape = \(1, 5\): must be"):
        usd.roi_align(x, [np.ones((1, 4)), np.ones((1, 5))], 2)


def test_arrays_without_elements():
    x = da.zeros((2, 0, 6, 4), dtype="f4")
    assert usd.interpolate(x, scale_factor=2).compute().shape == (2, 0, 12, 8)
    values, indices = usd.max_pool2d(x, 2, return_indices=True)
    assert values.compute().shape == indices.compute().shape == (2, 0, 3, 2)
