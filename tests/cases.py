"""One call of one operation as data, and strategies that draw such calls for every operation.

A `Case` knows what to call, on which arrays, and what the oracle says of the result; `laws.py`
states the laws over cases, and a test file per operation says which laws hold for which cases.
Arrays in a case are channels-first and contiguous; `given` moves the channel axis and lays memory
out as drawn.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

import reference as ref
import strategies as sts
import upsample_rs as us


@dataclass(frozen=True, repr=False)
class Case:
    op: str
    n: int
    arrays: tuple
    options: dict
    oracle: Callable  # arrays -> tuple of results
    exact: bool  # the oracle's results are to be met bit for bit
    terms: tuple = (1,)  # else: rounding errors per element of each result,
    slack: float = 0.0  # and the error of weights, in units of eps(float64) * max |array|
    rounding: str | None = None  # integers in double: how the oracle's fractions are rounded,
    exact_to: int = 2**20  # and the largest element up to which that is exact
    channels_last: bool = False
    layouts: tuple = ()  # of each array in memory
    moved_in: tuple = (True,)  # which arrays, and which results, have a channel axis to move
    moved_out: tuple = (True,)
    gradient: Callable | None = None  # gradient of the first result -> the backward case

    def __repr__(self):
        arrays = [
            "None" if a is None else f"{a.dtype}{[*a.shape]}{a.tolist() if a.size < 20 else ''}"
            for a in self.arrays
        ]
        last = ", channels_last" if self.channels_last else ""
        return f"{self.op}({', '.join(arrays)}, {self.options}{last}, memory {self.layouts})"

    def _repr_pretty_(self, printer, cycle):
        printer.text(repr(self))

    def given(self, arrays=None, channels_last=None, layouts=None):
        """The arrays as the package gets them."""
        arrays = self.arrays if arrays is None else arrays
        last = self.channels_last if channels_last is None else channels_last
        layouts = layouts or self.layouts or ("contiguous",) * len(arrays)
        out = []
        for a, moved, layout in zip(arrays, self.moved_in, layouts, strict=True):
            if a is not None and last and moved:
                a = ref.to_channels_last(a, self.n)
            out.append(None if a is None else sts.lay_out(a, layout, self.n))
        return out

    def call(self, given, channels_last=None, **changes):
        """The package's own results, always as a tuple."""
        options = {**self.options, **changes}
        if self.channels_last if channels_last is None else channels_last:
            options["channels_last"] = True
            if "input_size" in options:
                size = list(options["input_size"])
                size.append(size.pop(-1 - self.n))
                options["input_size"] = tuple(size)
        results = getattr(us, self.op)(*given, **options)
        return results if isinstance(results, tuple) else (results,)

    def first(self, results, channels_last=None):
        """Results with the channel axis back in front of the spatial ones."""
        if not (self.channels_last if channels_last is None else channels_last):
            return results
        return tuple(
            ref.to_channels_first(r, self.n) if moved and r is not None else r
            for r, moved in zip(results, self.moved_out, strict=True)
        )

    def run(self, arrays=None, channels_last=None, layouts=None, **changes):
        """`given`, `call` and `first` in one."""
        given = self.given(arrays, channels_last, layouts)
        return self.first(self.call(given, channels_last, **changes), channels_last)

    @functools.cached_property
    def expected(self):
        """What the oracle says."""
        return self.oracle(*self.arrays)

    @functools.cached_property
    def magnitude(self):
        """The same sums over absolute values: what rounding errors are relative to."""
        return self.oracle(
            *(a if a is None or a.dtype.kind in "biu" else abs(a) for a in self.arrays)
        )

    def backward(self, seed=1, dtype=None):
        """The backward case for some gradient of the first result."""
        shape = self.expected[0].shape
        return self.gradient(sts.values(shape, dtype or self.arrays[0].dtype, seed))


