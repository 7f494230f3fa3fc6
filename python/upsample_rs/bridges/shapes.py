"""The shape of every result, as arithmetic on lengths that need not be known yet.

A compiler that traces a program has symbols for the lengths of arrays. The operations plan with
numbers, so their size formulas are here once more, and a test holds the two together. A rule takes
the arguments of a call by name, arrays being anything with a ``shape``, and the number of spatial
axes. It returns None where the shape cannot be told without numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["BACKWARD", "FORWARD", "named_padding", "window_count"]

Given: TypeAlias = dict[str, Any]
Shape: TypeAlias = tuple[Any, ...]


def window_count(length: Any, span: Any, step: Any, pads: Any, ceil: bool = False) -> Any:
    """Return how many windows of `span` elements there are along an axis."""
    if pads in ("same", "same_lower"):
        return -(-length // step)
    before, after = (0, 0) if pads == "valid" else pads
    room = length + before + after - span
    if not ceil:
        return room // step + 1
    most = (length + before - 1) // step + 1  # the last window begins before the far padding
    count = -(-room // step) + 1
    return count if count <= most else most


def named_padding(rule: str, length: int, span: int, step: int) -> tuple[int, int]:
    """Return the padding of an axis by a rule's name; windows have `span` elements."""
    if rule == "valid":
        return 0, 0
    total = max((-(-length // step) - 1) * step + span - length, 0)
    before = total // 2 if rule == "same" else -(-total // 2)
    return before, total - before


def per_axis(value: Any, n: int) -> tuple[Any, ...]:
    """Return one entry for each of `n` axes."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


def pad_pairs(padding: Any, n: int) -> tuple[Any, ...]:
    """Return a pair, or the name of a rule, for each of `n` axes."""
    if isinstance(padding, str):
        return (padding,) * n
    entries = per_axis(padding, n)
    return tuple(p if isinstance(p, (tuple, list)) else (p, p) for p in entries)


def _split(shape: Shape, n: int, channels_last: bool) -> tuple[Shape, Shape, Shape]:
    """Return the leading axes, the spatial ones, and the channels that follow them."""
    end = len(shape) - channels_last
    return tuple(shape[: end - n]), tuple(shape[end - n : end]), tuple(shape[end:])


def _windows(given: Given, size: Shape, kernel: Any, ceil: bool = False) -> Shape:
    n = len(size)
    kernel = per_axis(kernel, n)
    stride = kernel if given["stride"] is None else per_axis(given["stride"], n)
    dilation = per_axis(given["dilation"], n)
    pads = pad_pairs(given["padding"], n)
    return tuple(
        window_count(size[i], dilation[i] * (kernel[i] - 1) + 1, stride[i], pads[i], ceil)
        for i in range(n)
    )


def _in_place(resize: Callable[[Given, Shape], Any]) -> Callable[[Given, int], Any]:
    """Make the rule of an operation that replaces the spatial axes and keeps the others."""

    def rule(given: Given, n: int) -> Any:
        lead, size, channels = _split(given["x"].shape, n, given.get("channels_last", False))
        made = resize(given, size)
        return None if made is None else (*lead, *made, *channels)

    return rule


def _pool(given: Given, size: Shape) -> Shape:
    return _windows(given, size, given["kernel_size"], given["ceil_mode"])


def _adaptive(given: Given, size: Shape) -> Shape:
    wanted = per_axis(given["output_size"], len(size))
    return tuple(i if o is None else o for i, o in zip(size, wanted, strict=True))


def _scaled(length: Any, factor: float) -> Any:
    return length * int(factor) if factor == int(factor) else math.floor(length * factor)


def _fractional(given: Given, size: Shape) -> Shape:
    if given["output_size"] is not None:
        return per_axis(given["output_size"], len(size))
    ratios = per_axis(given["output_ratio"], len(size))
    return tuple(_scaled(i, ratio) for i, ratio in zip(size, ratios, strict=True))


def _interpolate(given: Given, size: Shape) -> Shape:
    if given["size"] is not None:
        return per_axis(given["size"], len(size))
    factors = per_axis(given["scale_factor"], len(size))
    return tuple(_scaled(i, factor) for i, factor in zip(size, factors, strict=True))


def _resize(given: Given, n: int) -> Any:
    if given["keep_aspect_ratio"] != "stretch":
        return None
    shape = list(given["x"].shape)
    axes = range(-n, 0) if given["axes"] is None else per_axis(given["axes"], n)
    for i, axis in enumerate(axes):
        if given["size"] is not None:
            shape[axis] = per_axis(given["size"], n)[i]
        else:
            shape[axis] = _scaled(shape[axis], per_axis(given["scale"], n)[i])
    return tuple(shape)


def _nails(given: Given, size: Shape) -> Shape:
    factors = per_axis(given["factor"], len(size))
    return tuple(i * factor for i, factor in zip(size, factors, strict=True))


def _unpool(given: Given, size: Shape) -> Shape:
    n = len(size)
    if given["output_size"] is not None:
        return per_axis(given["output_size"], n)
    kernel = per_axis(given["kernel_size"], n)
    stride = kernel if given["stride"] is None else per_axis(given["stride"], n)
    pads = pad_pairs(given["padding"], n)
    return tuple((size[i] - 1) * stride[i] - sum(pads[i]) + kernel[i] for i in range(n))


def _shuffle(name: str, up: bool) -> Callable[[Given, int], Shape]:
    """Make the rule of a shuffle whose block is called `name`."""

    def rule(given: Given, n: int, array: str = "x") -> Shape:
        last = given["channels_last"]
        lead, size, channels = _split(given[array].shape, n, last)
        (channel,) = channels if last else lead[-1:]
        block = per_axis(given[name], n)
        count = math.prod(block)
        size = tuple(i * b if up else i // b for i, b in zip(size, block, strict=True))
        channel = channel // count if up else channel * count
        return (*lead, *size, channel) if last else (*lead[:-1], channel, *size)

    return rule


def _same(given: Given, n: int, array: str = "x") -> Shape:
    return tuple(given[array].shape)


def _unfold(given: Given, n: int, array: str = "x") -> Shape:
    last = given["channels_last"]
    lead, size, channels = _split(given[array].shape, n, last)
    if last:
        (channel,) = channels
    else:
        lead, channel = (lead[:-1], lead[-1]) if lead else (lead, 1)
    rows = channel * math.prod(per_axis(given["kernel_size"], n))
    columns = math.prod(_windows(given, size, given["kernel_size"]))
    return (*lead, columns, rows) if last else (*lead, rows, columns)


def _fold(given: Given, n: int) -> Shape:
    *lead, rows, columns = given["x"].shape
    last = given["channels_last"]
    channel = (columns if last else rows) // math.prod(per_axis(given["kernel_size"], n))
    size = per_axis(given["output_size"], n)
    return (*lead, *size, channel) if last else (*lead, channel, *size)


def _conv(given: Given, n: int) -> Shape:
    last, weight = given["channels_last"], given["weight"].shape
    lead, size, channels = _split(given["x"].shape, n, last and len(given["x"].shape) > n)
    size = _windows(given, size, tuple(weight[-n:]))
    if len(weight) == n:  # a bare kernel on a bare array
        return size
    return (*lead, *size, weight[0]) if last else (*lead[:-1], weight[0], *size)


def _conv_transpose(given: Given, n: int) -> Shape:
    last, weight = given["channels_last"], given["weight"].shape
    lead, size, channels = _split(given["x"].shape, n, last and len(given["x"].shape) > n)
    if given["output_size"] is not None:
        size = per_axis(given["output_size"], n)
    else:
        stride, extra = per_axis(given["stride"], n), per_axis(given["output_padding"], n)
        dilation, pads = per_axis(given["dilation"], n), pad_pairs(given["padding"], n)
        size = tuple(
            (size[i] - 1) * stride[i]
            - sum(pads[i])
            + dilation[i] * (weight[i - n] - 1)
            + extra[i]
            + 1
            for i in range(n)
        )
    if len(weight) == n:
        return size
    channel = weight[1] * given["groups"]
    return (*lead, *size, channel) if last else (*lead[:-1], channel, *size)


def _grid_sample(given: Given, n: int) -> Shape:
    lead, _, channels = _split(given["x"].shape, n, given["channels_last"])
    return (*lead, *given["grid"].shape[-1 - n : -1], *channels)


def _affine_grid(given: Given, n: int) -> Shape:
    lead = given["theta"].shape[:-2]
    _, size, _ = _split(tuple(given["size"]), n, given["channels_last"])
    return (*lead, *size, n)


def _roi(given: Given, n: int) -> Shape:
    _, channel, *_ = given["x"].shape
    boxes = given["boxes"].shape[0]
    size = per_axis(given["output_size"], n)
    last = given["channels_last"]
    return (boxes, *size, given["x"].shape[3]) if last else (boxes, channel, *size)


def _like(array: str, rule: Callable[..., Any] = _same) -> Callable[[Given, int], Any]:
    return lambda given, n: rule(given, n, array)


def _affine_grid_back(given: Given, n: int) -> Shape:
    return (*given["grad_output"].shape[: -1 - n], n, n + 1)


FORWARD: dict[str, Callable[[Given, int], Any]] = {
    "interpolate": _in_place(_interpolate),
    "resize": _resize,
    "bed_of_nails": _in_place(_nails),
    "pixel_shuffle": _shuffle("upscale_factor", True),
    "pixel_unshuffle": _shuffle("downscale_factor", False),
    "depth_to_space": _shuffle("block", True),
    "space_to_depth": _shuffle("block", False),
    "channel_shuffle": _same,
    "unfold": _unfold,
    "fold": _fold,
    "max_pool": _in_place(_pool),
    "min_pool": _in_place(_pool),
    "avg_pool": _in_place(_pool),
    "lp_pool": _in_place(_pool),
    "adaptive_max_pool": _in_place(_adaptive),
    "adaptive_avg_pool": _in_place(_adaptive),
    "fractional_max_pool": _in_place(_fractional),
    "grid_sample": _grid_sample,
    "affine_grid": _affine_grid,
    "roi_align": _roi,
    "roi_pool": _roi,
    "max_unpool": _in_place(_unpool),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
}
"""The result's shape, by the name of the operation without its number of axes."""

BACKWARD: dict[str, Callable[[Given, int], Any]] = {
    "pixel_shuffle": _like("grad_output", _shuffle("upscale_factor", False)),
    "pixel_unshuffle": _like("grad_output", _shuffle("downscale_factor", True)),
    "depth_to_space": _like("grad_output", _shuffle("block", False)),
    "space_to_depth": _like("grad_output", _shuffle("block", True)),
    "channel_shuffle": _like("grad_output"),
    "fold": _like("grad_output", _unfold),
    "lp_pool": _same,
    "roi_pool": _same,
    "affine_grid": _affine_grid_back,
    "max_unpool": _like("indices"),
}
"""The gradient's shape where no ``input_size`` among the arguments tells it."""
