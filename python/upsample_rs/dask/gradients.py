"""Gradients of convolutions, of points, matrices and boxes.

What each needs is known from what it sums. The gradient by a convolution's input is a convolution
of the other kind, with the same kernels, and is made in parts as that is. The gradient by an
element of an image is a sum over points or boxes that may lie anywhere, taken for each channel by
itself; a point's gradient is a sum over channels; those of kernels, biases and matrices are sums
over all places. The order of a sum decides its last bits: what it goes through is in one chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np

import upsample_rs as us

from ..bridges.shapes import named_padding, window_count
from ..bridges.table import Op
from .call import Call, one_chunk
from .parted import parted
from .tasks import Arrays, Block, Length, run, spatial_axes

__all__ = ["GRADIENTS"]

Given: TypeAlias = dict[str, Any]
PLACES = "a sum over all places"
BOXES = "boxes may meet anywhere, and their gradients are summed"
POINTS = "points may meet anywhere, and their gradients are summed"


def _stand_in(array: Any, shape: tuple[int, ...] | None = None) -> Any:
    """Return what has an array's dtype and shape, or another shape, and takes no memory."""
    return np.broadcast_to(np.zeros((), array.dtype), array.shape if shape is None else shape)


def _wanted(name: str, given: Given, arrays: tuple[str, ...], ones: list[Any]) -> list[bool]:
    """Have a gradient check a call; return which of its results are asked for.

    It is called with what is asked for on next to nothing, and for nothing on the arrays' shapes.
    """
    function = getattr(us, name)
    wanted = [made is not None for made in function(*ones, output_mask=given["output_mask"])]
    known = {key: _stand_in(given[key]) for key in arrays}
    function(**(given | known | {"output_mask": (False,) * len(wanted)}))
    return wanted


def _convolution(op: Op, name: str, given: Given, call: Call) -> Any:
    one = np.ones((1,) * op.rank(given))
    wanted = _wanted(name, given, ("grad_output", "x", "weight"), [one] * 3)
    makers = (_by_input, _by_weight, _by_bias)
    return tuple(
        make(op, name, given, call) if asked else None
        for make, asked in zip(makers, wanted, strict=True)
    )


def _channel(op: Op, given: Given) -> int:
    """Return the axis of the channels; -1 if there is none."""
    n, ndim = op.rank(given), int(given["x"].ndim)
    if ndim == n:
        return -1
    return ndim - 1 if given["channels_last"] else ndim - n - 1


def _by_input(op: Op, name: str, given: Given, call: Call) -> Any:
    grad, x, weight = given["grad_output"], given["x"], given["weight"]
    weight = one_chunk(name, "weight", weight, range(weight.ndim), "every task needs all of it")
    channel, result = _channel(op, given), [(x.shape, x.dtype)]
    parameters = _other_way(op, given)
    if parameters is not None:
        kind = "conv_transpose" if op.family == "conv" else "conv"
        turned = Call(name, parameters, call.threads, f"{kind}{op.rank(given)}d")
        whole = () if channel < 0 else (channel,)
        return parted(turned, ("x", grad), {"weight": weight}, result, whole)
    # What outputs have beyond the last window is not known to the other convolution.
    batch = [0] if x.ndim == op.rank(given) + 2 else []
    axes = [axis for axis in range(x.ndim) if axis not in batch]
    grad = one_chunk(name, "grad_output", grad, axes, "output_padding is longer than the stride")
    stand_in = (tuple(Length(0, a) if a in batch else n for a, n in enumerate(x.shape)), x.dtype)
    block = Block(
        call.given(output_mask=(True, False, False)),
        ("grad_output", "weight"),
        stand_ins={"x": stand_in},
        which=0,
    )
    arrays: Arrays = [
        (grad, [a if a in batch else f"out{a}" for a in range(x.ndim)]),
        (weight, [f"weight{a}" for a in range(weight.ndim)]),
    ]
    out = [a if a in batch else f"in{a}" for a in range(x.ndim)]
    return run(block, arrays, out, result, {f"in{a}": x.shape[a] for a in axes})


def _other_way(op: Op, given: Given) -> Given | None:
    """Return the parameters of the convolution that a gradient by the input is, if it is one."""
    n, x = op.rank(given), given["x"]
    pinned = op.pin(given | {"bias": None})
    same = {key: pinned[key] for key in ("stride", "dilation", "groups", "channels_last")}
    spatial, _ = spatial_axes(x.ndim, n, given["channels_last"])
    size = tuple(x.shape[axis] for axis in spatial)
    kernel = given["weight"].shape[given["weight"].ndim - n :]
    spans = [d * (k - 1) + 1 for d, k in zip(same["dilation"], kernel, strict=True)]
    each = list(zip(size, spans, same["stride"], strict=True))
    if op.family == "conv":
        pads = pinned["padding"]
        if isinstance(pads, str):
            pads = tuple(named_padding(pads, *axis) for axis in each)
        return {**same, "padding": pads, "output_size": size}
    pads = pinned["padding"]
    long = [given["grad_output"].shape[axis] for axis in spatial]
    windows = zip(long, spans, same["stride"], pads, strict=True)
    if tuple(window_count(*axis) for axis in windows) != size:
        return None
    return {**same, "padding": pads}


