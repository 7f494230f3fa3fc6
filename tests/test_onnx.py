"""What `upsample_rs.onnx` promises beyond the standard's own tests: every version, whole models."""

import numpy as np
import pytest

import upsample_rs as us

onnx = pytest.importorskip("onnx")
from onnx import helper  # noqa: E402 - likewise
from onnx.reference.op_run import OpRun  # noqa: E402 - likewise

import upsample_rs.onnx  # noqa: E402 - only where there is onnx

RNG = np.random.default_rng(7)
NAMES = [operator.__name__ for operator in us.onnx.ops]


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def model_of(operator, inputs, opset, outputs=1, **attributes):
    """A model of one node; an input of None is left out."""
    names = [f"i{k}" if value is not None else "" for k, value in enumerate(inputs)]
    kinds = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in zip(names, inputs, strict=True)
        if name
    ]
    made = [f"o{k}" for k in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(operator, names, made, name="it", **attributes)],
        "one",
        kinds,
        [helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in made],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def feeds_of(inputs):
    return {f"i{k}": value for k, value in enumerate(inputs) if value is not None}


def ours(operator, inputs, opset, outputs=1, **attributes):
    model = model_of(operator, inputs, opset, outputs, **attributes)
    return us.onnx.evaluator(model).run(None, feeds_of(inputs))


def theirs(operator, inputs, opset, outputs=1, **attributes):
    """The same by ONNX Runtime, or None where it has no such kernel."""
    runtime = pytest.importorskip("onnxruntime")
    model = model_of(operator, inputs, opset, outputs, **attributes)
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    kinds = {np.float32: 1, np.int64: 7}
    for k, output in enumerate(model.graph.output):
        output.type.tensor_type.elem_type = kinds[np.int64 if k else np.float32]
    if inputs[0].dtype != np.float32:
        kind = helper.np_dtype_to_tensor_dtype(inputs[0].dtype)
        model.graph.output[0].type.tensor_type.elem_type = kind
    try:
        session = runtime.InferenceSession(model.SerializeToString(), options)
    except Exception as error:
        assert "NOT_IMPLEMENTED" in str(error) or "Could not find" in str(error), error
        return None
    return session.run(None, feeds_of(inputs))


# --- every version --------------------------------------------------------------------------------

HISTORY = {
    name: sorted(
        schema.since_version
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.domain == "" and schema.name == name and not schema.deprecated
    )
    for name in NAMES
}
PLANE = floats(2, 4, 6, 7)
POINTS = floats(2, 3, 5, 2).clip(-1, 1)
BOXES = np.array([[0.5, 1.0, 4.0, 5.0], [1.0, 0.0, 5.5, 3.0]], np.float32)

# What a node needs at the least, by the first version that needs it so.
LEAST = {
    "AffineGrid": {1: ([floats(2, 2, 3), np.array([2, 1, 3, 4])], {})},
    "AveragePool": {1: ([PLANE], {"kernel_shape": [3, 2]})},
    "Col2Im": {1: ([floats(1, 4, 12), np.array([4, 5]), np.array([2, 2])], {})},
    "Conv": {1: ([PLANE, floats(3, 4, 3, 2)], {})},
    "ConvTranspose": {1: ([PLANE, floats(4, 3, 3, 2)], {})},
    "DepthToSpace": {1: ([PLANE], {"blocksize": 2})},
    "GlobalAveragePool": {1: ([PLANE], {})},
    "GlobalLpPool": {1: ([PLANE], {})},
    "GlobalMaxPool": {1: ([PLANE], {})},
    "GridSample": {1: ([PLANE, POINTS], {})},
    "LpPool": {1: ([PLANE], {"kernel_shape": [3, 2]})},
    "MaxPool": {1: ([PLANE], {"kernel_shape": [3, 2]})},
    "MaxRoiPool": {1: ([PLANE, np.c_[[0, 1], BOXES].astype("f4")], {"pooled_shape": [2, 2]})},
    "MaxUnpool": {
        1: ([PLANE[:1, :1], np.arange(42).reshape(1, 1, 6, 7)], {"kernel_shape": [1, 1]})
    },
    "Resize": {
        1: ([PLANE, np.array([1, 1, 2, 2], np.float32)], {}),
        11: ([PLANE, np.zeros(0, np.float32), np.array([1, 1, 2, 2], np.float32)], {}),
    },
    "RoiAlign": {1: ([PLANE, BOXES, np.array([0, 1])], {})},
    "SpaceToDepth": {
        1: (
            [
                PLANE[..., :6],
            ],
            {"blocksize": 2},
        )
    },
    "Upsample": {
        1: ([PLANE], {"height_scale": 2.0, "width_scale": 3.0}),
        7: ([PLANE], {"scales": [1.0, 1.0, 2.0, 3.0]}),
        9: ([PLANE, np.array([1, 1, 2, 3], np.float32)], {}),
    },
}


