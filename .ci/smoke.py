"""Exercise an installed wheel: the worked examples, `out=`, threads, errors and import time.

Needs nothing but the wheel and NumPy; run it outside the source tree.
"""

import statistics
import subprocess
import sys

import numpy as np

import upsample_rs as us

IMPORT_LIMIT_MS = 15.0
IMPORT_ROUNDS = 11
TIMED_IMPORT = (
    "import numpy, time; start = time.perf_counter(); import upsample_rs; "
    "print((time.perf_counter() - start) * 1e3)"
)


def same(got, want) -> None:
    if np.asarray(got).tolist() != want:
        raise SystemExit(f"got {np.asarray(got).tolist()}, want {want}")


def worked_examples() -> None:
    """Compare the six techniques with the numbers the documentation prints."""
    x = [[1, 2], [3, 4]]
    same(
        us.interpolate(x, scale_factor=2, mode="nearest"),
        [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]],
    )
    same(
        us.interpolate([[10, 20], [30, 40]], scale_factor=2, mode="bilinear", rounding="floor"),
        [[10, 12, 17, 20], [15, 17, 22, 25], [25, 27, 32, 35], [30, 32, 37, 40]],
    )
    same(us.bed_of_nails(x, 2), [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]])
    grid = [[1, 2, 4, 1], [3, 4, 2, 3], [1, 4, 1, 2], [2, 3, 4, 3]]
    values, indices = us.max_pool2d(grid, 2, return_indices=True)
    same(values, [[4, 4], [4, 4]])
    same(indices, [[5, 2], [9, 14]])
    same(us.max_unpool2d(x, indices, 2), [[0, 0, 2, 0], [0, 1, 0, 0], [0, 3, 0, 0], [0, 0, 4, 0]])
    same(us.conv_transpose2d(x, [[5, 5], [5, 5]]), [[5, 15, 10], [20, 50, 30], [15, 35, 20]])
    ones = us.conv2d(np.ones((5, 5, 3)), np.ones((1, 3, 3, 3)), channels_last=True)
    same(ones, np.full((3, 3, 1), 27.0).tolist())
    same(us.conv_output_size(5, 3), 3)
    same(us.conv_transpose_output_size(2, 2), 3)


def large_work_on_several_threads() -> None:
    x = np.random.default_rng(0).standard_normal((4, 16, 256, 256)).astype(np.float32)
    us.set_num_threads(1)
    want = us.interpolate(x, scale_factor=2, mode="bilinear")
    us.set_num_threads(2)
    out = np.empty_like(want)
    if us.interpolate(x, scale_factor=2, mode="bilinear", out=out) is not out:
        raise SystemExit("out= is not what was returned")
    if out.tobytes() != want.tobytes():
        raise SystemExit("two threads gave other bits than one")


def bad_input_is_refused() -> None:
    try:
        us.max_pool2d(np.zeros((3, 5)), 9)
    except ValueError as error:
        print("refused as it should be:", error)
    else:
        raise SystemExit("a kernel longer than the array was accepted")


def import_time() -> None:
    times = [
        float(
            subprocess.run(
                [sys.executable, "-c", TIMED_IMPORT], capture_output=True, check=True, text=True
            ).stdout
        )
        for _ in range(IMPORT_ROUNDS)
    ]
    print(
        f"import upsample_rs, beyond numpy: best {min(times):.2f} ms, "
        f"median {statistics.median(times):.2f} ms (limit {IMPORT_LIMIT_MS:g})"
    )
    # The best of several: a busy machine slows some, a slow import slows all.
    if min(times) > IMPORT_LIMIT_MS:
        raise SystemExit("importing is too slow")


worked_examples()
large_work_on_several_threads()
bad_input_is_refused()
import_time()
print("upsample_rs", us.__version__, us.config())
