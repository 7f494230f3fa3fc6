"""`roi_align`, `roi_pool` and their backward.

The oracle is in this file: every sample point of every bin and its four neighbours, one by one.
"""

from __future__ import annotations

import math
import runpy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import strategies as sts
import upsample_rs as us
from cases import Case

# --- the oracle -----------------------------------------------------------------------------------


def sample_points(low, high, bins, sampling, aligned):
    """For each bin the coordinates of its points, in double."""
    offset = 0.5 if aligned else 0.0
    start, end = low - offset, high - offset
    size = end - start if aligned else max(end - start, 1.0)
    step = size / bins
    grid = sampling if sampling > 0 else max(math.ceil(step), 0)
    return [[start + p * step + (i + 0.5) * step / grid for i in range(grid)] for p in range(bins)]


def neighbours(point, length):
    """The elements around a point and their weights; none outside the image."""
    if point < -1 or point > length:
        return [(0, 0.0)]
    point = max(point, 0.0)
    low = int(point)
    if low >= length - 1:
        return [(length - 1, 1.0), (length - 1, 0.0)]
    return [(low, 1.0 - (point - low)), (low + 1, point - low)]


def side_matrix(points, length, number):
    """`[bin, element]`: the mean weight of each element, exactly if `number` is Fraction."""
    matrix = np.full((len(points), length), number(0), object if number is Fraction else number)
    for p, bin_points in enumerate(points):
        for point in bin_points:
            for i, w in neighbours(point, length):
                matrix[p, i] += number(w)
        if bin_points:
            matrix[p] /= number(len(bin_points))
    return matrix


def each_box(x, boxes, output_size, spatial_scale, sampling, aligned):
    """For each box: its image, and the points of its bins along H and W."""
    for image, *corners in np.asarray(boxes).astype(np.float64):
        x1, y1, x2, y2 = (c * spatial_scale for c in corners)
        rows = sample_points(y1, y2, output_size[0], sampling, aligned)
        columns = sample_points(x1, x2, output_size[1], sampling, aligned)
        yield x[int(image)], rows, columns


def weighted_sum(plane, rows, columns):
    """`rows @ plane @ columns.T`, without looking at elements of weight zero."""
    h, w = np.flatnonzero(rows != 0), np.flatnonzero(columns != 0)
    return (plane[:, h[:, None], w] * (rows[h, None] * columns[w])).sum((-1, -2))


def roi_align(x, boxes, output_size, spatial_scale=1.0, sampling=-1, aligned=False):
    """Means, in a wide type; of integers, exact fractions."""
    exact = x.dtype.kind in "iu"
    number = Fraction if exact else ref.wide(x.dtype)
    x = x.astype(object) if exact else x.astype(number)
    out = np.full((len(boxes), x.shape[1], *output_size), number(0), x.dtype)
    per_box = each_box(x, boxes, output_size, spatial_scale, sampling, aligned)
    for k, (image, rows, columns) in enumerate(per_box):
        rows = side_matrix(rows, x.shape[2], number)
        columns = side_matrix(columns, x.shape[3], number)
        with np.errstate(invalid="ignore"):
            for p, q in np.ndindex(*output_size):
                out[k, :, p, q] = weighted_sum(image, rows[p], columns[q])
    return out


def roi_align_backward(grad, boxes, shape, spatial_scale=1.0, sampling=-1, aligned=False):
    """The transpose of `roi_align`."""
    number = ref.wide(grad.dtype)
    grad, out = grad.astype(number), np.zeros(shape, number)
    per_box = each_box(out, boxes, grad.shape[2:], spatial_scale, sampling, aligned)
    for k, (image, rows, columns) in enumerate(per_box):
        rows = side_matrix(rows, shape[2], number)
        columns = side_matrix(columns, shape[3], number)
        image += np.einsum("cpq,ph,qw->chw", grad[k], rows, columns)
    return out


def products(rows, columns, shape):
    """All weights a bin's points give to elements, `(h, w, weight)`; a zero is at no place."""
    for y in rows:
        for x in columns:
            for i, down in neighbours(y, shape[0]):
                for j, across in neighbours(x, shape[1]):
                    weight = down * across
                    yield (i, j, weight) if weight else (-1, -1, 0.0)


def roi_align_max(x, boxes, output_size, spatial_scale=1.0, sampling=-1, aligned=False):
    """ONNX's maximum: of all elements times weights. Returns it, the place and the weight."""
    wide = x.astype(ref.wide(x.dtype) if x.dtype.kind == "f" else np.float64)
    shape = (len(boxes), x.shape[1], *output_size)
    out, weights = np.zeros(shape, wide.dtype), np.zeros(shape)
    places = np.full((*shape, 2), -1)
    per_box = each_box(wide, boxes, output_size, spatial_scale, sampling, aligned)
    for k, (image, rows, columns) in enumerate(per_box):
        for p, q in np.ndindex(*output_size):
            found = sorted(set(products(rows[p], columns[q], x.shape[2:])))
            # Elements in row-major order; a product of zero comes last and must be larger.
            found = [f for f in found if f[2]] + [f for f in found if not f[2]][:1]
            for c, plane in enumerate(image):
                best = None
                for i, j, weight in found:
                    value = weight * plane[i, j] if weight else wide.dtype.type(0)
                    if best is None or value > best or (np.isnan(value) and not np.isnan(best)):
                        best, where = value, (i, j, weight)
                if best is not None:
                    out[k, c, p, q] = best
                    *places[k, c, p, q], weights[k, c, p, q] = where
    return out, places, weights