def least(name, version):
    return LEAST[name][max(v for v in LEAST[name] if v <= version)]


def test_every_operator_is_there():
    wanted = """Resize Upsample MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool
        GlobalLpPool MaxUnpool Conv ConvTranspose DepthToSpace SpaceToDepth GridSample AffineGrid
        RoiAlign MaxRoiPool Col2Im"""
    assert sorted(NAMES) == sorted(wanted.split()) and set(LEAST) == set(NAMES)
    assert all(issubclass(operator, OpRun) for operator in us.onnx.ops)


@pytest.mark.parametrize("name", NAMES)
def test_every_version_runs(name):
    """With all attributes left to their defaults, and with every attribute of the version given."""
    for version in HISTORY[name]:
        inputs, needed = least(name, version)
        (got,) = ours(name, inputs, version, **needed)
        assert got.dtype == np.float32
        schema = onnx.defs.get_schema(name, version, "")
        given = dict(needed)
        for attribute in schema.attributes.values():
            if attribute.default_value.name:
                given[attribute.name] = helper.get_attribute_value(attribute.default_value)
        (again,) = ours(name, inputs, version, **given)
        assert np.array_equal(got, again)


@pytest.mark.parametrize("name", NAMES)
def test_every_version_is_onnxruntimes(name):
    known = 0
    for version in HISTORY[name]:
        inputs, needed = least(name, version)
        want = theirs(name, inputs, version, **needed)
        if want is not None:
            known += 1
            (got,) = ours(name, inputs, version, **needed)
            np.testing.assert_allclose(got, want[0], rtol=2e-5, atol=2e-5, err_msg=f"{version}")
    assert known or name == "Col2Im"


PARAMETERS = [
    ("MaxPool", [PLANE], {"kernel_shape": [3, 3], "pads": [2, 1, 0, 2], "strides": [2, 2]}),
    ("MaxPool", [PLANE], {"kernel_shape": [2, 3], "ceil_mode": 1, "strides": [2, 2]}),
    ("MaxPool", [PLANE], {"kernel_shape": [2, 3], "dilations": [2, 1], "pads": [1, 0, 1, 2]}),
    ("MaxPool", [PLANE], {"kernel_shape": [2, 3], "auto_pad": "SAME_LOWER", "strides": [2, 3]}),
    ("MaxPool", [PLANE], {"kernel_shape": [2, 3], "auto_pad": "VALID", "storage_order": 1}),
    ("MaxPool", [floats(2, 3, 4, 5, 3)], {"kernel_shape": [2, 2, 2], "storage_order": 1}),
    ("AveragePool", [PLANE], {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2], "strides": [2, 3]}),
    (
        "AveragePool",
        [PLANE],
        {"kernel_shape": [3, 3], "pads": [2, 1, 1, 2], "count_include_pad": 1, "ceil_mode": 1}
        | {"strides": [2, 2]},
    ),
    ("LpPool", [PLANE], {"kernel_shape": [3, 2], "p": 3, "pads": [2, 0, 0, 1], "strides": [1, 2]}),
    ("GlobalLpPool", [floats(2, 3, 4, 5, 2)], {"p": 1}),
    ("GlobalMaxPool", [floats(2, 3, 4, 2, 3)], {}),
    ("Conv", [PLANE, floats(6, 2, 3, 2), floats(6)], {"group": 2, "strides": [2, 1]}),
    ("Conv", [PLANE, floats(6, 4, 3, 2)], {"auto_pad": "SAME_LOWER", "strides": [2, 1]}),
    ("Conv", [PLANE, floats(6, 4, 3, 2)], {"dilations": [2, 3], "pads": [3, 0, 1, 2]}),
    ("ConvTranspose", [PLANE, floats(4, 3, 3, 2), floats(6)], {"group": 2, "strides": [2, 3]}),
    (
        "ConvTranspose",
        [PLANE, floats(4, 3, 3, 4)],
        {"strides": [2, 3], "dilations": [2, 1], "pads": [1, 0, 2, 1], "output_padding": [1, 2]},
    ),
    ("ConvTranspose", [PLANE, floats(4, 3, 3, 4)], {"strides": [2, 2], "output_shape": [12, 13]}),
    ("ConvTranspose", [PLANE, floats(4, 3, 4, 4)], {"strides": [3, 2], "auto_pad": "SAME_UPPER"}),
    ("ConvTranspose", [PLANE, floats(4, 3, 4, 4)], {"strides": [3, 2], "auto_pad": "SAME_LOWER"}),
    ("GridSample", [PLANE, POINTS * 1.5], {"padding_mode": "reflection", "align_corners": 1}),
    ("GridSample", [PLANE, POINTS * 1.5], {"padding_mode": "border", "mode": "cubic"}),
    ("RoiAlign", [PLANE, BOXES, np.array([1, 0])], {"mode": "max", "output_height": 3}),
    (
        "RoiAlign",
        [PLANE, BOXES, np.array([1, 0])],
        {"coordinate_transformation_mode": "output_half_pixel", "sampling_ratio": 2}
        | {"output_width": 4, "spatial_scale": 0.5},
    ),
    ("DepthToSpace", [PLANE], {"blocksize": 2, "mode": "CRD"}),
    (
        "MaxUnpool",
        [PLANE, np.arange(2 * 4 * 6 * 7).reshape(2, 4, 6, 7) * 2 + 1],
        {"kernel_shape": [1, 2], "strides": [1, 2]},
    ),
]


