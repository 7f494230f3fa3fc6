"""Scale: more than 2^31 elements, in and out, in every family.

`python tests/trust/scale.py [--only NAME ...]` computes on arrays beyond 2^31 elements, which
repeat along an axis where memory would not do, and checks the results where an index of 32 bits
would be wrong: at the end. `real` computes on 5 GB of random bytes and compares all of each result
with that of overlapping bands. Needs 6 GB, `real` 12 GB, and some minutes; run it by hand.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import upsample_rs as us

ROWS, COLUMNS = 70_000, 40_000  # 2.8e9 elements
ROW = (np.arange(COLUMNS) * 7 % 251).astype(np.uint8)
PICTURE = np.broadcast_to(ROW, (ROWS, COLUMNS))  # every row the same
LEAD = np.broadcast_to(
    (np.arange(64 * 64) % 251).astype(np.uint8).reshape(64, 64), (700_000, 64, 64)
)


def same(a: np.ndarray, b: np.ndarray) -> None:
    """Both are equal, shapes included."""
    assert a.shape == b.shape and np.array_equal(a, b), (a.shape, b.shape)


def pools() -> None:
    want = us.max_pool2d(PICTURE[:20], 10)
    same(us.max_pool2d(PICTURE, 10), np.broadcast_to(want[0], (ROWS // 10, COLUMNS // 10)))
    values, at = us.max_pool2d(PICTURE, (ROWS, 10), return_indices=True)
    same(values[0], want[0])
    assert np.array_equal(ROW[at[0] % COLUMNS], want[0])
    same(us.avg_pool2d(PICTURE, (ROWS, 8))[0], us.avg_pool2d(PICTURE[:16], (16, 8))[0])
    last = us.max_pool2d(LEAD, 16)
    same(last[-1], us.max_pool2d(LEAD[:1], 16)[0])
    same(us.adaptive_avg_pool2d(LEAD, 3)[-1], us.adaptive_avg_pool2d(LEAD[:1], 3)[0])


def indices_beyond() -> None:
    x = np.broadcast_to(np.zeros((), np.uint8), (ROWS, COLUMNS))
    grad = np.ones((1, 1), np.float32)
    at = np.full((1, 1), ROWS * COLUMNS - 1)
    taken = us.max_unpool2d_backward(x, at)
    same(taken, np.zeros((1, 1), np.uint8))
    big = us.max_unpool2d(
        np.full((1, 1), 9, np.uint8), at, (ROWS, COLUMNS), output_size=(ROWS, COLUMNS)
    )
    assert big[-1, -1] == 9 and big[-1, -2] == 0 and int(big[::997].sum()) in (0, 9)
    del big, grad


def reduce_by_resizing() -> None:
    same(us.interpolate(PICTURE, (7, COLUMNS)), PICTURE[:7])
    small = us.interpolate(PICTURE, (3, 5), mode="bilinear", antialias=True)
    same(small, np.broadcast_to(small[0], (3, 5)))
    near = us.resize(PICTURE, (7, 9), method="nearest")
    same(near, np.broadcast_to(near[0], (7, 9)))


def enlarge() -> None:
    x = PICTURE[:30_000, :20_000]
    y = us.interpolate(x, (60_000, 40_000))
    same(y[-1], ROW[:20_000].repeat(2))
    del y
    y = us.interpolate(x[:, :20_000], (60_000, 40_000), mode="bilinear")
    same(y[-1], us.interpolate(x[:2], (4, 40_000), mode="bilinear")[-1])
    del y
    nails = us.bed_of_nails(x, 2)
    same(nails[-2, ::2], ROW[:20_000])
    same(us.bed_of_nails_backward(nails, (30_000, 20_000), 2)[-1], ROW[:20_000])


def columns() -> None:
    x = PICTURE[:20_000, :20_000]
    y = us.unfold(x, 3, stride=1, padding=1)
    same(y[4, -20_000:], ROW[:20_000])
    del y
    y = us.unfold(PICTURE, (1, 4), stride=(9000, 7))
    same(y[3, :5], ROW[3:38:7])


def convolutions() -> None:
    kernel = np.array([[1, 2], [3, 4]], np.uint8)
    y = us.conv2d(PICTURE, kernel, None, 90)
    same(y[-1], us.conv2d(PICTURE[:2], kernel, None, 90)[0])
    up = us.conv_transpose2d(PICTURE[:30_000, :20_000], kernel, None, 2)
    same(up[-1], us.conv_transpose2d(PICTURE[:1, :20_000], kernel, None, 2)[-1])


def points() -> None:
    x = PICTURE[None, None]
    corners = np.array([[[[-1.0, -1.0], [1.0, 1.0], [1.0, -1.0]]]])
    picked = us.grid_sample(x, corners, "nearest", align_corners=True)
    same(picked.ravel(), ROW[[0, -1, -1]])
    boxes = np.array([[0, COLUMNS - 9.0, ROWS - 9.0, COLUMNS - 1.0, ROWS - 1.0]])
    y = us.roi_pool(x, boxes, 1)
    assert y.ravel()[0] == ROW[-9:].max()
    y = us.roi_align(x.astype("f4") if False else x, boxes, 2, sampling_ratio=2)
    assert y.shape == (1, 1, 2, 2) and y.max() <= ROW[-10:].max()


def shuffles() -> None:
    x = np.broadcast_to(ROW[:1000], (4, 800_000, 1000))
    y = us.pixel_shuffle(x, 2)
    same(y[0, -1], ROW[:1000].repeat(2))
    del y
    y = us.pixel_unshuffle(np.broadcast_to(ROW[:2000], (1, 1_600_000, 2000)), 2)
    same(y[3, -1], ROW[1:2000:2])


def gradients() -> None:
    grad = np.broadcast_to(np.float16(1), (1_100_000, 1000))
    y = us.avg_pool2d_backward(grad, (2_200_000, 1000), (2, 1))
    assert y.shape == (2_200_000, 1000) and np.all(y[-3:] == 0.5) and np.all(y[::99_991] == 0.5)
    del y
    wide = np.broadcast_to(np.float32(1), (50_000, 50_000))
    y = us.interpolate_backward(wide, (10, 10), mode="bilinear")
    np.testing.assert_allclose(y.sum(dtype="f8"), 2.5e9, rtol=1e-4)


class Banded(NamedTuple):
    """An operation on the rows of a picture: it makes `up` rows of `down`."""

    call: Callable[[np.ndarray], np.ndarray]
    down: int = 1
    up: int = 1
    edge: int = 0  # rows of a result that the end of a picture changes


def hold(banded: Banded, x: np.ndarray, whole: np.ndarray) -> None:
    """All of a result is that of bands of 8,000 rows, each of which begins in the one before."""
    rows, long, step = len(x), 8_000, 7_000
    for begin in range(0, rows - (long - step), step):
        end = min(begin + long, rows)
        part = banded.call(x[begin:end])
        first = banded.edge if begin else 0
        last = len(part) - (banded.edge if end < rows else 0)
        at = begin * banded.up // banded.down
        same(whole[at + first : at + last], part[first:last])


def real() -> None:
    rng = np.random.default_rng(5)
    x = np.empty((70_000, 72_000), np.uint8)
    for begin in range(0, len(x), 1000):
        x[begin : begin + 1000] = rng.integers(256, size=(1000, x.shape[1]), dtype=np.uint8)
    kernel = np.array([[1, 2], [3, 4]], np.uint8)
    smaller = (
        Banded(lambda a: us.max_pool2d(a, 4), 4),
        Banded(lambda a: us.avg_pool2d(a, 2), 2),
        Banded(lambda a: us.interpolate(a, scale_factor=0.5), 2),
        Banded(
            lambda a: us.interpolate(a, scale_factor=0.25, mode="bilinear", antialias=True), 4, 1, 2
        ),
        Banded(lambda a: us.conv2d(a, kernel, None, 2), 2),
        Banded(lambda a: us.bed_of_nails_backward(a, (len(a) // 2, a.shape[1] // 2), 2), 2),
    )
    for banded in smaller:
        hold(banded, x, banded.call(x))
    values, at = us.max_pool2d(x, 8, return_indices=True)
    assert np.array_equal(x.reshape(-1)[at], values) and at.max() > 5 * 10**9
    hold(Banded(lambda a: us.max_pool2d(a, 8), 8), x, values)
    x = np.ascontiguousarray(x[-35_000:, -36_000:])
    larger = (
        Banded(lambda a: us.interpolate(a, scale_factor=2), 1, 2),
        Banded(lambda a: us.interpolate(a, scale_factor=2, mode="bilinear"), 1, 2, 2),
        Banded(lambda a: us.conv_transpose2d(a, kernel, None, 2), 1, 2),
    )
    for banded in larger:
        hold(banded, x, banded.call(x))


CASES: dict[str, Callable[[], None]] = {
    f.__name__: f
    for f in (
        pools,
        indices_beyond,
        reduce_by_resizing,
        enlarge,
        columns,
        convolutions,
        points,
        shuffles,
        gradients,
        real,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(CASES))
    options = parser.parse_args()
    failed = []
    us.set_cache_limit(0)
    for name in options.only:
        begin = time.perf_counter()
        try:
            CASES[name]()
            outcome = "right"
        except (AssertionError, ValueError, MemoryError) as error:
            outcome = f"{type(error).__name__}: {str(error)[:300]}"
            failed.append(name)
        print(f"{name}: {outcome}, {time.perf_counter() - begin:.0f} s", flush=True)
    print(f"scale: {len(options.only)} families beyond 2^31 elements, wrong: {failed or 'none'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
