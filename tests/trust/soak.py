"""Soak: a million good calls and a hundred thousand refused ones; resident memory must not grow.

`python tests/trust/soak.py [--good 1000000] [--refused 100000]` prints by how much it grew after
the first quarter until the end.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import sys
import time
import warnings
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import catalogue  # noqa: E402
import siblings  # noqa: E402

MOST = 1 << 20


def resident() -> int:
    """Bytes of memory this process has of its own."""
    gc.collect()
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["RssAnon"].split()[0]) * 1024


def good(count: int) -> None:
    """So many calls, one operation after the other."""
    for call in itertools.islice(itertools.cycle(catalogue.calls(5)), count):
        call.run()


def refused(count: int, distinct: int) -> None:
    """So many refusals, of so many different wrong calls at most, one after the other."""
    warnings.simplefilter("ignore")
    wrong = [(call, f) for call in catalogue.calls(5) for f in siblings.faults(call)]
    wrong = wrong[:: -(-len(wrong) // distinct)]
    for call, (name, value) in itertools.islice(itertools.cycle(wrong), count):
        try:
            call.run(**{name: value})
        except siblings.REFUSALS:
            continue
        raise AssertionError(f"{call.label}, {name} = {value!r}: accepted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--good", type=int, default=1_000_000)
    parser.add_argument("--refused", type=int, default=100_000)
    options = parser.parse_args()
    begin = time.perf_counter()
    growth = {}
    few = max(options.refused // 4, 1)
    runs = {
        "good": (good, options.good),
        "refused": (lambda count: refused(count, few), options.refused),
    }
    for name, (run, count) in runs.items():
        run(max(count // 4, 1000))  # tables, code and arenas of the allocator are there
        before = resident()
        run(count)
        growth[name] = resident() - before
    took = time.perf_counter() - begin
    print(
        f"soak: {options.good} good calls, memory {growth['good'] / 1024:+.0f} KiB; "
        f"{options.refused} refused, {growth['refused'] / 1024:+.0f} KiB; {took:.0f} s"
    )
    sys.exit(max(growth.values()) >= MOST)


if __name__ == "__main__":
    main()