def pool_bins(low, high, bins, length):
    """Elements of each bin of a box rounded to whole elements."""

    def rounded(v):
        return int(math.copysign(math.floor(abs(v) + 0.5), v))

    start = rounded(low)
    size = max(rounded(high) - start + 1, 1)
    edges = [(p * size // bins, -(-(p + 1) * size // bins)) for p in range(bins)]
    return [range(max(start + a, 0), min(start + b, length)) for a, b in edges]


def roi_pool(x, boxes, output_size, spatial_scale=1.0):
    """The largest elements, and where they are: first in row-major order, a NaN before all."""
    shape = (len(boxes), x.shape[1], *output_size)
    out, places = np.zeros(shape, x.dtype), np.full((*shape, 2), -1)
    comparable = ref.comparable(x)
    for k, (image, *corners) in enumerate(np.asarray(boxes).astype(np.float64)):
        x1, y1, x2, y2 = (c * spatial_scale for c in corners)
        rows = pool_bins(y1, y2, output_size[0], x.shape[2])
        columns = pool_bins(x1, x2, output_size[1], x.shape[3])
        for c, p, q in np.ndindex(shape[1:]):
            h, w = rows[p], columns[q]
            if len(h) == 0 or len(w) == 0:
                continue
            block = comparable[int(image), c, h.start : h.stop, w.start : w.stop]
            i, j = np.unravel_index(np.argmax(block), block.shape)  # argmax: NaN first, then first
            i, j = i + h.start, j + w.start
            places[k, c, p, q] = i, j
            value = x[int(image), c, i, j]
            out[k, c, p, q] = value if comparable[int(image), c, i, j] != 0 else 0
    return out, places


def scatter(grad, boxes, places, weights, shape):
    """Gradients to the places they came from, times weights; none where the place is negative."""
    out = np.zeros(shape, ref.wide(grad.dtype))
    images = np.asarray(boxes).astype(np.float64)[:, 0].astype(int)
    for k, c, p, q in np.ndindex(grad.shape):
        i, j = places[k, c, p, q]
        if i >= 0:
            g = grad[k, c, p, q].astype(out.dtype)
            out[images[k], c, i, j] += g * weights[k, c, p, q]
    return out


# --- cases ----------------------------------------------------------------------------------------

BOX_DTYPES = [np.dtype(t) for t in ("f8", "f8", "f4", "f2", "i4", "i8", "u1")] + [sts.BFLOAT16]


@st.composite
def boxes_on(draw, shape, scale):
    """`(K, 5)` boxes: inside, across the edges, outside, tiny, the wrong way round."""
    rng = np.random.default_rng(draw(sts.seeds))
    dtype = draw(st.sampled_from(BOX_DTYPES))
    k = draw(st.integers(0, 4))
    size = np.array([shape[3], shape[2]] * 2) / scale
    reach = rng.choice([0.3, 1.0, 1.5, 8.0], (k, 1))
    middle = rng.random((k, 4)) * size
    corners = (middle + (rng.random((k, 4)) - 0.5) * reach * size).clip(-60 / scale, 200)
    if draw(st.booleans()):
        corners = np.round(corners * 2) / 2
    if draw(st.integers(0, 3)):
        corners = np.concatenate([np.sort(corners[:, 0::2]), np.sort(corners[:, 1::2])], 1)
        corners = corners[:, [0, 2, 1, 3]]
    if dtype.kind == "u":
        corners = abs(corners)
    images = rng.integers(0, shape[0], (k, 1))
    return np.concatenate([images, corners], 1).astype(dtype)


@st.composite
def problems(draw, dtypes, specials, budget=900):
    """(x, boxes, options that all have)."""
    dtype = draw(st.sampled_from(dtypes))
    shape = (*(draw(st.integers(1, 3)) for _ in range(2)), *draw(sts.shapes(2, budget)))
    if draw(st.integers(0, 3)) == 0:  # channels enough for whole vectors
        shape = (shape[0], draw(st.sampled_from([4, 17, 70])), min(shape[2], 9), min(shape[3], 9))
    x = sts.values(shape, dtype, draw(sts.seeds), specials and draw(st.booleans()))
    scale = draw(st.sampled_from([1.0, 0.5, 0.25, 1 / 3]))
    boxes = draw(boxes_on(shape, scale))
    out = tuple(draw(st.sampled_from([1, 2, 3, 4, 7, 9])) for _ in range(2))
    alone = out[0] == out[1] and draw(st.booleans())
    return x, boxes, {"output_size": out[0] if alone else out, "spatial_scale": scale}, out


class WithX(Case):
    """A backward whose last array is the keyword `x`."""

    def call(self, given, channels_last=None, **changes):
        *given, x = given
        return super().call(given, channels_last, x=x, **changes)


def longest(boxes, out, scale, sampling, shape):
    """Most elements that enter one result, along both sides together."""
    points = [sampling] if sampling > 0 else [1]
    if sampling <= 0 and len(boxes):
        b = boxes.astype(np.float64)
        points += [math.ceil(abs(v) * scale) + 1 for v in (b[:, 3:] - b[:, 1:3]).ravel()]
    return min(2 * max(points), shape[2]) + min(2 * max(points), shape[3])


def far_apart(x, seed):
    """Values of which no two, times weights, are as good as equal: rounding moves no maximum."""
    planes = x.reshape(-1, x.shape[2] * x.shape[3])
    ranks = np.random.default_rng(seed).permuted(np.ones_like(planes, float).cumsum(1), axis=1)
    return (ranks - planes.shape[1] / 3 + 0.37).reshape(x.shape).astype(x.dtype)


@st.composite
def align_cases(draw, dtypes=sts.RESIZED, specials=True, modes=("avg", "max")):
    mode = draw(st.sampled_from(modes))
    if mode == "max":  # one by one is slow, and fractions do not order quickly
        x, boxes, options, out = draw(problems(dtypes, specials, 120))
    else:
        integers = all(d.kind in "iu" for d in dtypes)
        x, boxes, options, out = draw(problems(dtypes, specials, 120 if integers else 900))
    if mode == "max" and x.dtype.kind in "iu":
        x = (x.astype(np.int64) % 100).astype(x.dtype)
    if mode == "max" and not specials:
        x = far_apart(x, draw(sts.seeds))
    sampling = draw(st.sampled_from([-1, 0, 1, 2, 3, 5, 40 if mode == "avg" else 4]))
    aligned = draw(st.booleans())
    scale = options["spatial_scale"]
    rule = (scale, sampling, aligned)
    options |= {"sampling_ratio": sampling, "aligned": aligned, "mode": mode}
    if x.dtype.kind in "iu":
        options["rounding"] = draw(st.sampled_from(list(ref.ROUNDING)))
    shared = {k: v for k, v in options.items() if k not in ("output_size", "rounding")}

    def oracle(x, _):
        if mode == "avg":
            return (roi_align(x, boxes, out, *rule),)
        got = roi_align_max(x, boxes, out, *rule)[0]
        if x.dtype.kind in "iu":
            got = np.frompyfunc(Fraction, 1, 1)(got)
        return (got,)

    def gradient(grad):
        size = {"input_size": x.shape}
        terms = (len(boxes) * (out[0] + 1) + out[1] + 9,)
        if mode == "avg":
            return Case(
                op="roi_align_backward",
                n=2,
                arrays=(grad, boxes),
                options={**shared, **size},
                oracle=lambda g, _: (roi_align_backward(g, boxes, x.shape, *rule),),
                exact=False,
                terms=terms,
                slack=64.0,
                moved_in=(True, False),
            )
        _, places, weights = roi_align_max(x, boxes, out, *rule)
        return WithX(
            op="roi_align_backward",
            n=2,
            arrays=(grad, boxes, x),
            options={**shared, **size},
            oracle=lambda g, *_: (scatter(g, boxes, places, weights, x.shape),),
            exact=False,
            terms=(len(boxes) * out[0] * out[1] + 9,),
            slack=64.0,
            moved_in=(True, False, True),
        )

    case = Case(
        op="roi_align",
        n=2,
        arrays=(x, boxes),
        options=options,
        oracle=oracle,
        exact=False,
        terms=(longest(boxes, out, scale, sampling, x.shape) + 9,),
        slack=64.0,
        rounding=options.get("rounding"),
        moved_in=(True, False),
        gradient=gradient,
    )
    return draw(cases.placed(case))


@st.composite
def pool_cases(draw, dtypes=sts.ORDERED, specials=True):
    x, boxes, options, out = draw(problems(dtypes, specials))
    scale = options["spatial_scale"]

    def gradient(grad):
        places = roi_pool(x, boxes, out, scale)[1]
        return Case(
            op="roi_pool_backward",
            n=2,
            arrays=(grad, x, boxes),
            options={"spatial_scale": scale},
            oracle=lambda g, *_: (scatter(g, boxes, places, np.ones(g.shape), x.shape),),
            exact=False,
            terms=(len(boxes) * out[0] * out[1],),
            moved_in=(True, True, False),
        )

    case = Case(
        op="roi_pool",
        n=2,
        arrays=(x, boxes),
        options=options,
        oracle=lambda x, _: (roi_pool(x, boxes, out, scale)[0],),
        exact=True,
        moved_in=(True, False),
        gradient=gradient,
    )
    return draw(cases.placed(case))


forward = align_cases(sts.FLOATS) | align_cases(sts.INTEGERS) | pool_cases()
backward = cases.backward_of(align_cases(sts.FLOATS, specials=False)) | cases.backward_of(
    pool_cases(sts.FLOATS, specials=False)
)
either = forward | backward

# --- laws -----------------------------------------------------------------------------------------


@given(case=forward)
def test_forward_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=backward)
def test_backward_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=either)
def test_same_bits_at_any_thread_count(isa, case):
    laws.same_bits_at_any_thread_count(case)


