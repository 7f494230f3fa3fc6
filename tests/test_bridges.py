"""What the bridges share: shapes told without computing are those of the results."""

import subprocess
import sys

import numpy as np
import pytest

import upsample_rs as us
from bridge_calls import CALLS, IDS
from upsample_rs.bridges import table
from upsample_rs.bridges.table import OPS, plan


def call_of(name, args, kwargs):
    op = OPS[name]
    return op, op.bind(args, kwargs)


def test_every_operation_with_a_gradient_is_there():
    functions = {n for n in us.__all__ if f"{n}_backward" in us.__all__}
    assert functions <= set(OPS) and all(getattr(us, name) is OPS[name].forward for name in OPS)


@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS, ids=IDS)
def test_pinned_calls_are_the_same_calls(name, args, kwargs):
    op, given = call_of(name, args, kwargs)
    want = getattr(us, name)(*args, **kwargs)
    assert np.array_equal(op.forward(**op.pin(given)), want)


@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS, ids=IDS)
def test_shapes_are_those_of_the_results(name, args, kwargs):
    op, given = call_of(name, args, kwargs)
    want = getattr(us, name)(*args, **kwargs)
    pinned = op.pin(given)
    assert plan(op, pinned)[0] == (want.shape, want.dtype)
    told = op.shape(pinned)
    assert told == want.shape or (told is None and "keep_aspect_ratio" in kwargs)
    if op.indexed:
        values, indices = plan(op, pinned | {"return_indices": True})
        assert values[0] == indices[0] == want.shape
        assert indices[1] == pinned["index_dtype"]


@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS, ids=IDS)
def test_axes_in_front_change_nothing(name, args, kwargs):
    """A pinned call means the same for a batch, which is what vmap rests on."""
    op, given = call_of(name, args, kwargs)
    if not op.leading or op.family == "fractional_max_pool":
        pytest.skip("not so of this operation")
    pinned = op.pin(given)
    want = op.forward(**pinned)
    for array in op.arrays:
        if pinned[array] is not None:
            pinned[array] = np.stack([pinned[array]] * 2)
    if name == "affine_grid":
        pinned["size"] = (2, *pinned["size"])
    assert np.array_equal(op.forward(**pinned), np.stack([want] * 2))


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_window_counts_are_those_of_pool_output_size(ceil_mode):
    from upsample_rs.bridges.shapes import window_count

    for length in range(1, 12):
        for kernel in range(1, 5):
            for step in range(1, 5):
                for pad in range(kernel // 2 + 1):
                    if kernel <= length + 2 * pad:
                        want = us.pool_output_size(length, kernel, step, pad, 1, ceil_mode)
                        got = window_count(length, kernel, step, (pad, pad), ceil_mode)
                        assert got == want, (length, kernel, step, pad)


def test_plan_refuses_as_the_operation_does():
    op, given = call_of("max_pool2d", (np.zeros((2, 5, 4)), 9), {})
    with pytest.raises(ValueError, match=r"kernel_size\[0\] = 9 exceeds axis H: 5 elements"):
        plan(op, op.pin(given))


def test_plan_computes_nothing():
    """An array of 4 TB, which is not there."""
    x = np.broadcast_to(np.float32(0), (1000, 1000, 1000, 1000))
    op, given = call_of("interpolate", (x,), {"scale_factor": 2})
    assert plan(op, op.pin(given)) == [((1000, 1000, 2000, 2000), np.float32)]


def test_arguments_are_checked():
    op = OPS["max_pool2d"]
    for args, kwargs, reason in (
        ((1,), {}, "kernel_size is missing"),
        ((1, 2), {"x": 1}, "x is given twice"),
        ((1, 2), {"colour": 1}, "has no parameter 'colour'"),
        ((1, 2), {"out": 1}, "out: results are always new"),
        (range(9), {}, "takes at most 7 positional arguments, 9 were given"),
    ):
        with pytest.raises(TypeError, match=f"max_pool2d: {reason}"):
            op.bind(tuple(args), kwargs)


def test_annotations_are_known():
    """A new one must be given a form in which it crosses."""
    known = table.ARRAYS | table.PER_AXIS | table.PADDING
    known |= {"bool", "bool | None", "int", "int | None", "float", "float | None", "complex"}
    known |= {"Sequence[int]", "tuple[int, ...]", "Sequence[tuple[float, float]] | None"}
    words = {"InterpolateMode", "Rounding", "ResizeEdge", "NearestRounding", "AspectPolicy"}
    words |= {"BlockMode", "IndexDType", "GridMode", "GridPadding", "RoiMode", "Duplicates"}
    for op in OPS.values():
        kinds = set(op.kinds.values()) | set(op.backward_kinds.values())
        assert kinds <= known | words | {"OutputMask"}, op.name


def test_the_package_imports_no_other_library():
    code = "import sys, upsample_rs; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    names = set(loaded.stdout.split())
    assert not names & {"torch", "jax", "onnx", "ml_dtypes", "threadpoolctl", "ctypes"} - (
        {"ctypes"} if "ctypes" in loaded_with_numpy() else set()
    )
    assert not {n for n in names if n.startswith(("upsample_rs.bridges", "upsample_rs.torch"))}


def loaded_with_numpy():
    code = "import sys, numpy; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_shapes_of_nothing_and_of_no_padding():
    from upsample_rs._parts import proportional
    from upsample_rs.bridges.shapes import named_padding

    assert proportional([0], 0, 5) == [0, 5]
    assert named_padding("valid", 5, 3, 2) == (0, 0)
    assert named_padding("same", 5, 2, 2) == (0, 1)
    assert named_padding("same_lower", 5, 2, 2) == (1, 0)
