"""Race upsample_rs against the libraries people use, side by side, on the course of `course.py`.

    python benches/compare.py                              # every row, one thread and all threads
    python benches/compare.py --rows bilinear --threads 1  # rows whose name holds a word
    python benches/compare.py --check --verbose            # compare results, time nothing
    python benches/compare.py --markdown docs/benchmarks.md --readme README.md

In one process, on the same NumPy data, the libraries take turns (A B C A B C ...); the figure is
the median over the rounds, each call allocating its own output. Before a row is timed our result
is compared with every peer's; a peer that computes something else is named and not raced, and a
row on which no peer agrees with us is an error. The bars are for one thread. Each number of
threads has a process of its own, pinned to as many CPUs, and every library is told that number.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import report

if TYPE_CHECKING:
    from collections.abc import Callable

    from course import Row

PAUSE = 0.010  # seconds between turns: the peers' workers spin for a while after a call
SHORTEST = 0.005  # seconds a timing should last, by repeating the call: what is cold counts little

# Largest difference from a peer, as a share of the largest value. Convolutions sum more terms.
TOLERANCE = {
    "conv": 1e-4,
    "avg_pool": 1e-4,
    "adaptive_avg_pool": 1e-4,
    "resize": 1e-4,
    "grid_sample": 1e-4,
}
# uint8: peers truncate, or round between passes, so single pixels are off by up to dozens of
# levels; the mean still tells the same operation from another.
MEAN_LEVELS = 1.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", action="append", help="only rows whose name holds this")
    parser.add_argument("--extra", action="store_true", help="also rows outside the course")
    parser.add_argument("--peers", help="comma-separated names; default: all that are installed")
    parser.add_argument("--rounds", type=int, default=11, help="at least 9 for a figure to quote")
    parser.add_argument("--threads", help="comma-separated; default: 1 and all")
    parser.add_argument("--check", action="store_true", help="compare results, time nothing")
    parser.add_argument("--verbose", action="store_true", help="say why a peer sits out a row")
    parser.add_argument("--loop", type=float, help="call ours alone for so many seconds a row")
    parser.add_argument("--markdown", type=Path, help="write the tables to this page")
    parser.add_argument("--readme", type=Path, help="put the short table between its markers")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if options.loop:
        return loop(options)
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    if options.worker:
        options.worker.write_text(json.dumps(work(options, int(options.threads), cpus)))
        return 0
    counts = [int(n) for n in options.threads.split(",")] if options.threads else [1, len(cpus)]
    runs = [run_worker(count) for count in dict.fromkeys(counts)]
    print()
    for run in runs:
        print(report.text(run))
    if options.markdown:
        options.markdown.write_text(report.markdown(runs), encoding="utf-8")
    if options.readme:
        report.fill(options.readme, report.short(runs[0]))
    return int(any(row["state"] == "wrong" for run in runs for row in run["rows"]))


def loop(options: argparse.Namespace) -> int:
    """Call our side of the rows and nothing else, for a profiler to watch."""
    import course
    import peers

    ours = peers.Ours(int(options.threads or 1))
    for row in course.COURSE + course.EXTRA:
        if not matches(row.name, options.rows):
            continue
        try:
            call, calls = getattr(ours, row.op)(row), 0
        except peers.CannotDo as error:
            print(f"{row.name}: {error}")
            continue
        start = time.perf_counter()
        while time.perf_counter() < start + options.loop:
            call()
            calls += 1
        once = (time.perf_counter() - start) / calls
        print(f"{row.name}: {calls} calls, {report.milliseconds(once * 1e3)} each")
    return 0


def run_worker(threads: int) -> dict[str, Any]:
    """Run the course in a fresh process, so that every library starts with this many threads."""
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(limits, str(threads))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, *sys.argv, "--threads", str(threads), "--worker", str(path)]
        subprocess.run(command, env=environment, check=True)
        result: dict[str, Any] = json.loads(path.read_text())
        return result


def work(options: argparse.Namespace, threads: int, cpus: list[int]) -> dict[str, Any]:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus[-threads:])  # the last ones: interrupts favour the first
    import course
    import limits
    import peers

    teams, versions = assemble(peers, options.peers, threads)
    rows = course.COURSE + (course.EXTRA if options.extra else [])
    wanted = [row for row in rows if matches(row.name, options.rows)]
    machine = {} if options.check else limits.measure()
    results = []
    for row in wanted:
        result = {"name": row.name, "bar": row.bar if threads == 1 else None}
        result |= {"course": row in course.COURSE}
        result |= race(row, teams, options, peers.CannotDo)
        result["shown"] = [team.title for team in teams if not peers.counts(team.title, row)]
        if not options.check:
            result |= limits.bound(row, machine)
        result["line"] = report.line(result)
        print(f"[{threads}] {result['line']}", flush=True)
        results.append(result)
        row.__dict__.pop("data", None)
    return {
        "threads": threads,
        "rounds": options.rounds,
        "checked_only": options.check,
        "versions": versions,
        "peers": [team.title for team in teams if team.title != "ours"],
        "machine": machine | {"cpu": cpu_name(), "system": platform.platform()},
        "rows": results,
    }


def matches(name: str, words: list[str] | None) -> bool:
    return not words or any(word in name for word in words)


def assemble(peers: Any, names: str | None, threads: int) -> tuple[list[Any], dict[str, str]]:
    """Make every library that is installed and asked for, ours first."""
    teams, versions = [], {"python": platform.python_version()}
    for kind in [peers.Ours, *peers.PEERS]:
        if names and kind.title not in ["ours", *names.split(",")]:
            continue
        try:
            team = kind(threads)
        except (ImportError, peers.CannotDo) as error:
            print(f"[{threads}] without {kind.title}: {error}")
            continue
        teams.append(team)
        versions["upsample_rs" if kind is peers.Ours else team.title] = team.version
    return teams, versions


def race(
    row: Row, teams: list[Any], options: argparse.Namespace, cannot: type[Exception]
) -> dict[str, Any]:
    """Check a row and time it; the state is done, checked, absent, alone or wrong.

    Absent: not in this release. Alone: no peer can do it.
    """
    calls, others, refused = {}, [], {}
    reference: tuple[Any, ...] | None = None
    for team in teams:
        if not hasattr(team, row.op):
            refused[team.title] = row.op
            continue
        try:
            call = getattr(team, row.op)(row)
            result = team.plain(row, call())
        except cannot as error:
            refused[team.title] = str(error)
            continue
        except Exception as error:
            if team.title == "ours":
                return {"state": "wrong", "note": f"{type(error).__name__}: {error}"}
            refused[team.title] = str(error).strip().split("\n")[0]
            continue
        reference = reference or result
        difference = differs(row, result, reference)
        if difference:
            others.append(f"{team.title} {difference}")
        else:
            calls[team.title] = call
    note = "; ".join(others)
    if options.verbose:
        note += " | without " + "; ".join(f"{name}: {why}" for name, why in refused.items())
    if "ours" not in calls and not options.check:
        return {"state": "absent", "note": refused.get("ours", "upsample_rs is not installed")}
    if "ours" in calls and len(calls) == 1 and len(teams) > 1:
        return {"state": "wrong" if others else "alone", "note": f"no peer agrees: {note}"}
    if options.check:
        return {"state": "checked", "agree": list(calls), "note": note}
    return {"state": "done", "times": take_turns(calls, options.rounds), "note": note}


def differs(row: Row, result: tuple[Any, ...], reference: tuple[Any, ...]) -> str:
    """Say how a result differs from the reference, or nothing."""
    import numpy as np

    if [array.shape for array in result] != [array.shape for array in reference]:
        return f"gives shapes {[array.shape for array in result]}"
    for got, want in zip(result, reference, strict=True):
        if want.dtype.kind in "iu" and want.dtype.itemsize > 1:
            if not np.array_equal(got, want):
                return "gives other indices"
            continue
        distance = np.abs(got.astype(np.float64) - want.astype(np.float64))
        if want.dtype == np.uint8:
            if distance.mean() > MEAN_LEVELS:
                return f"differs by {distance.mean():.2g} levels on average"
            continue
        share = next((t for op, t in TOLERANCE.items() if row.op.startswith(op)), 0.0)
        share = share * 100 if row.dtype in ("float16", "bfloat16") else share
        if distance.max() > share * np.abs(want).max():
            return f"differs by {distance.max():.2g}"
    return ""


def take_turns(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Time every call `rounds` times in turn; milliseconds: median, least, quartile distance."""
    repeats = {name: repetitions(call) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in calls.items():
                rest()
                seconds[name].append(timed(call, repeats[name]))
    finally:
        gc.enable()
    return {name: summary(values) for name, values in seconds.items()}


def rest() -> None:
    """Wait until the threads of whoever was timed last sleep: some spin for fifty milliseconds."""
    for _ in range(20):
        used = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - used < PAUSE / 10:
            break


def timed(call: Callable[[], Any], repeat: int) -> float:
    """Time one call in seconds, from `repeat` of them; each result is dropped before the next."""
    start = time.perf_counter()
    for _ in itertools.repeat(None, repeat):
        call()
    return (time.perf_counter() - start) / repeat


def repetitions(call: Callable[[], Any]) -> int:
    """Say how many calls a timing takes: one of those that last long enough by themselves.

    (With one of all above 1 ms, a library just above it was timed cold and one just below warm.)
    """
    call()
    once = min(timed(call, 1) for _ in range(3))
    if once < SHORTEST / 10:
        once = timed(call, 10)
    return math.ceil(SHORTEST / max(once, 1e-7))


def summary(seconds: list[float]) -> dict[str, float]:
    low, _, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else [0.0] * 3
    return {
        "ms": statistics.median(seconds) * 1e3,
        "least": min(seconds) * 1e3,
        "spread": (high - low) * 1e3,
    }


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(
        [part.strip() for part in line.split(":", 1)] for line in lines if line.count(":") == 1
    )
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields.get('cpu family')}, model {fields.get('model')})"


if __name__ == "__main__":
    sys.exit(main())
