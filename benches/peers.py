"""How each library is asked for each operation of the course.

A library is a class whose methods are named for operations. A method takes a `Row`, prepares what
its user would prepare once (a session, a compiled model, a view of the array in its own type) and
returns a function of no arguments: one call, allocating its own output. It raises, or there is no
such method, where the library cannot do the row in that layout. `plain` turns what a call returns
into NumPy arrays in the row's layout, outside the timing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from course import Row, out_shape

Call = Callable[[], Any]


# A library that takes one plane at a time is a peer for arrays of so many planes, an image. For
# more its time is shown, but a Python loop over planes is not the call that the figure is about.
IMAGE_PLANES = 4


class CannotDo(Exception):
    """The library has no such operation, mode, dtype or layout."""


def need(condition: bool, what: str) -> None:
    """Raise `CannotDo` unless the condition holds."""
    if not condition:
        raise CannotDo(what)


def counts(title: str, row: Row) -> bool:
    """Whether a library's time on a row is one that ours is held against."""
    by_plane = title in (OpenCv.title, Pillow.title) and not row.channels_last
    return not by_plane or np.prod(row.shape) <= IMAGE_PLANES * np.prod(row.spatial)


def flags(row: Row) -> dict[str, Any]:
    """Return mode and flags of a resize row, as torch and we name them."""
    mode = row.p["mode"]
    found: dict[str, Any] = {"mode": mode}
    if row.p["align_corners"]:
        found["align_corners"] = True
    if row.p["antialias"]:
        found["antialias"] = True
    found |= {"scale_factor": row.p["scale"]} if "scale" in row.p else {"size": row.size}
    return found


