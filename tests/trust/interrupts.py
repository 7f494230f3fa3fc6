"""Ctrl-C in the middle of an operation of some seconds: how long until `KeyboardInterrupt`.

`python tests/trust/interrupts.py [--only NAME ...]` interrupts one operation of every family
half a second after it began and prints, for each, the milliseconds it took, on one thread and on
two; whether anything went on computing; and whether the next call was right.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

import upsample_rs as us

LIMIT = 0.25


def ones(*shape: int, dtype: str = "f4") -> np.ndarray:
    """An array of ones that takes no memory."""
    return np.broadcast_to(np.ones((), dtype), shape)


# Each runs for several seconds on this kind of machine, mostly on arrays that take no memory.
CALLS: dict[str, Callable[[], object]] = {
    "max_pool2d": lambda: us.max_pool2d(ones(40_000, 1000, 1000), 500),
    "max_pool2d indices": lambda: us.max_pool2d(ones(40_000, 1000, 1000), 500, return_indices=True),
    "max_pool2d one window": lambda: us.adaptive_max_pool2d(ones(150_000, 150_000), 1),
    "max_pool2d dilated": lambda: us.max_pool2d(ones(2000, 2000, 2000), 101, 7, 0, 10),
    "avg_pool2d": lambda: us.avg_pool2d(ones(40_000, 1000, 1000), 500),
    "avg_pool2d integers": lambda: us.avg_pool2d(ones(40_000, 1000, 1000, dtype="i8"), 500),
    "lp_pool2d": lambda: us.lp_pool2d(ones(2000, 1000, 1000), 2.5, 500),
    "lp_pool1d one window": lambda: us.lp_pool1d(ones(2_000_000_000), 2.5, 2_000_000_000),
    "adaptive_avg_pool2d": lambda: us.adaptive_avg_pool2d(ones(40_000, 1000, 1000), 3),
    "fractional_max_pool2d": lambda: us.fractional_max_pool2d(
        ones(20_000, 1000, 1000), 90, 11, seed=1
    ),
    "interpolate bilinear": lambda: us.interpolate(
        ones(40_000, 1000, 1000), (20, 20), mode="bilinear", antialias=True
    ),
    "interpolate lanczos": lambda: us.interpolate(
        ones(20_000, 1000, 1000, dtype="u1"), (20, 20), mode="lanczos", antialias=True
    ),
    "resize": lambda: us.resize(
        ones(20_000, 1000, 1000), (20, 20), axes=(1, 2), method="cubic", antialias=True
    ),
    "grid_sample": lambda: us.grid_sample(
        ones(100_000, 50, 300, 300), ones(100_000, 30, 30, 2, dtype="f4"), "bicubic"
    ),
    "roi_align": lambda: us.roi_align(
        ones(1, 64, 500, 500), np.tile([0, 0, 0, 499.0, 499.0], (20_000, 1)), 7, sampling_ratio=60
    ),
    "roi_pool": lambda: us.roi_pool(
        ones(1, 64, 1000, 1000), np.tile([0, 0, 0, 999.0, 999.0], (2000, 1)), 2
    ),
    "conv2d": lambda: us.conv2d(ones(4000, 256, 64, 64), np.ones((256, 256, 3, 3), "f4"), None, 8),
    "conv2d one output": lambda: us.conv2d(
        ones(1, 64, 4000, 4000), ones(1, 64, 1500, 1500), None, 2501
    ),
    "conv2d integers": lambda: us.conv2d(
        ones(4000, 64, 64, 64, dtype="i4"), np.ones((64, 64, 3, 3), "i4"), None, 4
    ),
    "conv_transpose2d": lambda: us.conv_transpose2d(
        ones(100, 256, 64, 64), np.ones((256, 8, 7, 7), "f4"), None, 1, 3
    ),
    "conv2d_backward": lambda: us.conv2d_backward(
        ones(4000, 64, 64, 64),
        ones(4000, 64, 64, 64),
        np.ones((64, 64, 3, 3), "f4"),
        1,
        1,
        output_mask=(False, True, False),
    ),
    "unfold": lambda: us.unfold(ones(60, 40, 1000, 1000, dtype="u1"), 30, stride=50),
    "max_unpool2d": lambda: us.max_unpool2d(
        ones(800, 1000, 1000, dtype="u1"), np.broadcast_to(np.int64(0), (800, 1000, 1000)), 1
    ),
    "avg_pool2d_backward": lambda: us.avg_pool2d_backward(
        ones(600, 901, 901), (600, 1000, 1000), 100, 1
    ),
    "lp_pool2d_backward": lambda: us.lp_pool2d_backward(
        ones(200, 901, 901), ones(200, 1000, 1000), 2.5, 100, 1
    ),
}


def cpu_of_other_threads() -> float:
    """Seconds that threads other than this one have computed."""
    return time.process_time() - time.thread_time()


def interrupted(call: Callable[[], object], after: float) -> tuple[float | None, float]:
    """Seconds from the signal to the exception (None: it had finished), and what others computed
    in the next 0.3 s.
    """
    sent: list[tuple[float, float]] = []

    def send() -> None:
        sent.append((time.perf_counter(), time.process_time()))
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(after, send)
    timer.start()
    try:
        call()
        timer.cancel()
        time.sleep(0.01)
        return None, 0.0
    except KeyboardInterrupt:
        # On a machine that is busy otherwise, what this process computed in between counts.
        took = time.perf_counter() - sent[0][0]
        took = min(took, time.process_time() - sent[0][1])
    timer.join()
    before = cpu_of_other_threads()
    time.sleep(0.3)
    return took, cpu_of_other_threads() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(CALLS))
    parser.add_argument("--after", type=float, default=0.5)
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a background job of a shell ignores it
    worst, late = 0.0, []
    want = us.max_pool2d([[1, 2], [3, 4]], 2).tolist()
    for name in options.only:
        for threads in (1, 2):
            us.set_num_threads(threads)
            try:
                took, after = interrupted(CALLS[name], options.after)
            except KeyboardInterrupt:
                took, after = None, 0.0
            if took is None:
                print(f"{name}, {threads} threads: finished before")
                continue
            print(f"{name}, {threads} threads: {took * 1e3:.0f} ms")
            worst = max(worst, took)
            if took > LIMIT or after > 0.05:
                late.append(f"{name}, {threads} threads: {took * 1e3:.0f} ms, {after:.2f} s after")
            assert us.max_pool2d([[1, 2], [3, 4]], 2).tolist() == want
    print(
        f"interrupts: at most {worst * 1e3:.0f} ms until KeyboardInterrupt; late: {late or 'none'}"
    )
    sys.exit(bool(late))


if __name__ == "__main__":
    main()