@given(case=either)
def test_every_isa_agrees(case):
    laws.every_isa_agrees(case)


@given(case=either, layout=sts.layouts)
def test_strided_equals_contiguous(isa, case, layout):
    laws.strided_equals_contiguous(case, layout)


@given(case=forward, axis=st.integers(0, 3))
def test_zero_stride_equals_copy(isa, case, axis):
    laws.zero_stride_equals_copy(case, axis)


@given(case=either, layout=st.sampled_from(sts.IN_PLACE))
def test_out_equals_fresh(isa, case, layout):
    laws.out_equals_fresh(case, layout)


@given(case=either)
def test_bad_out_is_refused(case):
    if case.arrays[0].size and case.expected[0].size:
        laws.bad_out_is_refused(case)


@given(case=either)
def test_channels_last_equals_channels_first(isa, case):
    laws.channels_last_equals_channels_first(case)


@given(case=either, layout=sts.layouts)
def test_same_bits_in_any_layout(isa, case, layout):
    """Sums are taken in one order, wherever the channels lie."""
    layouts = (layout,) * len(case.arrays)
    for one, other in zip(
        case.run(channels_last=False, layouts=("contiguous",) * len(case.arrays)),
        case.run(channels_last=True, layouts=layouts),
        strict=True,
    ):
        laws.assert_identical(one, other)


