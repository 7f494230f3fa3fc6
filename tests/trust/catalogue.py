"""One valid call of every operation, as data: what the trust tests turn into wrong, starved and
repeated calls.

`calls(side)` gives a `Call` for every function that computes, in every rank and, where kernels
differ, in several modes; `side` sets how long the spatial axes are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import upsample_rs as us

# Functions that are no operation on arrays.
SIZES = ("conv_output_size", "conv_transpose_output_size", "pool_output_size")
SETTINGS = ("config", "get_num_threads", "set_cache_limit", "set_num_threads")
PREPARED = ("prepare_conv", "prepare_conv_transpose")

# Parameters that are arrays; the first array of a call is the one whose dtype counts.
ARRAYS = ("x", "grad_output", "weight", "bias", "indices", "grid", "theta", "boxes")


@dataclass(frozen=True)
class Call:
    """`us.<op>(**kwargs)`; `label` tells calls of one operation apart."""

    label: str
    op: str
    kwargs: dict[str, Any]
    prepared: tuple[Any, ...] = ()  # what a prepared convolution is then called with

    def run(self, **changes: Any) -> tuple[Any, ...]:
        """The results, always as a tuple."""
        made = getattr(us, self.op)(**{**self.kwargs, **changes})
        if self.prepared:
            made = made(*self.prepared)
        return made if isinstance(made, tuple) else (made,)

    def arrays(self) -> list[np.ndarray]:
        """Every array of the call."""
        values = [*self.kwargs.values(), *self.prepared]
        return [v for v in values if isinstance(v, np.ndarray)]

    def parameters(self) -> list[str]:
        """Every parameter the function has."""
        return list(inspect.signature(getattr(us, self.op)).parameters)

    def mapped(self, change: Callable[[np.ndarray], np.ndarray]) -> Call:
        """The call with every array changed."""

        def of(value: Any) -> Any:
            return change(value) if isinstance(value, np.ndarray) else value

        kwargs = {k: of(v) for k, v in self.kwargs.items()}
        return replace(self, kwargs=kwargs, prepared=tuple(of(v) for v in self.prepared))


def values(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    """Small numbers that every dtype holds; they depend on nothing but the arguments."""
    whole = np.random.default_rng(seed).integers(-8, 9, shape)
    dtype = np.dtype(dtype)
    if dtype.kind in "ub":
        return (abs(whole) % (2 if dtype.kind == "b" else 9)).astype(dtype)
    return (whole if dtype.kind == "i" else whole / 4).astype(dtype)


def calls(side: int = 9, dtype: Any = "f4", channels: int = 4, batch: int = 2) -> list[Call]:
    """Every call of the catalogue."""
    makers = (pools, adaptive, moves, resizes, convolutions, sampled, regions, fractional)
    lead = (batch, channels)
    return [call for maker in makers for call in maker(lead, side, np.dtype(dtype))]


def sides(side: int, n: int) -> tuple[int, ...]:
    """`n` lengths around `side`, such that 2 and 3 axes hold about as much as one side squared."""
    if n == 3:
        cube = max(5, round(side ** (2 / 3)))
        return (cube, cube + 1, cube + 2)
    return (side + 1, side) if n == 2 else (side + 2,)


def forward_backward(call: Call, **backward: Any) -> Iterator[Call]:
    """The call and its gradient, whose first argument is shaped like the call's first result."""
    yield call
    results = call.run()
    grad = values(results[0].shape, results[0].dtype, 5)
    if len(results) > 1:
        backward = {"indices": results[1], **backward}
    label = call.label.replace(call.op, call.op + "_backward")
    yield Call(label, call.op + "_backward", {"grad_output": grad, **backward})


