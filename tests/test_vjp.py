"""`vjp` against the explicit backward functions and against finite differences."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import upsample_rs as us


def values(*shape: int, seed: int = 0) -> np.ndarray:
    """Distinct values at least 1/n apart, in random order: a small step moves no maximum."""
    n = int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(n) / n - 0.4).reshape(shape)


class Case(NamedTuple):
    """One call: the operation, its floating arrays, its other arguments, and its backward's."""

    fn: Any
    arrays: tuple[np.ndarray, ...]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    backward: dict[str, Any] | None = None  # arguments of the backward where they differ

    def forward(self, *arrays: np.ndarray) -> Any:
        return self.fn(*arrays, *self.args, **self.kwargs)


def indices_of(shape: tuple[int, ...], block: int, seed: int = 1) -> np.ndarray:
    """Distinct places in a block of `block` elements for every leading index."""
    rng = np.random.default_rng(seed)
    per_block = shape[-1] if len(shape) == 1 else int(np.prod(shape[1:]))
    rows = 1 if len(shape) == 1 else shape[0]
    return np.stack([rng.permutation(block)[:per_block] for _ in range(rows)]).reshape(shape)


NCHW = values(2, 3, 5, 4)
NHWC = values(2, 5, 4, 3)

INTERPOLATE = [
    Case(us.interpolate, (values(3, 4),), (), {"scale_factor": 2}),
    Case(us.interpolate, (NCHW,), ((7, 3),), {"mode": "nearest-exact"}),
    Case(us.interpolate, (values(2, 3, 5),), (), {"scale_factor": 1.7, "mode": "linear"}),
    Case(
        us.interpolate,
        (values(2, 3, 5),),
        (),
        {"scale_factor": 1.7, "mode": "linear", "recompute_scale_factor": True},
        {"scale_factor": None},
    ),
    Case(us.interpolate, (NCHW,), ((8, 9),), {"mode": "bilinear"}),
    Case(us.interpolate, (NCHW,), ((8, 9),), {"mode": "bilinear", "align_corners": True}),
    Case(us.interpolate, (NCHW,), ((2, 3),), {"mode": "bilinear", "antialias": True}),
    Case(us.interpolate, (NHWC,), ((3, 8),), {"mode": "bilinear", "channels_last": True}),
    Case(us.interpolate, (values(2, 3, 2, 3),), (4,), {"mode": "trilinear"}),
]

RESIZE = [
    Case(us.resize, (values(3, 4),), (5,)),
    Case(us.resize, (NCHW,), ((7, 3),), {"axes": (2, -1), "method": "cubic"}),
    Case(us.resize, (NCHW,), (), {"axes": 2, "scale": 0.7, "method": "lanczos3"}),
    Case(us.resize, (values(9, 7),), (4,), {"method": ("area", "linear"), "antialias": True}),
    Case(us.resize, (values(9, 7),), (4,), {"keep_aspect_ratio": "not_larger"}),
    Case(us.resize, (values(5),), (9,), {"method": "mitchell", "edge": "wrap"}),
    Case(us.resize, (values(5),), (9,), {"method": "cubic", "edge": "constant", "fill": 3}),
]

# Nearest modes take their rank from `size`, which the backward does not see.
INTERPOLATE_RANKS = [
    Case(us.interpolate, (values(2, 3, 4),), ((5, 6),)),
    Case(us.interpolate, (values(2, 3, 4),), ((3, 6),)),
    Case(us.interpolate, (values(3, 4),), ((7,),)),
    Case(us.interpolate, (values(2, 1, 3, 2, 4),), ((4, 6),)),
    Case(us.interpolate, (values(2, 1, 1, 3, 2, 4),), ((4, 6),)),
    Case(us.interpolate, (values(3, 4, 2),), ((5, 6),), {"channels_last": True}),
    Case(us.interpolate, (values(2, 3, 4),), (), {"scale_factor": (2.0, 1.5)}),
]

