"""The laws that hold for every operation, each stated once over a `Case`.

How equal is equal: what is moved, ordered or integer is the same bit for bit. A sum of floats may
differ by `rounding_bound`: the bound for any order of summation, with or without fused products.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import ml_dtypes
import numpy as np

import reference as ref
import strategies as sts
import upsample_rs as us
from upsample_rs import _core

# --- comparing ------------------------------------------------------------------------------------


def identical(got, want):
    """Same dtype, shape and values; NaN equals NaN, and the sign of a zero counts."""
    if got.dtype != want.dtype or got.shape != want.shape:
        return False
    if got.dtype.kind == "c":
        return identical(got.real, want.real) and identical(got.imag, want.imag)
    if not ref.is_float(got.dtype):
        return np.array_equal(got, want)
    if got.dtype.itemsize == 2:
        got, want = got.astype(np.float32), want.astype(np.float32)
    both_nan = np.isnan(got) & np.isnan(want)
    return bool(np.all(both_nan | ((got == want) & (np.signbit(got) == np.signbit(want)))))


def assert_identical(got, want):
    """`identical`, with the two arrays in the failure."""
    assert got.dtype == want.dtype and got.shape == want.shape, (got.dtype, got.shape, want.shape)
    assert identical(got, want), f"\ngot  {got!r}\nwant {want!r}"


def same_bits(got, want):
    """The very same bytes."""
    return got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes()


def rounding_bound(exact, magnitude, peak, terms, slack, dtype):
    """How far a float result may be from the exact one.

    `terms` rounding errors relative to `magnitude`, the sum of absolute products, in the type the
    sum is done in (float32 for half types, which then round once to a half unit in the last place);
    and `slack` units of double relative to `peak`, the largest element, for the weights.
    """
    half = dtype.itemsize == 2
    unit = np.finfo(np.float32 if half or dtype in (np.float32, np.complex64) else np.float64).eps
    bound = terms * unit * magnitude + slack * np.finfo(np.float64).eps * peak
    if half:
        info = ml_dtypes.finfo(dtype)
        reach = abs(exact) + bound
        ulp = np.maximum(reach * float(info.eps), float(info.smallest_subnormal))
        bound = bound + ulp / 2
    return bound


def bounds(case):
    """`rounding_bound` for each result of the case; where the exact result is not finite, nan."""
    dtype = case.arrays[0].dtype
    peak = max(largest_finite(a) for a in case.arrays if a is not None and a.dtype == dtype)
    with np.errstate(invalid="ignore"):
        return [
            rounding_bound(e, m, peak, t, case.slack, dtype)
            for e, m, t in zip(case.expected, case.magnitude, case.terms, strict=True)
        ]


def largest_finite(x):
    """The largest absolute value but for NaN and infinity."""
    x = abs(ref.comparable(x))
    return float(x.max(initial=0, where=np.isfinite(x)))


def assert_within(got, want, bound):
    """|got - want| <= bound everywhere, and NaN or infinity exactly where they are wanted."""
    assert got.shape == want.shape
    got, odd = got.astype(want.dtype), ~np.isfinite(want)
    assert np.array_equal(got[odd], want[odd], equal_nan=True), (got[odd], want[odd])
    error = np.abs(np.subtract(got, want, out=np.zeros_like(want), where=~odd))
    bound = np.where(odd, 0, bound)
    worst = np.argmax(error - bound) if error.size else 0
    assert np.all(error <= bound), (
        f"element {worst}: got {got.flat[worst]}, want {want.flat[worst]}, "
        f"off by {error.flat[worst]}, allowed {bound.flat[worst]}"
    )


def assert_rounded(got, exact, rounding, dtype, peak, exact_to=2**20):
    """Integers computed in double: the exact fraction, rounded once and clipped.

    The package takes its double to the nearest 2**-30 first, which is finer than any fraction the
    tests reach, and so does this. Where values are larger than `exact_to`, results may be off by
    some units of double before they are rounded.
    """
    assert got.dtype == dtype and got.shape == exact.shape
    error = Fraction(0) if peak <= exact_to else Fraction(peak) / 2**44 + Fraction(1, 2**17)
    snapped = np.array([Fraction(round(v * 2**30), 2**30) for v in exact.ravel()], object)
    snapped = snapped.reshape(exact.shape)
    low = ref.round_integers(snapped - error, dtype, rounding)
    high = ref.round_integers(snapped + error, dtype, rounding)
    wrong = (got < low) | (got > high)
    assert not wrong.any(), f"got {got[wrong]}, want {low[wrong]}..{high[wrong]}"


def largest(x):
    """The largest absolute value of an integer array, as a Python int."""
    return max(abs(int(x.max())), abs(int(x.min())))


def assert_matches_oracle(case, results):
    """Every result against what the oracle says."""
    assert len(results) == len(case.expected)
    dtype = case.arrays[0].dtype
    for i, (got, want) in enumerate(zip(results, case.expected, strict=True)):
        if case.exact:
            assert_identical(got, want)
        elif want.dtype == object:
            peak = largest(case.arrays[0])
            assert_rounded(got, want, case.rounding, dtype, peak, case.exact_to)
        else:
            assert got.dtype == dtype
            assert_within(got, want, bounds(case)[i])


def assert_agree(case, results, others):
    """Two ways to compute the same: identical, or for sums of floats within their bounds."""
    for i, (one, other) in enumerate(zip(results, others, strict=True)):
        if case.exact:
            assert_identical(one, other)
        elif one.dtype.kind in "iu":
            peak = largest(case.arrays[0])
            allowed = 0 if peak <= case.exact_to else 1 + peak // 2**43
            difference = one.astype(object) - other.astype(object)
            assert one.dtype == other.dtype and np.all(abs(difference) <= allowed)
        else:
            wide = ref.wide(one.dtype)
            assert_within(one, other.astype(wide), 2 * bounds(case)[i])


def machine_has(isa):
    """Whether this machine can run the level; forcing one it lacks is refused."""
    try:
        _core._force_isa(isa)
    except ValueError:
        return False
    finally:
        _core._force_isa(None)
    return True


ISAS = [isa for isa in ("scalar", "avx2", "avx512", "neon") if machine_has(isa)]

# --- laws -----------------------------------------------------------------------------------------


def forward_matches_reference(case):
    """The oracle's result, in fresh C-contiguous arrays of the input's dtype, inputs untouched."""
    given = case.given()
    before = [None if a is None else a.copy() for a in given]
    results = case.call(given)
    for r in results:
        assert type(r) is np.ndarray and r.flags.c_contiguous and r.flags.writeable
        assert r.base is None and not any(a is not None and np.shares_memory(r, a) for a in given)
    assert_matches_oracle(case, case.first(results))
    for a, b in zip(given, before, strict=True):
        assert a is None or same_bits(a, b), "an input changed"


def same_bits_at_any_thread_count(case):
    """One, two and five threads, however small the tasks, and twice in a row: the same bytes."""
    given = case.given()
    us.set_num_threads(1)
    _core._force_grain(None)
    want = case.call(given)
    for threads, grain in ((1, 1), (2, 1), (2, 1), (5, 1), (5, 7)):
        us.set_num_threads(threads)
        _core._force_grain(grain)
        for got, once in zip(case.call(given), want, strict=True):
            assert same_bits(got, once), f"{threads} threads, grain {grain}"


def every_isa_agrees(case):
    """Every instruction set gives what the plain one gives."""
    given = case.given()
    _core._force_isa(ISAS[0])
    want = case.first(case.call(given))
    for isa in ISAS[1:]:
        _core._force_isa(isa)
        assert_agree(case, case.first(case.call(given)), want)


def strided_equals_contiguous(case, layout):
    """Memory layout changes nothing: every array laid out so, against all contiguous."""
    plain = case.run(layouts=("contiguous",) * len(case.arrays))
    assert_agree(case, case.run(layouts=(layout,) * len(case.arrays)), plain)


def zero_stride_equals_copy(case, axis):
    """An array that repeats along an axis by a stride of 0 is as good as its copy."""
    x, *rest = case.arrays
    first = x[(slice(None),) * (axis % x.ndim) + (slice(0, 1),)]
    thin = np.broadcast_to(first, x.shape)
    case = replace(
        case, arrays=(np.ascontiguousarray(thin), *rest), channels_last=False, layouts=()
    )
    assert_agree(case, case.call([thin, *rest]), case.call(case.arrays))


def out_equals_fresh(case, layout):
    """`out=` is returned, filled with what a fresh result would hold, whatever its strides."""
    given = case.given()
    want = case.call(given)[0]
    out = sts.lay_out(sts.values(want.shape, want.dtype, 7), layout, case.n)
    gaps = surroundings(out)
    results = case.call(given, out=out)
    assert results[0] is out
    if layout == "contiguous":
        assert same_bits(out, want)
    else:
        assert_agree(case, case.first((out,)), case.first((want,)))
    assert surroundings(out) == gaps, "memory around out changed"


def surroundings(out):
    """The bytes that belong to the base of a view but not to the view."""
    if out.base is None:
        return b""
    base = out.base
    while isinstance(base.base, np.ndarray):
        base = base.base
    inside = out.copy()
    out[...] = np.zeros((), out.dtype)
    around = base.tobytes()
    out[...] = inside
    return around


def channels_last_equals_channels_first(case):
    """`channels_last=True` is the same operation with the channel axis moved."""
    if case.arrays[0].ndim == case.n:
        return  # all spatial: there is no channel axis
    assert_agree(case, case.run(channels_last=True), case.run(channels_last=False))


def backward_is_adjoint(case, seed):
    """<A x, y> = <x, A' y> for a linear case in float64."""
    x = case.arrays[0]
    ax = case.run()[0]
    back = case.backward(seed)
    y = back.arrays[0]
    aty = back.run()[0]
    assert aty.shape == x.shape and aty.dtype == y.dtype
    left, right = np.vdot(ax, y), np.vdot(x, aty)
    scale = np.linalg.norm(ax) * np.linalg.norm(y) + np.linalg.norm(x) * np.linalg.norm(aty)
    assert abs(left - right) <= 1e-14 * case.terms[0] * scale, (left, right)


