"""The course as data: what is raced, on which shape, and the bar, our lead over the best peer.

A row names an operation of `peers.py`; nothing here knows how a peer is called. Shapes stand as
they lie in memory, so a channels-last row has its channels last. The rows of `EXTRA` are not part
of the course: other shapes, dtypes and layouts, raced to see that the course's figures belong to a
class and not to one shape.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Shape = tuple[int, ...]

# Half the width of each filter, in source elements.
SUPPORT = {"linear": 1, "bilinear": 1, "trilinear": 1, "bicubic": 2, "lanczos": 3}


@dataclass(frozen=True)
class Row:
    """One workload: `op` on an array of `shape`; `bar` is best peer's time over ours, as wanted."""

    name: str
    op: str
    shape: Shape
    bar: float | None = None
    dtype: str = "float32"
    channels_last: bool = False
    rank: int = 2
    p: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def data(self) -> Data:
        return Data(self)

    @property
    def spatial(self) -> Shape:
        end = len(self.shape) - self.channels_last
        return self.shape[end - self.rank : end]

    @property
    def channels(self) -> int:
        return self.shape[-1] if self.channels_last else self.shape[-self.rank - 1]

    def with_spatial(self, spatial: Shape, channels: int | None = None) -> Shape:
        """Return the shape with other spatial lengths and perhaps another number of channels."""
        channels = self.channels if channels is None else channels
        if self.channels_last:
            return (*self.shape[: -self.rank - 1], *spatial, channels)
        if len(self.shape) == self.rank:
            return spatial
        return (*self.shape[: -self.rank - 1], channels, *spatial)

    @property
    def size(self) -> Shape:
        """Output size of a resize row."""
        if "size" in self.p:
            return tuple(self.p["size"])
        return tuple(math.floor(n * self.p["scale"]) for n in self.spatial)


def dtype_of(row: Row) -> np.dtype[Any]:
    """Return the dtype of a row; bfloat16 needs its package."""
    if row.dtype == "bfloat16":
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    return np.dtype(row.dtype)