def _by_weight(op: Op, name: str, given: Given, call: Call) -> Any:
    weight, channel, groups = given["weight"], _channel(op, given), given["groups"]
    # Of the two, first the one whose channels the kernels' first axis counts.
    sides = ("grad_output", "x") if op.family == "conv" else ("x", "grad_output")
    lens = _groups(given["x"], channel, groups)
    label = {channel: "group"} if len(lens) > 1 else {}
    arrays: Arrays = []
    for key in sides:
        side = given[key]
        if label:
            each = side.shape[channel] // groups
            side = side.rechunk({channel: tuple(n * each for n in lens)})
        side = one_chunk(name, key, side, [a for a in range(side.ndim) if a not in label], PLACES)
        arrays.append((side, [label.get(a, f"{key}{a}") for a in range(side.ndim)]))
    shape, parameters = weight.shape, {}
    call = call.given(output_mask=(False, True, False))
    if label:
        each = given[sides[0]].shape[channel] // groups
        call, parameters = call.without("groups"), {"groups": Length(0, channel, over=each)}
        shape = (Length(0, channel), *shape[1:])
    block = Block(call, sides, parameters, {"weight": (shape, weight.dtype)}, 1)
    out = ["group" if label and a == 0 else f"new{a}" for a in range(weight.ndim)]
    new = {key: n for key, n in zip(out, weight.shape, strict=True) if key != "group"}
    return run(block, arrays, out, [(weight.shape, weight.dtype)], new, align=False)


