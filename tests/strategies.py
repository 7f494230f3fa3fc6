"""Hypothesis strategies for what every operation shares: dtypes, shapes, values, memory layouts.

Sizes straddle vector widths, values come from a drawn seed (so they shrink with the shape), and a
layout is a name, so that a failing example prints in one line.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

INTEGERS = tuple(map(np.dtype, ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")))
FLOATS = (np.dtype("f2"), BFLOAT16, np.dtype("f4"), np.dtype("f8"))
COMPLEX = (np.dtype("c8"), np.dtype("c16"))
BOOL = (np.dtype("?"),)

RESIZED = INTEGERS + FLOATS
ORDERED = BOOL + INTEGERS + FLOATS
CONVOLVED = INTEGERS + FLOATS + COMPLEX
MOVED = ORDERED + COMPLEX + (np.dtype("g"),)

# Lengths around the widths of vector registers and of unrolled loops.
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)

seeds = st.integers(0, 2**16)


@st.composite
def shapes(draw, axes, budget=2500):
    """`axes` lengths from SIZES whose product is at most `budget`; any axis may be the long one."""
    shape = [1] * axes
    for axis in draw(st.permutations(range(axes))):
        shape[axis] = draw(st.sampled_from([s for s in SIZES if s <= budget]))
        budget //= shape[axis]
    return tuple(shape)


def leading_axes(largest=3):
    """Nought to three axes in front of the spatial ones."""
    return st.lists(st.integers(1, largest), max_size=3).map(tuple)


@st.composite
def spelled(draw, values):
    """One int per axis as a user may write it: an int if all agree, a tuple, a list, NumPy ints."""
    values = tuple(values)
    ways = [values, list(values), tuple(np.int64(v) for v in values)]
    if len(set(values)) == 1:
        ways = [values[0], np.int32(values[0]), *ways]
    return draw(st.sampled_from(ways))


@st.composite
def spelled_pads(draw, pairs):
    """(before, after) per axis: as pairs, or as plain ints where both sides agree."""
    if all(before == after for before, after in pairs):
        return draw(spelled([before for before, _ in pairs]) | st.just(tuple(pairs)))
    return tuple(pairs)


def values(shape, dtype, seed, specials=False):
    """An array that depends on nothing but its arguments.

    Integers span their whole type. Floats are normal or, for every other seed, from a handful of
    values so that ties are common; `specials` sprinkles NaN, infinities and both zeros.
    """
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    real = rng.standard_normal(shape) if seed % 2 else rng.integers(-3, 4, shape) / 2
    if specials:
        odd = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0])[rng.integers(0, 5, shape)]
        real = np.where(rng.random(shape) < rng.choice([0.05, 0.6]), odd, real)
    if dtype.kind == "c":
        both = np.stack([real, np.flip(real)], -1)
        return both.view(np.complex128)[..., 0].astype(dtype)
    return real.astype(dtype)


# --- memory layouts -------------------------------------------------------------------------------


def _fortran(x, n):
    return np.asfortranarray(x)


def _reversed(x, n):
    every_axis = (slice(None, None, -1),) * x.ndim
    return np.ascontiguousarray(x[every_axis])[every_axis]


def _step2(x, n):
    wider = np.zeros([2 * s for s in x.shape], x.dtype)
    view = wider[(slice(None, None, 2),) * x.ndim]
    view[...] = x
    return view


def _last_axis_step2(x, n):
    wider = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wider[..., 1::2] = x
    return wider[..., 1::2]


def _rows_apart(x, n):
    wider = np.zeros((*x.shape[:-1], x.shape[-1] + 3), x.dtype)
    wider[..., 1:-2] = x
    return wider[..., 1:-2]


def _transposed(x, n):
    return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2) if x.ndim > 1 else x.copy()


def _channels_innermost(x, n):
    """A channels-first shape that lies channels-last in memory."""
    if x.ndim <= n:
        return x.copy()
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1 - n, -1)), -1, -1 - n)


def _channels_outermost(x, n):
    """A channels-last shape that lies channels-first in memory."""
    if x.ndim <= n:
        return x.copy()
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, -1 - n)), -1 - n, -1)


def _read_only(x, n):
    x = x.copy()
    x.flags.writeable = False
    return x


def _misaligned(x, n):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def _packed_field(x, n):
    """A field of packed records: its stride is no multiple of its item size."""
    records = np.zeros(x.shape, np.dtype([("tag", "u1"), ("value", x.dtype)]))
    records["value"] = x
    return records["value"]


def _big_endian(x, n):
    return x.copy() if x.dtype == BFLOAT16 else x.astype(x.dtype.newbyteorder(">"))


LAYOUTS = {
    "contiguous": lambda x, n: np.ascontiguousarray(x),
    "fortran": _fortran,
    "reversed": _reversed,
    "step2": _step2,
    "last_axis_step2": _last_axis_step2,
    "rows_apart": _rows_apart,
    "transposed": _transposed,
    "channels_innermost": _channels_innermost,
    "channels_outermost": _channels_outermost,
    "read_only": _read_only,
    "misaligned": _misaligned,
    "packed_field": _packed_field,
    "big_endian": _big_endian,
}
WRITABLE = [name for name in LAYOUTS if name not in ("read_only", "big_endian")]
IN_PLACE = [name for name in WRITABLE if name not in ("misaligned", "packed_field")]

layouts = st.sampled_from(list(LAYOUTS))


def lay_out(x, layout, n=1):
    """The same values in another memory layout; `n` spatial axes tell where channels are."""
    laid = LAYOUTS[layout](x, n)
    assert laid.shape == x.shape, layout
    return laid