@given(case=align_cases((np.dtype("f8"),), specials=False, modes=("avg",)), seed=sts.seeds)
def test_backward_is_adjoint(isa, case, seed):
    laws.backward_is_adjoint(case, seed)


@given(case=align_cases((np.dtype("f8"),), specials=False, modes=("avg",)), seed=sts.seeds)
def test_backward_matches_finite_differences(isa, case, seed):
    laws.backward_matches_finite_differences(case, 0, seed)


@given(
    case=align_cases((np.dtype("f8"),), specials=False, modes=("max",))
    | pool_cases((np.dtype("f8"),), specials=False),
    seed=sts.seeds,
)
def test_backward_of_maxima_matches_finite_differences(isa, case, seed):
    """Values far apart, one small step: no maximum moves but by the worst of luck."""
    x, boxes = case.arrays
    x = np.random.default_rng(seed).permutation(x.size).reshape(x.shape) - x.size / 3 - 0.1
    y = sts.values(case.expected[0].shape, np.float64, seed)
    direction = sts.values(x.shape, np.float64, seed + 1)
    h = 2.0**-20
    up, down = (case.run([x + s * direction, boxes])[0] for s in (h, -h))
    slope = np.vdot(up - down, y) / (2 * h)
    options = {k: v for k, v in case.options.items() if k != "output_size"}
    if case.op == "roi_pool":
        gradient = us.roi_pool_backward(y, x, boxes, **options)
    else:
        gradient = us.roi_align_backward(y, boxes, x.shape, x=x, **options)
    scale = (1 + np.linalg.norm(y)) * (1 + np.linalg.norm(direction)) * x.size
    assert abs(slope - np.vdot(gradient, direction)) <= 1e-9 * scale


# --- vjp ------------------------------------------------------------------------------------------


@given(case=align_cases(sts.FLOATS, specials=False) | pool_cases(sts.FLOATS, specials=False))
def test_vjp_is_the_backward(case):
    """Boxes have no gradient, whatever their dtype."""
    case = replace(case, channels_last=False, layouts=())
    x, boxes = case.arrays
    y, pullback = us.vjp(getattr(us, case.op), x, boxes, **case.options)
    back = case.backward(3)
    (grad,) = pullback(back.arrays[0])
    assert laws.same_bits(y, case.run()[0])
    assert laws.same_bits(grad, back.run(layouts=("contiguous",) * len(back.arrays))[0])


# --- what is particular to regions of interest ----------------------------------------------------


@given(case=align_cases(sts.FLOATS) | pool_cases(), data=st.data())
def test_a_list_for_each_image_is_one_array(case, data):
    """Lists, tuples and nested lists, empty ones too."""
    x, boxes = case.arrays
    boxes = boxes[np.argsort(boxes[:, 0].astype(float), kind="stable")]
    want = case.run([x, boxes])[0]
    listed = [boxes[boxes[:, 0].astype(float) == n, 1:] for n in range(len(x))]
    form = data.draw(
        st.sampled_from([list, tuple, lambda b: [b.astype(float).tolist() for b in b]])
    )
    options = case.options
    laws.assert_identical(getattr(us, case.op)(x, form(listed), **options), want)
    if len(boxes):
        nested = boxes.astype(float).tolist()
        laws.assert_identical(getattr(us, case.op)(x, nested, **options), want)
        for rows in (list(boxes), [[np.float32(v) for v in row] for row in nested]):
            got = getattr(us, case.op)(x, rows, **options)
            if boxes.dtype.itemsize <= 4:  # float32 holds all coordinates
                laws.assert_identical(got, want)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "i8"])
def test_constant_image_stays_constant(isa, dtype, aligned):
    """Means of one value are that value, whatever the weights, for boxes inside the image."""
    x = np.full((1, 3, 20, 31), 97, dtype)
    rng = np.random.default_rng(3)
    corners = np.sort(rng.random((40, 2, 2)) * [20, 31], 1).reshape(40, 4)[:, [1, 0, 3, 2]]
    boxes = np.concatenate([np.zeros((40, 1)), corners], 1)
    for sampling in (-1, 3):
        got = us.roi_align(x, boxes, (5, 6), 1.0, sampling, aligned).astype(np.float64)
        eps = np.finfo(dtype).eps if x.dtype.kind == "f" else 0
        np.testing.assert_allclose(got, 97, rtol=9 * eps)


def test_whole_image_by_centres_is_the_image(isa):
    x = sts.values((2, 5, 7, 9), "f4", 1)
    boxes = [[[0, 0, 9, 7]], [[0, 0, 9, 7]]]
    assert np.array_equal(us.roi_align(x, boxes, (7, 9), aligned=True), x)
    assert np.array_equal(us.roi_pool(x, [[[0, 0, 8, 6]]] * 2, (7, 9)), x)


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_weightless_neighbours_are_not_read(isa, mode):
    """A point on an element has its value; the NaN beside it has no weight."""
    x = np.full((1, 2, 4, 20), np.nan, "f4")
    x[:, :, ::2, ::2] = 3
    boxes = np.array([[0, i - 0.5, 1.5, i + 0.5, 2.5] for i in range(0, 20, 2)])
    assert np.all(us.roi_align(x, boxes, 1, mode=mode) == 3)
    boxes = np.array([[0, 0, 0, 20, 4]])
    got = us.roi_align(x, boxes, (2, 10), sampling_ratio=1, mode=mode)
    assert np.isnan(got).any() and us.roi_align(x[:, :, ::2, ::2], boxes / 2, (2, 10)).max() == 3


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_specials_stay_in_their_bins(isa, special):
    """Bins that do not take the element do not see it, though they are computed side by side."""
    x = np.ones((1, 1, 8, 64), "f4")
    x[0, 0, 3, 29] = special
    got = us.roi_align(x, [[0, 0, 0, 64, 8]], (4, 32), aligned=True)
    touched = ~np.isfinite(got[0, 0])
    assert touched[1, 14] and touched.sum() == 1
    grad = np.ones((1, 1, 4, 32), "f4")
    grad[0, 0, 1, 14] = special
    back = us.roi_align_backward(grad, [[0, 0, 0, 64, 8]], x.shape, aligned=True)
    touched = np.argwhere(~np.isfinite(back[0, 0]))
    assert touched.tolist() == [[i, j] for i in (2, 3) for j in (28, 29)]


