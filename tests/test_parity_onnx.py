"""The tests of the ONNX standard for Resize, sampling, pooling, convolutions, shuffles, Col2Im.

Inputs and outputs are made by the onnx package itself, or lie in it as files; here is only how
attributes translate. Pooling, convolution, sampling, Resize and Upsample are complete, and a
test counts the cases.

Padding beyond half the kernel, which we refuse, is put around the array before it is pooled.
"""

import warnings
from pathlib import Path

import numpy as np
import pytest

import upsample_rs as us

pytestmark = pytest.mark.peer
onnx = pytest.importorskip("onnx")

# How many node tests each convolution has, and how many recorded ones lie in the package.
CONVOLUTIONS = {"Conv": 6, "ConvTranspose": 11}
RECORDED_CONVOLUTIONS = {"Conv1d": 8, "Conv2d": 11, "Conv3d": 7, "ConvTranspose2d": 2}
RECORDED_CONVOLUTIONS |= {"operator_conv": 1, "operator_convtranspose": 1}

# How many node tests each pooling has, and how many recorded ones lie in the package.
POOLINGS = {"MaxPool": 19, "AveragePool": 20, "LpPool": 8, "MaxUnpool": 2}
POOLINGS |= {"GlobalAveragePool": 2, "GlobalMaxPool": 2}
RECORDED = {"AvgPool": 7, "MaxPool": 8, "operator_maxpool": 1}

# How many node tests sampling at points has.
SAMPLING = {"GridSample": 18, "AffineGrid": 4}

RESIZINGS = {"Resize": 39, "Upsample": 1}


MOVES = {"DepthToSpace": 2, "SpaceToDepth": 4, "Col2Im": 5}


@pytest.fixture(scope="module")
def node_tests():
    """Every node test of the standard, by name."""
    from onnx.backend.test.case import node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in node.collect_testcases(None)}


def names_of(node_tests, operator):
    """Names of all node tests that are one node of this operator."""
    return sorted(
        name
        for name, case in node_tests.items()
        if [node.op_type for node in case.model.graph.node] == [operator]
    )


def recorded(word):
    """Directories of what came from PyTorch under such a name: model, inputs and outputs."""
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    return sorted(p for p in data.glob("pytorch-*/test_*") if word in p.name.lower())


def recorded_arrays(path):
    """Input and output of a recorded test."""
    arrays = []
    for name in ("input_0", "output_0"):
        tensor = onnx.TensorProto()
        tensor.ParseFromString((path / "test_data_set_0" / f"{name}.pb").read_bytes())
        arrays.append(onnx.numpy_helper.to_array(tensor))
    return arrays


def read(case):
    """(attributes, inputs by name, outputs) of a test of one node."""
    (node,) = case.model.graph.node
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
    inputs, outputs = case.data_sets[0]
    named = [name for name in node.input if name]
    return attributes, dict(zip(named, inputs, strict=True)), outputs


def pads_of(attributes, n):
    """ONNX lists the pads before every axis, then those after."""
    pads = attributes.get("pads", [0] * (2 * n))
    return tuple(zip(pads[:n], pads[n:], strict=True))


def same_of(attributes):
    """`"same"`, `"same_lower"` or nothing."""
    return {"SAME_UPPER": "same", "SAME_LOWER": "same_lower"}.get(attributes.get("auto_pad"))


