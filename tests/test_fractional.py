"""`fractional_max_pool{2,3}d` and their backward."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference as ref
import strategies as sts
import upsample_rs as us

# --- the oracle -----------------------------------------------------------------------------------


def window_starts(size, out, kernel, u):
    """Where the windows of one axis start; `u` is the axis' random number."""
    step = (size - kernel) / (out - 1) if out > 1 else 0.0
    return [math.floor((i + u) * step) - math.floor(u * step) for i in range(out - 1)] + [
        size - kernel
    ]


def plane_windows(size, out, kernel, samples):
    """The windows of one plane, as `reference.windows` takes them: (indices, count) per axis."""
    samples = samples if len(size) == 3 else samples[::-1]  # two axes have theirs as (W, H)
    return [
        [(range(s, s + k), k) for s in window_starts(i, o, k, u)]
        for i, o, k, u in zip(size, out, kernel, samples, strict=True)
    ]


def fractional_max_pool(x, kernel, out, samples):
    """(values, flat indices), every plane with windows of its own."""
    n = len(out)
    lead, size = x.shape[:-n], x.shape[-n:]
    values, indices = np.zeros((*lead, *out), x.dtype), np.zeros((*lead, *out), np.int64)
    for plane in np.ndindex(*lead):
        axes = plane_windows(size, out, kernel, samples[plane].tolist())
        values[plane], indices[plane] = ref.max_pool(x[plane], axes)
    return values, indices


