"""Starvation: the n-th allocation of the extension fails, for every n, in every call of the
catalogue.

`python tests/trust/starve.py [--most N] [--threads N] [--side N] [--trace] [LABEL ...]` compiles
`starve.c`, runs itself under it, and prints how many allocations were refused and what came of
them: every call must succeed or raise `MemoryError`. Each call is tried with the n-th allocation
alone refused, and with it and all later ones.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


class Allocator:
    """The preloaded allocator."""

    def __init__(self) -> None:
        from upsample_rs import _core

        self.lib = ctypes.CDLL(None)
        self.lib.starve_largest.restype = ctypes.c_size_t
        self.lib.starve_seen.restype = self.lib.starve_failed.restype = ctypes.c_long
        name = Path(str(_core.__file__)).name
        lines = [
            line.split()[0] for line in open("/proc/self/maps") if line.rstrip().endswith(name)
        ]
        ends = [int(end, 16) for line in lines for end in line.split("-")]
        self.lib.starve_module(ctypes.c_size_t(min(ends)), ctypes.c_size_t(max(ends)))

    def arm(self, first: int = -1, last: int = -1, trace: bool = False) -> None:
        """Refuse allocations `first` to `last`, counted from 0; by default none."""
        self.lib.starve_arm(ctypes.c_long(first), ctypes.c_long(last), trace)

    def disarm(self) -> tuple[int, int, int]:
        """(allocations of the extension, refused ones, largest allocation of anybody)."""
        self.lib.starve_disarm()
        lib = self.lib
        return lib.starve_seen(), lib.starve_failed(), lib.starve_largest()


def preloaded(
    script: str | Path, *args: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script under the allocator."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "starve.so"
        compile_ = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "starve.c")]
        subprocess.run(compile_, check=True)
        env = {**os.environ, **environment, "LD_PRELOAD": str(library), "UNDER_STARVE": "1"}
        command = [sys.executable, str(script), *args]
        return subprocess.run(command, env=env, text=True, check=False, stdout=subprocess.PIPE)


EVERY = 1 << 40


def attempt(allocator: Allocator, call, first: int, last: int, trace: bool) -> str:
    """What the call does when those allocations are refused."""
    allocator.arm(first, last, trace)
    try:
        call.run()
        outcome = "success"
    except MemoryError:
        outcome = "MemoryError"
    except BaseException as error:  # noqa: BLE001 - a PanicException is what is looked for
        outcome = f"{type(error).__name__}: {error}"
    allocator.disarm()
    return outcome


def starved(allocator: Allocator, call, most: int, trace: bool, report) -> None:
    """Each allocation of one call refused in turn, in children, since a child may die."""
    call.run()
    allocator.arm()
    call.run()
    count = allocator.disarm()[0]
    step = max(1, count // most)
    todo = [(n, last) for n in range(0, count, step) for last in (n, EVERY)]
    while todo:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            for first, last in todo:
                outcome = attempt(allocator, call, first, last, trace)
                os.write(writer, f"{outcome.splitlines()[0][:200]}\n".encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            lines = pipe.read().splitlines()
        status = os.waitpid(child, 0)[1]
        for (first, last), line in zip(todo, lines, strict=False):
            report(call.label, first, last, line)
        if status:
            report(call.label, *todo[len(lines)], f"died: status {status}")
            lines.append("")
        todo = todo[len(lines) :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=1 << 20, help="allocations tried per call")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", type=int, default=12, help="lengths of the spatial axes, about")
    parser.add_argument("--trace", action="store_true", help="where each refused allocation was")
    parser.add_argument("labels", nargs="*")
    options = parser.parse_args()
    if not os.environ.get("UNDER_STARVE"):
        run = preloaded(__file__, *sys.argv[1:])
        print(run.stdout, end="")
        sys.exit(run.returncode)
    import catalogue

    import upsample_rs as us
    from upsample_rs import _core

    allocator, outcomes, wrong = Allocator(), collections.Counter(), []
    us.set_num_threads(options.threads)
    if options.threads > 1:
        _core._force_grain(64)

    def report(label: str, first: int, last: int, line: str) -> None:
        outcomes[line if line in ("success", "MemoryError") else "wrong"] += 1
        if line not in ("success", "MemoryError"):
            wrong.append(f"{label}: allocation {first}{' on' if last > first else ''}: {line}")

    for call in catalogue.calls(options.side):
        if not options.labels or call.label in options.labels:
            starved(allocator, call, options.most, options.trace, report)
    for line in wrong[:50]:
        print(line)
    print(f"starvation: {sum(outcomes.values())} calls, {dict(outcomes)}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