NAILS = [
    Case(us.bed_of_nails, (values(3, 2),), (2,)),
    Case(us.bed_of_nails, (values(2, 3, 2),), ((3, 1, 2),), {"offset": (2, 0, 1)}),
    Case(us.bed_of_nails, (values(2, 3, 2),), (2,), {"offset": 1, "channels_last": True}),
]

SHUFFLES = [
    Case(us.pixel_shuffle, (values(2, 8, 2, 3),), (2,)),
    Case(us.pixel_shuffle, (values(2, 3, 6),), ((3,),), {"channels_last": True}),
    Case(us.pixel_unshuffle, (values(2, 4, 6),), (2,)),
    Case(us.depth_to_space, (values(12, 2, 3, 1),), ((1, 3, 2), "CRD")),
    Case(us.space_to_depth, (values(4, 6, 2),), (2,), {"channels_last": True}),
    Case(us.channel_shuffle, (values(2, 6, 3),), (2,)),
    Case(us.channel_shuffle, (values(2, 2, 6),), (3,), {"channels_last": True}),
]

FOLDS = [
    Case(us.unfold, (values(4, 5),), (2,)),
    Case(us.unfold, (NCHW,), (3, 1, 1, 2)),
    Case(us.unfold, (NHWC,), ((2, 3),), {"dilation": (2, 1), "channels_last": True}),
    Case(us.fold, (values(2, 8, 6),), ((3, 4), 2)),
    Case(us.fold, (values(12, 4),), ((7,), (3,)), {"stride": 2, "padding": ((1, 1),)}),
]

MAX_POOL = [
    Case(us.max_pool1d, (values(2, 9),), (3, 2, 1)),
    Case(us.max_pool2d, (values(4, 4),), (2,)),
    Case(us.max_pool2d, (NCHW,), (3, 2, 1), {"ceil_mode": True}),
    Case(us.max_pool2d, (NHWC,), ((2, 3),), {"stride": 1, "channels_last": True}),
    Case(us.max_pool2d, (NCHW,), (2,), {"dilation": 2, "index_dtype": "int32"}),
    Case(us.max_pool3d, (values(2, 4, 4, 5),), (2,), {"stride": (2, 1, 2)}),
]

MIN_POOL = [
    Case(us.min_pool1d, (values(2, 9),), (3, 2, 1)),
    Case(us.min_pool2d, (NHWC,), ((2, 3),), {"padding": "same", "channels_last": True}),
    Case(us.min_pool3d, (values(2, 4, 4, 5),), (2,), {"stride": (2, 1, 2)}),
]

ADAPTIVE_MAX_POOL = [
    Case(us.adaptive_max_pool1d, (values(2, 9),), (4,)),
    Case(us.adaptive_max_pool2d, (NHWC,), ((2, None),), {"channels_last": True}),
    Case(us.adaptive_max_pool3d, (values(2, 4, 4, 5),), (3,), {"index_dtype": "int32"}),
]

AVG_POOL = [
    Case(us.avg_pool1d, (values(2, 9),), (3, 2, 1)),
    Case(us.avg_pool2d, (NCHW,), (3, 2, 1), {"ceil_mode": True, "count_include_pad": False}),
    Case(us.avg_pool2d, (NHWC,), ((2, 3),), {"padding": "same", "channels_last": True}),
    Case(us.avg_pool2d, (NCHW,), (2, 1), {"dilation": 2, "divisor_override": 3}),
    Case(us.avg_pool3d, (values(2, 4, 4, 5),), (2,), {"stride": (2, 1, 2)}),
]

ADAPTIVE_AVG_POOL = [
    Case(us.adaptive_avg_pool1d, (values(2, 9),), (4,)),
    Case(us.adaptive_avg_pool2d, (NHWC,), ((2, None),), {"channels_last": True}),
    Case(us.adaptive_avg_pool3d, (values(2, 4, 4, 5),), (3,)),
]