@pytest.mark.parametrize(("name", "inputs", "attributes"), PARAMETERS)
def test_attributes_are_onnxruntimes(name, inputs, attributes):
    opset = 20 if name == "GridSample" else 19
    outputs = 2 if name == "MaxPool" else 1
    want = theirs(name, inputs, opset, outputs, **attributes)
    got = ours(name, inputs, opset, outputs, **attributes)
    np.testing.assert_allclose(got[0], want[0], rtol=2e-5, atol=2e-5)
    assert np.array_equal(got[1:], want[1:])


SCALES = ([1, 1, 0.5, 2.0], [1, 1, 0.7, 0.65], [1, 1, 1.5, 1.0], [1, 1, 3.0, 0.3])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_10_is_onnxruntimes(mode, scale):
    """Nothing in that version says how positions are found."""
    inputs = [floats(1, 1, 10, 10), np.array(scale, np.float32)]
    (want,) = theirs("Resize", inputs, 10, mode=mode)
    (got,) = ours("Resize", inputs, 10, mode=mode)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", SCALES[:2])
@pytest.mark.parametrize("rule", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_resize_11_for_nn_is_onnxruntimes(rule, scale):
    """A coordinate rule that only this version has."""
    inputs = [floats(1, 1, 10, 10), np.zeros(0, np.float32), np.array(scale, np.float32)]
    words = {"nearest_mode": rule, "coordinate_transformation_mode": "tf_half_pixel_for_nn"}
    for mode in ("nearest", "linear"):
        (want,) = theirs("Resize", inputs, 11, mode=mode, **words)
        (got,) = ours("Resize", inputs, 11, mode=mode, **words)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_size_follows_float32():
    """0.7 as a float32 is less than 0.7, and yet there are seven elements."""
    x, scale = floats(1, 1, 10, 10), np.array([1, 1, 0.7, 0.3], np.float32)
    for opset, inputs in ((10, [x, scale]), (19, [x, None, scale])):
        assert ours("Resize", inputs, opset)[0].shape == (1, 1, 7, 3)


# --- dtypes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "i1", "i4", "u8", "c8", "c16", "?"])
def test_moves_keep_every_bit(dtype):
    x = (RNG.standard_normal((1, 4, 2, 2)) * 4).astype(dtype)
    scales = np.array([1, 1, 2, 2], np.float32)
    (blocks,) = ours("DepthToSpace", [x], 13, blocksize=2)
    (back,) = ours("SpaceToDepth", [blocks], 13, blocksize=2)
    (doubled,) = ours("Resize", [x, None, scales], 13)
    assert back.dtype == doubled.dtype == x.dtype
    assert np.array_equal(back, x) and np.array_equal(doubled[..., ::2, ::2], x)


def test_strings_are_moved():
    x = np.array([f"word {i}" for i in range(4)], object).reshape(1, 4, 1, 1)
    assert ours("DepthToSpace", [x], 13, blocksize=2)[0].tolist() == [
        [[["word 0", "word 1"], ["word 2", "word 3"]]]
    ]
    (wide,) = ours("Resize", [x, None, np.array([1, 1, 1, 2], np.float32)], 13)
    assert wide[0, 3, 0].tolist() == ["word 3", "word 3"]


def test_complex_is_interpolated_in_both_parts():
    x = (floats(1, 1, 3, 4) + 1j * floats(1, 1, 3, 4)).astype(np.complex64)
    scales = np.array([1, 1, 2, 2], np.float32)
    words = {"mode": "linear"}
    (got,) = ours("Resize", [x, None, scales], 19, **words)
    (real,) = ours("Resize", [x.real, None, scales], 19, **words)
    assert got.dtype == np.complex64 and np.array_equal(got.real, real)


def test_bfloat16_stays():
    dtype = pytest.importorskip("ml_dtypes").bfloat16
    x = PLANE.astype(dtype)
    (got,) = ours("AveragePool", [x], 22, kernel_shape=[3, 3], pads=[2, 2, 2, 2])
    (want,) = ours("AveragePool", [x.astype("f4")], 22, kernel_shape=[3, 3], pads=[2, 2, 2, 2])
    assert got.dtype == dtype and np.allclose(got.astype("f4"), want, rtol=1e-2, atol=1e-2)


# --- errors ---------------------------------------------------------------------------------------


def test_what_is_not_ours_is_refused():
    x = floats(1, 1, 4, 4)
    with pytest.raises(ValueError, match="Upsample: opset 10 has no such operator"):
        ours("Upsample", [x, np.ones(4, np.float32)], 10)
    with pytest.raises(ValueError, match="attribute 'dilations' is not one of version 8"):
        ours("MaxPool", [x], 8, kernel_shape=[2, 2], dilations=[1, 1])
    with pytest.raises(
        ValueError, match="MaxPool 'it': X has 4 spatial axes: upsample_rs has 1 to"
    ):
        ours("MaxPool", [floats(1, 1, 2, 2, 2, 2)], 13, kernel_shape=[2, 2, 2, 2])
    with pytest.raises(ValueError, match="MaxPool 'it': strides has 1 entries: must be 2"):
        ours("MaxPool", [x], 13, kernel_shape=[2, 2], strides=[1])
    with pytest.raises(ValueError, match=r"conv2d: weight.shape\[1\] = 3: must be 1"):
        ours("Conv", [x, floats(1, 3, 2, 2)], 13)
    with pytest.raises(ValueError, match="auto_pad = 'SAME'"):
        ours("Conv", [x, floats(1, 1, 2, 2)], 13, auto_pad="SAME")
    with pytest.raises(ValueError, match="one of them must be given"):
        ours("Resize", [x], 19)
    with pytest.raises(TypeError) as caught:
        ours("Conv", [x > 0, x > 0], 13)
    assert "conv2d: x.dtype = bool" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("says", "call"),
    [
        ("W.ndim = 3: must be 4", lambda x: ours("Conv", [x, floats(1, 1, 2)], 13)),
        (
            r"kernel_shape = \[3, 3\]: W has \[2, 2\]",
            lambda x: ours("Conv", [x, floats(1, 1, 2, 2)], 13, kernel_shape=[3, 3]),
        ),
        (
            "X.ndim = 2: must be at least 3",
            lambda x: ours("MaxPool", [x[0, 0]], 13, kernel_shape=[2, 2]),
        ),
        (
            r"I.shape = \(1, 1, 2, 2\): must be \(1, 1, 4, 4\)",
            lambda x: ours(
                "MaxUnpool", [x, np.zeros((1, 1, 2, 2), np.int64)], 11, kernel_shape=[2, 2]
            ),
        ),
        (
            r"output_shape = \(1, 1, 3, 3\): must be at least \(1, 1, 5, 5\)",
            lambda x: ours(
                "MaxUnpool",
                [x, np.arange(16).reshape(x.shape), np.array([1, 1, 3, 3])],
                11,
                kernel_shape=[2, 2],
            ),
        ),
        (
            "mode = 'quintic': must be nearest, linear or cubic",
            lambda x: ours("Resize", [x, None, np.full(4, 2, np.float32)], 19, mode="quintic"),
        ),
        (
            "X of strings: no extrapolation_value is one",
            lambda x: ours(
                "Resize",
                [x.astype(str).astype(object), np.zeros(8, np.float32), np.ones(4, np.float32)],
                11,
                coordinate_transformation_mode="tf_crop_and_resize",
            ),
        ),
        (
            "scales has 2 entries: must be 4",
            lambda x: ours("Upsample", [x, np.ones(2, np.float32)], 9),
        ),
        (
            "scales = .*: must be at least 1",
            lambda x: ours("Upsample", [x, np.full(4, 0.5, np.float32)], 9),
        ),
        (
            "roi must have 8 entries",
            lambda x: ours(
                "Resize",
                [x, np.zeros(2, np.float32), np.ones(4, np.float32)],
                11,
                coordinate_transformation_mode="tf_crop_and_resize",
            ),
        ),
        (
            "grid.shape = .* does not fit X.shape",
            lambda x: ours("GridSample", [x, floats(2, 3, 3, 2)], 16),
        ),
        (
            "coordinate_transformation_mode = 'corners': is not one",
            lambda x: ours(
                "RoiAlign",
                [x, floats(1, 4), np.zeros(1, np.int64)],
                16,
                coordinate_transformation_mode="corners",
            ),
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(says, call):
    with pytest.raises(ValueError, match=f"'it': {says}"):
        call(floats(1, 1, 4, 4))


def test_factors_give_the_sizes_of_float32():
    from upsample_rs.onnx.resizing import _factor

    short = 0
    for length in range(1, 120):
        for size in range(1, 120):
            scale = np.float32(size / length)
            want = int(np.floor(np.float32(length) * scale))
            assert int(length * _factor(length, float(scale))) == want
            short += int(length * (want / length)) < want
    assert short, "sizes whose quotient falls short are among them"


def test_late_half_pixels_by_size_and_of_axes_that_stay():
    x = floats(1, 1, 3, 4)
    rule = {"mode": "linear", "coordinate_transformation_mode": "tf_half_pixel_for_nn"}
    nothing = np.zeros(0, np.float32)
    (same,) = ours("Resize", [x, nothing, np.ones(4, np.float32)], 11, **rule)
    np.testing.assert_array_equal(same, x)
    (by_size,) = ours("Resize", [x, nothing, nothing, np.array([1, 1, 6, 8])], 11, **rule)
    (by_scale,) = ours("Resize", [x, nothing, np.array([1, 1, 2, 2], np.float32)], 11, **rule)
    np.testing.assert_array_equal(by_size, by_scale)


# --- whole models ---------------------------------------------------------------------------------


def test_a_network_gives_onnxruntimes_answer():
    runtime = pytest.importorskip("onnxruntime")
    from network import segmentation

    model = segmentation()
    onnx.checker.check_model(model)
    x = floats(2, 3, 48, 64)
    (got,) = us.onnx.evaluator(model).run(None, {"x": x})
    (want,) = runtime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    assert got.shape == (2, 5, 48, 64)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_functions_and_subgraphs_are_evaluated_with_ours():
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 19, "mine": 1]>
        both (float[1, 1, 4, 4] x, bool b) => (float[1, 1, 4, 4] y) {
            z = mine.Rough (x)
            y = If (b) <
                then_branch = g () => (float[1, 1, 4, 4] t) {
                    t = AveragePool <kernel_shape = [1, 1]> (z)
                },
                else_branch = h () => (float[1, 1, 4, 4] f) { f = Identity (z) }
            >
        }
        <domain: "mine", opset_import: ["": 19]>
        Rough (x) => (y) { y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x) }
    """)
    session = us.onnx.evaluator(model)
    x = floats(1, 1, 4, 4)
    (got,) = session.run(None, {"x": x, "b": np.array(True)})
    assert np.array_equal(got, us.max_pool2d(x, 3, 1, 1))
    (function,) = session.functions_.values()
    assert type(function.rt_nodes_[0]) in us.onnx.ops
    assert type(session.rt_nodes_[1].then_branch.rt_nodes_[0]) in us.onnx.ops


def test_new_ops_come_before_ours():
    class MaxPool(OpRun):
        op_domain = ""

        def _run(self, x, **_):
            return (x * 0,)

    x = floats(1, 1, 4, 4)
    model = model_of("MaxPool", [x], 13, kernel_shape=[2, 2])
    (got,) = us.onnx.evaluator(model, new_ops=[MaxPool]).run(None, {"i0": x})
    assert not got.any()
