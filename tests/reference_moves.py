"""Shuffles, `unfold` and `fold` once more in plain NumPy, channels first: see `reference.py`."""

from __future__ import annotations

import math

import numpy as np

import reference as ref


def depth_to_space(x, block, mode):
    """`(..., B*C, *S)` as `(..., C, *(S*b))`: the parts of all axes, in the new order."""
    n, elements = len(block), math.prod(block)
    lead, channels, size = x.shape[: -n - 1], x.shape[-n - 1], x.shape[-n:]
    columns = channels // elements
    parts = (*block, columns) if mode == "DCR" else (columns, *block)
    x = x.reshape(*lead, *parts, *size)
    at = len(lead)
    depth = at + n if mode == "DCR" else at
    first = at if mode == "DCR" else at + 1
    order = [*range(at), depth]
    for i in range(n):
        order += [at + n + 1 + i, first + i]
    out = tuple(s * b for s, b in zip(size, block, strict=True))
    return x.transpose(order).reshape(*lead, columns, *out)


def space_to_depth(x, block, mode):
    """The inverse: where `depth_to_space` takes every element from, put back."""
    n = len(block)
    size = tuple(s // b for s, b in zip(x.shape[-n:], block, strict=True))
    shape = (*x.shape[: -n - 1], x.shape[-n - 1] * math.prod(block), *size)
    sources = depth_to_space(np.arange(math.prod(shape)).reshape(shape), block, mode)
    out = np.empty(math.prod(shape), x.dtype)
    out[sources.ravel()] = x.ravel()
    return out.reshape(shape)


def channel_shuffle(x, groups):
    """Channels dealt out from `groups` piles, one of each in turn."""
    piles = np.split(x, groups, axis=1)
    return np.stack(piles, axis=2).reshape(x.shape)


def tap_slices(size, kernel, dilation, pads, stride):
    """For each element of the kernel, row-major, the places of the padded axes it meets."""
    counts = windows(size, kernel, dilation, pads, stride)
    for tap in np.ndindex(*kernel):
        yield tuple(
            slice(t * d, t * d + (c - 1) * s + 1, s)
            for t, d, c, s in zip(tap, dilation, counts, stride, strict=True)
        )


def windows(size, kernel, dilation, pads, stride):
    """Number of windows per axis."""
    each = zip(size, kernel, stride, pads, dilation, strict=True)
    return tuple(ref.pool_axis_size(*one) for one in each)


def unfold(x, kernel, dilation, pads, stride):
    """`(..., C, *S)` as columns; without a channel axis there is one channel."""
    n = len(kernel)
    lead, size = x.shape[:-n], x.shape[-n:]
    padded = np.zeros((*lead, *(s + sum(p) for s, p in zip(size, pads, strict=True))), x.dtype)
    inside = tuple(slice(p[0], p[0] + s) for s, p in zip(size, pads, strict=True))
    padded[(..., *inside)] = x
    taps = [
        padded[(..., *places)].reshape(*lead, -1)
        for places in tap_slices(size, kernel, dilation, pads, stride)
    ]
    columns = np.stack(taps, axis=-2)  # (..., C, K, L)
    if not lead:
        return columns
    return columns.reshape(*lead[:-1], lead[-1] * len(taps), columns.shape[-1])


def fold(columns, size, kernel, dilation, pads, stride):
    """Columns added up, exactly for integers; floats in a wider type; of bool, any."""
    n, dtype = len(kernel), columns.dtype
    taps = math.prod(kernel)
    counts = windows(size, kernel, dilation, pads, stride)
    lead, channels = columns.shape[:-2], columns.shape[-2] // taps
    columns = columns.reshape(*lead, channels, taps, *counts)
    exact = dtype.kind in "biu"
    shape = (*lead, channels, *(s + sum(p) for s, p in zip(size, pads, strict=True)))
    padded = np.zeros(shape, object if exact else ref.wide(dtype))
    for k, places in enumerate(tap_slices(size, kernel, dilation, pads, stride)):
        each = columns[(..., k, *(slice(None),) * n)]
        padded[(..., *places)] += each.astype(int if dtype.kind == "b" else padded.dtype)
    inside = tuple(slice(p[0], p[0] + s) for s, p in zip(size, pads, strict=True))
    total = padded[(..., *inside)]
    if dtype.kind == "b":
        return total.astype(bool)
    if exact:
        return np.clip(total, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
    return total
