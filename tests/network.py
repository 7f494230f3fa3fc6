"""A small segmentation network as an ONNX model: down, up again three ways, classes at the end."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


def segmentation(classes: int = 5, width: int = 16, seed: int = 0) -> onnx.ModelProto:
    """Convolutions, pooling with indices and unpooling, a transposed convolution, two resizings.

    From ``x`` of shape ``(N, 3, H, W)``, H and W multiples of 4, to ``y``, ``(N, classes, H, W)``.
    """
    rng = np.random.default_rng(seed)
    nodes, constants = [], []

    def constant(name, values):
        constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(operator, inputs, outputs, **attributes):
        nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def weighted(operator, x, name, shape, out, **attributes):
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        weight = constant(f"{name}_w", (rng.standard_normal(shape) * scale).astype(np.float32))
        bias = constant(f"{name}_b", rng.standard_normal(out).astype(np.float32))
        return add(operator, [x, weight, bias], [name], **attributes)

    around = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    halving = {"kernel_shape": [2, 2], "strides": [2, 2]}
    conv1 = weighted("Conv", "x", "conv1", (width, 3, 3, 3), width, **around)
    relu1 = add("Relu", [conv1], ["relu1"])
    pool1 = add("MaxPool", [relu1], ["pool1", "places1"], **halving)
    conv2 = weighted("Conv", pool1, "conv2", (width, width, 3, 3), width, **around)
    relu2 = add("Relu", [conv2], ["relu2"])
    pool2 = add("AveragePool", [relu2], ["pool2"], **halving)
    up2 = weighted(
        "ConvTranspose",
        pool2,
        "up2",
        (width, width, 4, 4),
        width,
        kernel_shape=[4, 4],
        strides=[2, 2],
        pads=[1, 1, 1, 1],
    )
    unpool1 = add("MaxUnpool", [up2, "places1"], ["unpool1"], **halving)
    scales = constant("scales", np.array([1, 1, 4, 4], np.float32))
    wide = add("Resize", [pool2, "", scales], ["wide"], mode="linear")
    joined = add("Concat", [unpool1, wide], ["joined"], axis=1)
    depthwise = weighted(
        "Conv", joined, "depthwise", (2 * width, 1, 3, 3), 2 * width, group=2 * width, **around
    )
    weighted("Conv", depthwise, "y", (classes, 2 * width, 1, 1), classes, kernel_shape=[1, 1])
    shape = ["N", 3, "H", "W"]
    graph = helper.make_graph(
        nodes,
        "segmentation",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", classes, "H", "W"])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