def test_outside_is_zero_and_counts_in_the_mean():
    x = np.full((1, 1, 4, 4), 8.0)
    got = us.roi_align(x, [[0, -4, 0, 4, 4]], 1)
    assert (
        got.item() == 8 * 5 / 8
    )  # points at -0.5 and further right; those at -1.5, -2.5, -3.5 are 0
    assert us.roi_align(x, [[0, 10, 10, 12, 12]], 2).tolist() == [[[[0, 0], [0, 0]]]]
    assert us.roi_align(-x, [[0, 10, 10, 12, 12]], 1, mode="max").item() == 0
    assert us.roi_align(-x, [[0, -4, 0, 4, 4]], 1, mode="max").item() == 0
    assert us.roi_pool(-x, [[0, 10, 10, 12, 12]], 1).item() == 0
    assert us.roi_pool(-x, [[0, -4, 0, 4, 4]], (1, 2)).tolist() == [[[[-8, -8]]]]


def test_ends_the_wrong_way_round():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    right, wrong = [[0, 0, 0, 4, 4]], [[0, 4, 4, 0, 0]]
    want = us.roi_align(x, right, 2, 1.0, 2, True)[..., ::-1, ::-1]
    assert np.array_equal(us.roi_align(x, wrong, 2, 1.0, 2, True), want)
    assert us.roi_align(x, wrong, 2, 1.0, -1, True).max() == 0  # no points
    assert us.roi_align(x, wrong, 1).item() == us.roi_align(x, [[0, 4, 4, 5, 5]], 1).item()
    assert us.roi_pool(x, [[0, 2, 1, 0, 0]], 1).item() == x[0, 0, 1, 2]


def test_halves_are_rounded_away_from_zero():
    x = np.arange(10.0).reshape(1, 1, 1, 10)
    for corner, element in ((0.5, 1), (1.5, 2), (2.49, 2), (8.5, 9)):
        assert us.roi_pool(x, [[0, corner, 0, corner, 0]], 1).item() == element
    assert us.roi_pool(x, [[0, -0.5, 0, -0.5, 0]], 1).item() == 0  # element -1: outside
    assert us.roi_pool(x, [[0, -0.49, 0, 0.49, 0]], 1).item() == 0