LP_POOL = [
    Case(us.lp_pool1d, (1 + values(2, 9),), (2, 3, 2)),
    Case(us.lp_pool2d, (1 + NCHW,), (3, 3, 2), {"padding": 1, "ceil_mode": True}),
    Case(us.lp_pool2d, (-1 - NHWC,), (1.5, 2, 1), {"dilation": 2, "channels_last": True}),
    Case(us.lp_pool3d, (1 + values(2, 4, 4, 5),), (np.inf, 2)),
]

MAX_UNPOOL = [
    Case(us.max_unpool1d, (values(3),), (np.array([0, 3, 5]), 2)),
    Case(us.max_unpool2d, (values(3, 2, 2),), (indices_of((3, 2, 2), 16), 2)),
    Case(
        us.max_unpool2d,
        (values(2, 2, 3),),
        (np.stack([indices_of((4,), 20, seed) for seed in range(3)], -1).reshape(2, 2, 3), 2),
        {"output_size": (4, 5), "channels_last": True},
    ),
    Case(us.max_unpool2d, (values(2, 2),), (np.full((2, 2), 6), 2), {"duplicates": "sum"}),
    Case(us.max_unpool3d, (values(2, 1, 2, 2),), (indices_of((2, 1, 2, 2), 32), 2)),
]

CONV = [
    Case(us.conv1d, (values(2, 4, 9), values(6, 2, 3, seed=1)), (), {"groups": 2, "stride": 2}),
    Case(us.conv2d, (values(4, 5), values(2, 3, seed=1))),
    Case(us.conv2d, (NCHW, values(2, 3, 3, 3, seed=1), values(2, seed=2)), (2, 1)),
    Case(us.conv2d, (NCHW[0], values(2, 3, 2, 2, seed=1)), (), {"padding": ((1, 0), (0, 2))}),
    Case(us.conv2d, (NCHW, values(2, 3, 2, 3, seed=1)), (), {"padding": "same"}),
    Case(
        us.conv2d,
        (NHWC, values(2, 3, 2, 2, seed=1), values(2, seed=2)),
        (),
        {"dilation": 2, "channels_last": True},
    ),
    Case(us.conv3d, (values(2, 3, 3, 4), values(2, 2, 2, 2, 2, seed=1), values(2, seed=2))),
]

CONV_TRANSPOSE = [
    Case(us.conv_transpose1d, (values(2, 4, 5), values(4, 3, 3, seed=1)), (), {"groups": 2}),
    Case(us.conv_transpose1d, (values(1, 2, 3), values(2, 1, 2, seed=1)), (), {"dilation": 3}),
    Case(us.conv_transpose2d, (values(3, 2), values(2, 2, seed=1))),
    Case(
        us.conv_transpose2d,
        (NCHW, values(3, 2, 3, 3, seed=1), values(2, seed=2)),
        (),
        {"stride": 2, "padding": 1, "output_padding": (1, 0)},
    ),
    Case(
        us.conv_transpose2d,
        (NCHW, values(3, 2, 3, 3, seed=1), values(2, seed=2)),
        (),
        {"stride": 3, "padding": 1, "output_size": (13, 12)},
        {"output_padding": (0, 2)},
    ),
    Case(
        us.conv_transpose2d,
        (NHWC[0], values(3, 2, 2, 2, seed=1)),
        (),
        {"stride": (3, 2), "output_size": (15, 9), "channels_last": True},
        {"output_padding": (1, 1)},
    ),
    Case(
        us.conv_transpose2d,
        (values(3, 2), values(2, 2, seed=1)),
        (),
        {"stride": 3, "output_size": (9, 5)},
        {"output_padding": (1, 0)},
    ),
    Case(us.conv_transpose3d, (values(2, 2, 2, 3), values(2, 1, 2, 2, 2, seed=1)), (None, 2)),
]