class Data:
    """The arrays of a row, made on first use from a fixed seed, and what they cost."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.random = np.random.default_rng(20240607)
        self.x = self.array(row.shape)

    def array(self, shape: Shape) -> np.ndarray:
        dtype = dtype_of(self.row)
        if dtype.kind == "u":
            return self.random.integers(0, 256, shape).astype(dtype)
        return self.random.standard_normal(shape, dtype=np.float32).astype(dtype)

    @cached_property
    def weight(self) -> np.ndarray:
        row, groups = self.row, self.row.p.get("groups", 1)
        first, second = row.p["out"], row.channels // groups
        if row.op.startswith("conv_transpose"):
            first, second = row.channels, row.p["out"] // groups
        return self.array((first, second, *row.p["k"]))

    @cached_property
    def grad(self) -> np.ndarray:
        """Gradient of the output of the forward call that a backward row belongs to."""
        return self.array(out_shape(self.row))

    @cached_property
    def indices(self) -> np.ndarray:
        """Flat positions of maxima that a 2x2 pooling of an array twice the size might find."""
        height, width = self.row.spatial
        inside = self.random.integers(0, 4, self.row.shape)
        top = 2 * np.arange(height)[:, None] + inside // 2
        return (top * (2 * width) + 2 * np.arange(width) + inside % 2).astype(np.int64)

    @cached_property
    def points(self) -> np.ndarray:
        """For each image a grid of its own size, turned and bent, some of it outside."""
        along = [(2 * np.arange(n) + 1) / n - 1 for n in self.row.spatial]
        places = np.stack(np.meshgrid(*along, indexing="ij")[::-1], -1)
        turn = np.eye(self.row.rank) * 0.95
        turn[0, 1], turn[1, 0] = 0.1, -0.1
        bent = places @ turn.T + 0.05 * np.sin(6 * places[..., ::-1])
        images = self.row.shape[0]
        return np.ascontiguousarray(np.broadcast_to(bent, (images, *bent.shape)), np.float32)

    @cached_property
    def pooled_indices(self) -> np.ndarray:
        """Indices of the forward pooling of a max_pool_backward row, by plain NumPy."""
        p, x = self.row.p, self.x
        k, s, pad = p["k"][0], p["stride"], p["pad"]
        width = x.shape[-1]
        widths = [(0, 0)] * (x.ndim - 2) + [(pad, pad)] * 2
        padded = np.pad(x, widths, constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (-2, -1))
        windows = windows[..., ::s, ::s, :, :]
        best = windows.reshape(*windows.shape[:-2], k * k).argmax(-1)
        top = s * np.arange(best.shape[-2])[:, None] - pad + best // k
        left = s * np.arange(best.shape[-1]) - pad + best % k
        return (top * width + left).astype(np.int64)


def out_shape(row: Row) -> Shape:
    """Shape of the forward result."""
    p = row.p
    if row.op.startswith("resize"):
        return row.with_spatial(row.size)
    if row.op.startswith(("max_pool", "avg_pool")):
        pairs = zip(row.spatial, p["k"], strict=True)
        return row.with_spatial(tuple((n + 2 * p["pad"] - k) // p["stride"] + 1 for n, k in pairs))
    if row.op == "adaptive_avg_pool":
        return row.with_spatial(tuple(p["size"]))
    if row.op in ("max_unpool", "nails"):
        return row.with_spatial(tuple(2 * n for n in row.spatial))
    if row.op == "pixel_shuffle":
        r = p["r"]
        return row.with_spatial(tuple(n * r for n in row.spatial), row.channels // r**2)
    if row.op == "pixel_unshuffle":
        r = p["r"]
        return row.with_spatial(tuple(n // r for n in row.spatial), row.channels * r**2)
    if row.op.startswith("grid_sample"):
        return row.shape
    stride, pad, extra = p.get("stride", 1), p.get("pad", 0), p.get("extra", 0)
    if row.op == "unfold":
        windows = math.prod(
            (n + 2 * pad - k) // stride + 1 for n, k in zip(row.spatial, p["k"], strict=True)
        )
        return (row.shape[0], row.channels * math.prod(p["k"]), windows)
    pairs = zip(row.spatial, p["k"], strict=True)
    if row.op.startswith("conv_transpose"):
        spatial = tuple((n - 1) * stride - 2 * pad + k + extra for n, k in pairs)
    else:
        spatial = tuple((n + 2 * pad - k) // stride + 1 for n, k in pairs)
    return row.with_spatial(spatial, p["out"])


def bytes_moved(row: Row) -> tuple[int, int]:
    """Bytes read and bytes written by one call, each array counted once."""
    item = dtype_of(row).itemsize
    inside = math.prod(row.shape) * item
    outside = math.prod(out_shape(row)) * item
    weight = row.data.weight.nbytes if row.op.startswith("conv") else 0
    indices = 8 * outside // item
    if row.op == "grid_sample_backward":
        return 2 * inside + row.data.points.nbytes, inside + row.data.points.nbytes
    if row.op == "grid_sample":
        return inside + row.data.points.nbytes, outside
    if row.op == "conv_transpose_backward":
        return inside + outside + weight, inside + weight
    if row.op == "max_pool_backward":
        return outside + indices, inside
    if row.op.endswith("_backward"):
        return outside, inside
    if row.op == "max_unpool":
        return inside + 8 * inside // item, outside
    return inside + weight, outside + (indices if row.p.get("indices") else 0)


def flop(row: Row) -> float:
    """Floating-point operations of a convolution or separable resize; 0 for every other row."""
    p = row.p
    if row.op.startswith("conv"):
        pixels = math.prod(row.shape if row.op.startswith("conv_transpose") else out_shape(row))
        per_pixel = 2 * math.prod(row.data.weight.shape[1:])
        return float(pixels * per_pixel * (2 if row.op.endswith("_backward") else 1))
    if row.op.startswith("resize") and p["mode"] in SUPPORT:
        total, shape = 0.0, list(row.spatial)
        planes = math.prod(row.shape) / math.prod(row.spatial)
        for axis in reversed(range(row.rank)):
            shrink = max(1.0, row.spatial[axis] / row.size[axis]) if p.get("antialias") else 1.0
            shape[axis] = row.size[axis]
            total += planes * math.prod(shape) * 2 * (2 * SUPPORT[p["mode"]] * shrink)
        return total
    return 0.0


def text(shape: Shape) -> str:
    return "(" + ",".join(map(str, shape)) + ")"


def resize(label: str, shape: Shape, bar: float | None, **p: Any) -> Row:
    """Resize by `scale` or to `size`; the mode is the label's first word that names one."""
    dtype, last = p.pop("dtype", "float32"), p.pop("last", False)
    words = label.replace(":", "").split()
    mode = next(word for word in words if word in SUPPORT or word in ("nearest", "area"))
    op = "resize_backward" if "backward" in words else "resize"
    p |= {"mode": mode, "antialias": "antialias" in words, "align_corners": "corners" in words}
    rank = {"linear": 1, "trilinear": 3}.get(mode, 2)
    to = "->" + "x".join(map(str, p["size"])) if "size" in p else ""
    return Row(f"{label} {text(shape)}{to}", op, shape, bar, dtype, last, rank, p)