def test_bins_are_exact():
    """floor and ceil of p*n/P, where float32 borders are off: 49 * (1/49 in float32) is not 1."""
    for n in range(1, 120):
        x = np.arange(float(n)).reshape(1, 1, 1, n)
        for bins in (3, 7, 49):
            got = us.roi_pool(x, [[0, 0, 0, n - 1, 0]], (1, bins))[0, 0, 0]
            assert got.tolist() == [-(-(p + 1) * n // bins) - 1 for p in range(bins)]


@pytest.mark.parametrize("dtype", [d for d in sts.ORDERED if d.kind != "b"], ids=str)
def test_pool_of_zeros_is_positive_zero(isa, dtype):
    x = -np.zeros((1, 2, 5, 5), dtype)
    for last in (False, True):
        got = us.roi_pool(
            np.moveaxis(x, 1, -1) if last else x, [[0, 0, 0, 4, 4]], 2, channels_last=last
        )
        assert not np.signbit(got.astype(np.float64)).any() and not got.any()


def test_bool_is_any():
    x = np.zeros((1, 1, 4, 4), bool)
    x[0, 0, 3, 0] = True
    assert us.roi_pool(x, [[0, 0, 0, 3, 3]], 2).tolist() == [[[[False, False], [True, False]]]]


@pytest.mark.parametrize("op", ["avg", "max", "pool"])
@pytest.mark.parametrize(
    "corners",
    [
        (-(2.0**52), -(2.0**52), 2.0**52, 2.0**52),
        (-(2.0**53), 0, 2.0**53, 5),
        (2.0**53, 2.0**53, 2.0**53, 2.0**53),
        (-1e15, -1e9, 3, 4),
        (0.3, -1e12, 1e15, 2.5),
    ],
)
def test_huge_boxes_end(isa, op, corners):
    """Far more points than could be visited; those in the image are found."""
    x = sts.values((1, 2, 9, 11), "f8", 1)
    boxes = [[0, *corners]]
    if op == "pool":
        assert np.array_equal(us.roi_pool(x, boxes, 3), roi_pool(x, boxes, (3, 3))[0])
        back = us.roi_pool_backward(np.ones((1, 2, 3, 3)), x, boxes)
        assert back.sum() == 2 * sum(
            len(r) * len(c) > 0 for r in rows_of(corners) for c in cols_of(corners)
        )
        return
    got = us.roi_align(x, boxes, 3, mode=op)
    back = us.roi_align_backward(np.ones((1, 2, 3, 3)), boxes, x.shape, mode=op, x=x)
    assert np.isfinite(got).all() and np.isfinite(back).all()
    assert abs(np.vdot(x, back) - got.sum()) <= 1e-12  # linear in x, near x


def rows_of(corners):
    return pool_bins(corners[1], corners[3], 3, 9)


def cols_of(corners):
    return pool_bins(corners[0], corners[2], 3, 11)


def test_many_points_are_the_integral(isa):
    """65536 points a side, the most there may be: the mean of the linear interpolation."""
    x = np.array([[[[0.0, 1.0, 4.0]]]])
    got = us.roi_align(x, [[0, 0.25, 0, 1.75, 1]], 1, sampling_ratio=65536)
    left = (0.25 + 1) / 2 * 0.75
    right = (1 + (1 + 0.75 * 3)) / 2 * 0.75
    np.testing.assert_allclose(got.item(), (left + right) / 1.5, rtol=1e-9)


@pytest.mark.parametrize("shape", [(1, 3, 400, 700), (1, 1, 3, 70000), (1, 300, 40, 40)])
@pytest.mark.parametrize("dtype", ["f4", "u1"])
def test_large_images(isa, shape, dtype):
    """More elements than fit in one tile or are packed at once; wide and tall."""
    x = sts.values(shape, dtype, 5)
    boxes = np.array([[0, -3, -2, shape[3] + 1, shape[2]], [0, shape[3] / 3, 0.5, shape[3] - 2, 9]])
    for sampling in (-1, 2):
        got = us.roi_align(x[:, :2], boxes, (3, 2), 1.0, sampling)
        want = roi_align(x[:, :2].astype("f8"), boxes, (3, 2), 1.0, sampling)
        atol = 2e-3 if dtype == "f4" else 0.51
        np.testing.assert_allclose(got.astype("f8"), want, atol=atol, rtol=0)
        last = us.roi_align(np.moveaxis(x, 1, -1), boxes, (3, 2), 1.0, sampling, channels_last=True)
        np.testing.assert_allclose(np.moveaxis(last, -1, 1)[:, :2].astype("f8"), got, atol=atol)
    assert np.array_equal(us.roi_pool(x, boxes, (3, 2)), roi_pool(x, boxes, (3, 2))[0])
    if dtype == "f4":
        g = sts.values((2, shape[1], 3, 2), "f4", 6)
        for back, want in (
            (us.roi_align_backward(g, boxes, shape), roi_align_backward(g, boxes, shape)),
            (
                us.roi_pool_backward(g, x, boxes),
                scatter(g, boxes, roi_pool(x, boxes, (3, 2))[1], np.ones(g.shape), shape),
            ),
        ):
            np.testing.assert_allclose(back, want, atol=1e-5)


def test_many_bins():
    """More results than are held at once, along either axis."""
    x = sts.values((1, 2, 6, 7), "f4", 2)
    boxes = [[0, 0.5, 0.25, 6, 5.5]]
    for out in ((3, 5000), (5000, 3), (90, 80)):
        want = roi_align(x, np.array(boxes), out)
        np.testing.assert_allclose(us.roi_align(x, boxes, out), want, atol=1e-5)
        g = sts.values((1, 2, *out), "f4", 3)
        want = roi_align_backward(g, np.array(boxes), x.shape)
        np.testing.assert_allclose(us.roi_align_backward(g, boxes, x.shape), want, atol=2e-2)
        assert np.array_equal(us.roi_pool(x, boxes, out), roi_pool(x, boxes, out)[0])


def test_no_boxes_no_images_no_channels():
    assert us.roi_align(np.ones((2, 3, 4, 4)), np.zeros((0, 5)), 7).shape == (0, 3, 7, 7)
    assert us.roi_align(np.ones((2, 3, 4, 4)), [[], []], 7).shape == (0, 3, 7, 7)
    assert us.roi_pool(np.ones((0, 3, 4, 4)), [], 7).shape == (0, 3, 7, 7)
    assert us.roi_pool(np.ones((2, 0, 4, 4)), [[1, 0, 0, 2, 2]], 7).shape == (1, 0, 7, 7)
    back = us.roi_align_backward(np.ones((0, 3, 7, 7)), np.zeros((0, 5)), (2, 3, 4, 4))
    assert back.shape == (2, 3, 4, 4) and not back.any()
    back = us.roi_pool_backward(np.ones((0, 3, 7, 7)), np.ones((2, 3, 4, 4)), [[], []])
    assert back.shape == (2, 3, 4, 4) and not back.any()


# --- refusals -------------------------------------------------------------------------------------

X = np.ones((2, 3, 8, 9), "f4")
BOX = [[0, 1, 1, 5, 5]]
NAN, INF = float("nan"), float("inf")

REFUSED = [
    # arguments that differ from a good call, exception, words of the message
    ({"x": X[0]}, ValueError, ["x.shape = (3, 8, 9)", "4 axes", "(N, C, H, W)"]),
    ({"x": X[None]}, ValueError, ["x.shape", "4 axes"]),
    ({"x": X[:, :, :0]}, ValueError, ["axis H = 0"]),
    ({"x": X[..., :0]}, ValueError, ["axis W = 0"]),
    ({"x": X.astype("c8")}, TypeError, ["x.dtype = complex64"]),
    ({"output_size": 0}, ValueError, ["output_size[0] = 0"]),
    ({"output_size": (2, 0)}, ValueError, ["output_size[1] = 0"]),
    ({"output_size": (2, 2, 2)}, ValueError, ["output_size", "3 entries"]),
    ({"output_size": 2.0}, TypeError, ["output_size = 2.0"]),
    ({"output_size": None}, TypeError, ["output_size = None"]),
    ({"output_size": -1}, ValueError, ["output_size = -1"]),
    ({"output_size": 2**62}, ValueError, ["output shape"]),
    ({"spatial_scale": 0.0}, ValueError, ["spatial_scale = 0", "above 0"]),
    ({"spatial_scale": -1.0}, ValueError, ["spatial_scale = -1"]),
    ({"spatial_scale": NAN}, ValueError, ["spatial_scale = NaN"]),
    ({"spatial_scale": INF}, ValueError, ["spatial_scale = inf"]),
    ({"spatial_scale": "1"}, TypeError, ["spatial_scale"]),
    ({"boxes": np.zeros((3, 4))}, ValueError, ["boxes.shape = (3, 4)", "(K, 5)"]),
    ({"boxes": np.zeros(5)}, ValueError, ["boxes.shape = (5,)", "(K, 5)"]),
    ({"boxes": [0, 1, 1, 5, 5]}, ValueError, ["boxes.shape = (5,)", "(K, 5)"]),
    ({"boxes": np.zeros((1, 1, 5))}, ValueError, ["boxes.shape = (1, 1, 5)"]),
    ({"boxes": np.zeros((2, 5), "?")}, TypeError, ["boxes.dtype = bool"]),
    ({"boxes": np.zeros((2, 5), "c8")}, TypeError, ["boxes.dtype = complex64"]),
    ({"boxes": [np.zeros((3, 4))]}, ValueError, ["boxes = 1 entries", "2"]),
    ({"boxes": [np.zeros((3, 4)), np.zeros((1, 5))]}, ValueError, ["boxes[1].shape = (1, 5)"]),
    ({"boxes": [np.zeros((0, 4)), [[1, 1, NAN, 1]]]}, ValueError, ["boxes[1][0]", "finite"]),
    ({"boxes": [[[0, 0, 1, 1], [1, 1, INF, 1]], []]}, ValueError, ["boxes[0][1]", "finite"]),
    ({"boxes": [*BOX, [0, 1, -INF, 5, 5]]}, ValueError, ["boxes[1]", "-inf", "finite"]),
    ({"boxes": [*BOX, [NAN, 1, 1, 5, 5]]}, ValueError, ["boxes[1]", "NaN", "whole"]),
    ({"boxes": [*BOX, [0.5, 1, 1, 5, 5]]}, ValueError, ["boxes[1]", "0.5", "whole"]),
    ({"boxes": [*BOX, [2, 1, 1, 5, 5]]}, IndexError, ["boxes[1][0] = 2", "image", "0 to 1"]),
    ({"boxes": [*BOX, [-1, 1, 1, 5, 5]]}, IndexError, ["boxes[1][0] = -1", "image"]),
    ({"boxes": [*BOX, [1e300, 1, 1, 5, 5]]}, IndexError, ["boxes[1]", "0 to 1"]),
    ({"boxes": [*BOX, [0, 1, 1, 5, 1e18]]}, ValueError, ["boxes[1]", "2**53"]),
    ({"boxes": [[0, 1, 1, 5, 1e300]], "spatial_scale": 1e300}, ValueError, ["boxes[0]", "2**53"]),
    ({"boxes": None}, TypeError, ["boxes"]),
    ({"boxes": "box"}, TypeError, ["boxes"]),
    ({"channels_last": 2.5}, TypeError, ["channels_last"]),
]
ALIGN_REFUSED = [
    ({"sampling_ratio": 65537}, ValueError, ["sampling_ratio = 65537", "65536"]),
    ({"sampling_ratio": 2**70}, ValueError, ["sampling_ratio"]),
    ({"sampling_ratio": 2.0}, TypeError, ["sampling_ratio = 2.0"]),
    ({"aligned": "yes"}, TypeError, ["aligned"]),
    ({"mode": "sum"}, ValueError, ["mode", '"avg"', '"max"']),
    ({"mode": 1}, TypeError, ["mode"]),
    ({"rounding": "up"}, ValueError, ["rounding"]),
    ({"x": X.astype("?")}, TypeError, ["x.dtype = bool"]),
]


@pytest.mark.parametrize("op", ["roi_align", "roi_pool"])
@pytest.mark.parametrize("bad, exception, words", REFUSED)
def test_refused(op, bad, exception, words):
    arguments = {"x": X, "boxes": BOX, "output_size": 2} | bad
    laws.refused(lambda: getattr(us, op)(**arguments), exception, op + ": ", *words)


@pytest.mark.parametrize("bad, exception, words", ALIGN_REFUSED)
def test_align_refused(bad, exception, words):
    arguments = {"x": X, "boxes": BOX, "output_size": 2} | bad
    laws.refused(lambda: us.roi_align(**arguments), exception, "roi_align: ", *words)


def test_any_sampling_ratio_below_one_is_adaptive():
    x = sts.values((1, 1, 9, 9), "f8", 1)
    want = us.roi_align(x, [[0, 1, 1, 8, 8]], 2)
    for ratio in (0, -1, -7, -(2**70), np.int64(-3)):
        assert np.array_equal(us.roi_align(x, [[0, 1, 1, 8, 8]], 2, sampling_ratio=ratio), want)


G = np.ones((1, 3, 2, 2), "f4")

BACKWARD_REFUSED = [
    ("roi_align_backward", {"grad_output": G[0]}, ValueError, ["grad_output.shape", "4 axes"]),
    (
        "roi_align_backward",
        {"grad_output": G[:, :2]},
        ValueError,
        ["grad_output.shape", "(1, 3, 2, 2)"],
    ),
    (
        "roi_align_backward",
        {"grad_output": G.astype("i4")},
        TypeError,
        ["grad_output.dtype = int32"],
    ),
    ("roi_align_backward", {"input_size": (3, 8, 9)}, ValueError, ["4 axes"]),
    ("roi_align_backward", {"input_size": (2, 3, 0, 9)}, ValueError, ["axis H = 0"]),
    ("roi_align_backward", {"input_size": (2, 3, 2**40, 2**40)}, ValueError, ["shape"]),
    ("roi_align_backward", {"input_size": None}, TypeError, ["input_size"]),
    ("roi_align_backward", {"boxes": [[7, 0, 0, 1, 1]]}, IndexError, ["boxes[0][0] = 7", "image"]),
    ("roi_align_backward", {"mode": "max"}, ValueError, ["x = None", '"max"']),
    ("roi_align_backward", {"mode": "max", "x": X.astype("f8")}, TypeError, ["x.dtype = float64"]),
    ("roi_align_backward", {"mode": "max", "x": X[:1]}, ValueError, ["x.shape = (1, 3, 8, 9)"]),
    ("roi_pool_backward", {"grad_output": G[0]}, ValueError, ["grad_output.shape", "4 axes"]),
    ("roi_pool_backward", {"grad_output": G[..., :0]}, ValueError, ["output_size[1] = 0"]),
    ("roi_pool_backward", {"x": X.astype("f8")}, TypeError, ["x.dtype = float64"]),
    ("roi_pool_backward", {"boxes": []}, ValueError, ["boxes = 0 entries"]),
    ("roi_pool_backward", {"spatial_scale": NAN}, ValueError, ["spatial_scale"]),
]


@pytest.mark.parametrize("op, bad, exception, words", BACKWARD_REFUSED)
def test_backward_refused(op, bad, exception, words):
    arguments = {"grad_output": G, "boxes": BOX}
    arguments |= {"input_size": X.shape} if op == "roi_align_backward" else {"x": X}
    arguments |= bad
    laws.refused(lambda: getattr(us, op)(**arguments), exception, op + ": ", *words)


def test_memory_that_is_not_there():
    with pytest.raises(MemoryError):
        us.roi_align_backward(G, BOX, (2, 3, 2**21, 2**21))
    with pytest.raises(MemoryError):
        us.roi_align(X, BOX, 2**21)


def test_endless_boxes_are_refused_before_memory_is_asked_for():
    boxes = np.broadcast_to(np.zeros(5), (2**45, 5))
    for op in (us.roi_align, us.roi_pool):
        with pytest.raises((MemoryError, ValueError)):
            op(X, boxes, 2**10)


# --- peers ----------------------------------------------------------------------------------------


def onnx_runtime(op, inputs, opset=16, **attributes):
    """One node, run by ONNX Runtime."""
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    kinds = {np.dtype("f4"): TensorProto.FLOAT, np.dtype("i8"): TensorProto.INT64}
    names = [f"i{n}" for n in range(len(inputs))]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], **attributes)],
        "one",
        [
            helper.make_tensor_value_info(n, kinds[a.dtype], a.shape)
            for n, a in zip(names, inputs, strict=True)
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(zip(names, inputs, strict=True)))[0]