@st.composite
def placed(draw, case):
    """The case with a drawn channel order and memory layout; every other time neither."""
    if draw(st.booleans()):
        return case
    return replace(
        case,
        channels_last=case.arrays[0].ndim > case.n and draw(st.booleans()),
        layouts=tuple(draw(sts.layouts) for _ in case.arrays),
    )


@st.composite
def backward_of(draw, forward):
    """The backward case of a drawn forward case, placed anew."""
    return draw(placed(draw(forward).backward(draw(sts.seeds))))


# --- resizing -------------------------------------------------------------------------------------

NEAREST = ("nearest", "nearest-exact")
LINEAR = ("linear", "bilinear", "trilinear")
MODES = NEAREST + LINEAR
FACTORS = (1 / 3, 0.5, 0.7, 1.0, 1.3, 1.5, 2.0, 2.5, 3.0, 4.0, 7.9, 8.0)


@st.composite
def interpolate_cases(draw, modes=MODES, dtypes=None, sized=None, specials=True):
    """`sized`: the output by size (True), by scale factor (False), or either."""
    mode = draw(st.sampled_from(modes))
    nearest = mode in NEAREST
    n = draw(st.integers(1, 3)) if nearest else LINEAR.index(mode) + 1
    dtype = draw(st.sampled_from(dtypes or (sts.MOVED if nearest else sts.RESIZED)))
    exact_fractions = dtype.kind in "iu" and not nearest
    budget = 300 if exact_fractions else 2500
    lead = draw(sts.leading_axes(1 if exact_fractions else 3))
    size = draw(sts.shapes(n, budget))
    options = {"mode": mode}
    if not nearest:
        options["align_corners"] = draw(st.sampled_from([None, False, True]))
        options["antialias"] = draw(st.booleans())
    if exact_fractions:
        options["rounding"] = draw(st.sampled_from(list(ref.ROUNDING)))
    if draw(st.booleans()) if sized is None else sized:
        out, scale = draw(sts.shapes(n, budget)), None
        alone = not nearest and len(set(out)) == 1 and draw(st.booleans())
        options["size"] = out[0] if alone else draw(st.sampled_from([out, list(out)]))
    else:
        scale = []
        for length in size:
            fits = [f for f in FACTORS if 1 <= math.floor(length * f) <= max(budget, length)]
            scale.append(draw(st.sampled_from(fits)))
            budget = max(budget // math.floor(length * scale[-1]), 1)
        out = tuple(math.floor(i * f) for i, f in zip(size, scale, strict=True))
        alone = not nearest and len(set(scale)) == 1 and draw(st.booleans())
        options["scale_factor"] = scale[0] if alone else tuple(scale)
        options["recompute_scale_factor"] = draw(st.sampled_from([None, False, True]))
        scale = None if options["recompute_scale_factor"] else tuple(scale)
    x = sts.values((*lead, *size), dtype, draw(sts.seeds), specials and nearest)
    return draw(placed(interpolate_case(x, out, scale, options)))


def interpolate_case(x, out, scale, options):
    """The case of one resize; `scale` holds the factors coordinates follow, None for the sizes."""
    n, mode = len(out), options["mode"]
    rule = {k: options[k] for k in ("align_corners", "antialias") if options.get(k) is not None}
    rows = [
        ref.axis_taps(i, o, mode, scale=f, **rule)
        for i, o, f in zip(x.shape[-n:], out, ref.per_axis(scale, n), strict=True)
    ]

    def gradient(grad):
        columns = [ref.transposed_taps(r, i) for r, i in zip(rows, x.shape[-n:], strict=True)]
        return Case(
            op="interpolate_backward",
            n=n,
            arrays=(grad,),
            options={"mode": mode, **rule, "scale_factor": scale, "input_size": x.shape},
            oracle=lambda g: (ref.interpolate_backward(g, x.shape, n, mode, scale=scale, **rule),),
            exact=False,
            terms=(rounding_errors(columns),),
            slack=weight_errors(columns, out),
        )

    return Case(
        op="interpolate",
        n=n,
        arrays=(x,),
        options=options,
        oracle=lambda x: (ref.interpolate(x, out, mode, scale=scale, **rule),),
        exact=mode in NEAREST,
        terms=(rounding_errors(rows),),
        slack=weight_errors(rows, x.shape[-n:]),
        rounding=options.get("rounding", "nearest"),
        gradient=gradient,
    )


def rounding_errors(rows_per_axis):
    """Per axis: one per tap for the sum, three more for weight, product and store."""
    return sum(max(map(len, rows)) + 3 for rows in rows_per_axis)


def weight_errors(rows_per_axis, lengths):
    """On an axis of `len` elements a coordinate, and so a weight, is off by len units of double."""
    return 4 * max(lengths) * math.prod(max(map(len, rows)) for rows in rows_per_axis)


@st.composite
def bed_of_nails_cases(draw, dtypes=sts.MOVED):
    n = draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(dtypes))
    shape = (*draw(sts.leading_axes()), *draw(sts.shapes(n, 400)))
    x = sts.values(shape, dtype, draw(sts.seeds), specials=True)
    factor = tuple(draw(st.integers(1, 5 if n < 3 else 3)) for _ in range(n))
    offset = tuple(draw(st.integers(0, f - 1)) for f in factor)
    alone = n == 2 and factor[0] == factor[1] and draw(st.booleans())
    options = {"factor": factor[0] if alone else factor, "offset": draw(sts.spelled(offset))}

    def gradient(grad):
        return Case(
            op="bed_of_nails_backward",
            n=n,
            arrays=(grad,),
            options={**options, "input_size": x.shape},
            oracle=lambda g: (ref.bed_of_nails_backward(g, factor, offset),),
            exact=True,
        )

    case = Case(
        op="bed_of_nails",
        n=n,
        arrays=(x,),
        options=options,
        oracle=lambda x: (ref.bed_of_nails(x, factor, offset),),
        exact=True,
        gradient=gradient,
    )
    return draw(placed(case))