def pool(op: str, shape: Shape, bar: float | None, k: int, s: int, pad: int = 0, **p: Any) -> Row:
    """Pool with a square or cubic window of side `k`, stride `s` and padding `pad`."""
    dtype, last, rank = p.pop("dtype", "float32"), p.pop("last", False), p.pop("rank", 2)
    words = f"{op.removesuffix('_backward')}{rank}d k{k}s{s}{f'p{pad}' * bool(pad)}"
    words = "backward: " * op.endswith("_backward") + words + " indices" * p.get("indices", False)
    if (dtype, last) != ("float32", False):
        words += f" {dtype}" + " channels-last" * last
    p |= {"k": (k,) * rank, "stride": s, "pad": pad}
    return Row(f"{words} {text(shape)}", op, shape, bar, dtype, last, rank, p)


def conv(op: str, shape: Shape, out: int, bar: float | None, k: int, s: int = 1, **p: Any) -> Row:
    """Convolve, plainly or transposed, into `out` channels with a square or cubic kernel."""
    dtype, last = p.pop("dtype", "float32"), p.pop("last", False)
    rank, pad, extra = len(shape) - 2, p.get("pad", 0), p.get("extra", 0)
    words = f"{op.removesuffix('_backward')}{rank}d k{k}s{s}{f'p{pad}' * bool(pad)}"
    words = "backward: " * op.endswith("_backward") + words + f"op{extra}" * bool(extra)
    words += " depthwise" * (p.get("groups", 1) > 1) + " prepared" * p.get("prepared", False)
    if (dtype, last) != ("float32", False):
        words += f" {dtype}" + " channels-last" * last
    p |= {"out": out, "k": (k,) * rank, "stride": s}
    return Row(f"{words} {text(shape)}->{out}", op, shape, bar, dtype, last, rank, p)


def plain(label: str, op: str, shape: Shape, bar: float | None, **p: Any) -> Row:
    return Row(f"{label} {text(shape)}", op, shape, bar, p=p)


def grid(mode: str, shape: Shape, op: str = "grid_sample", **p: Any) -> Row:
    """Sample at a grid of points as large as the array."""
    last, rank = p.pop("last", False), p.pop("rank", 2)
    words = "backward: " * op.endswith("_backward") + f"grid_sample {mode}"
    words += " channels-last" * last
    return Row(f"{words} {text(shape)}", op, shape, None, "float32", last, rank, {"mode": mode})


UP, DOWN, BACK = "conv_transpose", "conv", "conv_transpose_backward"
HD, UHD = (1080, 1920, 3), (2160, 3840, 3)
RGB: dict[str, Any] = {"dtype": "uint8", "last": True}