FRACTIONAL_MAX_POOL = [
    Case(us.fractional_max_pool2d, (values(2, 6, 7),), (2, 3), {"seed": 4}),
    Case(
        us.fractional_max_pool2d,
        (NHWC,),
        (2,),
        {"output_size": 3, "random_samples": np.full((2, 3, 2), 0.4), "channels_last": True},
    ),
    Case(us.fractional_max_pool3d, (values(4, 4, 5),), (2, (3, 2, 3)), {"seed": 1}),
]

BOXES = np.array([[0, 0.6, 0.2, 2.9, 3.1], [1, 1.2, 0.4, 3.7, 4.4]])
ROI = [
    Case(us.roi_align, (NCHW,), (BOXES, 2), {"sampling_ratio": 2}),
    Case(us.roi_align, (NHWC,), (BOXES, (3, 2)), {"aligned": True, "channels_last": True}),
    Case(us.roi_pool, (NCHW,), (BOXES, 2)),
]

POINTS = values(2, 4, 3, 2, seed=5) * 2.3 + 0.0137
THETA = values(2, 2, 3, seed=6)
GRID = [
    Case(us.grid_sample, (NCHW, POINTS)),
    Case(us.grid_sample, (NCHW, POINTS), ("bicubic", "border"), {"align_corners": True}),
    Case(us.grid_sample, (NHWC, POINTS), ("bilinear", "reflection"), {"channels_last": True}),
    Case(us.affine_grid, (THETA,), ((2, 3, 5, 4),)),
    Case(us.affine_grid, (THETA,), ((2, 5, 4, 3), True), {"channels_last": True}),
]

WITH_INDICES = MAX_POOL + MIN_POOL + ADAPTIVE_MAX_POOL + FRACTIONAL_MAX_POOL
MEANS = AVG_POOL + ADAPTIVE_AVG_POOL
CASES = INTERPOLATE + INTERPOLATE_RANKS + RESIZE + NAILS + WITH_INDICES + MEANS + LP_POOL
CASES += ROI + MAX_UNPOOL + SHUFFLES + FOLDS + CONV + CONV_TRANSPOSE + GRID


def identity(case: Case) -> str:
    """Name a case by its operation and what is special about it."""
    shapes = "x".join(map(str, case.arrays[0].shape))
    return f"{case.fn.__name__}-{shapes}-{'-'.join(case.kwargs)}"


def each(cases: list[Case]) -> Any:
    """Run a test once per case."""
    return pytest.mark.parametrize("case", cases, ids=identity)