def pools(lead: tuple[int, ...], side: int, dtype: np.dtype) -> Iterator[Call]:
    for n in (1, 2, 3):
        x = values((*lead, *sides(side, n)), dtype)
        window = {"kernel_size": 3, "stride": 2, "padding": 1}
        for kind in ("max", "min"):
            op = f"{kind}_pool{n}d"
            yield Call(f"{op} alone", op, {"x": x, **window})
            call = Call(op, op, {"x": x, **window, "return_indices": True})
            yield from forward_backward(call, input_size=x.shape)
        op = f"avg_pool{n}d"
        yield from forward_backward(Call(op, op, {"x": x, **window}), input_size=x.shape, **window)
        op = f"lp_pool{n}d"
        norm = {"norm_type": 2.0, **window}
        yield from forward_backward(Call(op, op, {"x": x, **norm}), x=x, **norm)
        small, indices = getattr(us, f"max_pool{n}d")(x, 2, return_indices=True)
        op = f"max_unpool{n}d"
        size = {"output_size": x.shape[-n:]}
        call = Call(op, op, {"x": small, "indices": indices, "kernel_size": 2, **size})
        yield from forward_backward(call, indices=indices)


def adaptive(lead: tuple[int, ...], side: int, dtype: np.dtype) -> Iterator[Call]:
    for n in (1, 2, 3):
        x = values((*lead, *sides(side, n)), dtype)
        size = {"output_size": tuple(s * 2 // 3 for s in x.shape[-n:])}
        op = f"adaptive_avg_pool{n}d"
        yield from forward_backward(Call(op, op, {"x": x, **size}), input_size=x.shape)
        op = f"adaptive_max_pool{n}d"
        call = Call(op, op, {"x": x, **size, "return_indices": True})
        yield from forward_backward(call, input_size=x.shape)


def moves(lead: tuple[int, ...], side: int, dtype: np.dtype) -> Iterator[Call]:
    for n in (1, 2, 3):
        x = values((*lead, *sides(side, n)), dtype)
        factor = {"factor": (2,) * n}
        call = Call(f"bed_of_nails {n}d", "bed_of_nails", {"x": x, **factor})
        yield from forward_backward(call, input_size=x.shape, **factor)
        window = {"kernel_size": (2,) * n, "padding": 1, "stride": 2}
        unfold = Call(f"unfold {n}d", "unfold", {"x": x, **window})
        yield unfold
        columns = unfold.run()[0]
        yield Call(f"fold {n}d", "fold", {"x": columns, "output_size": x.shape[-n:], **window})
    x = values((*lead, *sides(side, 2)), dtype)
    even = np.ascontiguousarray(x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2])
    yield Call("pixel_shuffle", "pixel_shuffle", {"x": x, "upscale_factor": 2})
    yield Call("pixel_unshuffle", "pixel_unshuffle", {"x": even, "downscale_factor": 2})
    yield Call("channel_shuffle", "channel_shuffle", {"x": x, "groups": 2})
    yield Call("depth_to_space", "depth_to_space", {"x": x, "block": 2})
    yield Call("space_to_depth", "space_to_depth", {"x": even, "block": 2})


MODES = {
    "nearest": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "trilinear": (3,),
    "bicubic": (2,),
    "area": (2,),
    "lanczos": (2,),
}


def resizes(lead: tuple[int, ...], side: int, dtype: np.dtype) -> Iterator[Call]:
    for mode, ranks in MODES.items():
        for n in ranks:
            x = values((*lead, *sides(side, n)), dtype)
            size = {"size": tuple(s * 3 // 2 for s in x.shape[-n:]), "mode": mode}
            call = Call(f"interpolate {mode} {n}d", "interpolate", {"x": x, **size})
            yield from forward_backward(call, input_size=x.shape, mode=mode)
    x = values((*lead, *sides(side, 2)), dtype)
    small = {"size": (x.shape[2] // 2, x.shape[3] // 2), "mode": "bilinear", "antialias": True}
    yield Call("interpolate antialias", "interpolate", {"x": x, **small})
    for method in ("linear", "cubic", "nearest", "mitchell"):
        size = {"size": (side // 2, 2 * side), "axes": (1, 3), "method": method}
        call = Call(f"resize {method}", "resize", {"x": x, **size})
        yield from forward_backward(call, input_size=x.shape, **size)


def convolutions(lead: tuple[int, ...], side: int, dtype: np.dtype) -> Iterator[Call]:
    channels = lead[1]
    for n in (1, 2, 3):
        x = values((*lead, *sides(side, n)), dtype)
        for kind in ("conv", "conv_transpose"):
            op, transposed = f"{kind}{n}d", kind == "conv_transpose"
            options = {"stride": 2, "padding": 1, "groups": 2}
            weight = values((channels, channels // 2, *(3,) * n), dtype, 1)
            arrays = {"x": x, "weight": weight, "bias": values((channels,), dtype, 2)}
            grad = {"x": x, "weight": weight, **options}
            yield from forward_backward(Call(op, op, {**arrays, **options}), **grad)
            plain = values((channels, channels, *(3,) * n), dtype, 3)
            yield Call(f"{op} plain", op, {"x": x, "weight": plain, "padding": 1})
            name = f"prepare_{kind}"
            if not transposed or n == 2:
                yield Call(f"{name}{n}d", name, {"weight": weight, **options}, (x,))


def sampled(lead: tuple[int, ...], side: int, dtype: np.dtype) -> Iterator[Call]:
    real = dtype if dtype.kind == "f" else np.dtype("f4")
    for n in (2, 3):
        x = values((*lead, *sides(side, n)), dtype)
        theta = values((lead[0], n, n + 1), real, 4) / 8
        size = {"size": x.shape}
        affine = Call(f"affine_grid {n}d", "affine_grid", {"theta": theta, **size})
        yield from forward_backward(affine, **size)
        grid = affine.run()[0]
        for mode in ("bilinear", "nearest", "bicubic")[: 5 - n]:
            arrays = {"x": x, "grid": grid}
            label = f"grid_sample {mode} {n}d"
            call = Call(label, "grid_sample", {**arrays, "mode": mode})
            yield from forward_backward(call, **arrays, mode=mode)


def regions(lead: tuple[int, ...], side: int, dtype: np.dtype) -> Iterator[Call]:
    x = values((*lead, *sides(side, 2)), dtype)
    real = dtype if dtype.kind == "f" else np.dtype("f4")
    corner = [i % lead[0] for i in range(5)]
    boxes = np.array([[i, j / 2, 1, j + 3.3, side / 2 + j] for j, i in enumerate(corner)], real)
    bins = {"boxes": boxes, "output_size": 3}
    yield Call("roi_align max", "roi_align", {"x": x, **bins, "mode": "max"})
    call = Call("roi_align", "roi_align", {"x": x, **bins})
    yield from forward_backward(call, boxes=boxes, input_size=x.shape)
    call = Call("roi_pool", "roi_pool", {"x": x, **bins})
    yield from forward_backward(call, x=x, boxes=boxes)


def fractional(lead: tuple[int, ...], side: int, dtype: np.dtype) -> Iterator[Call]:
    for n in (2, 3):
        x = values((*lead, *sides(side, n)), dtype)
        size = {"output_size": tuple(s // 2 for s in x.shape[-n:]), "seed": 7}
        op = f"fractional_max_pool{n}d"
        call = Call(op, op, {"x": x, "kernel_size": 2, **size, "return_indices": True})
        yield from forward_backward(call, input_size=x.shape)
        samples = np.random.default_rng(3).random((*lead, n)).astype("f4")
        given = {"output_size": size["output_size"], "random_samples": samples}
        yield Call(f"{op} samples", op, {"x": x, "kernel_size": 2, **given})


def operations() -> set[str]:
    """Every public function that computes on arrays."""
    return {name for name in us.__all__ if callable(getattr(us, name))} - {*SIZES, *SETTINGS, "vjp"}