# --- pooling --------------------------------------------------------------------------------------


def extent(kernel, dilation):
    """Length of a dilated kernel."""
    return dilation * (kernel - 1) + 1


@st.composite
def pool_windows(draw, size, longest=7):
    """(kernel, stride, pads, dilation) per axis such that windows fit and none is all padding."""
    axes = []
    for length in size:
        k, d = draw(st.integers(1, longest)), draw(st.integers(1, 3))
        half = extent(k, d) // 2
        pad = (draw(st.integers(0, half)), draw(st.integers(0, half)))
        if length + sum(pad) < extent(k, d) or (d > 1 and extent(k, d) > length):
            k, d, pad = min(k, length), 1, (0, 0)
        axes.append((k, draw(st.integers(1, 5)), pad, d))
    return tuple(zip(*axes, strict=True))


# Kernel, stride, padding, dilation: lengths around powers of two, strides and dilations of a few,
# padding on either side, both or by a rule.
LONG_WINDOWS = [
    (2, 1, 0, 1),
    (3, 1, 1, 1),
    (3, 2, 1, 1),
    (5, 1, "same", 1),
    (8, 1, ((4, 3),), 1),
    (15, 3, 7, 1),
    (16, 1, 8, 1),
    (17, 1, 0, 1),
    (31, 2, ((0, 15),), 1),
    (33, 1, 16, 2),
    (63, 1, ((31, 0),), 1),
    (64, 2, "same_lower", 1),
    (65, 3, 32, 1),
    (100, 1, 50, 1),
    (101, 1, 50, 1),
    (101, 2, 50, 2),
    (101, 3, 100, 2),
]


# Windows of three axes: long along one, or sharing much, or little.
TALL = [  # shape, kernel, stride
    ((1, 2103, 3), (1, 2100, 1), (1, 1, 1)),
    ((1, 2070, 5), (1, 2049, 2), (1, 4, 1)),
    ((1, 90, 40), (1, 30, 3), (1, 29, 2)),
    ((1, 90, 40), (1, 9, 1), (1, 9, 1)),
    ((12, 13, 14), (5, 6, 7), (1, 1, 1)),
    ((12, 13, 14), (6, 6, 3), (6, 5, 2)),
    ((300, 4, 5), (150, 2, 2), (50, 1, 2)),
]