class Ours:
    """upsample_rs."""

    title = "ours"

    def __init__(self, threads: int) -> None:
        self.us = importlib.import_module("upsample_rs")
        self.version = self.us.__version__
        self.us.set_num_threads(threads)

    def get(self, name: str) -> Callable[..., Any]:
        need(hasattr(self.us, name), f"{name} is not in this release")
        found: Callable[..., Any] = getattr(self.us, name)
        return found

    def last(self, row: Row) -> dict[str, Any]:
        return {"channels_last": True} if row.channels_last else {}

    def resize(self, row: Row) -> Call:
        if row.p["mode"] == "area":
            return self.resize_area(row)
        fn, x, options = self.get("interpolate"), row.data.x, flags(row) | self.last(row)
        tiny = np.zeros((1,) * len(row.shape), x.dtype)
        try:
            fn(tiny, **options | {"size": (1,) * row.rank, "scale_factor": None})
        except ValueError as error:
            need("mode" not in str(error), f"mode {row.p['mode']} is not in this release")
        return lambda: fn(x, **options)

    def resize_area(self, row: Row) -> Call:
        """Weigh pixels by their share, as OpenCV does; `interpolate` takes torch's whole pixels."""
        fn, x, size = self.get("resize"), row.data.x, row.size
        end = x.ndim - row.channels_last
        axes = tuple(range(end - row.rank, end))
        return lambda: fn(x, size, axes=axes, method="area")

    def resize_backward(self, row: Row) -> Call:
        fn, grad, options = self.get("interpolate_backward"), row.data.grad, flags(row)
        return lambda: fn(grad, row.shape, **options)

    def max_pool(self, row: Row) -> Call:
        fn, x, p = self.get(f"max_pool{row.rank}d"), row.data.x, row.p
        k, s, pad, options = p["k"], p["stride"], p["pad"], self.last(row)
        if p.get("indices"):
            options |= {"return_indices": True}
        if not options and pad == 0 and set(k) == {s}:
            return lambda: fn(x, s)
        return lambda: fn(x, k, s, pad, **options)

    def avg_pool(self, row: Row) -> Call:
        fn, x, p = self.get(f"avg_pool{row.rank}d"), row.data.x, row.p
        return lambda: fn(x, p["k"], p["stride"], p["pad"], **self.last(row))

    def adaptive_avg_pool(self, row: Row) -> Call:
        fn, x, size = self.get("adaptive_avg_pool2d"), row.data.x, row.p["size"]
        return lambda: fn(x, size)

    def max_unpool(self, row: Row) -> Call:
        fn, x, indices = self.get("max_unpool2d"), row.data.x, row.data.indices
        return lambda: fn(x, indices, 2)

    def nails(self, row: Row) -> Call:
        fn, x = self.get("bed_of_nails"), row.data.x
        return lambda: fn(x, 2)

    def grid_sample(self, row: Row) -> Call:
        fn, x, points, mode = self.get("grid_sample"), row.data.x, row.data.points, row.p["mode"]
        return lambda: fn(x, points, mode, **self.last(row))

    def grid_sample_backward(self, row: Row) -> Call:
        fn, data, mode = self.get("grid_sample_backward"), row.data, row.p["mode"]
        return lambda: fn(data.grad, data.x, data.points, mode)

    def pixel_shuffle(self, row: Row) -> Call:
        fn, x, r = self.get("pixel_shuffle"), row.data.x, row.p["r"]
        return lambda: fn(x, r)

    def pixel_unshuffle(self, row: Row) -> Call:
        fn, x, r = self.get("pixel_unshuffle"), row.data.x, row.p["r"]
        return lambda: fn(x, r)

    def unfold(self, row: Row) -> Call:
        fn, x, p = self.get("unfold"), row.data.x, row.p
        return lambda: fn(x, p["k"], 1, p.get("pad", 0), p.get("stride", 1))

    def conv(self, row: Row) -> Call:
        fn, x, w, p = self.get(f"conv{row.rank}d"), row.data.x, row.data.weight, row.p
        stride, pad, groups = p["stride"], p.get("pad", 0), p.get("groups", 1)
        if p.get("prepared"):
            held = self.get("prepare_conv")(w, stride=stride, padding=pad, groups=groups)
            return lambda: held(x)
        return lambda: fn(x, w, None, stride, pad, 1, groups, **self.last(row))

    def conv_transpose(self, row: Row) -> Call:
        fn, x, w, p = self.get(f"conv_transpose{row.rank}d"), row.data.x, row.data.weight, row.p
        stride, pad, extra = p["stride"], p.get("pad", 0), p.get("extra", 0)
        groups = p.get("groups", 1)
        if p.get("prepared"):
            held = self.get("prepare_conv_transpose")(w, stride=stride, padding=pad, groups=groups)
            return lambda: held(x)
        return lambda: fn(x, w, None, stride, pad, extra, groups, **self.last(row))

    def max_pool_backward(self, row: Row) -> Call:
        fn, grad = self.get("max_pool2d_backward"), row.data.grad
        indices = row.data.pooled_indices
        return lambda: fn(grad, indices, row.shape)

    def avg_pool_backward(self, row: Row) -> Call:
        fn, grad, p = self.get("avg_pool2d_backward"), row.data.grad, row.p
        return lambda: fn(grad, row.shape, p["k"], p["stride"], p["pad"])

    def conv_transpose_backward(self, row: Row) -> Call:
        fn, data, p = self.get("conv_transpose2d_backward"), row.data, row.p
        return lambda: fn(data.grad, data.x, data.weight, p["stride"], p["pad"])

    def plain(self, row: Row, result: Any) -> tuple[np.ndarray, ...]:
        return result if isinstance(result, tuple) else (result,)


