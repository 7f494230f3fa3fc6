"""Every operation once more in plain NumPy: the oracle that the tests hold the package to.

Written to be read, not to be fast. Conventions of this file:

- `n` is the number of spatial axes, and one formulation serves 1-D, 2-D and 3-D. Spatial axes come
  last, `(*leading, *spatial)`, in convolutions `(N, C, *spatial)`; a channels-last array goes
  through `to_channels_first` before and `to_channels_last` after.
- Parameters are an int or a tuple with one entry per axis; padding also a tuple of pairs.
- Operations that move or order elements return the input's dtype. Integer resizing is done in exact
  fractions. Sums of floats are done, and returned, in a type with bits to spare (`wide`), so that a
  test measures the error of the package and not of this file.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

# --- dtypes and layouts ---------------------------------------------------------------------------


def is_float(dtype):
    """True for real floating types, bfloat16 (which NumPy itself does not know) included."""
    dtype = np.dtype(dtype)
    return dtype.kind == "f" or dtype.name == "bfloat16"


def wide(dtype):
    """The type sums are done in: spare bits for floats, arithmetic modulo 2**64 for integers."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        return np.int64
    if dtype.kind == "c":
        return np.complex128 if dtype == np.complex64 else np.clongdouble
    return np.float64 if dtype.itemsize <= 4 else np.longdouble


def to_channels_first(x, n):
    """`(..., *spatial, C)` as `(..., C, *spatial)`."""
    return np.moveaxis(x, -1, -1 - n)


def to_channels_last(x, n):
    """`(..., C, *spatial)` as `(..., *spatial, C)`."""
    return np.moveaxis(x, -1 - n, -1)


# --- parameters and sizes -------------------------------------------------------------------------


def per_axis(value, n):
    """An int or a tuple of `n` ints, as a tuple of `n` ints."""
    return tuple(value) if isinstance(value, tuple | list) else (value,) * n


