"""`resize` in plain Python, to be read: one sum over all taps for every output, nothing separated.

Coordinates are exact fractions. Weights are fractions where the filter is a polynomial, else
double.
"""

import functools
import itertools
import math
from fractions import Fraction

import numpy as np

import reference as ref

OUTSIDE = "outside"  # the output is the constant, whatever the filter


# --- where an output lies -------------------------------------------------------------------------


def coordinate(o, n, m, rule, scale=None, roi=None):
    """Position of output `o` of `m` among `n` inputs; `scale` is the factor it follows, if any."""
    s = Fraction(m, n) if scale is None else Fraction(scale)
    length = s * n  # of the output, before it is rounded down
    if rule == "half_pixel" or (rule == "pytorch_half_pixel" and m > 1):
        return (o + Fraction(1, 2)) / s - Fraction(1, 2)
    if rule == "pytorch_half_pixel":
        return Fraction(0)
    if rule == "half_pixel_symmetric":
        return Fraction(n, 2) * (1 - m / length) + (o + Fraction(1, 2)) / s - Fraction(1, 2)
    if rule == "align_corners":
        return o * (n - 1) / (length - 1) if length > 1 else Fraction(0)
    if rule == "asymmetric":
        return o / s
    start, end = map(Fraction, roi)
    if length == 1:
        return (start + end) / 2 * (n - 1)
    return start * (n - 1) + o * (end - start) * (n - 1) / (length - 1)


def step(n, m, rule, scale=None, roi=None):
    """Inputs from one output to the next: what an antialiased filter widens by."""
    s = Fraction(m, n) if scale is None else Fraction(scale)
    if rule == "align_corners" or (rule == "tf_crop_and_resize" and s * n != 1):
        if s * n == 1:
            return Fraction(0)
        start, end = map(Fraction, roi) if rule == "tf_crop_and_resize" else (0, 1)
        return abs((end - start) * (n - 1) / (s * n - 1))
    if rule == "tf_crop_and_resize" or (rule == "pytorch_half_pixel" and m == 1):
        return Fraction(0)
    return 1 / s


def nearest(c, rounding):
    """The index a position becomes."""
    return {
        "round_prefer_ceil": math.floor(c + Fraction(1, 2)),
        "round_prefer_floor": math.ceil(c - Fraction(1, 2)),
        "floor": math.floor(c),
        "ceil": math.ceil(c),
    }[rounding]


# --- filters --------------------------------------------------------------------------------------


def sinc(x):
    return math.sin(math.pi * x) / (math.pi * x) if x % 1 else float(x == 0)


def cubic(x, a):
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0