class Torch:
    """PyTorch, on tensors that share memory with the NumPy arrays, without autograd."""

    title = "torch"

    def __init__(self, threads: int) -> None:
        self.torch = importlib.import_module("torch")
        self.version = self.torch.__version__
        self.torch.set_num_threads(threads)
        self.torch.set_grad_enabled(False)
        self.f = self.torch.nn.functional
        self.aten = self.torch.ops.aten

    def own(self, array: np.ndarray) -> Any:
        """NumPy's bfloat16 is a package's, which torch does not know: the same bits go across."""
        if array.dtype.name == "bfloat16":
            return self.torch.from_numpy(array.view(np.int16)).view(self.torch.bfloat16)
        return self.torch.from_numpy(array)

    def tensor(self, row: Row, array: np.ndarray) -> Any:
        """Channels-last arrays become torch's channels-last format: the same memory, permuted."""
        tensor = self.own(array)
        if not row.channels_last:
            return tensor
        tensor = tensor if array.ndim == row.rank + 2 else tensor[None]
        return tensor.movedim(-1, 1)

    def resize(self, row: Row) -> Call:
        x, options, fn = self.tensor(row, row.data.x), flags(row), self.f.interpolate
        return lambda: fn(x, **options)

    def resize_backward(self, row: Row) -> Call:
        fn, grad = self.aten.upsample_bilinear2d_backward, self.tensor(row, row.data.grad)
        shape, size, scale = list(row.shape), list(row.size), float(row.p["scale"])
        return lambda: fn(grad, size, shape, False, scale, scale)

    def max_pool(self, row: Row) -> Call:
        p, x = row.p, self.tensor(row, row.data.x)
        fn = getattr(self.f, f"max_pool{row.rank}d")
        k, s, pad = p["k"], p["stride"], p["pad"]
        if p.get("indices"):
            return lambda: fn(x, k, s, pad, return_indices=True)
        if pad == 0 and set(k) == {s}:
            return lambda: fn(x, s)
        return lambda: fn(x, k, s, pad)

    def avg_pool(self, row: Row) -> Call:
        p, x = row.p, self.tensor(row, row.data.x)
        fn = getattr(self.f, f"avg_pool{row.rank}d")
        return lambda: fn(x, p["k"], p["stride"], p["pad"])

    def adaptive_avg_pool(self, row: Row) -> Call:
        fn, x, size = self.f.adaptive_avg_pool2d, self.tensor(row, row.data.x), row.p["size"]
        return lambda: fn(x, size)

    def max_unpool(self, row: Row) -> Call:
        x, indices = self.tensor(row, row.data.x), self.tensor(row, row.data.indices)
        return lambda: self.f.max_unpool2d(x, indices, 2)

    def nails(self, row: Row) -> Call:
        x, shape = self.tensor(row, row.data.x), out_shape(row)

        def call() -> Any:
            out = self.torch.zeros(shape, dtype=x.dtype)
            out[..., ::2, ::2] = x
            return out

        return call

    def grid_sample(self, row: Row) -> Call:
        x, points = self.tensor(row, row.data.x), self.torch.from_numpy(row.data.points)
        fn, mode = self.f.grid_sample, row.p["mode"]
        return lambda: fn(x, points, mode, "zeros", False)

    def grid_sample_backward(self, row: Row) -> Call:
        fn, data = self.aten.grid_sampler_2d_backward, row.data
        arrays = (data.grad, data.x, data.points)
        grad, x, points = (self.torch.from_numpy(array) for array in arrays)
        mode = ("bilinear", "nearest", "bicubic").index(row.p["mode"])
        return lambda: fn(grad, x, points, mode, 0, False, [True, True])

    def pixel_shuffle(self, row: Row) -> Call:
        fn, x, r = self.f.pixel_shuffle, self.tensor(row, row.data.x), row.p["r"]
        return lambda: fn(x, r)

    def pixel_unshuffle(self, row: Row) -> Call:
        fn, x, r = self.f.pixel_unshuffle, self.tensor(row, row.data.x), row.p["r"]
        return lambda: fn(x, r)

    def unfold(self, row: Row) -> Call:
        fn, x, p = self.f.unfold, self.tensor(row, row.data.x), row.p
        return lambda: fn(x, p["k"], 1, p.get("pad", 0), p.get("stride", 1))

    def conv(self, row: Row) -> Call:
        p, x, w = row.p, self.tensor(row, row.data.x), self.own(row.data.weight)
        fn, groups = getattr(self.f, f"conv{row.rank}d"), p.get("groups", 1)
        return lambda: fn(x, w, None, p["stride"], p.get("pad", 0), 1, groups)

    def conv_transpose(self, row: Row) -> Call:
        p, x, w = row.p, self.tensor(row, row.data.x), self.own(row.data.weight)
        fn, groups = getattr(self.f, f"conv_transpose{row.rank}d"), p.get("groups", 1)
        stride, pad, extra = p["stride"], p.get("pad", 0), p.get("extra", 0)
        return lambda: fn(x, w, None, stride, pad, extra, groups)

    def max_pool_backward(self, row: Row) -> Call:
        fn, data, p = self.aten.max_pool2d_with_indices_backward, row.data, row.p
        arrays = (data.grad, data.x, data.pooled_indices)
        grad, x, indices = (self.tensor(row, array) for array in arrays)
        k, s, pad = list(p["k"]), [p["stride"]] * 2, [p["pad"]] * 2
        return lambda: fn(grad, x, k, s, pad, [1, 1], False, indices)

    def avg_pool_backward(self, row: Row) -> Call:
        fn, data, p = self.aten.avg_pool2d_backward, row.data, row.p
        grad, x = self.tensor(row, data.grad), self.tensor(row, data.x)
        k, s, pad = list(p["k"]), [p["stride"]] * 2, [p["pad"]] * 2
        return lambda: fn(grad, x, k, s, pad, False, True, None)

    def conv_transpose_backward(self, row: Row) -> Call:
        fn, data, p = self.aten.convolution_backward, row.data, row.p
        grad, x = self.tensor(row, data.grad), self.tensor(row, data.x)
        w, outs = self.torch.from_numpy(data.weight), [p["out"]]
        s, pad, one, all_three = [p["stride"]] * 2, [p["pad"]] * 2, [1, 1], [True] * 3
        return lambda: fn(grad, x, w, outs, s, pad, one, True, [0, 0], 1, all_three)

    def plain(self, row: Row, result: Any) -> tuple[np.ndarray, ...]:
        tensors = result if isinstance(result, tuple) else (result,)
        if row.channels_last:
            tensors = tuple(tensor.movedim(1, -1) for tensor in tensors)
            tensors = tuple(t if len(row.shape) == t.ndim else t[0] for t in tensors)
        half = self.torch.bfloat16  # not a dtype that NumPy has
        return tuple((t.float() if t.dtype == half else t).numpy() for t in tensors)