def _groups(x: Any, channel: int, groups: int) -> list[int]:
    """Return how many groups of channels are made together, as near to the chunks as may be."""
    if channel < 0:
        return [1]
    each = x.shape[channel] // groups
    edges = accumulate(x.chunks[channel], initial=0)
    nearest = sorted({(2 * edge + each) // (2 * each) for edge in edges})
    return [b - a for a, b in pairwise(nearest)]


def _by_bias(op: Op, name: str, given: Given, call: Call) -> Any:
    grad, x, weight = given["grad_output"], given["x"], given["weight"]
    channel = _channel(op, given)
    call = call.without("groups").given(output_mask=(False, False, True))
    axes = [axis for axis in range(grad.ndim) if axis != channel]
    grad = one_chunk(name, "grad_output", grad, axes, PLACES)
    # A convolution of one channel to those there are has the same.
    shapes = {"x": list(x.shape), "weight": list(weight.shape)}
    if channel >= 0:
        grad_channels = Length(0, channel)
        shapes["x"][channel] = 1
        first = [grad_channels, 1] if op.family == "conv" else [1, grad_channels]
        shapes["weight"][:2] = first
    stand_ins = {key: (tuple(shape), grad.dtype) for key, shape in shapes.items()}
    block = Block(call, ("grad_output",), {}, stand_ins, 2)
    labels = ["channel" if a == channel else f"grad{a}" for a in range(grad.ndim)]
    count = 1 if channel < 0 else grad.shape[channel]
    new = {"channel": 1} if channel < 0 else {}
    return run(block, [(grad, labels)], ["channel"], [((count,), grad.dtype)], new)


def _grid_sample(op: Op, name: str, given: Given, call: Call) -> Any:
    x, grid = np.ones((1, 1)), np.zeros((1, 1, 2))
    wanted = _wanted(name, given, ("grad_output", "x", "grid"), [x, x, grid])
    return tuple(
        make(op, name, given, call) if asked else None
        for make, asked in zip((_by_image, _by_points), wanted, strict=True)
    )


def _by_image(op: Op, name: str, given: Given, call: Call) -> Any:
    grad, x, grid = given["grad_output"], given["x"], given["grid"]
    spatial, others = spatial_axes(x.ndim, op.rank(given), given["channels_last"])
    lead = others[: grid.ndim - 1 - len(spatial)]
    grad = one_chunk(name, "grad_output", grad, spatial, POINTS)
    grid = one_chunk(name, "grid", grid, range(len(lead), grid.ndim), POINTS)
    shape = tuple(n if a in spatial else Length(0, a) for a, n in enumerate(x.shape))
    block = Block(
        call.given(output_mask=(True, False)),
        ("grad_output", "grid"),
        stand_ins={"x": (shape, x.dtype)},
        which=0,
    )
    arrays: Arrays = [
        (grad, [f"place{a}" if a in spatial else a for a in range(grad.ndim)]),
        (grid, [*lead, *(f"place{a}" for a in spatial), "coordinate"]),
    ]
    out = [f"in{a}" if a in spatial else a for a in range(x.ndim)]
    return run(block, arrays, out, [(x.shape, x.dtype)], {f"in{a}": x.shape[a] for a in spatial})


def _by_points(op: Op, name: str, given: Given, call: Call) -> Any:
    grad, x, grid = given["grad_output"], given["x"], given["grid"]
    spatial, others = spatial_axes(x.ndim, op.rank(given), given["channels_last"])
    lead = others[: grid.ndim - 1 - len(spatial)]
    channels = others[len(lead) :]
    grad = one_chunk(name, "grad_output", grad, channels, "a sum over all channels")
    x = one_chunk(name, "x", x, channels, "a sum over all channels")
    x = one_chunk(name, "x", x, spatial, "a point may lie anywhere")
    grid = one_chunk(name, "grid", grid, [grid.ndim - 1], "coordinates go together")
    block = Block(call.given(output_mask=(False, True)), ("grad_output", "x", "grid"), which=1)
    out = [*lead, *(f"place{a}" for a in spatial), "coordinate"]
    arrays: Arrays = [
        (grad, [f"place{a}" if a in spatial else a for a in range(grad.ndim)]),
        (x, [f"in{a}" if a in spatial else a for a in range(x.ndim)]),
        (grid, out),
    ]
    return run(block, arrays, out, [(grid.shape, grid.dtype)])


def _affine_grid(op: Op, name: str, given: Given, call: Call) -> Any:
    grad, size = given["grad_output"], given["size"]
    made = getattr(us, name)(
        **(given | {"grad_output": _stand_in(grad, (0, *grad.shape)), "size": (0, *size)})
    )
    shape = made.shape[1:]
    lead = list(range(len(shape) - 2))
    grad = one_chunk(name, "grad_output", grad, range(len(lead), grad.ndim), PLACES)
    known = tuple(Length(0, axis) if axis in lead else n for axis, n in enumerate(size))
    block = Block(call.without("size"), ("grad_output",), {"size": known})
    labels = [*lead, *(f"place{a}" for a in range(len(lead), grad.ndim))]
    new = {"row": shape[-2], "column": shape[-1]}
    return run(block, [(grad, labels)], [*lead, "row", "column"], [(shape, made.dtype)], new)


def _roi(op: Op, name: str, given: Given, call: Call) -> Any:
    grad, boxes, x = given["grad_output"], given["boxes"], given["x"]
    if given.get("mode") == "avg":
        x = None  # is not looked at
    size = tuple(given["input_size"] if "input_size" in given else x.shape)
    dtype = _roi_checked(name, given, x)
    channel = 3 if given["channels_last"] else 1
    others = [axis for axis in range(4) if axis != channel]
    labels = [channel if axis == channel else f"in{axis}" for axis in range(4)]
    arrays: Arrays = [
        (
            one_chunk(name, "grad_output", grad, others, BOXES),
            [channel if axis == channel else f"grad{axis}" for axis in range(4)],
        ),
        (one_chunk(name, "boxes", boxes, [0, 1], BOXES), ["box", "number"]),
    ]
    names: tuple[str, ...] = ("grad_output", "boxes")
    if x is not None:
        arrays.append((one_chunk(name, "x", x, others, "a box may lie anywhere"), labels))
        names = (*names, "x")
    call, parameters = call.without("x"), {}
    if "input_size" in given:
        known = tuple(Length(0, channel) if axis == channel else n for axis, n in enumerate(size))
        call, parameters = call.without("input_size"), {"input_size": known}
    new = {f"in{axis}": size[axis] for axis in others}
    return run(Block(call, names, parameters), arrays, labels, [(size, dtype)], new)


def _roi_checked(name: str, given: Given, x: Any) -> Any:
    """Have the gradient check a call without boxes and images; return its result's dtype."""
    grad, boxes = given["grad_output"], given["boxes"]
    known: Given = {"boxes": _stand_in(boxes, (0, *boxes.shape[1:])), "x": x}
    known["grad_output"] = _stand_in(grad, (0, *grad.shape[1:]))
    if x is not None:
        known["x"] = _stand_in(x, (0, *x.shape[1:]))
    if "input_size" in given:
        known["input_size"] = (0, *given["input_size"][1:])
    made = getattr(us, name)(**(given | known))
    if grad.shape[0] != boxes.shape[0]:
        wanted = (boxes.shape[0], *grad.shape[1:])
        raise ValueError(
            f"{name}: grad_output.shape = {grad.shape}: must be the result's, {wanted}"
        )
    if x is not None and "input_size" in given and x.shape[0] != given["input_size"][0]:
        size = tuple(given["input_size"])
        raise ValueError(f"{name}: x.shape = {x.shape}: must be input_size, {size}")
    return made.dtype


GRADIENTS: dict[str, Callable[[Op, str, Given, Call], Any]] = {
    "conv": _convolution,
    "conv_transpose": _convolution,
    "grid_sample": _grid_sample,
    "affine_grid": _affine_grid,
    "roi_align": _roi,
    "roi_pool": _roi,
}
"""How an operation's gradients are made, by its name without the number of axes."""