def pad_pairs(padding, n, size=None, kernel=None, stride=1, dilation=1):
    """Padding in any of its spellings, as one (before, after) pair per axis.

    `"same"` pads so that ceil(size / stride) windows fit; an odd element goes after the axis, with
    `"same_lower"` before it.
    """
    if padding == "valid":
        return [(0, 0)] * n
    if padding in ("same", "same_lower"):
        pairs = []
        steps, gaps = per_axis(stride, n), per_axis(dilation, n)
        for i, k, s, d in zip(size, kernel, steps, gaps, strict=True):
            total = max((-(-i // s) - 1) * s + d * (k - 1) + 1 - i, 0)
            less, more = total // 2, total - total // 2
            pairs.append((less, more) if padding == "same" else (more, less))
        return pairs
    return [tuple(p) if isinstance(p, tuple | list) else (p, p) for p in per_axis(padding, n)]


def pool_axis_size(size, kernel, stride, pad, dilation, ceil_mode=False):
    """Number of windows on one axis; with `ceil_mode` also the last, clipped one.

    A clipped window counts only if it starts inside the input or the padding before it.
    """
    span = size + sum(pad) - (dilation * (kernel - 1) + 1)
    if not ceil_mode:
        return span // stride + 1
    windows = -(-span // stride) + 1
    return windows - 1 if (windows - 1) * stride >= size + pad[0] else windows


def conv_transpose_axis_size(size, kernel, stride, pad, dilation, output_padding=0):
    """Length of one axis of a transposed convolution."""
    return (size - 1) * stride - sum(pad) + dilation * (kernel - 1) + output_padding + 1


# --- resizing -------------------------------------------------------------------------------------


def nearest_indices(in_len, out_len, mode, scale=None):
    """Source index of each output sample o: floor(o * in/out), exact floor((o + 1/2) * in/out).

    A scale factor replaces out/in, and then the division is one of doubles.
    """
    shift = Fraction(1, 2) if mode == "nearest-exact" else Fraction(0)
    if scale is None:
        source = [(o + shift) * Fraction(in_len, out_len) for o in range(out_len)]
    else:
        source = [(o + float(shift)) / scale for o in range(out_len)]
    return [min(math.floor(s), in_len - 1) for s in source]


def source_coordinates(in_len, out_len, align_corners=False, scale=None):
    """Where each output sample lies on the input axis, in input samples.

    Sample centres match at scale in/out; with `align_corners` the outermost centres coincide. From
    the sizes the result is an exact fraction, from a scale factor it is the double it rounds to.
    """
    half = Fraction(1, 2)
    if align_corners:
        step = Fraction(in_len - 1, out_len - 1) if out_len > 1 else Fraction(0)
        return [o * step for o in range(out_len)]
    if scale is None:
        return [(o + half) * Fraction(in_len, out_len) - half for o in range(out_len)]
    return [Fraction((o + 0.5) / scale - 0.5) for o in range(out_len)]


def linear_taps(in_len, out_len, align_corners=False, scale=None, antialias=False):
    """For each output sample the (index, weight) pairs with a weight above 0.

    A triangle of half-width 1 centred at the source coordinate; beyond the edge the edge repeats.
    With `antialias` the triangle widens by the factor of shrinking, what lies outside the axis is
    dropped and the rest renormalised.
    """
    coordinates = source_coordinates(in_len, out_len, align_corners, scale)
    if not antialias:
        clipped = [min(max(c, Fraction(0)), Fraction(in_len - 1)) for c in coordinates]
        return [
            [(i, 1 - abs(c - i)) for i in (math.floor(c), math.floor(c) + 1) if abs(c - i) < 1]
            for c in clipped
        ]
    if align_corners:
        step = Fraction(in_len - 1, out_len - 1) if out_len > 1 else Fraction(0)
    else:
        step = Fraction(in_len, out_len) if scale is None else 1 / Fraction(scale)
    width = max(Fraction(1), step)
    rows = []
    for c in coordinates:
        near = range(max(math.ceil(c - width), 0), min(math.floor(c + width), in_len - 1) + 1)
        row = [(i, 1 - abs(c - i) / width) for i in near if abs(c - i) < width]
        total = sum(w for _, w in row)
        rows.append([(i, w / total) for i, w in row])
    return rows


def axis_taps(in_len, out_len, mode, align_corners=False, scale=None, antialias=False):
    """The taps of one axis for any mode; a nearest mode has one tap of weight 1."""
    if mode.startswith("nearest"):
        return [[(i, Fraction(1))] for i in nearest_indices(in_len, out_len, mode, scale)]
    return linear_taps(in_len, out_len, align_corners, scale, antialias)


def transposed_taps(rows, in_len):
    """The same taps seen from the input: for each input sample, which outputs read it."""
    columns = [[] for _ in range(in_len)]
    for o, row in enumerate(rows):
        for i, weight in row:
            columns[i].append((o, weight))
    return columns


def along_axis(x, rows, axis):
    """Each output sample as the weighted sum of its taps, on one axis."""
    x = np.moveaxis(x, axis, 0)
    if x.dtype != object:
        scalar = x.dtype.type
        rows = [[(i, scalar(w.numerator) / scalar(w.denominator)) for i, w in row] for row in rows]
    nothing = np.zeros_like(x[0])
    return np.moveaxis(np.stack([sum((x[i] * w for i, w in r), nothing) for r in rows]), 0, axis)


def interpolate(x, size, mode="nearest", *, align_corners=False, scale=None, antialias=False):
    """Resize the last `len(size)` axes of `x`; `scale` holds the factors that coordinates follow.

    Nearest modes return the input's dtype; integers give an object array of exact fractions (see
    `round_integers`), floats a wider float.
    """
    n = len(size)
    factors = per_axis(scale, n)
    if mode.startswith("nearest"):
        for axis, (out_len, factor) in enumerate(zip(size, factors, strict=True), x.ndim - n):
            x = np.take(x, nearest_indices(x.shape[axis], out_len, mode, factor), axis)
        return x
    y = x.astype(object) * Fraction(1) if x.dtype.kind in "iu" else x.astype(wide(x.dtype))
    for axis, (out_len, factor) in enumerate(zip(size, factors, strict=True), x.ndim - n):
        rows = linear_taps(x.shape[axis], out_len, align_corners, factor, antialias)
        y = along_axis(y, rows, axis)
    return y


def interpolate_backward(
    grad, input_size, n, mode="nearest", *, align_corners=False, scale=None, antialias=False
):
    """The transposed map: every gradient flows back along the taps it was computed from."""
    grad_x = grad.astype(wide(grad.dtype))
    for axis, factor in zip(range(-n, 0), per_axis(scale, n), strict=True):
        in_len, out_len = input_size[axis], grad.shape[axis]
        rows = axis_taps(in_len, out_len, mode, align_corners, factor, antialias)
        grad_x = along_axis(grad_x, transposed_taps(rows, in_len), axis)
    return grad_x


ROUNDING = {
    "nearest": lambda v: math.floor(v + Fraction(1, 2)),
    "half_even": round,
    "floor": math.floor,
    "trunc": math.trunc,
}


def round_integers(exact, dtype, rounding="nearest"):
    """Exact fractions rounded once and clipped to the range of `dtype`."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    rounded = [min(max(ROUNDING[rounding](v), low), high) for v in exact.ravel()]
    return np.array(rounded, dtype).reshape(exact.shape)


def bed_of_nails(x, factor, offset=0):
    """`x` at every `factor`-th place from `offset` on, zeros elsewhere; one entry per axis each."""
    n = len(factor)
    size = tuple(i * f for i, f in zip(x.shape[-n:], factor, strict=True))
    out = np.zeros(x.shape[:-n] + size, x.dtype)
    out[(..., *nail_places(factor, offset))] = x
    return out


def bed_of_nails_backward(grad, factor, offset=0):
    """The nails pulled out again."""
    return grad[(..., *nail_places(factor, offset))]


def nail_places(factor, offset):
    """One slice per axis."""
    offsets = per_axis(offset, len(factor))
    return [slice(start, None, step) for start, step in zip(offsets, factor, strict=True)]


# --- pooling --------------------------------------------------------------------------------------
#
# A pooling is, per axis, a list of windows: the indices each one covers, and how many places it
# counts where padding counts. Strided and adaptive poolings differ in how that list is made, and in
# nothing else.


def strided_windows(size, kernel, stride, pads, dilation, ceil_mode=False):
    """Per axis and window: (indices covered, places counted).

    What lies outside the axis is not covered. Padding counts, what `ceil_mode` adds beyond does
    not.
    """
    axes = []
    for i, k, s, p, d in zip(size, kernel, stride, pads, dilation, strict=True):
        starts = [o * s - p[0] for o in range(pool_axis_size(i, k, s, p, d, ceil_mode))]
        places = [range(a, a + d * k, d) for a in starts]
        inside = [[j for j in window if 0 <= j < i] for window in places]
        counted = [sum(1 for j in window if j < i + p[1]) for window in places]
        axes.append(list(zip(inside, counted, strict=True)))
    return axes


def adaptive_windows(size, output_size):
    """The same for bins: bin o of n covers floor(o * size / n) to ceil((o + 1) * size / n)."""
    axes = []
    for i, n in zip(size, output_size, strict=True):
        n = i if n is None else n
        bins = [list(range(o * i // n, -(-(o + 1) * i // n))) for o in range(n)]
        axes.append([(inside, len(inside)) for inside in bins])
    return axes


def pooling(size, kernel, stride=None, padding=0, dilation=1, ceil_mode=False):
    """`strided_windows` from parameters in any of their spellings; the default stride is kernel."""
    n = len(size)
    kernel, dilation = per_axis(kernel, n), per_axis(dilation, n)
    stride = kernel if stride is None else per_axis(stride, n)
    pads = pad_pairs(padding, n, size, kernel, stride, dilation)
    return strided_windows(size, kernel, stride, pads, dilation, ceil_mode)


def windows(size, axes):
    """For every window its output position, the flat indices it covers, row-major, and its count.

    The windows of a block are the products of the windows of its axes.
    """
    for position in np.ndindex(*map(len, axes)):
        parts = [axis[o] for axis, o in zip(axes, position, strict=True)]
        grid = np.ix_(*(inside for inside, _ in parts))
        flat = np.ravel_multi_index(grid, size).ravel()
        yield position, flat, math.prod(counted for _, counted in parts)


def comparable(x):
    """The values in a type whose order NumPy knows; the order is unchanged."""
    return x.astype(np.float32) if is_float(x.dtype) and x.dtype.itemsize == 2 else x


def order_pool(x, axes, best):
    """(values, flat indices) of the best element of every window; `best` finds it in a window."""
    n = len(axes)
    size, lead = x.shape[-n:], x.shape[:-n]
    indices = np.zeros((*lead, *map(len, axes)), np.int64)
    flat = comparable(x).reshape(*lead, math.prod(size))
    for position, inside, _ in windows(size, axes):
        indices[(..., *position)] = inside[best(flat[..., inside], axis=-1)]
    return take_flat(x, indices, n), indices


def max_pool(x, axes):
    """(values, flat indices): the first NaN of a window, else its first maximum, row-major."""
    return order_pool(x, axes, np.argmax)


def min_pool(x, axes):
    """The mirror of `max_pool`: the first NaN of a window, else its first minimum."""
    return order_pool(x, axes, np.argmin)


def take_flat(x, indices, n):
    """The elements of each spatial block of `x` at flat indices: what a pooling index means."""
    taken = np.take_along_axis(as_blocks(x, n), as_blocks(indices, n), -1)
    return taken.reshape(indices.shape)


def as_blocks(x, n):
    """One row per channel (or whatever the leading axes are), its spatial block flattened."""
    return x.reshape(math.prod(x.shape[:-n]), math.prod(x.shape[-n:]))


def max_pool_backward(grad, indices, input_size, n):
    """Every gradient added to the element its maximum (or minimum) came from."""
    grad_x = np.zeros(input_size, wide(grad.dtype))
    rows = zip(as_blocks(grad_x, n), as_blocks(indices, n), as_blocks(grad, n), strict=True)
    for block, index, g in rows:
        np.add.at(block, index, g.astype(grad_x.dtype))
    return grad_x


def exact_or_wide(x):
    """Integers as Python's own, so that sums are exact; floats in a wider type."""
    return x.astype(object) if x.dtype.kind in "iu" else x.astype(wide(x.dtype))


def divisor(inside, counted, count_include_pad=True, divisor_override=None):
    """What the sum of a window is divided by."""
    if divisor_override is not None:
        return divisor_override
    return counted if count_include_pad else len(inside)


def avg_pool(x, axes, **rule):
    """The sum of every window over its `divisor`; exact fractions for integers."""
    n = len(axes)
    size, lead = x.shape[-n:], x.shape[:-n]
    flat = exact_or_wide(x).reshape(*lead, math.prod(size))
    y = np.zeros((*lead, *map(len, axes)), flat.dtype)
    for position, inside, counted in windows(size, axes):
        by = divisor(inside, counted, **rule)
        with np.errstate(invalid="ignore"):  # opposite infinities
            total = flat[..., inside].sum(-1)
        y[(..., *position)] = total * Fraction(1, by) if y.dtype == object else total / by
    return y


def avg_pool_backward(grad, input_size, axes, **rule):
    """Every gradient, over the divisor of its window, added to each element of the window."""
    n = len(axes)
    g = grad.astype(wide(grad.dtype))
    grad_x = np.zeros(input_size, g.dtype)
    flat = grad_x.reshape(*input_size[:-n], math.prod(input_size[-n:]))
    for position, inside, counted in windows(input_size[-n:], axes):
        flat[..., inside] += g[(..., *position, None)] / divisor(inside, counted, **rule)
    return grad_x


def lp_pool(x, axes, p):
    """(sum |x|**p)**(1/p) over every window; the largest |x| for an infinite p.

    Integers give an object array of the fractions that long doubles hold.
    """
    n = len(axes)
    size, lead = x.shape[-n:], x.shape[:-n]
    real = np.longdouble if x.dtype.kind in "iu" else wide(x.dtype)
    flat = abs(x.astype(real)).reshape(*lead, math.prod(size))
    y = np.zeros((*lead, *map(len, axes)), real)
    for position, inside, _ in windows(size, axes):
        window = flat[..., inside]
        norm = window.max(-1) if p == math.inf else (window**p).sum(-1) ** (1 / real(p))
        y[(..., *position)] = norm
    if x.dtype.kind in "iu":
        exact = [Fraction(*v.as_integer_ratio()) for v in y.ravel()]
        return np.array(exact, object).reshape(y.shape)
    return y


def lp_pool_backward(grad, x, axes, p):
    """sign(x) * |x|**(p-1) * y**(1-p) of every gradient; nothing where a norm y or an x is 0.

    An infinite p leaves the first of the largest elements.
    """
    n = len(axes)
    g, y = grad.astype(wide(grad.dtype)), lp_pool(x, axes, p)
    grad_x = np.zeros(x.shape, g.dtype)
    blocks = (*x.shape[:-n], math.prod(x.shape[-n:]))
    flat, back = x.astype(g.dtype).reshape(blocks), grad_x.reshape(blocks)
    for position, inside, _ in windows(x.shape[-n:], axes):
        window, norm = flat[..., inside], y[(..., *position, None)]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = abs(window) / norm
            slope = ratio ** g.dtype.type(p - 1)
        if p == math.inf:
            slope = np.arange(len(inside)) == np.argmax(ratio, -1)[..., None]
        slope = np.where((norm == 0) | (window == 0), 0, slope) * np.sign(window)
        back[..., inside] += g[(..., *position, None)] * slope
    return grad_x


def max_unpool_axis_size(size, kernel, stride, pad):
    """Default length of one axis of the output: the smallest input that pooling takes to `size`."""
    return (size - 1) * stride - sum(pad) + kernel


DUPLICATES = {
    "last": lambda old, new: new,
    "first": lambda old, new: old,
    "sum": lambda old, new: old + new,
    "max": lambda old, new: new if new > old or new != new else old,
}


def max_unpool(x, indices, output_size, duplicates="last"):
    """Every element at its flat index in a block of zeros of `output_size`, in scan order."""
    n = len(output_size)
    out = np.zeros((*x.shape[:-n], *output_size), x.dtype)
    rows = zip(as_blocks(out, n), as_blocks(indices, n), as_blocks(x, n), strict=True)
    for block, index, values in rows:
        written = {}
        for i, value in zip(index.tolist(), values, strict=True):
            written[i] = DUPLICATES[duplicates](written[i], value) if i in written else value
        for i, value in written.items():
            block[i] = value
    return out


def max_unpool_backward(grad, indices, n):
    """The gradient at each index; an index named twice is read twice."""
    return take_flat(grad, indices, n)


# --- convolution ----------------------------------------------------------------------------------


def tap_slices(kernel, out, stride, dilation):
    """(kernel tap, the slices of the padded input that it multiplies) for every tap.

    Tap k meets output o at place o*stride + k*dilation, so over all o it meets a strided slice.
    """
    for tap in np.ndindex(*kernel):
        yield (
            tap,
            tuple(
                slice(k * d, k * d + (o - 1) * s + 1, s)
                for k, o, s, d in zip(tap, out, stride, dilation, strict=True)
            ),
        )


def split_groups(x, axis, groups):
    """`x` cut into `groups` equal parts along `axis`."""
    return np.split(x, groups, axis)


def with_batch_and_channels(x, n):
    """`(C, *S)` and `(*S)` as `(N, C, *S)`; a bare kernel becomes `(1, 1, *K)` likewise."""
    return x.reshape((1,) * (n + 2 - x.ndim) + x.shape)


def channel_products(a, b):
    """Every channel of `a` times every channel of `b`, summed over batch and places."""
    summed = [0, *range(2, a.ndim)]
    return np.tensordot(a, b, (summed, summed))


def pad_zeros(x, pads):
    """`x` with zeros around its spatial axes."""
    return np.pad(x, [(0, 0), (0, 0), *pads])


def conv(x, weight, bias, n, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlation: y[o] = bias + sum over k of weight[k] * x[o*stride + k*dilation - pad]."""
    shape_of_x = x.shape
    acc = wide(x.dtype)
    x = with_batch_and_channels(x, n).astype(acc)
    weight = with_batch_and_channels(weight, n).astype(acc)
    kernel, stride, dilation = weight.shape[2:], per_axis(stride, n), per_axis(dilation, n)
    pads = pad_pairs(padding, n, x.shape[2:], kernel, stride, dilation)
    out = [
        pool_axis_size(i, k, s, p, d)
        for i, k, s, p, d in zip(x.shape[2:], kernel, stride, pads, dilation, strict=True)
    ]
    y = np.zeros((x.shape[0], weight.shape[0], *out), acc)
    for tap, places in tap_slices(kernel, out, stride, dilation):
        seen = pad_zeros(x, pads)[(..., *places)]
        parts = [
            np.einsum("nc...,oc->no...", xs, ws[(..., *tap)])
            for xs, ws in zip(
                split_groups(seen, 1, groups), split_groups(weight, 0, groups), strict=True
            )
        ]
        y += np.concatenate(parts, 1)
    if bias is not None:
        y += bias.astype(acc).reshape(-1, *(1,) * n)
    return y.reshape(y.shape[n + 2 - len(shape_of_x) :])


def conv_backward(grad, x, weight, n, stride=1, padding=0, dilation=1, groups=1):
    """Gradients of `conv` for x, weight and bias: the same products, summed over the other two."""
    shape_of_x, shape_of_weight = x.shape, weight.shape
    acc = wide(x.dtype)
    grad = with_batch_and_channels(grad, n).astype(acc)
    x = with_batch_and_channels(x, n).astype(acc)
    weight = with_batch_and_channels(weight, n).astype(acc)
    kernel, stride, dilation = weight.shape[2:], per_axis(stride, n), per_axis(dilation, n)
    pads = pad_pairs(padding, n, x.shape[2:], kernel, stride, dilation)
    padded = pad_zeros(x, pads)
    grad_padded, grad_weight = np.zeros_like(padded), np.zeros_like(weight)
    grads = split_groups(grad, 1, groups)
    for tap, places in tap_slices(kernel, grad.shape[2:], stride, dilation):
        seen = split_groups(padded[(..., *places)], 1, groups)
        weights = split_groups(weight[(..., *tap)], 0, groups)
        back = [np.einsum("no...,oc->nc...", g, w) for g, w in zip(grads, weights, strict=True)]
        grad_padded[(..., *places)] += np.concatenate(back, 1)
        outer = [channel_products(g, xs) for g, xs in zip(grads, seen, strict=True)]
        grad_weight[(..., *tap)] += np.concatenate(outer, 0)
    inside = [slice(p[0], p[0] + i) for p, i in zip(pads, x.shape[2:], strict=True)]
    grad_bias = grad.sum(axis=(0, *range(2, n + 2)))
    return (
        grad_padded[(..., *inside)].reshape(shape_of_x),
        grad_weight.reshape(shape_of_weight),
        grad_bias,
    )


def conv_transpose(x, weight, bias, n, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Every input element stamps its kernel, times its value, at stride steps; stamps add up.

    The canvas of all stamps is then cropped by `padding` and extended by `output_padding`.
    """
    shape_of_x = x.shape
    acc = wide(x.dtype)
    x = with_batch_and_channels(x, n).astype(acc)
    weight = with_batch_and_channels(weight, n).astype(acc)
    kernel, size = weight.shape[2:], x.shape[2:]
    stride, dilation = per_axis(stride, n), per_axis(dilation, n)
    pads, extra = pad_pairs(padding, n), per_axis(output_padding, n)
    canvas = [
        conv_transpose_axis_size(i, k, s, (0, 0), d, e)
        for i, k, s, d, e in zip(size, kernel, stride, dilation, extra, strict=True)
    ]
    y = np.zeros((x.shape[0], weight.shape[1] * groups, *canvas), acc)
    for tap, places in tap_slices(kernel, size, stride, dilation):
        stamps = [
            np.einsum("nc...,co->no...", xs, ws[(..., *tap)])
            for xs, ws in zip(
                split_groups(x, 1, groups), split_groups(weight, 0, groups), strict=True
            )
        ]
        y[(..., *places)] += np.concatenate(stamps, 1)
    y = y[(..., *(slice(p[0], c - p[1]) for p, c in zip(pads, canvas, strict=True)))]
    if bias is not None:
        y = y + bias.astype(acc).reshape(-1, *(1,) * n)
    return y.reshape(y.shape[n + 2 - len(shape_of_x) :])


def conv_transpose_backward(
    grad, x, weight, n, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """Gradients of `conv_transpose` for x, weight and bias.

    It is the transpose of a convolution whose kernel has the same taps with the channel roles
    swapped, so its own transpose is that convolution, applied to the gradient.
    """
    shape_of_x, shape_of_weight = x.shape, weight.shape
    acc = wide(x.dtype)
    grad = with_batch_and_channels(grad, n).astype(acc)
    x = with_batch_and_channels(x, n).astype(acc)
    weight = with_batch_and_channels(weight, n).astype(acc)
    size, stride, dilation = x.shape[2:], per_axis(stride, n), per_axis(dilation, n)
    grad_bias = grad.sum(axis=(0, *range(2, n + 2)))
    canvas = split_groups(pad_zeros(grad, pad_pairs(padding, n)), 1, groups)
    grad_x, grad_weight = np.zeros_like(x), np.zeros_like(weight)
    for tap, places in tap_slices(weight.shape[2:], size, stride, dilation):
        seen = [part[(..., *places)] for part in canvas]
        weights = split_groups(weight[(..., *tap)], 0, groups)
        back = [np.einsum("no...,co->nc...", g, w) for g, w in zip(seen, weights, strict=True)]
        grad_x += np.concatenate(back, 1)
        xs = split_groups(x, 1, groups)
        outer = [channel_products(part, g) for part, g in zip(xs, seen, strict=True)]
        grad_weight[(..., *tap)] += np.concatenate(outer, 0)
    return grad_x.reshape(shape_of_x), grad_weight.reshape(shape_of_weight), grad_bias