def mitchell(x):
    x, b, c = abs(x), Fraction(1, 3), Fraction(1, 3)
    if x < 1:
        return ((12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b) / 6
    outer = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + 8 * b + 24 * c
    return outer / 6 if x < 2 else 0


def lanczos(x, n):
    return sinc(x) * sinc(Fraction(x) / n) if abs(x) < n else 0


FILTERS = {
    "linear": (1, lambda x, a: max(1 - abs(x), 0)),
    "cubic": (2, cubic),
    "lanczos2": (2, lambda x, a: lanczos(x, 2)),
    "lanczos3": (3, lambda x, a: lanczos(x, 3)),
    "lanczos4": (4, lambda x, a: lanczos(x, 4)),
    "lanczos5": (5, lambda x, a: lanczos(x, 5)),
    "gaussian": (3, lambda x, a: math.exp(-2 * x * x) if abs(x) < 3 else 0),
    "mitchell": (2, lambda x, a: mitchell(x)),
    "box": (1, lambda x, a: int(-Fraction(1, 2) < x <= Fraction(1, 2))),
    "hamming": (
        1,
        lambda x, a: sinc(x) * (0.54 + 0.46 * math.cos(math.pi * x)) if abs(x) < 1 else 0,
    ),
}
METHODS = ("nearest", *FILTERS, "area")


def overlap(c, i, width):
    """Share of element `i` in a box of this width around `c`."""
    if width == 0:
        return max(1 - abs(c - i), 0)
    common = min(c + width / 2, i + Fraction(1, 2)) - max(c - width / 2, i - Fraction(1, 2))
    return max(common, 0) / width


# --- one axis -------------------------------------------------------------------------------------


def resolve(i, n, edge):
    """Which element lies at position `i`, for the edge rules that have one there."""
    if edge == "clamp":
        return min(max(i, 0), n - 1)
    if edge == "wrap":
        return i % n
    turned = list(range(n)) + (list(range(n - 2, 0, -1)) if edge == "mirror" else [*range(n)][::-1])
    if edge in ("reflect", "mirror"):
        return turned[i % len(turned)]
    return i if 0 <= i < n else None


def axis_rows(
    n,
    m,
    *,
    method="linear",
    coordinates="half_pixel",
    scale=None,
    roi=None,
    antialias=False,
    edge="clamp",
    cubic_a=None,
    nearest_rounding="round_prefer_ceil",
    exclude_outside=None,
):
    """For each output the weights by index, `None` standing for the constant; or OUTSIDE."""
    exclude = antialias and edge == "clamp" if exclude_outside is None else exclude_outside
    width = step(n, m, coordinates, scale, roi)
    a = Fraction(cubic_a if cubic_a is not None else -0.5 if antialias else -0.75)
    rows = []
    for o in range(m):
        c = coordinate(o, n, m, coordinates, scale, roi)
        if coordinates == "tf_crop_and_resize" and not 0 <= c <= n - 1:
            rows.append(OUTSIDE)
            continue
        if method == "nearest":
            row = {nearest(c, nearest_rounding): Fraction(1)}
        elif method == "area":
            reach = math.ceil(max(width, 1)) + 1
            near = range(math.floor(c) - reach, math.floor(c) + reach + 2)
            row = {i: overlap(c, i, width) for i in near}
        else:
            support, weight = FILTERS[method]
            widened = max(width, Fraction(1)) if antialias else Fraction(1)
            reach = math.ceil(support * widened) + 1
            near = range(math.floor(c) - reach, math.floor(c) + reach + 2)
            row = {i: weight((i - c) / widened, a) for i in near}
        rows.append(settled(row, n, edge, exclude))
    return rows


def settled(row, n, edge, exclude):
    """Weights made to sum to one, and what lies outside seen to."""
    row = {i: w for i, w in row.items() if w}
    total = sum(row.values())
    row = {i: w / total for i, w in row.items()}
    if exclude:
        inside = {i: w for i, w in row.items() if 0 <= i < n}
        if not inside:  # nothing is left to weigh: the nearest element
            return {0 if max(row) < 0 else n - 1: Fraction(1)}
        total = sum(inside.values())
        return {i: w / total for i, w in inside.items()}
    found = {}
    for i, w in row.items():
        at = resolve(i, n, edge)
        found[at] = found.get(at, 0) + w
    return found


# --- all axes -------------------------------------------------------------------------------------


def out_sizes(lengths, size=None, scale=None, keep_aspect_ratio="stretch"):
    """Output lengths, and the factors that coordinates follow."""
    if scale is not None:
        factors = [Fraction(s) for s in scale]
        return [math.floor(n * float(f)) for n, f in zip(lengths, factors, strict=True)], factors
    if keep_aspect_ratio == "stretch":
        return list(size), [None] * len(size)
    pick = min if keep_aspect_ratio == "not_larger" else max
    factor = pick(Fraction(m, n) for m, n in zip(size, lengths, strict=True))
    return [math.floor(n * factor + Fraction(1, 2)) for n in lengths], [factor] * len(size)


def all_rows(shape, axes, per_axis, **options):
    """Rows for every axis of an array; one that is not resized copies."""
    rows = [[{i: Fraction(1)} for i in range(n)] for n in shape]
    for axis, own in zip(axes, per_axis, strict=True):
        rows[axis] = axis_rows(shape[axis], **own, **options)
    return rows


def taps_of(row, n):
    """Indices and double weights; the constant lies behind the last element."""
    return [n if i is None else i for i in row], np.array([float(w) for w in row.values()])


def product(weights):
    return functools.reduce(np.multiply, np.ix_(*weights))


def resize(x, rows, fill=0.0, magnitude=False):
    """Every output as one sum over the product of its axes' taps, in double."""
    if magnitude:
        x, fill = abs(x), abs(fill)
    padded = np.pad(x, [(0, 1)] * x.ndim, constant_values=fill)
    for axis in range(x.ndim):  # the corners of the padding too
        padded[(slice(None),) * axis + (-1,)] = fill
    out = np.full([len(r) for r in rows], fill, x.dtype)
    for at in itertools.product(*(range(len(r)) for r in rows)):
        row = [r[o] for r, o in zip(rows, at, strict=True)]
        if OUTSIDE in row:
            continue
        taps = [taps_of(r, n) for r, n in zip(row, x.shape, strict=True)]
        if not all(len(i) for i, _ in taps):
            out[at] = 0
            continue
        weights = product([abs(w) if magnitude else w for _, w in taps])
        out[at] = np.sum(padded[np.ix_(*(i for i, _ in taps))] * weights)
    return out


def resize_backward(grad, rows, shape, magnitude=False):
    """Every gradient sent back along the taps it was computed from."""
    out = np.zeros(shape, grad.dtype)
    for at in itertools.product(*(range(len(r)) for r in rows)):
        row = [r[o] for r, o in zip(rows, at, strict=True)]
        if OUTSIDE in row:
            continue
        taps = [taps_of({i: w for i, w in r.items() if i is not None}, 0) for r in row]
        if not all(len(i) for i, _ in taps):
            continue
        weights = product([abs(w) if magnitude else w for _, w in taps])
        out[np.ix_(*(i for i, _ in taps))] += weights * (abs(grad[at]) if magnitude else grad[at])
    return out


def resize_nearest(x, rows, fill):
    """As `resize` where every row is one element: copied, in the dtype of `x`."""
    out = np.full([len(r) for r in rows], fill, x.dtype)
    for at in itertools.product(*(range(len(r)) for r in rows)):
        row = [r[o] for r, o in zip(rows, at, strict=True)]
        if OUTSIDE not in row and all(None not in r for r in row):
            out[at] = x[tuple(next(iter(r)) for r in row)]
    return out


def most_taps(rows):
    """The longest row of each axis."""
    return [max((len(r) for r in axis if r != OUTSIDE), default=1) for axis in rows]


wide = ref.wide