COURSE = [
    resize("nearest x2", (1, 64, 128, 128), 1.05, scale=2),
    resize("bilinear x2", (1, 64, 128, 128), 8, scale=2),
    resize("bilinear align corners x8", (8, 21, 65, 65), 2, scale=8),
    resize("bicubic x2", (1, 3, 512, 512), 1.5, scale=2),
    resize("bilinear antialias", (1, 3, 1024, 1024), 3, size=(224, 224)),
    resize("bicubic antialias x0.5", (1, 3, 1024, 1024), 4, scale=0.5),
    resize("trilinear x2", (1, 32, 32, 64, 64), 4, scale=2),
    resize("linear x4", (8, 80, 4096), 1.7, scale=4),
    resize("uint8 nearest", HD, 2, size=UHD[:2], **RGB),
    resize("uint8 bilinear", HD, 2, size=UHD[:2], **RGB),
    resize("uint8 bicubic", HD, 1.5, size=UHD[:2], **RGB),
    resize("uint8 area", UHD, 1.5, size=HD[:2], **RGB),
    resize("uint8 area", UHD, 6, size=(480, 852), **RGB),
    resize("uint8 bilinear antialias", HD, 1.3, size=(224, 224), **RGB),
    resize("uint8 bicubic antialias", HD, 1.5, size=(720, 1280), **RGB),
    resize("uint8 lanczos antialias", HD, 5, size=(720, 1280), **RGB),
    pool("max_pool", (1, 64, 224, 224), 2.5, 2, 2),
    pool("max_pool", (1, 64, 224, 224), 10, 2, 2, indices=True),
    pool("max_pool", (8, 64, 112, 112), 2, 3, 2, 1),
    pool("max_pool", (8, 64, 112, 112), 10, 3, 2, 1, indices=True),
    pool("max_pool", (1, 256, 40, 40), 1.5, 13, 1, 6),
    pool("max_pool", (1, 32, 64, 64, 64), 10, 2, 2, rank=3, indices=True),
    pool("avg_pool", (1, 64, 224, 224), 2, 2, 2),
    pool("avg_pool", (8, 64, 112, 112), 2.5, 3, 1, 1),
    pool("avg_pool", (1, 8, 512, 512), 25, 31, 1, 15),
    pool("avg_pool", (1, 32, 64, 64, 64), 4, 2, 2, rank=3),
    plain("adaptive_avg_pool2d 7x7", "adaptive_avg_pool", (8, 512, 31, 31), 3, size=(7, 7)),
    plain("max_unpool2d k2", "max_unpool", (8, 64, 56, 56), 2.5),
    plain("bed_of_nails x2", "nails", (8, 64, 56, 56), 2),
    plain("pixel_shuffle r=2", "pixel_shuffle", (1, 256, 128, 128), 5, r=2),
    plain("pixel_shuffle r=3", "pixel_shuffle", (1, 252, 128, 128), 5, r=3),
    plain("pixel_shuffle r=4", "pixel_shuffle", (1, 256, 128, 128), 5, r=4),
    plain("pixel_unshuffle r=2", "pixel_unshuffle", (1, 64, 256, 256), 6, r=2),
    conv(UP, (1, 512, 8, 8), 256, 1.0, 4, 2, pad=1),
    conv(UP, (8, 128, 16, 16), 64, 2, 4, 2, pad=1),
    conv(UP, (1, 128, 64, 64), 64, 1.15, 2, 2),
    conv(UP, (1, 64, 128, 128), 32, 1.6, 2, 2),
    conv(UP, (1, 21, 64, 64), 21, 3, 16, 8, pad=4),
    conv(UP, (1, 56, 180, 320), 1, 1.6, 9, 3, pad=3),
    conv(UP, (1, 64, 56, 56), 32, 1.3, 3, 2, pad=1, extra=1),
    conv(UP, (1, 64, 64, 64), 64, 5, 4, 2, pad=1, groups=64),
    conv(UP, (1, 512, 64), 256, 1.1, 16, 8, pad=4),
    conv(UP, (1, 64, 8192), 32, 1.5, 4, 2, pad=1),
    conv(UP, (1, 64, 16, 32, 32), 32, 2, 2, 2),
    conv(UP, (1, 32, 16, 32, 32), 16, 1.3, 4, 2, pad=1),
    conv(DOWN, (1, 64, 56, 56), 64, 1.0, 3, pad=1),
    conv(DOWN, (1, 64, 56, 56), 128, 0.95, 3, 2, pad=1),
    conv(DOWN, (1, 3, 224, 224), 64, 1.0, 7, 2, pad=3),
    conv(DOWN, (1, 96, 56, 56), 96, 1.2, 3, pad=1, groups=96),
    conv(DOWN, (1, 3, 1080, 1920), 3, 3, 3, pad=1),
    resize("backward: bilinear x2", (1, 64, 128, 128), 8, scale=2),
    pool("max_pool_backward", (8, 64, 112, 112), 1.3, 3, 2, 1),
    pool("avg_pool_backward", (8, 64, 224, 224), 5, 2, 2),
    conv(BACK, (8, 128, 16, 16), 64, 2, 4, 2, pad=1),
    pool("max_pool", (1, 1, 4, 4), 1.3, 2, 2),
    resize("bilinear x2", (1, 1, 4, 4), 1.3, scale=2),
    conv(UP, (1, 1, 4, 4), 1, 1.3, 2, 2),
]

