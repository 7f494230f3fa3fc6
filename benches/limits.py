"""What the machine can do, measured, and the least time a row could take on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from course import Row, bytes_moved, flop

MIB = 1 << 20
NEAR = MIB // 2  # bytes in and out that still fit a second-level cache together
FRESH = 32 * MIB  # above this an output is mapped anew on every call, page by page


def best(call: Callable[[], Any], rounds: int = 7) -> float:
    """Return the least time of several calls, in seconds."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def measure() -> dict[str, float]:
    """Bandwidths in GB/s (bytes read plus bytes written) and the float32 rate in GFLOP/s."""
    near, far, big = np.ones(NEAR // 2, np.uint8), np.ones(32 * MIB, np.uint8), 128 * MIB
    near_copy, far_copy, n = near.copy(), far.copy(), 1024
    a = np.ones((n, n), np.float32)
    inner = 64

    def copy_near() -> None:
        for _ in range(inner):
            np.copyto(near_copy, near)

    return {
        "near": inner * 2 * near.nbytes / best(copy_near) / 1e9,
        "far": 2 * far.nbytes / best(lambda: np.copyto(far_copy, far)) / 1e9,
        "fresh": big / best(lambda: np.full(big, 1, np.uint8), 3) / 1e9,
        "gflops": 2 * n**3 / best(lambda: a @ a) / 1e9,
    }


def bound(row: Row, machine: dict[str, float]) -> dict[str, Any]:
    """Return the work of a row, the least time for it in ms, and what sets that time."""
    read, written = bytes_moved(row)
    operations = flop(row)
    speed = machine["near"] if read + written <= NEAR else machine["far"]
    if written > FRESH:
        moving, what = read / speed + written / machine["fresh"], "fresh pages"
    else:
        moving, what = (read + written) / speed, "memory"
    computing = operations / machine["gflops"]
    least, what = (computing, "FMA") if computing > moving else (moving, what)
    if read + written < 4096:
        least, what = 0.0, "bound by the call itself"
    return {
        "bytes": read + written,
        "flop": operations,
        "limit_ms": least / 1e6,
        "limit": what,
    }