@functools.cache
def long_windows(window, dtype, specials=False):
    """For each length around that of the window: three rows of it, and the windows along them."""
    kernel, stride, padding, dilation = window
    span = extent(kernel, dilation)
    rows = []
    for length in (span, span + 1, 2 * span - 1, 2 * span, 3 * span + 7):
        x = sts.values((3, length), dtype, length, specials)
        rows.append((x, ref.pooling((length,), kernel, stride, padding, dilation)))
    return rows


def along(window, axis, n):
    """Parameters of a pooling over `n` axes that is this one along `axis` and nothing elsewhere."""
    kernel, stride, padding, dilation = window
    spread = [[v if i == axis else 1 for i in range(n)] for v in (kernel, stride, dilation)]
    if isinstance(padding, str):
        pads = padding
    else:
        (pair,) = ref.pad_pairs(padding, 1)
        pads = tuple(pair if i == axis else (0, 0) for i in range(n))
    return {"kernel_size": spread[0], "stride": spread[1], "dilation": spread[2], "padding": pads}


@dataclass(frozen=True)
class Pooling:
    """The windows of a drawn pooling, and the options that ask for them."""

    size: tuple  # of the input
    axes: list  # of the oracle
    options: dict
    meeting: int  # how many windows an element may be in

    @property
    def largest(self):
        """Elements of the largest window."""
        return math.prod(max(len(inside) for inside, _ in axis) for axis in self.axes)