EXTRA = [
    resize("nearest x3", (3, 17, 61, 67), None, scale=3),
    resize("nearest", (2, 32, 100, 100), None, size=(170, 170)),
    resize("bilinear x2", (2, 33, 97, 101), None, scale=2),
    resize("bilinear x2", (16, 3, 224, 224), None, scale=2),
    resize("bilinear x3", (1, 64, 128, 128), None, scale=3),
    resize("bilinear x4", (1, 64, 64, 64), None, scale=4),
    resize("bilinear", (1, 64, 128, 128), None, size=(217, 301)),
    resize("bilinear x0.5", (1, 64, 256, 256), None, scale=0.5),
    resize("float64 bilinear x2", (1, 64, 128, 128), None, scale=2, dtype="float64"),
    resize("float16 bilinear x2", (1, 64, 128, 128), None, scale=2, dtype="float16"),
    resize("channels-last bilinear x2", (1, 128, 128, 64), None, scale=2, last=True),
    resize("channels-last bilinear x2", HD, None, scale=2, last=True),
    resize("trilinear x3", (1, 8, 16, 40, 40), None, scale=3),
    resize("linear x2", (4, 16, 1000), None, scale=2),
    pool("max_pool", (3, 17, 223, 225), None, 2, 2),
    pool("max_pool", (3, 17, 223, 225), None, 2, 2, indices=True),
    pool("max_pool", (8, 32, 96, 96), None, 3, 3),
    pool("max_pool", (4, 64, 100, 100), None, 5, 1, 2),
    pool("max_pool", (1, 64, 224, 224), None, 2, 2, dtype="float64"),
    pool("max_pool", (1, 64, 224, 224), None, 2, 2, dtype="uint8"),
    pool("max_pool", (1, 224, 224, 64), None, 2, 2, last=True),
    plain("max_unpool2d k2", "max_unpool", (3, 17, 61, 67), None),
    plain("bed_of_nails x2", "nails", (3, 17, 61, 67), None),
    grid("bilinear", (1, 64, 128, 128)),
    grid("bilinear", (1, 128, 128, 64), last=True),
    grid("bicubic", (1, 64, 128, 128)),
    grid("nearest", (1, 64, 128, 128)),
    grid("bilinear", (8, 3, 256, 256)),
    grid("bilinear", (1, 16, 32, 64, 64), rank=3),
    grid("bilinear", (1, 64, 128, 128), "grid_sample_backward"),
    *(
        conv(op, shape, 64, None, k, s, pad=1, **kind)
        for op, shape, k, s in [(DOWN, (1, 64, 56, 56), 3, 1), (UP, (8, 128, 16, 16), 4, 2)]
        for kind in [{"dtype": dtype} for dtype in ("float64", "bfloat16", "float16")]
    ),
    conv(UP, (1, 512, 8, 8), 256, None, 4, 2, pad=1, prepared=True),
    conv(UP, (1, 512, 64), 256, None, 16, 8, pad=4, prepared=True),
    conv(UP, (1, 128, 64, 64), 64, None, 2, 2, prepared=True),
    conv(DOWN, (1, 64, 56, 56), 128, None, 3, 2, pad=1, prepared=True),
    conv(DOWN, (1, 56, 56, 64), 64, None, 3, pad=1, last=True),
    conv(UP, (8, 16, 16, 128), 64, None, 4, 2, pad=1, last=True),
    conv(UP, (1, 64, 64, 128), 64, None, 2, 2, last=True),
    # Many small planes, as networks have them towards their ends.
    conv(DOWN, (1, 512, 14, 14), 512, None, 3, pad=1, groups=512),
    conv(DOWN, (1, 1024, 7, 7), 1024, None, 3, pad=1, groups=1024),
    conv(DOWN, (1, 256, 28, 28), 256, None, 3, 2, pad=1, groups=256),
    conv(UP, (1, 256, 14, 14), 256, None, 4, 2, pad=1, groups=256),
    conv(DOWN, (1, 56, 56, 96), 96, None, 3, pad=1, groups=96, last=True),
    pool("max_pool", (32, 64, 14, 14), None, 2, 2),
    pool("max_pool", (1, 1024, 7, 7), None, 3, 2, 1, indices=True),
    pool("avg_pool", (1, 1024, 7, 7), None, 7, 1),
    plain("adaptive_avg_pool2d 3x3", "adaptive_avg_pool", (1, 1024, 14, 14), None, size=(3, 3)),
    resize("nearest x2", (1, 256, 14, 14), None, scale=2),
    resize("bilinear x2", (1, 256, 14, 14), None, scale=2),
    resize("bicubic x2", (1, 256, 7, 7), None, scale=2),
    plain("max_unpool2d k2", "max_unpool", (1, 256, 7, 7), None),
    plain("pixel_shuffle r=2", "pixel_shuffle", (3, 20, 61, 67), None, r=2),
    plain("pixel_shuffle r=8", "pixel_shuffle", (1, 256, 128, 128), None, r=8),
    plain("pixel_unshuffle r=3", "pixel_unshuffle", (1, 28, 384, 384), None, r=3),
    plain("unfold k3p1", "unfold", (8, 64, 56, 56), None, k=(3, 3), pad=1),
    plain("unfold k4s2p1", "unfold", (8, 64, 56, 56), None, k=(4, 4), stride=2, pad=1),
]