def same(grads: tuple[np.ndarray, ...], expected: tuple[Any, ...]) -> None:
    """Assert two tuples of arrays have the same shapes, dtypes and elements."""
    for grad, wanted in zip(grads, expected, strict=True):
        assert (grad.shape, grad.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_array_equal(grad, wanted)


def cotangent(output: np.ndarray) -> np.ndarray:
    """Random gradient of an output."""
    return np.random.default_rng(7).standard_normal(output.shape)


def differences(case: Case, grad_output: np.ndarray, which: int) -> np.ndarray:
    """Central differences of ``<grad_output, forward>`` by every element of one array."""
    step = 2.0**-20
    arrays = [array.copy() for array in case.arrays]
    moved = arrays[which]
    grad = np.empty_like(moved)
    for place in np.ndindex(moved.shape):
        kept = moved[place]
        moved[place] = kept + step
        above = np.vdot(grad_output, case.forward(*arrays))
        moved[place] = kept - step
        below = np.vdot(grad_output, case.forward(*arrays))
        moved[place] = kept
        grad[place] = (above - below) / (2 * step)
    return grad


@each(CASES)
def test_output_is_the_forward(case: Case) -> None:
    output, _ = us.vjp(case.fn, *case.arrays, *case.args, **case.kwargs)
    assert type(output) is np.ndarray
    same((output,), (case.forward(*case.arrays),))


@each(CASES)
def test_pullback_matches_finite_differences(case: Case) -> None:
    output, pullback = us.vjp(case.fn, *case.arrays, *case.args, **case.kwargs)
    grad_output = cotangent(output)
    grads = pullback(grad_output)
    assert type(grads) is tuple
    assert len(grads) == len(case.arrays)
    for which, (array, grad) in enumerate(zip(case.arrays, grads, strict=True)):
        assert (grad.shape, grad.dtype) == (array.shape, array.dtype)
        expected = differences(case, grad_output, which)
        np.testing.assert_allclose(grad, expected, rtol=1e-7, atol=1e-7)


@each(INTERPOLATE)
def test_interpolate_is_its_backward(case: Case) -> None:
    (x,) = case.arrays
    output, pullback = us.vjp(case.fn, x, *case.args, **case.kwargs)
    grad_output = cotangent(output)
    given = {k: v for k, v in case.kwargs.items() if k not in ("size", "recompute_scale_factor")}
    given |= case.backward or {}
    same(pullback(grad_output), (us.interpolate_backward(grad_output, x.shape, **given),))


@each(NAILS)
def test_bed_of_nails_is_its_backward(case: Case) -> None:
    (x,) = case.arrays
    output, pullback = us.vjp(case.fn, x, *case.args, **case.kwargs)
    grad_output = cotangent(output)
    expected = us.bed_of_nails_backward(grad_output, x.shape, *case.args, **case.kwargs)
    same(pullback(grad_output), (expected,))


@each(WITH_INDICES)
def test_pooling_with_indices_is_its_backward(case: Case) -> None:
    (x,) = case.arrays
    backward = getattr(us, f"{case.fn.__name__}_backward")
    layout = {"channels_last": case.kwargs.get("channels_last", False)}
    expected_output = case.fn(x, *case.args, **case.kwargs, return_indices=True)
    output, pullback = us.vjp(case.fn, x, *case.args, **case.kwargs, return_indices=True)
    same(output, expected_output)
    grad_output = cotangent(output[0])
    expected = backward(grad_output, expected_output[1], x.shape, **layout)
    same(pullback(grad_output), (expected,))
    without, pullback = us.vjp(case.fn, x, *case.args, **case.kwargs)
    same((without,), expected_output[:1])
    same(pullback(grad_output), (expected,))


@each(MEANS)
def test_mean_is_its_backward(case: Case) -> None:
    (x,) = case.arrays
    output, pullback = us.vjp(case.fn, x, *case.args, **case.kwargs)
    grad_output = cotangent(output)
    args = () if case in ADAPTIVE_AVG_POOL else case.args  # the output size is the gradient's
    backward = getattr(us, f"{case.fn.__name__}_backward")
    same(pullback(grad_output), (backward(grad_output, x.shape, *args, **case.kwargs),))


@each(LP_POOL)
def test_lp_pool_is_its_backward(case: Case) -> None:
    (x,) = case.arrays
    output, pullback = us.vjp(case.fn, x, *case.args, **case.kwargs)
    grad_output = cotangent(output)
    backward = getattr(us, f"{case.fn.__name__}_backward")
    same(pullback(grad_output), (backward(grad_output, x, *case.args, **case.kwargs),))


@each(MAX_UNPOOL)
def test_max_unpool_is_its_backward(case: Case) -> None:
    backward = getattr(us, f"{case.fn.__name__}_backward")
    layout = {"channels_last": case.kwargs.get("channels_last", False)}
    output, pullback = us.vjp(case.fn, *case.arrays, *case.args, **case.kwargs)
    grad_output = cotangent(output)
    same(pullback(grad_output), (backward(grad_output, case.args[0], **layout),))


@each(CONV + CONV_TRANSPOSE)
def test_conv_is_its_backward(case: Case) -> None:
    x, weight, *bias = case.arrays
    backward = getattr(us, f"{case.fn.__name__}_backward")
    output, pullback = us.vjp(case.fn, *case.arrays, *case.args, **case.kwargs)
    grad_output = cotangent(output)
    args = case.args if bias else case.args[1:]  # without one, the first is `bias`
    given = {k: v for k, v in case.kwargs.items() if k != "output_size"} | (case.backward or {})
    expected = backward(grad_output, x, weight, *args, **given)
    same(pullback(grad_output), expected if bias else expected[:2])


def test_every_operation_with_a_backward_is_tried() -> None:
    forwards = {name for name in us.__all__ if f"{name}_backward" in us.__all__}
    forwards |= {case.fn.__name__ for case in SHUFFLES + FOLDS}  # each other's gradients
    assert {case.fn.__name__ for case in CASES} == forwards


def test_no_bias_gives_two_gradients() -> None:
    x, weight = values(1, 2, 4, 4), values(3, 2, 2, 2)
    for given in ({}, {"bias": None}):
        _, pullback = us.vjp(us.conv2d, x, weight, **given)
        assert [g.shape for g in pullback(np.ones((1, 3, 3, 3)))] == [x.shape, weight.shape]


def test_arguments_by_name() -> None:
    x, weight, bias = values(1, 4, 4), values(1, 1, 2, 2), values(1)
    _, pullback = us.vjp(us.conv2d, bias=bias, stride=2, weight=weight, x=x)
    _, positional = us.vjp(us.conv2d, x, weight, bias, 2)
    grad_output = values(1, 2, 2)
    same(pullback(grad_output), positional(grad_output))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@each([INTERPOLATE[0], INTERPOLATE[4], NAILS[0], MAX_POOL[2], *MEANS[:2], LP_POOL[1], CONV[2]])
def test_dtype_is_kept(case: Case, dtype: str) -> None:
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    arrays = [array.astype(dtype) for array in case.arrays]
    output, pullback = us.vjp(case.fn, *arrays, *case.args, **case.kwargs)
    assert output.dtype == np.dtype(dtype)
    for array, grad in zip(arrays, pullback(np.ones_like(output)), strict=True):
        assert (grad.shape, grad.dtype) == (array.shape, array.dtype)


def test_lists() -> None:
    output, pullback = us.vjp(us.bed_of_nails, [[1.0, 2.0]], 2)
    assert output.tolist() == [[1, 0, 2, 0], [0, 0, 0, 0]]
    (grad,) = pullback([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    assert grad.tolist() == [[1, 3]]
    _, pullback = us.vjp(us.conv1d, [1.0, 2.0, 4.0], [3.0, 5.0], [0.0])
    assert [grad.tolist() for grad in pullback([1.0, 10.0])] == [[3, 35, 50], [21, 42], [11]]


def test_dlpack() -> None:
    class Lent:
        """An array that offers DLPack and nothing else."""

        def __init__(self, array: np.ndarray) -> None:
            self.__dlpack__ = array.__dlpack__
            self.__dlpack_device__ = array.__dlpack_device__

    x = values(4, 4)
    output, pullback = us.vjp(us.max_pool2d, Lent(x), 2)
    expected, reference = us.vjp(us.max_pool2d, x, 2)
    same((output,), (expected,))
    same(pullback(np.ones((2, 2))), reference(np.ones((2, 2))))


def test_pullback_can_be_repeated() -> None:
    x = values(1, 4, 4)
    x.flags.writeable = False
    _, pullback = us.vjp(us.max_pool2d, x, 2)
    grad_output = values(1, 2, 2)
    once, twice = pullback(grad_output), pullback(2 * grad_output)
    same((2 * once[0],), twice)


def test_out_is_filled_and_returned() -> None:
    x = values(1, 4, 4)
    out = np.empty((1, 2, 2))
    output, pullback = us.vjp(us.max_pool2d, x, 2, out=out)
    assert output is out
    expected, places = us.max_pool2d(x, 2, return_indices=True)
    same((out,), (expected,))
    grad_output = np.ones_like(out)
    same(pullback(grad_output), (us.max_pool2d_backward(grad_output, places, x.shape),))

    kept = np.empty((1, 2, 2), np.int64)
    output, _ = us.vjp(us.max_pool2d, x, 2, return_indices=True, out=(None, kept))
    assert output[1] is kept
    same(output, (expected, places))

    out = np.empty((1, 8, 8))
    output, _ = us.vjp(us.interpolate, x, (8, 8), out=out)
    assert output is out
    with pytest.raises(ValueError):
        us.vjp(us.interpolate, x, (8, 8), out=np.empty((1, 8, 9)))


def test_index_dtype_is_passed_on() -> None:
    (_, indices), _ = us.vjp(
        us.max_pool2d, values(4, 4), 2, return_indices=True, index_dtype="int32"
    )
    assert indices.dtype == np.int32


def test_inputs_are_not_changed() -> None:
    for case in CASES:
        before = [array.copy() for array in case.arrays]
        output, pullback = us.vjp(case.fn, *case.arrays, *case.args, **case.kwargs)
        grad_output = cotangent(output)
        kept = grad_output.copy()
        pullback(grad_output)
        same((*case.arrays, grad_output), (*before, kept))


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (us.conv_output_size, "conv_output_size"),
        (us.conv2d_backward, "conv2d_backward"),
        (us.vjp, "vjp"),
        (np.sin, "sin"),
        (len, "len"),
        ([], r"\[\]"),
        ("conv2d", "conv2d"),
    ],
)
def test_unknown_operation(fn: Any, name: str) -> None:
    with pytest.raises(TypeError, match=rf"^vjp: no gradient for '?{name}'?; known: interpolate, "):
        us.vjp(fn, np.ones((4, 4)))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "complex64", "U1", "O"])