@st.composite
def poolings(draw, n, budget=1500):
    """Strided windows over `n` axes, with every parameter in some spelling."""
    size = draw(sts.shapes(n, budget))
    kernel, stride, pads, dilation = draw(pool_windows(size))
    options = {"kernel_size": draw(sts.spelled(kernel)), "ceil_mode": draw(st.booleans())}
    options["dilation"] = draw(sts.spelled(dilation))
    if draw(st.booleans()):
        options["stride"] = draw(sts.spelled(stride))
    else:
        stride = kernel
    same = all(d == 1 for d in dilation) and draw(st.integers(0, 3)) == 0
    if same:
        options["padding"] = pads = draw(st.sampled_from(["same", "same_lower"]))
    elif not any(map(any, pads)) and draw(st.booleans()):
        options["padding"] = "valid"
    else:
        options["padding"] = draw(sts.spelled_pads(pads))
    axes = ref.pooling(size, kernel, stride, pads, dilation, options["ceil_mode"])
    steps = zip(kernel, dilation, stride, strict=True)
    meeting = math.prod(-(-extent(k, d) // s) for k, d, s in steps)
    return Pooling(size, axes, options, meeting)


@st.composite
def adaptive_poolings(draw, n, budget=1500):
    """Bins over `n` axes: fewer than elements, more, as many, or None for as many."""
    size = draw(sts.shapes(n, budget))
    out = [draw(st.integers(1, min(2 * i, 40)) | st.just(i)) for i in size]
    axes = ref.adaptive_windows(size, out)
    asked = [None if o == i and draw(st.booleans()) else o for i, o in zip(size, out, strict=True)]
    option = asked if None in asked else draw(sts.spelled(asked))
    per_axis = zip(size, out, strict=True)
    return Pooling(size, axes, {"output_size": option}, math.prod(o // i + 2 for i, o in per_axis))


@st.composite
def order_pool_cases(
    draw, op="max_pool", dtypes=sts.ORDERED, specials=True, indices=None, longest=3
):
    """Maxima and minima of strided windows and of bins.

    `op` is `max_pool`, `min_pool` or `adaptive_max_pool`; `indices`: whether indices are asked for
    too, None draws it.
    """
    n = draw(st.integers(1, 3))
    pooling = draw(adaptive_poolings(n) if op.startswith("adaptive") else poolings(n))
    oracle = ref.min_pool if op == "min_pool" else ref.max_pool
    dtype = draw(st.sampled_from(dtypes))
    with_indices = draw(st.booleans()) if indices is None else indices
    index_dtype = draw(st.sampled_from(["int64", "int32"])) if with_indices else "int64"
    options = {**pooling.options, "return_indices": with_indices, "index_dtype": index_dtype}
    shape = (*draw(sts.leading_axes(longest)), *pooling.size)
    x = sts.values(shape, dtype, draw(sts.seeds), specials)

    def results(x):
        values, at = oracle(x, pooling.axes)
        return (values, at.astype(index_dtype)) if with_indices else (values,)

    def gradient(grad):
        return Case(
            op=f"{op}{n}d_backward",
            n=n,
            arrays=(grad, oracle(x, pooling.axes)[1].astype(index_dtype)),
            options={"input_size": x.shape},
            oracle=lambda g, at: (ref.max_pool_backward(g, at, x.shape, n),),
            exact=False,
            terms=(pooling.meeting,),
            moved_in=(True, True),
        )

    case = Case(
        op=f"{op}{n}d",
        n=n,
        arrays=(x,),
        options=options,
        oracle=results,
        exact=True,
        moved_out=(True, True) if with_indices else (True,),
        gradient=gradient,
    )
    return draw(placed(case))


def max_pool_cases(dtypes=sts.ORDERED, specials=True, indices=None):
    """Maxima of strided windows."""
    return order_pool_cases("max_pool", dtypes, specials, indices)


@st.composite
def divisors(draw):
    """The rules of an average's divisor."""
    rule = {}
    if draw(st.booleans()):
        rule["count_include_pad"] = draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:
        rule["divisor_override"] = draw(st.sampled_from([1, 2, 3, 7, 1000]))
    return rule


@st.composite
def avg_pool_cases(draw, op="avg_pool", dtypes=sts.RESIZED, specials=True):
    """Averages of strided windows (`avg_pool`) and of bins (`adaptive_avg_pool`)."""
    n = draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(dtypes))
    budget = 300 if dtype.kind in "iu" else 1500
    adaptive = op.startswith("adaptive")
    pooling = draw(adaptive_poolings(n, budget) if adaptive else poolings(n, budget))
    rule = {} if adaptive else draw(divisors())
    options = {**pooling.options, **rule}
    rounding = draw(st.sampled_from([None, *ref.ROUNDING]))
    shape = (*draw(sts.leading_axes(1 if dtype.kind in "iu" else 3)), *pooling.size)
    x = sts.values(shape, dtype, draw(sts.seeds), specials)

    def gradient(grad):
        sizes = {"output_size"} if adaptive else set()
        return Case(
            op=f"{op}{n}d_backward",
            n=n,
            arrays=(grad,),
            options={k: v for k, v in options.items() if k not in sizes} | {"input_size": x.shape},
            oracle=lambda g: (ref.avg_pool_backward(g, x.shape, pooling.axes, **rule),),
            exact=False,
            terms=(pooling.meeting + 3,),
        )

    case = Case(
        op=f"{op}{n}d",
        n=n,
        arrays=(x,),
        options=options | ({"rounding": rounding} if rounding else {}),
        oracle=lambda x: (ref.avg_pool(x, pooling.axes, **rule),),
        exact=False,
        terms=(pooling.largest + 3,),
        rounding=rounding or "nearest",
        exact_to=2**32,  # whose sums a double holds
        gradient=gradient,
    )
    return draw(placed(case))


NORMS = (1, 2, 3, 2.0, 1.5, 4, 0.5, math.inf)


@st.composite
def lp_pool_cases(draw, dtypes=sts.RESIZED, norms=NORMS, specials=True):
    n = draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(dtypes))
    half = ref.is_float(dtype) and dtype.itemsize == 2  # whose range small p soon leave
    p = draw(st.sampled_from([p for p in norms if p >= 1 or not half]))
    pooling = draw(poolings(n, 300 if dtype.kind in "iu" else 1500))
    options = {**pooling.options, "norm_type": p}
    rounding = draw(st.sampled_from([None, *ref.ROUNDING]))
    shape = (*draw(sts.leading_axes(1 if dtype.kind in "iu" else 3)), *pooling.size)
    x = sts.values(shape, dtype, draw(sts.seeds), specials)
    terms = norm_errors(pooling.largest, p)

    def gradient(grad):
        return Case(
            op=f"lp_pool{n}d_backward",
            n=n,
            arrays=(grad, x),
            options=options,
            oracle=lambda g, x: (ref.lp_pool_backward(g, x, pooling.axes, p),),
            exact=False,
            terms=(pooling.meeting + (0 if p == math.inf else abs(p - 1)) * terms + 8,),
            moved_in=(True, True),
        )

    case = Case(
        op=f"lp_pool{n}d",
        n=n,
        arrays=(x,),
        options=options | ({"rounding": rounding} if rounding else {}),
        oracle=lambda x: (ref.lp_pool(x, pooling.axes, p),),
        exact=False,
        terms=(terms,),
        rounding=rounding or "nearest",
        gradient=gradient,
    )
    return draw(placed(case))


def norm_errors(elements, p):
    """Relative rounding errors of a norm: those of the sum and its powers over p, then the root."""
    return 1 if p == math.inf else (elements + 3) / p + 3


@st.composite
def max_unpool_cases(
    draw, dtypes=sts.MOVED, duplicates=(), unique=None, specials=True, small=False
):
    """Indices without repetition where `unique`; else `duplicates` names the policies to draw.

    `small` values add up exactly in every type.
    """
    n = draw(st.integers(1, 3))
    size = draw(sts.shapes(n, 300))
    unique = not duplicates if unique is None else unique
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(n))
    stride = tuple(draw(st.integers(1, k)) for k in kernel)
    pads = tuple((draw(st.integers(0, k // 2)), draw(st.integers(0, k // 2))) for k in kernel)
    out = [
        ref.max_unpool_axis_size(i, k, s, p)
        for i, k, s, p in zip(size, kernel, stride, pads, strict=True)
    ]
    if any(o < i if unique else o < 1 for o, i in zip(out, size, strict=True)):
        pads, stride = ((0, 0),) * n, kernel
        out = [i * k for i, k in zip(size, kernel, strict=True)]
    options = {"kernel_size": draw(sts.spelled(kernel)), "stride": draw(sts.spelled(stride))}
    options["padding"] = draw(sts.spelled_pads(pads))
    if draw(st.booleans()):
        out = [draw(st.integers(o, o + s - 1)) for o, s in zip(out, stride, strict=True)]
        options["output_size"] = draw(st.sampled_from([tuple(out), list(out)]))
    policy = draw(st.sampled_from(duplicates)) if duplicates else None
    if policy:
        options["duplicates"] = policy
    shape, dtype = (*draw(sts.leading_axes(2)), *size), draw(st.sampled_from(dtypes))
    x = sts.values(shape, dtype, draw(sts.seeds), specials)
    if small:
        x = (sts.values(shape, np.uint8, 1) % 3).astype(dtype)
    at = draw_indices(x.shape, n, math.prod(out), draw(sts.seeds), unique)
    at = at.astype(draw(st.sampled_from(["int64", "int32"])))

    def gradient(grad):
        return Case(
            op=f"max_unpool{n}d_backward",
            n=n,
            arrays=(grad, at),
            options={},
            oracle=lambda g, at: (ref.max_unpool_backward(g, at, n),),
            exact=True,
            moved_in=(True, True),
        )

    case = Case(
        op=f"max_unpool{n}d",
        n=n,
        arrays=(x, at),
        options=options,
        oracle=lambda x, at: (ref.max_unpool(x, at, tuple(out), policy or "last"),),
        exact=True,
        moved_in=(True, True),
        gradient=gradient,
    )
    return draw(placed(case))


def draw_indices(shape, n, block, seed, unique):
    """Flat indices into blocks of `block` elements, one for each element of `shape`."""
    rng = np.random.default_rng(seed)
    count = math.prod(shape[-n:])
    rows = [
        rng.choice(block, count, replace=False) if unique else rng.integers(0, block, count)
        for _ in range(math.prod(shape[:-n]))
    ]
    return np.array(rows, np.int64).reshape(shape)


# --- convolution ----------------------------------------------------------------------------------


@st.composite
def channels(draw):
    """(form, batch, groups, in channels per group, out channels per group)."""
    form = draw(st.sampled_from(["batch", "batch", "single", "bare"]))
    if form == "bare":
        return form, 1, 1, 1, 1
    groups_ins_outs = [(1, 1, 1), (2, 3, 2), (1, 2, 5), (3, 1, 1), (1, 9, 17), (4, 2, 2)]
    groups_ins_outs += [(1, 3, 40), (1, 40, 3), (2, 8, 8)]
    batch = draw(st.integers(1, 2)) if form == "batch" else 1
    return form, batch, *draw(st.sampled_from(groups_ins_outs))


def shaped(array, form, n):
    """`(N, C, *S)` as `(C, *S)` or `(*S)`, a kernel `(O, I, *K)` as `(*K)`."""
    return array.reshape(array.shape[{"batch": 0, "single": 1, "bare": 2}[form] :])


def wrapped(results, dtype):
    """Integer convolution wraps in its own dtype; floats stay wide."""
    return tuple(r.astype(dtype) for r in results) if dtype.kind in "iu" else tuple(results)


@st.composite
def conv_cases(draw, dtypes=sts.CONVOLVED):
    n = draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(dtypes))
    form, batch, groups, ins, outs = draw(channels())
    size = draw(sts.shapes(n, 600 if ins * outs > 20 else 1500))
    kernel = tuple(draw(st.integers(1, 5 if n < 3 else 3)) for _ in range(n))
    stride = tuple(draw(st.sampled_from([1, 1, 2, 2, 3, 4, 6, 9])) for _ in range(n))
    dilation = tuple(draw(st.sampled_from([1, 1, 2, 3, 4, 6])) for _ in range(n))
    padding = draw(st.sampled_from(["numbers", "numbers", "same", "same_lower", "valid"]))
    if padding == "numbers":
        pads = []
        for i, k, d in zip(size, kernel, dilation, strict=True):
            before, after = draw(st.integers(0, 4)), draw(st.integers(0, 4))
            pads.append((before, max(after, extent(k, d) - i - before)))
        padding = draw(sts.spelled_pads(pads))
    elif padding == "valid":
        kernel = tuple(min(k, i) for k, i in zip(kernel, size, strict=True))
        fits = [extent(k, d) <= i for k, d, i in zip(kernel, dilation, size, strict=True)]
        dilation = tuple(d if fit else 1 for d, fit in zip(dilation, fits, strict=True))
        pads = "valid"
    else:
        pads = padding
    x = sts.values((batch, groups * ins, *size), dtype, draw(sts.seeds))
    weight = sts.values((groups * outs, ins, *kernel), dtype, draw(sts.seeds))
    bias = sts.values((groups * outs,), dtype, draw(sts.seeds)) if draw(st.booleans()) else None
    options = {"stride": draw(sts.spelled(stride)), "padding": padding, "groups": groups}
    options["dilation"] = draw(sts.spelled(dilation))
    kernel_form = "bare" if form == "bare" else "batch"
    arrays = (shaped(x, form, n), shaped(weight, kernel_form, n), bias)
    rule = (n, stride, pads, dilation, groups)
    terms = math.prod(kernel) * ins + 3

    def gradient(grad):
        return conv_gradient("conv", grad, arrays, options, rule, ref.conv_backward, outs)

    case = Case(
        op=f"conv{n}d",
        n=n,
        arrays=arrays,
        options=options,
        oracle=lambda x, w, b: wrapped([ref.conv(x, w, b, *rule)], dtype),
        exact=dtype.kind in "iu",
        terms=(terms,),
        moved_in=(True, False, False),
        gradient=gradient,
    )
    return draw(placed(case))


def conv_gradient(name, grad, arrays, options, rule, oracle, outs):
    """The backward case of a convolution: three results, none of them for a missing batch."""
    x, weight, _ = arrays
    n = rule[0]
    places = math.prod(grad.shape) // (outs * options["groups"])
    terms = (math.prod(weight.shape[-n:]) * outs + 3, max(places, x.size) + 3, places + 3)
    return Case(
        op=f"{name}{n}d_backward",
        n=n,
        arrays=(grad, x, weight),
        options={k: v for k, v in options.items() if k != "output_size"},
        oracle=lambda g, x, w: oracle(g, x, w, *rule),
        exact=False,
        terms=terms,
        moved_in=(True, True, False),
        moved_out=(True, False, False),
    )


@st.composite
def conv_transpose_cases(draw, dtypes=sts.CONVOLVED):
    n = draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(dtypes))
    form, batch, groups, ins, outs = draw(channels())
    strides = {1: [1, 2, 2, 3, 4, 5, 8, 16], 2: [1, 2, 2, 3, 4, 8], 3: [1, 2, 2, 3]}[n]
    stride = tuple(draw(st.sampled_from(strides)) for _ in range(n))
    size = draw(sts.shapes(n, {1: 70, 2: 150 if max(stride) < 8 else 40, 3: 60}[n]))
    kernel = tuple(draw(st.integers(1, 5 if n < 3 else 3)) for _ in range(n))
    dilation = tuple(draw(st.sampled_from([1, 1, 2, 3, 4, 6][: 9 - 2 * n])) for _ in range(n))
    pads, extra = [], []
    for i, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        extra.append(draw(st.integers(0, max(s, d) - 1)))
        room = ref.conv_transpose_axis_size(i, k, s, (0, 0), d) - 1
        before = draw(st.integers(0, min(room, 4)))
        pads.append((before, draw(st.integers(0, min(room - before, 4)))))
    x = sts.values((batch, groups * ins, *size), dtype, draw(sts.seeds))
    weight = sts.values((groups * ins, outs, *kernel), dtype, draw(sts.seeds))
    bias = sts.values((groups * outs,), dtype, draw(sts.seeds)) if draw(st.booleans()) else None
    options = {"stride": draw(sts.spelled(stride)), "padding": draw(sts.spelled_pads(pads))}
    options |= {"groups": groups, "dilation": draw(sts.spelled(dilation))}
    backward_options = {**options, "output_padding": draw(sts.spelled(extra))}
    if draw(st.booleans()):
        options["output_size"] = tuple(
            ref.conv_transpose_axis_size(*axis)
            for axis in zip(size, kernel, stride, pads, dilation, extra, strict=True)
        )
    else:
        options = backward_options
    kernel_form = "bare" if form == "bare" else "batch"
    arrays = (shaped(x, form, n), shaped(weight, kernel_form, n), bias)
    rule = (n, stride, pads, tuple(extra), groups, dilation)
    terms = math.prod(kernel) * ins + 3

    def gradient(grad):
        oracle = ref.conv_transpose_backward
        return conv_gradient("conv_transpose", grad, arrays, backward_options, rule, oracle, outs)

    case = Case(
        op=f"conv_transpose{n}d",
        n=n,
        arrays=arrays,
        options=options,
        oracle=lambda x, w, b: wrapped([ref.conv_transpose(x, w, b, *rule)], dtype),
        exact=dtype.kind in "iu",
        terms=(terms,),
        moved_in=(True, False, False),
        gradient=gradient,
    )
    return draw(placed(case))