def peer_problem(seed):
    """Boxes whose coordinates float32 holds exactly, so that no point is in doubt."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, 4, 17, 23)).astype("f4")
    low = rng.integers(-40, 150, (12, 2)) / 8
    corners = np.concatenate([low, low + rng.integers(-8, 160, (12, 2)) / 8], 1).astype("f4")
    return x, rng.integers(0, 3, 12), corners


@pytest.mark.peer
@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling", [0, 1, 2, 4])
def test_onnx_runtime_roi_align(mode, aligned, sampling):
    x, images, corners = peer_problem(sampling)
    frame = "half_pixel" if aligned else "output_half_pixel"
    for scale in (1.0, 0.5):
        want = onnx_runtime(
            "RoiAlign",
            [x, corners, images],
            output_height=4,
            output_width=8,
            sampling_ratio=sampling,
            spatial_scale=scale,
            mode=mode,
            coordinate_transformation_mode=frame,
        )
        boxes = np.concatenate([images[:, None], corners], 1)
        got = us.roi_align(x, boxes, (4, 8), scale, sampling, aligned, mode=mode)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-6)


@pytest.mark.peer
def test_onnx_runtime_max_roi_pool():
    """On bins whose borders float32 has right."""
    for seed in range(5):
        x, images, corners = peer_problem(seed)
        boxes = np.concatenate([images[:, None], corners], 1).astype("f4")
        want = onnx_runtime("MaxRoiPool", [x, boxes], pooled_shape=[4, 8], spatial_scale=0.5)
        assert np.array_equal(us.roi_pool(x, boxes, (4, 8), 0.5), want)


# --- documentation --------------------------------------------------------------------------------

FIGURES = Path(__file__).parents[1] / "docs" / "figures_roi.py"


@pytest.mark.skipif(not FIGURES.exists(), reason="the installed package has no docs")
def test_pictures_are_what_their_script_draws():
    """`python docs/figures_roi.py` would change no file."""
    pictures = runpy.run_path(str(FIGURES))["figures"]()
    folder = FIGURES.parent / "images" / "roi"
    assert {p.name for p in folder.iterdir()} == set(pictures)
    for name, picture in pictures.items():
        assert (folder / name).read_text(encoding="utf-8") == picture, name