def seeded(seed, shape):
    """The samples of a seed: SplitMix64, the upper 53 bits of each number."""
    mask, numbers = 2**64 - 1, []
    for i in range(1, math.prod(shape) + 1):
        z = (seed + i * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        numbers.append(((z ^ (z >> 31)) >> 11) / 2**53)
    return np.array(numbers).reshape(shape)


def some_samples(shape, seed):
    """Random numbers; every other time multiples of 1/4, which meet the edges of the rule."""
    rng = np.random.default_rng(seed)
    return rng.random(shape) if seed % 2 else rng.integers(0, 4, shape) / 4


# --- cases ----------------------------------------------------------------------------------------


@st.composite
def shrinkings(draw, size):
    """(kernel, out, options): every parameter in some spelling, the output by size or by ratio."""
    kernel = tuple(draw(st.integers(1, min(i, 5))) for i in size)
    most = [i - k + 1 for i, k in zip(size, kernel, strict=True)]
    out = tuple(draw(st.integers(1, m) | st.just(m)) for m in most)
    options = {"kernel_size": draw(sts.spelled(kernel))}
    ratios = [(o + draw(st.sampled_from([0, 0.5]))) / i for o, i in zip(out, size, strict=True)]
    if all(r < 1 for r in ratios) and draw(st.booleans()):
        alone = len(set(ratios)) == 1 and draw(st.booleans())
        options["output_ratio"] = (
            ratios[0] if alone else draw(st.sampled_from([tuple, list]))(ratios)
        )
        out = tuple(math.floor(i * r) for i, r in zip(size, ratios, strict=True))
    else:
        options["output_size"] = draw(sts.spelled(out))
    return kernel, out, options


@st.composite
def fractional_cases(draw, dtypes=sts.ORDERED, specials=True, indices=None):
    """`indices`: whether indices are asked for too; None draws it."""
    n = draw(st.integers(2, 3))
    size = draw(sts.shapes(n, 400))
    kernel, out, options = draw(shrinkings(size))
    dtype = draw(st.sampled_from(dtypes))
    x = sts.values((*draw(sts.leading_axes(2)), *size), dtype, draw(sts.seeds), specials)
    of_samples, seed = (*x.shape[:-n], n), draw(sts.seeds)
    if draw(st.booleans()):
        samples = some_samples(of_samples, seed)
        kind = draw(st.sampled_from(["f8", "f4", "f2", "list"]))
        if kind == "list":
            options["random_samples"] = samples.tolist()
        else:
            samples = np.minimum(samples, 0.99).astype(kind)
            options["random_samples"] = sts.lay_out(samples, draw(sts.layouts))
            samples = samples.astype(np.float64)
    else:
        options["seed"], samples = seed, seeded(seed, of_samples)
    with_indices = draw(st.booleans()) if indices is None else indices
    index_dtype = draw(st.sampled_from(["int64", "int32"])) if with_indices else "int64"
    options |= {"return_indices": with_indices, "index_dtype": index_dtype}

    def oracle(x):
        values, at = fractional_max_pool(x, kernel, out, samples)
        return (values, at.astype(index_dtype)) if with_indices else (values,)

    def gradient(grad):
        return cases.Case(
            op=f"fractional_max_pool{n}d_backward",
            n=n,
            arrays=(grad, fractional_max_pool(x, kernel, out, samples)[1].astype(index_dtype)),
            options={"input_size": x.shape},
            oracle=lambda g, at: (ref.max_pool_backward(g, at, x.shape, n),),
            exact=False,
            terms=(math.prod(kernel),),
            moved_in=(True, True),
        )

    case = cases.Case(
        op=f"fractional_max_pool{n}d",
        n=n,
        arrays=(x,),
        options=options,
        oracle=oracle,
        exact=True,
        moved_out=(True, True) if with_indices else (True,),
        gradient=gradient,
    )
    return draw(cases.placed(case))


forward = fractional_cases()
backward = cases.backward_of(fractional_cases(dtypes=sts.FLOATS, specials=False))
either = forward | backward
without_indices = fractional_cases(indices=False) | backward


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


@given(case=either, axis=st.integers(0, 4))
def test_zero_stride_equals_copy(isa, case, axis):
    laws.zero_stride_equals_copy(case, axis)


@given(case=without_indices, layout=st.sampled_from(sts.IN_PLACE))
def test_out_equals_fresh(isa, case, layout):
    laws.out_equals_fresh(case, layout)


@given(case=without_indices)
def test_bad_out_is_refused(case):
    laws.bad_out_is_refused(case)


@given(case=either)
def test_channels_last_equals_channels_first(isa, case):
    laws.channels_last_equals_channels_first(case)


# --- what is particular to fractional max pooling -------------------------------------------------


@given(case=fractional_cases(sts.FLOATS, specials=False, indices=True), seed=sts.seeds)
def test_backward_matches_finite_differences(isa, case, seed):
    """Among values that are far apart a small step moves no maximum: the derivative is exact."""
    x = np.random.default_rng(seed).permutation(case.arrays[0].size).astype(np.float64)
    x = x.reshape(case.arrays[0].shape)
    values, indices = case.run([x], index_dtype="int64")
    y = sts.values(values.shape, np.float64, seed)
    direction = sts.values(x.shape, np.float64, seed + 1) / 16
    slope = np.vdot(case.run([x + direction])[0] - case.run([x - direction])[0], y) / 2
    gradient = getattr(us, f"{case.op}_backward")(y, indices, x.shape)
    scale = np.linalg.norm(gradient) + np.linalg.norm(values) * np.linalg.norm(y)
    assert abs(slope - np.vdot(gradient, direction)) <= 1e-13 * scale * x.size


@given(case=fractional_cases(indices=True))
def test_value_is_the_element_at_its_index(isa, case):
    values, indices = case.run()
    taken = ref.take_flat(case.arrays[0], indices.astype(np.int64), case.n)
    laws.assert_identical(values, taken)


@given(case=forward)
def test_values_do_not_depend_on_asking_for_indices(isa, case):
    alone = case.call(case.given(), return_indices=False)[0]
    laws.assert_identical(alone, case.call(case.given(), return_indices=True)[0])


@given(case=fractional_cases(indices=True), layout=st.sampled_from(sts.IN_PLACE))
def test_out_takes_values_and_indices(isa, case, layout):
    """Both, or either; the other is then made."""
    given = case.given()
    want = case.call(given)
    for mask in ((True, True), (True, False), (False, True)):
        out = tuple(
            sts.lay_out(np.zeros_like(w), layout, case.n) if m else None
            for w, m in zip(want, mask, strict=True)
        )
        got = case.call(given, out=out)
        for g, w, o in zip(got, want, out, strict=True):
            assert o is None or g is o
            laws.assert_identical(np.ascontiguousarray(g), w)


@given(case=fractional_cases(sts.FLOATS, specials=False), seed=sts.seeds)
def test_vjp_is_the_backward(case, seed):
    given = case.given()
    last = {"channels_last": True} if case.channels_last else {}
    output, pullback = us.vjp(getattr(us, case.op), *given, **case.options, **last)
    values = output[0] if case.options["return_indices"] else output
    grad = sts.values(values.shape, values.dtype, seed)
    _, indices = case.call(given, return_indices=True)
    backward = getattr(us, f"{case.op}_backward")
    want = backward(grad, indices, given[0].shape, **last)
    assert laws.same_bits(pullback(grad)[0], want)


@given(data=st.data())
def test_windows_cover_the_axis_in_two_step_sizes(data):
    """Of values that rise along both axes the maximum is the last element of its window.

    A number with more bits than `i + u` has room for may be rounded up to 1 there.
    """
    size, kernel = data.draw(st.integers(2, 300)), data.draw(st.integers(1, 5))
    kernel = min(kernel, size - 1)
    out = data.draw(st.integers(2, size - kernel + 1))
    few_bits = st.integers(0, 2**40 - 1).map(lambda v: v / 2**40)
    u = data.draw(few_bits | st.floats(0, 1, exclude_max=True) | st.just(1 - 2**-53))
    x = np.arange(3 * size).reshape(3, size)
    got = us.fractional_max_pool2d(x, (3, kernel), (1, out), random_samples=[u, u])
    starts = got[0] - 2 * size - (kernel - 1)
    assert starts.tolist() == window_starts(size, out, kernel, u)
    assert starts[0] == 0 and starts[-1] == size - kernel
    step = (size - kernel) / (out - 1)
    if (u * 2**40).is_integer():
        assert set(np.diff(starts).tolist()) <= {math.floor(step), math.ceil(step)}


def test_a_seed_means_the_same_windows_everywhere():
    """The numbers are part of the contract: they may not change from release to release."""
    assert seeded(1234567, (3,)).tolist() == [v / 2**53 for v in FIRST_OF_1234567]
    x = sts.values((2, 3, 20, 30), "f4", 3)
    values = us.fractional_max_pool2d(x, 2, (11, 13), seed=1234567)
    samples = seeded(1234567, (2, 3, 2))
    given = us.fractional_max_pool2d(x, 2, (11, 13), random_samples=samples)
    assert laws.same_bits(values, given)
    last = us.fractional_max_pool2d(
        ref.to_channels_last(x, 2), 2, (11, 13), seed=1234567, channels_last=True
    )
    assert laws.same_bits(np.ascontiguousarray(ref.to_channels_first(last, 2)), values)


# The published first numbers of SplitMix64 with this seed, less the 11 bits a double does not hold.
FIRST_OF_1234567 = [
    v >> 11 for v in (6457827717110365317, 3203168211198807973, 9817491932198370423)
]


def test_without_a_seed_windows_differ_from_call_to_call():
    x = np.arange(10_000.0).reshape(100, 100)
    results = {us.fractional_max_pool2d(x, 2, 60).tobytes() for _ in range(5)}
    assert len(results) > 1


def test_every_plane_has_windows_of_its_own():
    x = np.broadcast_to(np.arange(50.0 * 50).reshape(50, 50), (2, 3, 50, 50))
    y = us.fractional_max_pool2d(x, 1, 30, seed=0)
    assert len({plane.tobytes() for plane in y.reshape(6, -1)}) == 6


@pytest.mark.parametrize("dtype", sts.FLOATS, ids=str)
def test_nan_wins_and_the_first_is_named(isa, dtype):
    for place in range(25):
        x = np.zeros((5, 5))
        x[4, 4] = np.inf
        x.flat[place] = np.nan
        x.flat[place + 7 :: 7] = np.nan
        value, index = us.fractional_max_pool2d(x.astype(dtype), 5, 1, return_indices=True)
        assert np.isnan(value.astype(np.float32)).all() and index.tolist() == [[place]]


@pytest.mark.parametrize("dtype", [d for d in sts.ORDERED if d.kind != "b"], ids=str)
def test_first_of_equal_maxima(isa, dtype):
    x = np.ones((6, 7), dtype)
    _, index = us.fractional_max_pool2d(x, (2, 3), (3, 4), seed=1, return_indices=True)
    rows, cols = index // 7, index % 7
    assert (rows == rows[:, :1]).all() and (cols == cols[:1]).all()
    assert rows[0, 0] == cols[0, 0] == 0 and rows[2, 3] == 4 and cols[2, 3] == 4


@pytest.mark.parametrize(
    "shape, kernel, out",
    [
        ((2, 9000), (1, 2), (2, 4500)),  # a row in several pieces
        ((2, 9000), (2, 5000), (1, 20)),  # windows in several pieces
        ((2, 9000), (2, 9000), (1, 1)),
        ((3, 2, 20_000), (2, 3), (1, 2)),  # windows far apart
        ((9000, 2), (1, 2), (4500, 1)),
        ((9000, 2), (6000, 1), (3, 2)),
        ((300, 400), (2, 2), (20, 300)),
    ],
)
@pytest.mark.parametrize("dtype", ["u1", "f2", "f8"])
def test_rows_and_windows_longer_than_the_scratch(isa, shape, kernel, out, dtype):
    x = sts.values(shape, dtype, 4)
    samples = some_samples((*shape[:-2], 2), 5)
    want = fractional_max_pool(x, kernel, out, samples)
    for array in (x, x[..., ::-1].copy()[..., ::-1]):
        got = us.fractional_max_pool2d(
            array, kernel, out, random_samples=samples, return_indices=True
        )
        for g, w in zip(got, want, strict=True):
            laws.assert_identical(g, w)


def test_a_large_batch_is_the_same_on_two_threads():
    x = sts.values((2, 64, 57, 56), "f4", 1)
    us.set_num_threads(1)
    one = us.fractional_max_pool2d(x, 3, output_ratio=0.6, seed=2, return_indices=True)
    us.set_num_threads(2)
    two = us.fractional_max_pool2d(x, 3, output_ratio=0.6, seed=2, return_indices=True)
    assert all(map(laws.same_bits, one, two))
    last = np.moveaxis(x, 1, -1)
    for array in (last, np.ascontiguousarray(last)):
        moved = us.fractional_max_pool2d(array, 3, output_ratio=0.6, seed=2, channels_last=True)
        assert np.array_equal(np.moveaxis(moved, -1, 1), one[0])


def test_empty_batch_is_an_empty_result():
    x = np.ones((0, 3, 4, 4), "f4")
    values, indices = us.fractional_max_pool2d(x, 2, 2, return_indices=True)
    assert values.shape == indices.shape == (0, 3, 2, 2)
    samples = np.zeros((0, 3, 2))
    assert us.fractional_max_pool2d(x, 2, 2, random_samples=samples).shape == (0, 3, 2, 2)
    assert us.fractional_max_pool2d_backward(values, indices, x.shape).shape == x.shape


def test_an_array_seen_by_a_stride_of_zero_takes_no_memory():
    """Three windows of two thousand million elements."""
    x = np.broadcast_to(np.uint8(1), (2, 2**31))
    call = dict(kernel_size=1, output_size=(2, 3), return_indices=True, seed=0)
    assert us.fractional_max_pool2d(x, **call)[1].tolist()[0][2] == 2**31 - 1
    words = "fractional_max_pool2d: ", "int32"
    laws.refused(
        lambda: us.fractional_max_pool2d(x, **call, index_dtype="int32"), ValueError, *words
    )


# --- refused --------------------------------------------------------------------------------------

HUGE = 2**62
REFUSED = [
    (dict(), ValueError, ["output_size", "output_ratio"]),
    (dict(output_size=3, output_ratio=0.5), ValueError, ["output_size", "output_ratio"]),
    (dict(output_size=0), ValueError, ["output_size[0] = 0", "from 1 to 5"]),
    (dict(output_size=(3, 7)), ValueError, ["output_size[1] = 7", "from 1 to 6"]),
    (dict(output_size=(3, HUGE)), ValueError, [f"output_size[1] = {HUGE}"]),
    (dict(output_size=2**70), ValueError, ["output_size"]),
    (dict(output_size=-1), ValueError, ["output_size = -1"]),
    (dict(output_size=2.0), TypeError, ["output_size"]),
    (dict(output_size=(3, 3, 3)), ValueError, ["output_size = (3, 3, 3)", "3 entries"]),
    (dict(output_ratio=0.0), ValueError, ["output_ratio[0] = 0", "above 0 and below 1"]),
    (dict(output_ratio=(0.5, 1.0)), ValueError, ["output_ratio[1] = 1"]),
    (dict(output_ratio=-0.5), ValueError, ["output_ratio[0] = -0.5"]),
    (dict(output_ratio=math.nan), ValueError, ["output_ratio[0] = NaN"]),
    (dict(output_ratio=math.inf), ValueError, ["output_ratio[0] = inf"]),
    (dict(output_ratio=10**400), ValueError, ["output_ratio"]),
    (dict(output_ratio=0.1), ValueError, ["output_ratio[0] = 0.1: gives 0 windows", "from 1 to 5"]),
    (
        dict(output_ratio=0.9),
        ValueError,
        ["[0] = 0.9: gives 5", "from 1 to 4"],
        dict(kernel_size=3),
    ),
    (dict(output_ratio="half"), TypeError, ["output_ratio"]),
    (dict(output_size=3), ValueError, ["kernel_size[0] = 0"], dict(kernel_size=0)),
    (dict(output_size=3), ValueError, ["kernel_size[0] = 7", "axis H"], dict(kernel_size=7)),
    (dict(output_size=1), ValueError, ["kernel_size"], dict(kernel_size=HUGE)),
    (dict(output_size=3), TypeError, ["kernel_size"], dict(kernel_size=None)),
    (dict(output_size=3, seed=-1), ValueError, ["seed = -1"]),
    (dict(output_size=3, seed=2**63), ValueError, ["seed"]),
    (dict(output_size=3, seed=0.5), TypeError, ["seed"]),
    (dict(output_size=3, seed=1, random_samples=np.zeros(2)), ValueError, ["seed = 1"]),
    (dict(output_size=3, random_samples=np.zeros(3)), ValueError, ["random_samples.shape", "(2,)"]),
    (dict(output_size=3, random_samples=np.zeros((1, 2))), ValueError, ["random_samples.shape"]),
    (dict(output_size=3, random_samples=[0, 1.0]), ValueError, ["random_samples[1] = 1"]),
    (dict(output_size=3, random_samples=[-1e-9, 0]), ValueError, ["random_samples[0]"]),
    (dict(output_size=3, random_samples=[0, math.nan]), ValueError, ["random_samples[1] = NaN"]),
    (dict(output_size=3, random_samples=[0j, 0]), TypeError, ["random_samples.dtype"]),
    (dict(output_size=3, random_samples="ab"), TypeError, ["random_samples"]),
    (dict(output_size=3, index_dtype="int16"), ValueError, ["index_dtype"]),
    (dict(output_size=3, return_indices="no"), TypeError, ["return_indices"]),
    (dict(output_size=3, return_indices=True), TypeError, ["out"], dict(out=np.zeros((3, 3)))),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda c: str(c[0])[:60])
def test_refusals_name_parameter_value_and_range(case):
    """One line each; and `out` is left alone."""
    options, exception, words, *more = case
    options = {"kernel_size": 2, **(more[0] if more else {}), **options}
    laws.refused(
        lambda: us.fractional_max_pool2d(np.zeros((6, 7)), **options),
        exception,
        "fractional_max_pool2d: ",
        *words,
    )


def test_refused_ranks_and_dtypes():
    def refused(x, exception, *words, **options):
        laws.refused(
            lambda: us.fractional_max_pool2d(x, 1, 1, **options), exception, "max_pool2d: ", *words
        )

    refused(np.zeros(5), ValueError, "x.ndim = 1")
    refused(np.zeros((5, 5)), ValueError, "x.ndim = 2", channels_last=True)
    refused(np.zeros((3, 0, 5)), ValueError, "axis H = 0")
    refused(np.zeros((5, 5), complex), TypeError, "complex128")
    refused(np.zeros((5, 5), "M8[s]"), TypeError, "datetime64")
    samples = np.zeros((3, 2))
    samples[2, 1] = 1
    refused(np.zeros((3, 5, 5)), ValueError, "random_samples[2, 1] = 1", random_samples=samples)


@pytest.mark.parametrize("index", [-1, 36, 2**40])
def test_backward_refuses_an_index_outside_its_block(index):
    indices = np.array([[0, index]])
    laws.refused(
        lambda: us.fractional_max_pool2d_backward(np.ones((1, 2)), indices, (6, 6)),
        IndexError,
        "fractional_max_pool2d_backward: ",
        f"indices[0, 1] = {index}",
        "0 to 35",
    )


# --- torch ----------------------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.parametrize("n", [2, 3])
@given(data=st.data())
def test_torch_agrees(n, data):
    """Values, indices and gradient from the same samples, in float64.

    Left out on purpose: NaN (torch names the last of a window), and in three dimensions the largest
    output size, which torch refuses.
    """
    torch = pytest.importorskip("torch")
    size = [data.draw(st.integers(2, 12 if n == 2 else 7)) for _ in range(n)]
    kernel = tuple(data.draw(st.integers(1, min(i - 1, 4))) for i in size)
    spare = 0 if n == 2 else 1
    out = tuple(
        data.draw(st.integers(1, i - k + 1 - spare)) for i, k in zip(size, kernel, strict=True)
    )
    x = sts.values((2, 3, *size), np.float64, data.draw(sts.seeds))
    samples = some_samples((2, 3, n), data.draw(sts.seeds))
    tensor = torch.from_numpy(x).requires_grad_()
    options = {"output_size": out}
    ratios = tuple((o + 0.5) / i for o, i in zip(out, size, strict=True))
    if all(r < 1 for r in ratios) and data.draw(st.booleans()):
        options = {"output_ratio": ratios}
    values, indices = getattr(torch.nn.functional, f"fractional_max_pool{n}d_with_indices")(
        tensor, kernel, **options, _random_samples=torch.from_numpy(samples)
    )
    op = f"fractional_max_pool{n}d"
    got, at = getattr(us, op)(x, kernel, **options, random_samples=samples, return_indices=True)
    assert laws.same_bits(got, values.detach().numpy())
    assert laws.same_bits(at, indices.numpy())
    grad = sts.values(got.shape, np.float64, data.draw(sts.seeds))
    values.backward(torch.from_numpy(grad))
    mine = getattr(us, f"{op}_backward")(grad, at, x.shape)
    np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-12, atol=1e-12)