def test_array_that_is_not_floating(dtype: str) -> None:
    x = np.ones((4, 4)).astype(dtype)
    with pytest.raises(TypeError, match="vjp: max_pool2d: x has dtype"):
        us.vjp(us.max_pool2d, x, 2)
    with pytest.raises(TypeError, match="vjp: conv2d: weight has dtype"):
        us.vjp(us.conv2d, np.ones((4, 4)), x)
    with pytest.raises(TypeError, match="vjp: bed_of_nails: x has dtype int64"):
        us.vjp(us.bed_of_nails, [[1, 2]], 2)


@pytest.mark.parametrize("make", [np.ma.masked_array, np.matrix])
def test_subclass_is_refused_by_the_forward(make: Any) -> None:
    with pytest.raises(TypeError):
        us.vjp(us.max_pool2d, make(np.ones((4, 4))), 2)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((np.ones((4, 4)),), {}),
        ((np.ones((4, 4)), 2), {"kernel_size": 2}),
        ((np.ones((4, 4)), 2), {"size": 2}),
    ],
)
def test_arguments_that_do_not_fit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="^vjp: max_pool2d: .*(kernel_size|'x'|size)"):
        us.vjp(us.max_pool2d, *args, **kwargs)


@each(CASES)
def test_gradient_of_another_shape(case: Case) -> None:
    output, pullback = us.vjp(case.fn, *case.arrays, *case.args, **case.kwargs)
    longer = (*output.shape[:-1], output.shape[-1] + 1)
    for shape in ((*output.shape, 1), output.shape[:-1], longer, ()):
        refusal = rf"^vjp: {case.fn.__name__}: grad_output has shape .*, the output has "
        with pytest.raises(ValueError, match=refusal):
            pullback(np.ones(shape))


def test_gradient_of_another_dtype() -> None:
    _, pullback = us.vjp(us.conv2d, values(4, 4), values(2, 2))
    with pytest.raises(TypeError, match="conv2d_backward"):
        pullback(np.ones((3, 3), np.int64))
    _, pullback = us.vjp(us.max_pool2d, values(4, 4), 2)
    with pytest.raises(TypeError, match="max_pool2d_backward"):
        pullback(np.ones((2, 2), np.int64))


def test_parameters_are_refused_by_the_forward() -> None:
    with pytest.raises(ValueError):
        us.vjp(us.max_pool2d, np.ones((4, 4)), 0)
    with pytest.raises(IndexError):
        us.vjp(us.max_unpool1d, np.ones(1), [2], 2)