def backward_matches_finite_differences(case, which, seed):
    """The derivative of <f(arrays), y> along a random direction of one array, in float64."""
    results = case.run()
    back = case.backward(seed)
    y, array = back.arrays[0], case.arrays[which]
    direction = sts.values(array.shape, array.dtype, 2 * seed + 1)

    def loss(step):
        moved = list(case.arrays)
        moved[which] = array + step * direction
        return np.vdot(case.run(moved)[0], y)

    h = 2.0**-12
    slope = (loss(h) - loss(-h)) / (2 * h)
    gradient = back.run()[which]
    assert gradient.shape == array.shape
    scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
    scale += np.linalg.norm(results[0]) * np.linalg.norm(y) / h
    assert abs(slope - np.vdot(gradient, direction)) <= 1e-13 * max(back.terms) * scale


# --- out= refused ---------------------------------------------------------------------------------


def refused(call, exception, *words):
    """The call raises that exception, in one line that contains all the words; returns the line."""
    try:
        call()
    except exception as error:
        line = str(error)
    else:
        raise AssertionError(f"not refused: {exception.__name__} expected")
    assert line and "\n" not in line, line
    for word in words:
        assert word in line, f"{word!r} is not in {line!r}"
    return line


def sharing_memory(x, result):
    """(x, out): a copy of `x`, and an array like `result` that begins in the last element of it."""
    start = x.nbytes - x.itemsize
    buffer = np.zeros(start + result.nbytes + x.nbytes, np.uint8)
    shared = buffer[: x.nbytes].view(x.dtype).reshape(x.shape)
    shared[...] = x
    out = buffer[start : start + result.nbytes].view(result.dtype).reshape(result.shape)
    return shared, out


def bad_out_is_refused(case):
    """Shape, rank, dtype, read-only, kind, overlap: refused, and `out` stays as it was."""
    case = replace(case, layouts=())
    given = case.given()
    want = case.call(given)[0]
    read_only = np.ones_like(want)
    read_only.flags.writeable = False
    other_dtype = np.float32 if want.dtype == np.float64 else np.float64
    shared, overlap = sharing_memory(given[0], want)
    bad = [
        (given, np.ones((*want.shape[:-1], want.shape[-1] + 1), want.dtype), ValueError),
        (given, np.ones((1, *want.shape), want.dtype), ValueError),
        (given, np.ones(want.shape, other_dtype), TypeError),
        (given, read_only, ValueError),
        (given, want.tolist(), TypeError),
        ([shared, *given[1:]], overlap, ValueError),
    ]
    for arrays, out, exception in bad:
        before = np.array(out)
        refused(lambda a=arrays, o=out: case.call(a, out=o), exception, case.op + ": ", "out")
        assert same_bits(np.array(out), before), "a refused out was written"
