"""ONNX's reference evaluator with and without upsample_rs, on a small segmentation network.

    python benches/evaluator.py

Prints the table of docs/onnx.md: best of several runs, one thread. The network is the tests',
tests/network.py; it is run by onnxruntime too, whose answer both must give.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from onnx.reference import ReferenceEvaluator

import upsample_rs as us
import upsample_rs.onnx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from network import segmentation  # noqa: E402 - it lies with the tests

SHAPES = [(1, 3, 32, 32), (1, 3, 64, 64), (1, 3, 256, 256)]
SECONDS = 12.0


def best(run, rounds: int) -> float:
    """Return the shortest of some runs, fewer if they are long."""
    times: list[float] = []
    while len(times) < rounds and (not times or sum(times) < SECONDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print the table."""
    import onnxruntime

    us.set_num_threads(1)
    model = segmentation()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    runtime = onnxruntime.InferenceSession(model.SerializeToString(), options)
    plain, ours = ReferenceEvaluator(model), upsample_rs.onnx.evaluator(model)
    print("| input | `ReferenceEvaluator` | `upsample_rs.onnx.evaluator` | faster | onnxruntime |")
    print("|---|---:|---:|---:|---:|")
    for shape in SHAPES:
        feeds = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
        want = runtime.run(None, feeds)[0]
        np.testing.assert_allclose(ours.run(None, feeds)[0], want, rtol=1e-3, atol=1e-4)
        slow = best(lambda feeds=feeds: plain.run(None, feeds), 3)
        fast = best(lambda feeds=feeds: ours.run(None, feeds), 20)
        quick = best(lambda feeds=feeds: runtime.run(None, feeds), 20)
        np.testing.assert_allclose(plain.run(None, feeds)[0], want, rtol=1e-3, atol=1e-4)
        row = "x".join(map(str, shape))
        times = f"{slow * 1e3:.0f} ms | {fast * 1e3:.2f} ms | {slow / fast:.0f} x"
        print(f"| {row} | {times} | {quick * 1e3:.2f} ms |", flush=True)


if __name__ == "__main__":
    main()