class OnnxRuntime:
    """ONNX Runtime: one-node models, weights as constants; `run` returns fresh NumPy arrays."""

    title = "ort"

    def __init__(self, threads: int) -> None:
        self.ort = importlib.import_module("onnxruntime")
        self.onnx = importlib.import_module("onnx")
        self.version = self.ort.__version__
        self.options = self.ort.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 3

    def model(
        self,
        op: str,
        x: np.ndarray,
        constants: dict[str, np.ndarray] | None = None,
        names: tuple[str, ...] = ("x",),
        outputs: int = 1,
        feeds: dict[str, np.ndarray] | None = None,
        **attributes: Any,
    ) -> Call:
        """Make a session of one node whose inputs are `names`: fed arrays and constants."""
        helper, numpy_helper = self.onnx.helper, self.onnx.numpy_helper
        feeds = {"x": x} | (feeds or {})
        results = [f"y{i}" for i in range(outputs)]
        dtype = helper.np_dtype_to_tensor_dtype
        kinds = [dtype(x.dtype), self.onnx.TensorProto.INT64]
        graph = helper.make_graph(
            [helper.make_node(op, list(names), results, **attributes)],
            op,
            [helper.make_tensor_value_info(n, dtype(a.dtype), a.shape) for n, a in feeds.items()],
            [
                helper.make_tensor_value_info(n, kind, None)
                for n, kind in zip(results, kinds, strict=False)
            ],
            [numpy_helper.from_array(array, n) for n, array in (constants or {}).items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
        session = self.ort.InferenceSession(
            model.SerializeToString(), self.options, providers=["CPUExecutionProvider"]
        )
        return lambda: session.run(None, feeds)

    def resize(self, row: Row) -> Call:
        p, x = row.p, row.data.x
        mode = {"nearest": "nearest", "bicubic": "cubic"}.get(p["mode"], "linear")
        need(p["mode"] not in ("area", "lanczos"), p["mode"])
        attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": "half_pixel"}
        if mode == "nearest":
            attributes["coordinate_transformation_mode"] = "asymmetric"
            attributes["nearest_mode"] = "floor"
        if p["align_corners"]:
            attributes["coordinate_transformation_mode"] = "align_corners"
        if mode == "cubic":
            attributes["cubic_coeff_a"] = -0.5 if p["antialias"] else -0.75
        if p["antialias"]:
            attributes["antialias"] = attributes["exclude_outside"] = 1
        x = x if x.ndim > row.rank + 1 else x[None]
        shape = out_shape(row) if x.ndim == len(row.shape) else (1, *out_shape(row))
        sizes = np.array(shape, np.int64)
        return self.model("Resize", x, {"sizes": sizes}, ("x", "", "", "sizes"), **attributes)

    def pads(self, row: Row) -> list[int]:
        return [row.p.get("pad", 0)] * (2 * row.rank)

    def max_pool(self, row: Row) -> Call:
        need(not row.channels_last, "channels-last")
        p = row.p
        return self.model(
            "MaxPool",
            row.data.x,
            outputs=2 if p.get("indices") else 1,
            kernel_shape=p["k"],
            strides=[p["stride"]] * row.rank,
            pads=self.pads(row),
        )

    def avg_pool(self, row: Row) -> Call:
        p, strides = row.p, [row.p["stride"]] * row.rank
        options = {"kernel_shape": p["k"], "strides": strides, "pads": self.pads(row)}
        return self.model("AveragePool", row.data.x, count_include_pad=1, **options)

    def max_unpool(self, row: Row) -> Call:
        """ONNX counts its indices through the whole array, not within a plane."""
        batch, channels, height, width = out_shape(row)
        planes = np.arange(batch * channels, dtype=np.int64).reshape(batch, channels, 1, 1)
        feeds = {"indices": row.data.indices + planes * (height * width)}
        options = {"kernel_shape": [2, 2], "strides": [2, 2]}
        return self.model("MaxUnpool", row.data.x, names=("x", "indices"), feeds=feeds, **options)

    def grid_sample(self, row: Row) -> Call:
        need(not row.channels_last, "channels-last")
        need(row.rank == 2, "three dimensions in this version of the operator")
        feeds, names = {"points": row.data.points}, ("x", "points")
        return self.model("GridSample", row.data.x, names=names, feeds=feeds, mode=row.p["mode"])

    def pixel_shuffle(self, row: Row) -> Call:
        return self.model("DepthToSpace", row.data.x, blocksize=row.p["r"], mode="CRD")

    def conv(self, row: Row, op: str = "Conv", **more: Any) -> Call:
        need(not row.channels_last, "channels-last")
        p, strides = row.p, [row.p["stride"]] * row.rank
        options = {"strides": strides, "pads": self.pads(row), "group": p.get("groups", 1)}
        constants = {"w": row.data.weight}
        return self.model(op, row.data.x, constants, ("x", "w"), **options, **more)

    def conv_transpose(self, row: Row) -> Call:
        return self.conv(row, "ConvTranspose", output_padding=[row.p.get("extra", 0)] * row.rank)

    def plain(self, row: Row, result: Any) -> tuple[np.ndarray, ...]:
        if row.p.get("indices"):
            return result[0], result[1] % int(np.prod(row.spatial))
        return tuple(y if y.ndim == len(row.shape) else y[0] for y in result)


class OpenVino:
    """OpenVINO: compiled one-node models in f32, inputs shared, outputs copied out."""

    title = "openvino"

    def __init__(self, threads: int) -> None:
        self.ov = importlib.import_module("openvino")
        self.ops = importlib.import_module("openvino.opset13")
        self.version = self.ov.__version__.split("-")[0]
        self.config = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.core = self.ov.Core()

    def model(self, row: Row, build: Callable[[Any], Any]) -> Call:
        need(not row.channels_last, "channels-last")
        x = row.data.x
        need(x.dtype.name == "float32", x.dtype.name)
        parameter = self.ops.parameter(x.shape, self.ov.Type.f32)
        model = self.ov.Model(build(parameter).outputs(), [parameter])
        request = self.core.compile_model(model, "CPU", self.config).create_infer_request()
        return lambda: request.infer([x], share_inputs=True, share_outputs=False)

    def resize(self, row: Row) -> Call:
        p, bicubic = row.p, row.p["mode"] == "bicubic"
        need(p["mode"] not in ("area", "lanczos"), p["mode"])
        if p["antialias"]:
            mode = "bicubic_pillow" if bicubic else "bilinear_pillow"
        else:
            mode = {"nearest": "nearest", "bicubic": "cubic"}.get(p["mode"], "linear_onnx")
        coordinates = "asymmetric" if mode == "nearest" else "half_pixel"
        if p["align_corners"]:
            coordinates = "align_corners"
        sizes = np.array(row.size, np.int64)
        axes = np.arange(len(row.shape) - row.rank, len(row.shape))
        return self.model(
            row,
            lambda x: self.ops.interpolate(
                x,
                sizes,
                mode,
                "sizes",
                coordinate_transformation_mode=coordinates,
                nearest_mode="floor",
                cube_coeff=-0.5 if p["antialias"] else -0.75,
                axes=axes,
            ),
        )

    def pads(self, row: Row) -> list[int]:
        return [row.p.get("pad", 0)] * row.rank

    def strides(self, row: Row) -> list[int]:
        return [row.p["stride"]] * row.rank

    def max_pool(self, row: Row) -> Call:
        strides, pads, ones = self.strides(row), self.pads(row), [1] * row.rank
        outputs = 2 if row.p.get("indices") else 1

        def build(x: Any) -> Any:
            node = self.ops.max_pool(
                x, strides, ones, pads, pads, row.p["k"], index_element_type="i64", axis=2
            )
            return node if outputs == 2 else _First(node)

        return self.model(row, build)

    def avg_pool(self, row: Row) -> Call:
        strides, pads = self.strides(row), self.pads(row)
        return self.model(
            row, lambda x: self.ops.avg_pool(x, strides, pads, pads, list(row.p["k"]), False)
        )

    def adaptive_avg_pool(self, row: Row) -> Call:
        size = np.array(row.p["size"], np.int64)
        return self.model(row, lambda x: self.ops.adaptive_avg_pool(x, size))

    def pixel_shuffle(self, row: Row) -> Call:
        return self.model(row, lambda x: self.ops.depth_to_space(x, "depth_first", row.p["r"]))

    def pixel_unshuffle(self, row: Row) -> Call:
        return self.model(row, lambda x: self.ops.space_to_depth(x, "depth_first", row.p["r"]))

    def weight(self, row: Row) -> np.ndarray:
        """Return the kernel, its first axis split by group where there are groups."""
        groups, w = row.p.get("groups", 1), row.data.weight
        return w if groups == 1 else w.reshape(groups, len(w) // groups, *w.shape[1:])

    def conv(self, row: Row) -> Call:
        ops, grouped = self.ops, row.p.get("groups", 1) > 1
        fn = ops.group_convolution if grouped else ops.convolution
        strides, pads, ones, w = self.strides(row), self.pads(row), [1] * row.rank, self.weight(row)
        return self.model(row, lambda x: fn(x, w, strides, pads, pads, ones))

    def conv_transpose(self, row: Row) -> Call:
        ops, grouped = self.ops, row.p.get("groups", 1) > 1
        fn = ops.group_convolution_backprop_data if grouped else ops.convolution_backprop_data
        strides, pads, w = self.strides(row), self.pads(row), self.weight(row)
        extra = [row.p.get("extra", 0)] * row.rank
        return self.model(
            row,
            lambda x: fn(x, w, strides, pads_begin=pads, pads_end=pads, output_padding=extra),
        )

    def plain(self, row: Row, result: Any) -> tuple[np.ndarray, ...]:
        values = tuple(result.values())
        return values


class _First:
    """A node of which only the first output is asked for."""

    def __init__(self, node: Any) -> None:
        self.node = node

    def outputs(self) -> list[Any]:
        return [self.node.output(0)]


class OpenCv:
    """OpenCV: whole images channels-last, plane by plane channels-first."""

    title = "cv2"

    def __init__(self, threads: int) -> None:
        self.cv2 = importlib.import_module("cv2")
        self.version = self.cv2.__version__
        self.cv2.setNumThreads(threads)

    def resize(self, row: Row) -> Call:
        p, x = row.p, row.data.x
        need(row.rank == 2 and not p["align_corners"] and not p["antialias"], "flags")
        names = {"nearest": "NEAREST", "bilinear": "LINEAR", "bicubic": "CUBIC", "area": "AREA"}
        need(p["mode"] in names, p["mode"])
        how, resize = getattr(self.cv2, f"INTER_{names[p['mode']]}"), self.cv2.resize
        size = row.size[::-1]
        if row.channels_last:
            need(x.ndim == 3 or len(x) == 1, "a batch")
            image = x if x.ndim == 3 else x[0]
            return lambda: resize(image, size, interpolation=how)
        planes, shape = x.reshape(-1, *row.spatial), out_shape(row)

        def call() -> np.ndarray:
            out = np.empty(shape, x.dtype)
            for plane, target in zip(planes, out.reshape(-1, *row.size), strict=True):
                resize(plane, size, target, interpolation=how)
            return out

        return call

    def plain(self, row: Row, result: Any) -> tuple[np.ndarray, ...]:
        return (result.reshape(out_shape(row)),)


class Pillow:
    """Pillow: 8-bit images channels-last, float planes channels-first; makes Pillow images."""

    title = "pillow"

    def __init__(self, threads: int) -> None:
        self.image = importlib.import_module("PIL.Image")
        self.version = importlib.import_module("PIL").__version__

    def resize(self, row: Row) -> Call:
        p, x, size = row.p, row.data.x, row.size[::-1]
        need(row.rank == 2 and not p["align_corners"], "flags")
        names = {"nearest": "NEAREST", "lanczos": "LANCZOS", "area": "BOX"}
        if p["antialias"] or row.size > row.spatial:
            names["bilinear"] = "BILINEAR"
        if p["antialias"]:
            names["bicubic"] = "BICUBIC"
        need(p["mode"] in names, p["mode"])
        how = getattr(self.image.Resampling, names[p["mode"]])
        if row.channels_last:
            need(x.dtype == np.uint8 and x.ndim == 3, "dtype")
            image = self.image.fromarray(x)
            ratio, rest = divmod(image.width, size[0])
            if p["mode"] == "area" and rest == 0 and size[1] * ratio == image.height:
                return lambda: image.reduce(ratio)
            return lambda: image.resize(size, how)
        need(x.dtype == np.float32 and x.size > 64, "dtype")
        images = [self.image.fromarray(plane) for plane in x.reshape(-1, *row.spatial)]
        return lambda: [image.resize(size, how) for image in images]

    def plain(self, row: Row, result: Any) -> tuple[np.ndarray, ...]:
        images = result if isinstance(result, list) else [result]
        return (np.stack([np.asarray(image) for image in images]).reshape(out_shape(row)),)


class SciPy:
    """scipy.ndimage, for windows of stride 1."""

    title = "scipy"

    def __init__(self, threads: int) -> None:
        self.ndimage = importlib.import_module("scipy.ndimage")
        self.version = importlib.import_module("scipy").__version__

    def window(self, row: Row) -> tuple[int, ...]:
        p = row.p
        same = p["stride"] == 1 and all(k == 2 * p["pad"] + 1 for k in p["k"])
        need(same and not p.get("indices") and not row.channels_last, "stride above 1")
        return (1,) * (len(row.shape) - row.rank) + p["k"]

    def max_pool(self, row: Row) -> Call:
        fn, x, window = self.ndimage.maximum_filter, row.data.x, self.window(row)
        return lambda: fn(x, size=window, mode="nearest")

    def avg_pool(self, row: Row) -> Call:
        fn, x, window = self.ndimage.uniform_filter, row.data.x, self.window(row)
        return lambda: fn(x, size=window, mode="constant")

    def plain(self, row: Row, result: Any) -> tuple[np.ndarray, ...]:
        return (result,)


class NumPy:
    """The shortest fast NumPy: strided views and assignments."""

    title = "numpy"

    def __init__(self, threads: int) -> None:
        self.version = np.__version__

    def resize(self, row: Row) -> Call:
        x, p = row.data.x, row.p
        plain = p["mode"] == "nearest" and not row.channels_last
        need(plain and "scale" in p, p["mode"])
        shape, scale = out_shape(row), p["scale"]
        height, width = row.spatial

        def call() -> np.ndarray:
            out = np.empty(shape, x.dtype)
            blocks = out.reshape(*shape[:-2], height, scale, width, scale)
            blocks[...] = x[..., :, None, :, None]
            return out

        return call

    def corners(self, row: Row) -> Callable[[], list[np.ndarray]]:
        """Return what makes the strided views that hold each place of a 2x2 window."""
        p, x = row.p, row.data.x
        need(set(p["k"]) == {p["stride"]} == {2} and p["pad"] == 0 and row.rank == 2, "window")
        need(not p.get("indices") and not row.channels_last, "indices")
        height, width = (2 * (n // 2) for n in row.spatial)
        return lambda: [x[..., i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]

    def max_pool(self, row: Row) -> Call:
        corners = self.corners(row)

        def call() -> np.ndarray:
            a, b, c, d = corners()
            return np.maximum(np.maximum(a, b), np.maximum(c, d))

        return call

    def avg_pool(self, row: Row) -> Call:
        corners = self.corners(row)

        def call() -> np.ndarray:
            a, b, c, d = corners()
            out = a + b
            out += c
            out += d
            out *= 0.25
            return out

        return call

    def max_unpool(self, row: Row) -> Call:
        x, shape = row.data.x, out_shape(row)
        flat = (*shape[:2], -1)
        indices, values = row.data.indices.reshape(flat), x.reshape(flat)

        def call() -> np.ndarray:
            out = np.zeros(shape, x.dtype)
            np.put_along_axis(out.reshape(flat), indices, values, -1)
            return out

        return call

    def nails(self, row: Row) -> Call:
        x, shape = row.data.x, out_shape(row)

        def call() -> np.ndarray:
            out = np.zeros(shape, x.dtype)
            out[..., ::2, ::2] = x
            return out

        return call

    def pixel_shuffle(self, row: Row) -> Call:
        x, r, (batch, channels, height, width) = row.data.x, row.p["r"], row.shape
        split, shape = (batch, channels // r**2, r, r, height, width), out_shape(row)
        return lambda: x.reshape(split).transpose(0, 1, 4, 2, 5, 3).reshape(shape)

    def pixel_unshuffle(self, row: Row) -> Call:
        x, r, (batch, channels, height, width) = row.data.x, row.p["r"], row.shape
        split, shape = (batch, channels, height // r, r, width // r, r), out_shape(row)
        return lambda: x.reshape(split).transpose(0, 1, 3, 5, 2, 4).reshape(shape)

    def avg_pool_backward(self, row: Row) -> Call:
        grad, shape, k = row.data.grad, row.shape, row.p["k"][0]
        need(row.p["pad"] == 0 and row.p["stride"] == k, "window")
        batch, channels, height, width = grad.shape

        def call() -> np.ndarray:
            out = np.empty(shape, grad.dtype)
            blocks = out.reshape(batch, channels, height, k, width, k)
            blocks[...] = (grad * np.float32(1 / k**2))[..., :, None, :, None]
            return out

        return call

    def plain(self, row: Row, result: Any) -> tuple[np.ndarray, ...]:
        return (result,)


PEERS = [Torch, OnnxRuntime, OpenVino, OpenCv, Pillow, SciPy, NumPy]
