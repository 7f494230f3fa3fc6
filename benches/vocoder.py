"""A stack of transposed convolutions on inputs that are all of different lengths.

    python benches/vocoder.py                # 50 lengths, one thread, against torch and onnxruntime
    python benches/vocoder.py --threads 2 --lengths 20

The upsampling layers of a neural vocoder: 512 channels to 256, 128, 64 and 32, kernels 16, 16, 4
and 4, strides 8, 8, 2 and 2, so a frame becomes 256 samples. Sentences differ in length, and a
library that plans for a shape plans every time. Each library runs all lengths, in turns; the figure
is the total of a round, the first of which is the one where every length is new. Sessions, prepared
weights and one call on a length of its own come before.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from collections.abc import Callable

import numpy as np

# (input channels, output channels, kernel, stride, padding) of each layer.
LAYERS = [(512, 256, 16, 8, 4), (256, 128, 16, 8, 4), (128, 64, 4, 2, 1), (64, 32, 4, 2, 1)]
SLOPE = 0.1  # of the leaky rectifier between two layers; a hundredth of the work
TOLERANCE = 1e-3  # of the largest value

Stack = Callable[[np.ndarray], np.ndarray]


def weights() -> list[np.ndarray]:
    """Return the kernels, scaled so that values keep their size from layer to layer."""
    random = np.random.default_rng(7)
    made = []
    for ins, outs, kernel, stride, _ in LAYERS:
        weight = random.standard_normal((ins, outs, kernel), dtype=np.float32)
        made.append(weight * np.float32((stride / (ins * kernel)) ** 0.5))
    return made


def ours(threads: int) -> Stack:
    """Return the stack of upsample_rs, its weights prepared."""
    import upsample_rs as us

    us.set_num_threads(threads)
    layers = [
        us.prepare_conv_transpose(weight, stride=stride, padding=pad)
        for weight, (_, _, _, stride, pad) in zip(weights(), LAYERS, strict=True)
    ]

    def run(x: np.ndarray) -> np.ndarray:
        for layer in layers:
            x = layer(x)
            np.maximum(x, x * np.float32(SLOPE), out=x)
        return x

    return run


def torch(threads: int) -> Stack:
    """Return the stack of PyTorch."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    kernels = [torch.from_numpy(weight) for weight in weights()]
    functions = torch.nn.functional

    def run(x: np.ndarray) -> np.ndarray:
        y = torch.from_numpy(x)
        for kernel, (_, _, _, stride, pad) in zip(kernels, LAYERS, strict=True):
            y = functions.conv_transpose1d(y, kernel, None, stride, pad)
            y = functions.leaky_relu(y, SLOPE, inplace=True)
        return y.numpy()

    return run


def onnxruntime(threads: int) -> Stack:
    """Return the stack as one model, its length left open."""
    onnx = importlib.import_module("onnx")
    runtime = importlib.import_module("onnxruntime")
    helper, nodes, constants, last = onnx.helper, [], [], "x"
    for i, (weight, layer) in enumerate(zip(weights(), LAYERS, strict=True)):
        stride, pad = layer[3:]
        constants.append(onnx.numpy_helper.from_array(weight, f"w{i}"))
        options = {"strides": [stride], "pads": [pad, pad]}
        nodes.append(helper.make_node("ConvTranspose", [last, f"w{i}"], [f"c{i}"], **options))
        nodes.append(helper.make_node("LeakyRelu", [f"c{i}"], [f"y{i}"], alpha=SLOPE))
        last = f"y{i}"
    float32 = onnx.TensorProto.FLOAT
    inside = helper.make_tensor_value_info("x", float32, [1, LAYERS[0][0], "frames"])
    outside = helper.make_tensor_value_info(last, float32, None)
    graph = helper.make_graph(nodes, "vocoder", [inside], [outside], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: session.run(None, {"x": x})[0]


def inputs(count: int) -> list[np.ndarray]:
    """Return inputs of as many lengths, all different, in no order."""
    random = np.random.default_rng(11)
    lengths = random.permutation(np.arange(count) + 20)
    shape = (1, LAYERS[0][0])
    return [random.standard_normal((*shape, n), dtype=np.float32) for n in lengths]


def assemble(threads: int) -> dict[str, Stack]:
    """Make the stack of every library that is installed, ours first."""
    made: dict[str, Stack] = {}
    for make in (ours, torch, onnxruntime):
        try:
            made[make.__name__] = make(threads)
        except ImportError as error:
            print(f"without {make.__name__}: {error}")
    return made


def total(stack: Stack, arrays: list[np.ndarray]) -> float:
    """Return the seconds that all inputs take."""
    start = time.perf_counter()
    for x in arrays:
        stack(x)
    return time.perf_counter() - start


def main() -> None:
    """Check that all agree, then time."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lengths", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    stacks, arrays = assemble(options.threads), inputs(options.lengths)
    first = np.ones((1, LAYERS[0][0], 7), np.float32)
    want = stacks["ours"](first)
    for name, stack in stacks.items():
        got = stack(first)
        difference = abs(got - want).max() / abs(want).max()
        assert got.shape == want.shape and difference < TOLERANCE, (name, difference)
    seconds: dict[str, list[float]] = {name: [] for name in stacks}
    for _ in range(options.rounds):
        for name, stack in stacks.items():
            seconds[name].append(total(stack, arrays))
    for name, each in seconds.items():
        ratios = [t / o for t, o in zip(each, seconds["ours"], strict=True)]
        shown = ", ".join(f"{t:.2f} s (ours x {r:.2f})" for t, r in zip(each, ratios, strict=True))
        print(f"{name:12} {shown}")


if __name__ == "__main__":
    main()
