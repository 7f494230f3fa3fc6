"""Determinism: the same bytes, whatever the number of threads, the time, the layout in memory.

`python tests/trust/determinism.py [--repeats 100] [--threads 8] [--side 24] [--dtypes f4,f2,u1]`
hashes the results of every operation and prints how many calls there were and how many hashes
each operation had; more than one is a failure. It also prints the largest difference between
instruction sets, which must be none where nothing is summed in floats.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import catalogue  # noqa: E402

import upsample_rs as us  # noqa: E402
from upsample_rs import _core  # noqa: E402

LAYOUTS = {
    "contiguous": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "step2": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "reversed": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
}

# Operations that only compare or move elements.
ORDER_OR_MOVE = re.compile(
    r"(max|min)_pool|max_unpool\dd$|bed_of_nails|shuffle|depth|unfold|roi_pool$|nearest(?!.*backward)|fractional"
)
ADDS = re.compile(r"backward|grid_sample bi")


def digest(results: tuple) -> str:
    """Of the bytes and shapes of all results."""
    whole = hashlib.blake2b(digest_size=16)
    for r in results:
        if r is not None:
            whole.update(repr((r.shape, r.dtype.str)).encode() + r.tobytes())
    return whole.hexdigest()


def instruction_sets() -> list[str]:
    """Those of this machine."""
    found = []
    for isa in ("scalar", "avx2", "avx512", "neon"):
        try:
            _core._force_isa(isa)
        except ValueError:
            continue
        found.append(isa)
    _core._force_isa(None)
    return found


def difference(a: tuple, b: tuple) -> float:
    """The largest difference of floats, in units of the last place of the largest element."""
    worst = 0.0
    for x, y in zip(a, b, strict=True):
        if x is None or x.tobytes() == y.tobytes():
            continue
        if x.dtype.kind != "f":
            return float("inf")
        unit = np.finfo(x.dtype).eps * max(abs(x).max(), np.finfo(x.dtype).tiny)
        worst = max(worst, float(abs(x.astype("f8") - y.astype("f8")).max() / unit))
    return worst


def exact(call: catalogue.Call, dtype: str) -> bool:
    """Whether instruction sets must agree in every bit."""
    moves = ORDER_OR_MOVE.search(call.label) and not ADDS.search(call.label)
    return bool(moves) or dtype[0] in "iu"


def run(
    repeats: int, threads: list[int], side: int, dtypes: list[str]
) -> tuple[int, float, list[str]]:
    """Calls made, the largest difference between instruction sets, and what went wrong."""
    count, worst, problems = 0, 0.0, []
    grain = 64  # even small arrays are cut into tasks
    for dtype in dtypes:
        for call in catalogue.calls(side, dtype) if dtype[0] == "f" else integer_calls(side, dtype):
            by_isa = {}
            for isa in instruction_sets():
                _core._force_isa(isa)
                hashes = {}
                for name, change in LAYOUTS.items():
                    laid = call.mapped(change)
                    for n in threads:
                        us.set_num_threads(n)
                        _core._force_grain(grain if n > 1 else None)
                        for _ in range(repeats):
                            hashes.setdefault(digest(laid.run()), (name, n))
                            count += 1
                if len(hashes) > 1:
                    problems.append(f"{call.label}, {dtype}, {isa}: {sorted(hashes.values())}")
                by_isa[isa] = call.run()
            first, *others = by_isa.values()
            for isa, other in zip(list(by_isa)[1:], others, strict=True):
                apart = difference(first, other)
                if apart and exact(call, dtype):
                    problems.append(f"{call.label}, {dtype}: {isa} is not scalar, {apart:.3g}")
                worst = max(worst, apart)
    return count, worst, problems


def integer_calls(side: int, dtype: str) -> list[catalogue.Call]:
    """The calls that integers have."""
    made = []
    for call in catalogue.calls(side):
        if call.op.endswith("_backward") or call.op in ("affine_grid",):
            continue

        def change(a: np.ndarray) -> np.ndarray:
            return abs(a * 4).astype(dtype) if a.dtype == np.float32 else a

        kwargs = {
            k: change(v) if k in ("x", "weight", "bias") else v for k, v in call.kwargs.items()
        }
        made.append(
            catalogue.replace(call, kwargs=kwargs, prepared=tuple(map(change, call.prepared)))
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--side", type=int, default=24)
    parser.add_argument("--dtypes", default="f4,f2,u1")
    options = parser.parse_args()
    threads = list(range(1, options.threads + 1))
    count, worst, problems = run(options.repeats, threads, options.side, options.dtypes.split(","))
    print(*problems[:60], sep="\n")
    print(
        f"determinism: {count} calls, {len(problems)} with more than one answer; "
        f"instruction sets differ by at most {worst:.3g} last places of the largest element"
    )
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
