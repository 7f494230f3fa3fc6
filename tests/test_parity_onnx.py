"""The node tests of the ONNX standard for Resize, MaxPool, MaxUnpool, Conv and ConvTranspose.

Inputs and outputs are made by the onnx package itself; here is only how attributes translate. Left
out are the parts of Resize that `interpolate` does not have (cubic, crop-and-resize, other nearest
and coordinate rules, aspect-ratio policies), and where ours is another rule:

- antialiased linear repeats the edge; ours drops what lies outside, as ONNX does on
  `exclude_outside=1`;
- align_corners takes positions from `length * scale` before it is rounded down to a size;
- test_maxpool_2d_pads has padding that exceeds half the kernel, which is refused.
"""

import warnings

import numpy as np
import pytest

import reference as ref
import upsample_rs as us

pytestmark = pytest.mark.peer
onnx = pytest.importorskip("onnx")

CONV = ["basic_conv_with_padding", "basic_conv_without_padding", "conv_with_strides_padding"]
CONV += ["conv_with_strides_no_padding", "conv_with_strides_and_asymmetric_padding"]
CONV += ["conv_with_autopad_same"]

CONV_TRANSPOSE = ["convtranspose", "convtranspose_1d", "convtranspose_3d", "convtranspose_pad"]
CONV_TRANSPOSE += ["convtranspose_output_shape", "convtranspose_kernel_shape"]
CONV_TRANSPOSE += ["convtranspose_pads", "convtranspose_dilations", "convtranspose_autopad_same"]
CONV_TRANSPOSE += ["convtranspose_group_2", "convtranspose_group_2_image_3"]

MAX_POOL = ["maxpool_2d_uint8", "maxpool_2d_precomputed_pads", "maxpool_2d_precomputed_strides"]
MAX_POOL += ["maxpool_with_argmax_2d_precomputed_pads", "maxpool_2d_precomputed_same_upper"]
MAX_POOL += ["maxpool_with_argmax_2d_precomputed_strides", "maxpool_1d_default"]
MAX_POOL += ["maxpool_2d_default", "maxpool_3d_default", "maxpool_2d_same_upper"]
MAX_POOL += ["maxpool_2d_same_lower", "maxpool_2d_strides", "maxpool_2d_ceil"]
MAX_POOL += ["maxpool_2d_ceil_output_size_reduce_by_one", "maxpool_2d_dilations"]
MAX_POOL += ["maxpool_3d_dilations", "maxpool_3d_dilations_use_ref_impl"]
MAX_POOL += ["maxpool_3d_dilations_use_ref_impl_large"]

MAX_UNPOOL = ["maxunpool_export_without_output_shape", "maxunpool_export_with_output_shape"]

# With no tie between two neighbours ONNX's default nearest rule is "nearest-exact".
RESIZE = ["resize_upsample_scales_nearest", "resize_upsample_scales_nearest_axes_2_3"]
RESIZE += ["resize_upsample_scales_nearest_axes_3_2", "resize_upsample_scales_linear"]
RESIZE += ["resize_upsample_scales_linear_align_corners", "resize_downsample_scales_linear"]


@pytest.fixture(scope="module")
def node_tests():
    """Every node test of the standard, by name."""
    from onnx.backend.test.case import node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in node.collect_testcases(None)}


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


@pytest.mark.parametrize("name", CONV)
def test_conv(node_tests, name):
    attributes, inputs, (want,) = read(node_tests["test_" + name])
    got = us.conv2d(
        *inputs.values(),
        stride=attributes.get("strides", 1),
        padding=same_of(attributes) or pads_of(attributes, 2),
    )
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("name", CONV_TRANSPOSE)
def test_conv_transpose(node_tests, name):
    attributes, inputs, (want,) = read(node_tests["test_" + name])
    x, weight = inputs.values()
    n = x.ndim - 2
    options = {"stride": attributes.get("strides", 1), "padding": pads_of(attributes, n)}
    options |= {"groups": attributes.get("group", 1), "dilation": attributes.get("dilations", 1)}
    if same_of(attributes):  # the output is stride times the input, the odd element cut at the end
        strides = attributes["strides"]
        cut = [k - s for k, s in zip(weight.shape[2:], strides, strict=True)]
        options["padding"] = tuple((c // 2, c - c // 2) for c in cut)
    elif "output_shape" in attributes:
        options["output_size"] = attributes["output_shape"]
    else:
        options["output_padding"] = attributes.get("output_padding", 0)
    got = getattr(us, f"conv_transpose{n}d")(x, weight, **options)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("name", MAX_POOL)
def test_max_pool(node_tests, name):
    """ONNX counts indices through the whole tensor, on request in column-major order."""
    attributes, inputs, (want, *want_indices) = read(node_tests["test_" + name])
    (x,) = inputs.values()
    n = x.ndim - 2
    kernel, stride = attributes["kernel_shape"], attributes.get("strides", 1)
    same = same_of(attributes)
    pads = ref.pad_pairs(same, n, x.shape[2:], kernel, stride) if same else pads_of(attributes, n)
    got, indices = getattr(us, f"max_pool{n}d")(
        x,
        kernel,
        stride,
        tuple(pads),
        attributes.get("dilations", 1),
        bool(attributes.get("ceil_mode", 0)),
        return_indices=True,
    )
    assert np.array_equal(got, want)
    if want_indices:
        assert x.shape[:2] == (1, 1)
        if attributes.get("storage_order"):
            indices = indices % x.shape[3] * x.shape[2] + indices // x.shape[3]
        assert np.array_equal(indices, want_indices[0])


@pytest.mark.parametrize("name", MAX_UNPOOL)
def test_max_unpool(node_tests, name):
    attributes, inputs, (want,) = read(node_tests["test_" + name])
    x, indices = inputs["xT"], inputs["xI"]
    size = inputs.get("output_shape")
    if size is not None:  # the indices count through the default size; ours through the one given
        rows, columns = np.divmod(indices, 2 * x.shape[3])
        indices = rows * size[3] + columns
        want = us.max_unpool2d(x, indices, 2, 2, output_size=tuple(size[2:]))
        assert want.shape == tuple(size) and np.array_equal(
            want.ravel()[indices.ravel()], x.ravel()
        )
    else:
        got = us.max_unpool2d(x, indices, attributes["kernel_shape"], attributes["strides"])
        assert np.array_equal(got, want)


@pytest.mark.parametrize("name", RESIZE)
def test_resize(node_tests, name):
    attributes, inputs, (want,) = read(node_tests["test_" + name])
    x = inputs.pop("X")
    ((kind, numbers),) = inputs.items()
    axes = attributes.get("axes", range(x.ndim))
    by_axis = {a: v for a, v in zip(axes, numbers.tolist(), strict=True) if a >= 2}
    option = {"scales": "scale_factor", "sizes": "size"}[kind]
    mode = "nearest-exact" if attributes["mode"] == "nearest" else "bilinear"
    linear = {"align_corners": "align_corners" in name}
    got = us.interpolate(
        x,
        mode=mode,
        **{option: (by_axis[2], by_axis[3])},
        **(linear if mode == "bilinear" else {}),
    )
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