def convolved(operator, attributes, x, weight, *bias):
    """What ours makes of Conv or ConvTranspose."""
    n = x.ndim - 2
    options = {"stride": attributes.get("strides", 1), "dilation": attributes.get("dilations", 1)}
    options |= {"padding": pads_of(attributes, n), "groups": attributes.get("group", 1)}
    if operator == "Conv":
        options["padding"] = same_of(attributes) or options["padding"]
        return getattr(us, f"conv{n}d")(x, weight, *bias, **options)
    if same_of(attributes):  # the output is stride times the input, the odd element cut at the end
        strides = attributes["strides"]
        cut = [k - s for k, s in zip(weight.shape[2:], strides, strict=True)]
        options["padding"] = tuple((c // 2, c - c // 2) for c in cut)
    elif "output_shape" in attributes:
        options["output_size"] = attributes["output_shape"]
    else:
        options["output_padding"] = attributes.get("output_padding", 0)
    return getattr(us, f"conv_transpose{n}d")(x, weight, *bias, **options)


@pytest.mark.parametrize("operator", CONVOLUTIONS)
def test_convolution(node_tests, operator):
    """Every node test of the operator."""
    for name in names_of(node_tests, operator):
        attributes, inputs, (want,) = read(node_tests[name])
        got = convolved(operator, attributes, *inputs.values())
        np.testing.assert_allclose(got, want, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("path", recorded("conv"), ids=lambda path: path.name)
def test_recorded_convolution(path):
    """Models that PyTorch exported: weight and bias lie in the model."""
    graph = onnx.load(path / "model.onnx").graph
    ((operator, node),) = ((n.op_type, n) for n in graph.node)
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    x, want = recorded_arrays(path)
    got = convolved(operator, attributes, x, *(constants[name] for name in node.input[1:]))
    assert got.dtype == want.dtype and got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def pool_options(attributes, x):
    """(array, kernel, stride, padding, options) of a pooling of ours.

    The array has padding around it that its windows may have, but ours may not.
    """
    n = x.ndim - 2
    kernel, dilation = attributes["kernel_shape"], attributes.get("dilations", [1] * n)
    stride = attributes.get("strides", [1] * n)
    same = same_of(attributes)
    pads = same or pads_of(attributes, n)
    options = {"dilation": dilation, "ceil_mode": bool(attributes.get("ceil_mode", 0))}
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if not same and any(max(p) > s // 2 for p, s in zip(pads, spans, strict=True)):
        around, pads = [(0, 0), (0, 0), *pads], 0
        return (around, x), kernel, stride, pads, options
    return (None, x), kernel, stride, pads, options


def padded(around_and_x, value):
    """The array with `value` around it, where padding is not ours to do."""
    around, x = around_and_x
    return x if around is None else np.pad(x, around, constant_values=value)


def pooled(operator, attributes, x):
    """What ours makes of a pooling of ONNX: (values, indices where there are any)."""
    n = x.ndim - 2
    if operator.startswith("Global"):
        kind = "avg" if "Average" in operator else "max"
        return getattr(us, f"adaptive_{kind}_pool{n}d")(x, 1), None
    x, kernel, stride, pads, options = pool_options(attributes, x)
    if operator == "MaxPool":
        pool = getattr(us, f"max_pool{n}d")
        return pool(padded(x, -np.inf), kernel, stride, pads, **options, return_indices=True)
    if operator == "LpPool":
        norm = getattr(us, f"lp_pool{n}d")
        p = attributes.get("p", 2)
        return norm(padded(x, 0), p, kernel, stride, padding=pads, **options), None
    pool = getattr(us, f"avg_pool{n}d")
    counted = bool(attributes.get("count_include_pad", 0))
    if x[0] is None or counted:
        options["count_include_pad"] = counted
        return pool(padded(x, 0), kernel, stride, pads, **options), None
    total = pool(padded(x, 0), kernel, stride, divisor_override=1, **options)
    ones = (x[0], np.ones_like(x[1]))
    return total / pool(padded(ones, 0), kernel, stride, divisor_override=1, **options), None


def moved(operator, attributes, inputs):
    """What ours makes of a shuffle or of Col2Im."""
    x, *sizes = inputs.values()
    if operator == "DepthToSpace":
        return us.depth_to_space(x, attributes["blocksize"], attributes["mode"])
    if operator == "SpaceToDepth":
        return us.space_to_depth(x, attributes["blocksize"], attributes.get("mode", "DCR"))
    image, kernel = sizes
    return us.fold(
        x,
        image,
        kernel,
        attributes.get("dilations", 1),
        pads_of(attributes, len(image)),
        attributes.get("strides", 1),
    )


def check_pooling(operator, attributes, x, want, want_indices=None, digits=1e-6):
    """ONNX counts indices through the whole tensor, on request in column-major order."""
    got, indices = pooled(operator, attributes, x)
    if operator in ("MaxPool", "GlobalMaxPool"):
        assert np.array_equal(got, want) and got.dtype == want.dtype
    else:
        assert got.dtype == want.dtype and got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=digits)
    if want_indices is not None:
        assert x.shape[:2] == (1, 1)
        if attributes.get("storage_order"):
            indices = indices % x.shape[3] * x.shape[2] + indices // x.shape[3]
        assert np.array_equal(indices, want_indices)


@pytest.mark.parametrize("operator", [o for o in POOLINGS if o != "MaxUnpool"])
def test_pooling(node_tests, operator):
    """Every node test of the operator."""
    names = names_of(node_tests, operator)
    assert len(names) >= POOLINGS[operator]
    for name in names:
        attributes, inputs, outputs = read(node_tests[name])
        (x,) = inputs.values()
        # This one's output is written out to four digits.
        short = name == "test_averagepool_2d_ceil_last_window_starts_on_pad"
        check_pooling(operator, attributes, x, *outputs, digits=1e-4 if short else 1e-6)


@pytest.mark.parametrize("path", recorded("pool"), ids=lambda path: path.name)
def test_recorded_pooling(path):
    """Models that PyTorch exported; a 1-D average is one of height times 1, between reshapes."""
    nodes = {node.op_type: node for node in onnx.load(path / "model.onnx").graph.node}
    x, want = recorded_arrays(path)
    if "Unsqueeze" in nodes:
        x, want = x[..., None], want[..., None]
    ((operator, node),) = (item for item in nodes.items() if item[0].endswith("Pool"))
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    check_pooling(operator, attributes, x, want)


@pytest.mark.parametrize("operator", MOVES)
def test_moves(node_tests, operator):
    """Every node test of the operator."""
    for name in names_of(node_tests, operator):
        attributes, inputs, (want,) = read(node_tests[name])
        got = moved(operator, attributes, inputs)
        assert got.dtype == want.dtype and np.array_equal(got, want), name


def test_recorded_pixel_shuffle():
    """A model that PyTorch exported, as reshapes around a transposition."""
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    (path,) = data.glob("pytorch-*/test_PixelShuffle")
    x, want = recorded_arrays(path)
    assert np.array_equal(us.pixel_shuffle(x, want.shape[-1] // x.shape[-1]), want)


def test_no_case_is_missing(node_tests):
    """Fewer would mean that the collection above lost some."""
    for counts in (MOVES, POOLINGS, CONVOLUTIONS, RESIZINGS, SAMPLING):
        assert {operator: len(names_of(node_tests, operator)) for operator in counts} == counts
    kinds = [path.name.split("_")[1] for path in recorded("conv") if "operator" not in path.name]
    kinds += [path.name[5:] for path in recorded("conv") if "operator" in path.name]
    assert {kind: kinds.count(kind) for kind in kinds} == RECORDED_CONVOLUTIONS
    names = [path.name for path in recorded("pool")]
    assert {kind: sum(kind in name for name in names) for kind in RECORDED} == RECORDED


def test_max_unpool(node_tests):
    """ONNX's indices count through the default size, ours through the one given."""
    for name in names_of(node_tests, "MaxUnpool"):
        attributes, inputs, (want,) = read(node_tests[name])
        x, indices = inputs["xT"], inputs["xI"]
        kernel, stride = attributes["kernel_shape"], attributes["strides"]
        size = inputs.get("output_shape")
        if size is None:
            got = us.max_unpool2d(x, indices, kernel, stride)
        else:
            row, column = np.divmod(indices, (x.shape[3] - 1) * stride[1] + kernel[1])
            indices = row * size[3] + column
            got = us.max_unpool2d(x, indices, kernel, stride, output_size=tuple(size[2:]))
        assert np.array_equal(got, want)


def resize_options(attributes, inputs, ndim):
    """ONNX lists the starts of all regions, then their ends; its defaults are not all ours."""
    axes = attributes.get("axes", range(ndim))
    options = {"axes": tuple(axes), "method": attributes["mode"]}
    options["coordinates"] = attributes.get("coordinate_transformation_mode", "half_pixel")
    options["antialias"] = bool(attributes.get("antialias", 0))
    options["exclude_outside"] = bool(attributes.get("exclude_outside", 0))
    options["cubic_a"] = attributes.get("cubic_coeff_a", -0.75)
    options["nearest_rounding"] = attributes.get("nearest_mode", "round_prefer_floor")
    options["fill"] = attributes.get("extrapolation_value", 0)
    options["keep_aspect_ratio"] = attributes.get("keep_aspect_ratio_policy", "stretch")
    if options["coordinates"] == "tf_crop_and_resize":
        starts, ends = np.split(inputs["roi"], 2)
        options["roi"] = list(zip(starts, ends, strict=True))
    name, ours = ("scales", "scale") if "scales" in inputs else ("sizes", "size")
    return options | {ours: tuple(inputs[name].tolist())}


def test_resize(node_tests):
    """Every node test of the operator."""
    names = names_of(node_tests, "Resize")
    assert len(names) >= RESIZINGS["Resize"]
    for name in names:
        attributes, inputs, (want,) = read(node_tests[name])
        x = inputs.pop("X")
        got = us.resize(x, **resize_options(attributes, inputs, x.ndim))
        assert got.dtype == want.dtype and got.shape == want.shape, name
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=name)


def test_upsample(node_tests):
    """The operator before Resize: left edges on each other, the element at or left of them."""
    for name in names_of(node_tests, "Upsample"):
        attributes, inputs, (want,) = read(node_tests[name])
        assert attributes == {"mode": "nearest"}
        scale = tuple(inputs["scales"].tolist())
        rule = {"coordinates": "asymmetric", "nearest_rounding": "floor"}
        assert np.array_equal(us.resize(inputs["X"], scale=scale, method="nearest", **rule), want)
        assert np.array_equal(us.interpolate(inputs["X"], scale_factor=scale[2:]), want)


def test_grid_sample(node_tests):
    """ONNX's modes are named for any number of dimensions. Some outputs have only four digits."""
    modes = {"linear": "bilinear", "cubic": "bicubic"}
    for name in names_of(node_tests, "GridSample"):
        attributes, inputs, (want,) = read(node_tests[name])
        mode = attributes.get("mode", "linear")
        got = us.grid_sample(
            *inputs.values(),
            mode=modes.get(mode, mode),
            padding_mode=attributes.get("padding_mode", "zeros"),
            align_corners=bool(attributes.get("align_corners", 0)),
        )
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=6e-5, err_msg=name)


def test_affine_grid(node_tests):
    for name in names_of(node_tests, "AffineGrid"):
        attributes, inputs, (want,) = read(node_tests[name])
        theta, size = inputs.values()
        got = us.affine_grid(theta, size, bool(attributes.get("align_corners", 0)))
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=name)
