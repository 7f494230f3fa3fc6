"""Strategies that draw calls of `resize`, and what the oracle says of them."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

import cases
import reference as ref
import reference_resize as direct
import strategies as sts

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
)
EDGES = ("clamp", "reflect", "mirror", "wrap", "constant")
ROUNDINGS = ("round_prefer_ceil", "round_prefer_floor", "floor", "ceil")
REGIONS = ((0.0, 1.0), (0.25, 0.75), (-0.25, 1.5), (1.0, 0.0), (0.75, 0.25), (0.5, 0.5), (1.5, 2.0))
SCALES = (0.3, 0.5, 0.7, 1.0, 4 / 3, 1.5, 2.0, 2.6, 3.0)


@dataclass(frozen=True, repr=False)
class ResizeCase(cases.Case):
    """A case that knows the sums over absolute weights, for filters that have negative ones."""

    absolute: object = None

    @functools.cached_property
    def magnitude(self):
        return self.absolute(*self.arrays)


@st.composite
def resize_cases(
    draw,
    methods=direct.METHODS,
    dtypes=None,
    coordinates=COORDINATES,
    edges=EDGES,
    fills=None,
    specials=True,
):
    """Any axes of an array of one to four, a method and a coordinate rule for each."""
    ndim = draw(st.integers(1, 4))
    shape = draw(sts.shapes(ndim, 120))
    axes = draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
    n = len(axes)
    own = [draw(st.sampled_from(methods)) for _ in axes]
    rules = [draw(st.sampled_from(coordinates)) for _ in axes]
    if draw(st.booleans()):
        own, rules = own[:1] * n, rules[:1] * n
    moves = set(own) == {"nearest"}
    dtype = draw(st.sampled_from(dtypes or (sts.MOVED if moves else sts.RESIZED)))
    x = sts.values(shape, dtype, draw(sts.seeds), specials and moves)
    options = {"axes": tuple(a - ndim * draw(st.booleans()) for a in axes)}
    options["method"] = own[0] if len(set(own)) == 1 else tuple(own)
    options["coordinates"] = rules[0] if len(set(rules)) == 1 else tuple(rules)
    options["edge"] = draw(st.sampled_from(edges))
    if not moves:
        options["antialias"] = draw(st.booleans())
    options["exclude_outside"] = draw(st.sampled_from([None, None, False, True]))
    if "cubic" in own:
        options["cubic_a"] = draw(st.sampled_from([None, -0.5, -0.75, -1.0]))
    if "nearest" in own:
        options["nearest_rounding"] = draw(st.sampled_from(ROUNDINGS))
    if "tf_crop_and_resize" in rules:
        options["roi"] = tuple(draw(st.sampled_from(REGIONS)) for _ in axes)
    options |= draw(targets([shape[a] for a in axes]))
    options["fill"] = draw(st.sampled_from(fills or [0, 1, 7]))
    if dtype.kind == "b":
        options["fill"] = min(options["fill"], 1)
    if dtype.kind in "iu":
        options["rounding"] = draw(st.sampled_from(list(ref.ROUNDING)))
    return replace(resize_case(x, axes, own, rules, options), layouts=(draw(sts.layouts),))


@st.composite
def targets(draw, lengths):
    """By size, by scale, or by size with a policy; not too large in all."""
    budget = 240
    if draw(st.booleans()):
        scale = []
        for n in lengths:
            fits = [s for s in SCALES if 1 <= math.floor(n * s) <= max(budget, 1)] or [1.0]
            scale.append(draw(st.sampled_from(fits)))
            budget //= max(math.floor(n * scale[-1]), 1)
        return {"scale": tuple(scale)}
    size = draw(sts.shapes(len(lengths), budget))
    policy = draw(st.sampled_from(["stretch", "stretch", "not_larger", "not_smaller"]))
    if policy != "stretch":
        made, _ = direct.out_sizes(lengths, size, None, policy)
        if min(made) < 1 or math.prod(made) > 1000:
            policy = "stretch"
    return {"size": size, "keep_aspect_ratio": policy}


def resize_case(x, axes, own, rules, options):
    """The case of one resize; `own` and `rules` are the methods and coordinates of `axes`."""
    lengths = [x.shape[a] for a in axes]
    policy = options.get("keep_aspect_ratio", "stretch")
    made, factors = direct.out_sizes(lengths, options.get("size"), options.get("scale"), policy)
    regions = options.get("roi") or [None] * len(axes)
    per_axis = [
        {"m": m, "method": f, "coordinates": c, "scale": s, "roi": r}
        for m, f, c, s, r in zip(made, own, rules, factors, regions, strict=True)
    ]
    keys = ("antialias", "edge", "cubic_a", "nearest_rounding", "exclude_outside")
    shared = {k: options[k] for k in keys if k in options}
    rows = direct.all_rows(x.shape, axes, per_axis, **shared)
    moves = set(own) == {"nearest"}
    fill = options.get("fill", 0)
    given = [k for k in ("size", "scale", "axes", "method", "coordinates", "roi") if k in options]
    back_options = {k: options[k] for k in (*given, *shared) if k in options}
    if policy != "stretch":
        back_options["keep_aspect_ratio"] = policy

    def forward(x):
        if moves:
            return (direct.resize_nearest(x, rows, np.array(fill).astype(x.dtype)),)
        exact = direct.resize(x.astype(sum_type(x.dtype)), rows, float(fill))
        return (as_fractions(exact) if x.dtype.kind in "iu" else exact,)

    def absolute(x):
        return (direct.resize(x.astype(sum_type(x.dtype)), rows, float(fill), magnitude=True),)

    def gradient(grad):
        def back(g, magnitude=False):
            g = g.astype(sum_type(g.dtype))
            return (direct.resize_backward(g, rows, x.shape, magnitude),)

        return ResizeCase(
            op="resize_backward",
            n=x.ndim,
            arrays=(grad,),
            options={**back_options, "input_size": x.shape},
            oracle=back,
            absolute=functools.partial(back, magnitude=True),
            exact=False,
            terms=(rounding_errors(rows) + 4 * max(map(len, rows)),),
            slack=weight_errors(rows, x.shape) * max(map(len, rows)),
        )

    return ResizeCase(
        op="resize",
        n=x.ndim,
        arrays=(x,),
        options=options,
        oracle=forward,
        absolute=absolute,
        exact=moves,
        terms=(rounding_errors(rows),),
        slack=weight_errors(rows, x.shape),
        rounding=options.get("rounding", "nearest"),
        gradient=gradient,
    )


def sum_type(dtype):
    """Double, or wider for what double cannot hold."""
    return np.longdouble if dtype.itemsize == 8 and dtype.kind in "iuf" else np.float64


def as_fractions(exact):
    """Doubles as the exact fractions they are."""
    made = [Fraction(*v.as_integer_ratio()) for v in exact.ravel()]
    return np.array(made, object).reshape(exact.shape)


def rounding_errors(rows):
    """Per axis: one per tap for the sum, three more for weight, product and store."""
    return sum(n + 3 for n in direct.most_taps(rows))


def weight_errors(rows, lengths):
    """A coordinate is off by its magnitude in units of double, a weight by a few more."""
    return 16 * (max(lengths) + 4) * math.prod(direct.most_taps(rows))


# --- the modes of `interpolate` that `cases` does not have ----------------------------------------

SPATIAL = {"bicubic": 2, "tricubic": 3, "lanczos": None, "area": None}
AS_RESIZE = {"bicubic": "cubic", "tricubic": "cubic", "lanczos": "lanczos3"}


@st.composite
def interpolate_cases(draw, dtypes=sts.RESIZED):
    mode = draw(st.sampled_from(list(SPATIAL)))
    n = SPATIAL[mode] or draw(st.integers(1, 3))
    lead = draw(sts.leading_axes(1))
    size, out = draw(sts.shapes(n, 100)), draw(sts.shapes(n, 200))
    x = sts.values((*lead, *size), draw(st.sampled_from(dtypes)), draw(sts.seeds))
    options = {"mode": mode, "size": out}
    if mode != "area":
        options["antialias"] = draw(st.booleans())
        options["align_corners"] = draw(st.sampled_from([None, False, True]))
    if x.dtype.kind in "iu":
        options["rounding"] = draw(st.sampled_from(list(ref.ROUNDING)))
    return draw(cases.placed(interpolate_case(x, out, options)))


def interpolate_case(x, out, options):
    """An interpolation as a resize of the last axes; `area` has rows of its own."""
    n, mode, antialias = len(out), options["mode"], options.get("antialias", False)
    axes = tuple(range(x.ndim - n, x.ndim))
    if mode == "area":
        rows = [[{i: Fraction(1)} for i in range(length)] for length in x.shape]
        for axis, m in zip(axes, out, strict=True):
            rows[axis] = mean_rows(x.shape[axis], m)
    else:
        rule = "align_corners" if options["align_corners"] else "half_pixel"
        own = {"method": AS_RESIZE[mode], "coordinates": rule, "antialias": antialias}
        rows = direct.all_rows(x.shape, axes, [{"m": m, **own} for m in out])
    known = {k: v for k, v in options.items() if k in ("mode", "antialias", "align_corners")}

    def forward(x):
        exact = direct.resize(x.astype(sum_type(x.dtype)), rows)
        return (as_fractions(exact) if x.dtype.kind in "iu" else exact,)

    def absolute(x):
        return (direct.resize(x.astype(sum_type(x.dtype)), rows, magnitude=True),)

    def gradient(grad):
        def back(g, magnitude=False):
            g = g.astype(sum_type(g.dtype))
            return (direct.resize_backward(g, rows, x.shape, magnitude),)

        return ResizeCase(
            op="interpolate_backward",
            n=n,
            arrays=(grad,),
            options={**known, "input_size": x.shape},
            oracle=back,
            absolute=functools.partial(back, magnitude=True),
            exact=False,
            terms=(rounding_errors(rows) + 4 * max(map(len, rows)),),
            slack=weight_errors(rows, x.shape) * max(map(len, rows)),
        )

    return ResizeCase(
        op="interpolate",
        n=n,
        arrays=(x,),
        options=options,
        oracle=forward,
        absolute=absolute,
        exact=False,
        terms=(rounding_errors(rows),),
        slack=weight_errors(rows, x.shape),
        rounding=options.get("rounding", "nearest"),
        gradient=gradient,
    )


def mean_rows(n, m):
    """Adaptive average pooling: the mean of elements `o*n/m` to `(o + 1)*n/m`, whole ones."""
    bins = [range(o * n // m, -(-(o + 1) * n // m)) for o in range(m)]
    return [{i: Fraction(1, len(b)) for i in b} for b in bins]
