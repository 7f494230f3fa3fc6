"""Processes and threads: every way programs fork, spawn and share, and no hang in any.

`python tests/trust/processes.py [--children 1000]` runs each pattern in a process of its own
with a time limit and prints how many children gave the parent's result.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import upsample_rs as us  # noqa: E402
from fork_many import work  # noqa: E402

SECONDS = 120


def pool_of(method: str, children: int) -> int:
    """`multiprocessing`: each child for one piece of work."""
    want = work()
    with multiprocessing.get_context(method).Pool(4, maxtasksperchild=1) as pool:
        return sum(r == want for r in pool.map(work, range(children), chunksize=1))


def fork_in_a_thread(children: int) -> int:
    """`os.fork` in one thread while others compute."""
    want, stop = work(), threading.Event()

    def busy() -> None:
        while not stop.is_set():
            work()

    others = [threading.Thread(target=busy) for _ in range(2)]
    good: list[int] = []

    def forker() -> None:
        for _ in range(children):
            child = os.fork()
            if child == 0:
                os._exit(0 if work() == want else 1)
            good.append(os.waitpid(child, 0)[1] == 0)

    for t in others:
        t.start()
    forking = threading.Thread(target=forker)
    forking.start()
    forking.join()
    stop.set()
    for t in others:
        t.join()
    return sum(good)


def futures(method: str, children: int) -> int:
    """`concurrent.futures`, processes."""
    want = work()
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        return sum(r == want for r in pool.map(work, range(children)))


def futures_of_threads(children: int) -> int:
    """`concurrent.futures`, threads, each of which uses the threads of the package."""
    want = work()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return sum(r == want for r in pool.map(work, range(children)))


def joblib_workers(backend: str, children: int) -> int:
    """joblib, where it is there."""
    import joblib

    want = work()
    jobs = (joblib.delayed(work)() for _ in range(children))
    return sum(r == want for r in joblib.Parallel(4, backend=backend)(jobs))


def prefork_server(children: int) -> int:
    """A web server's way: the parent loads and warms, forks workers once, and they answer
    requests.
    """
    want = work()
    requests, answers = os.pipe(), os.pipe()
    workers = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os.close(requests[1])
            while os.read(requests[0], 1):
                os.write(answers[1], b"y" if work() == want else b"n")
            os._exit(0)
        workers.append(child)
    os.write(requests[1], b"r" * children)
    os.close(requests[1])
    got = b""
    while len(got) < children:
        got += os.read(answers[0], children)
    for child in workers:
        os.waitpid(child, 0)
    return got.count(b"y")


def deep(children: int) -> int:
    """A child of a child of a child, each of which computes first."""
    want = work()

    def descend(depth: int) -> int:
        if work() != want:
            return 0
        if not depth:
            return 1
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, bytes([descend(depth - 1)]))
            os._exit(0)
        below = os.read(reader, 1)[0]
        os.waitpid(child, 0)
        return below + 1

    depth = min(children, 8)
    return descend(depth - 1) * children // depth


def no_threads(children: int) -> int:
    """A child that may start no thread computes alone, and gives the same."""
    import resource

    want, good = work(), 0
    for _ in range(children):
        child = os.fork()
        if child == 0:
            os.setgid(65534)
            os.setuid(65534)  # root may start what it likes
            resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
            try:
                threading.Thread(target=int).start()
            except RuntimeError:
                os._exit(0 if work() == want else 1)
            os._exit(2)
        good += os.waitpid(child, 0)[1] == 0
    return good


def racing_writers(children: int) -> int:
    """Threads that write inputs, indices, grid and boxes during calls: some result or a refusal,
    no crash.
    """
    rng, stop, good = np.random.default_rng(0), threading.Event(), 0
    x = rng.random((4, 64, 64), "f4")
    values, indices = us.max_pool2d(x, 2, return_indices=True)
    grid = us.affine_grid(np.eye(2, 3, dtype="f4")[None], (1, 4, 64, 64))
    boxes = np.array([[0, 1, 1, 60, 60.0]] * 50)
    weight, big = np.ones((4, 4, 3, 3), "f4"), x.astype(">f4")

    def scribble() -> None:
        while not stop.is_set():
            for array in (x, values, weight, big):
                array.view(np.uint8)[...] = rng.integers(0, 256, array.nbytes, np.uint8).reshape(
                    *array.shape[:-1], -1
                )
            indices[...] = rng.integers(-(2**62), 2**62, indices.shape)
            indices[...] = rng.integers(0, 4096, indices.shape)
            grid.view(np.uint32)[...] = rng.integers(0, 2**32, grid.shape, np.uint32)
            boxes[...] = rng.normal(size=boxes.shape) * 10.0 ** rng.integers(0, 300)

    calls = [
        lambda: us.max_pool2d(x, 3, 2, 1, return_indices=True),
        lambda: us.avg_pool2d(big, 3, 1, 1),
        lambda: us.interpolate(x, scale_factor=1.7, mode="bicubic"),
        lambda: us.max_unpool2d(values, indices, 2),
        lambda: us.max_unpool2d(values, indices, 2, duplicates="error"),
        lambda: us.max_unpool2d(values, indices.view("u8"), 2),
        lambda: us.max_pool2d_backward(values, indices, x.shape),
        lambda: us.max_unpool2d_backward(x[:, ::2, ::2], indices),
        lambda: us.grid_sample(x[None], grid, "bicubic"),
        lambda: us.grid_sample_backward(x[None], x[None], grid),
        lambda: us.roi_align(x[None], boxes, 5),
        lambda: us.roi_align(x[None], boxes, 5, sampling_ratio=3, mode="max"),
        lambda: us.roi_pool(x[None], boxes, 5),
        lambda: us.conv2d(x[None], weight, None, 1, 1),
        lambda: us.conv2d_backward(x[None], x[None], weight, 1, 1),
        lambda: us.fractional_max_pool2d(x, 2, 30, random_samples=grid[0, :4, :2]),
        lambda: us.lp_pool2d_backward(x[:, :62, :62], x, 3.0, 3, 1),
    ]
    writers = [threading.Thread(target=scribble) for _ in range(2)]
    for w in writers:
        w.start()
    for i in range(children):
        try:
            calls[i % len(calls)]()
        except (ValueError, IndexError):
            pass
        good += 1
    stop.set()
    for w in writers:
        w.join()
    return good


def subinterpreter(children: int) -> int:
    """A second interpreter: a clean ImportError, or support; the first goes on either way."""
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters  # before 3.13
    want = work()
    code = "try:\n import upsample_rs as us\n us.max_pool2d([[1.0]], 1)\nexcept ImportError:\n pass"
    for _ in range(min(children, 3)):
        other = interpreters.create()
        failed = interpreters.run_string(other, code)
        assert not failed, failed
        interpreters.destroy(other)
    return children * (work() == want)


PATTERNS = {
    "multiprocessing fork": (lambda n: pool_of("fork", n), 0.4),
    "multiprocessing forkserver": (lambda n: pool_of("forkserver", n), 0.02),
    "multiprocessing spawn": (lambda n: pool_of("spawn", n), 0.02),
    "os.fork in a thread": (fork_in_a_thread, 0.2),
    "futures fork": (lambda n: futures("fork", n), 0.1),
    "futures spawn": (lambda n: futures("spawn", n), 0.02),
    "futures of threads": (futures_of_threads, 0.1),
    "joblib loky": (lambda n: joblib_workers("loky", n), 0.02),
    "joblib multiprocessing": (lambda n: joblib_workers("multiprocessing", n), 0.02),
    "joblib threading": (lambda n: joblib_workers("threading", n), 0.05),
    "prefork server": (prefork_server, 0.2),
    "children of children": (deep, 0.01),
    "no threads allowed": (no_threads, 0.02),
    "racing writers": (racing_writers, 1.0),
    "subinterpreter": (subinterpreter, 0.01),
}
# What is not on every machine: a library, the right to become nobody.
OPTIONAL = {"joblib": "joblib", "subinterpreter": "_xxsubinterpreters"}


def one(name: str, count: int) -> None:
    """One pattern in this process, after the pool has worked."""
    us.set_num_threads(2)
    work()
    print(PATTERNS[name][0](count))


def available(name: str) -> bool:
    """Whether this machine can run the pattern."""
    if name == "no threads allowed":
        return hasattr(os, "geteuid") and os.geteuid() == 0
    if name.startswith("joblib"):
        try:
            import joblib  # noqa: F401
        except ImportError:
            return False
    if name == "subinterpreter":
        return sys.version_info >= (3, 10) and sys.implementation.name == "cpython"
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=1000)
    parser.add_argument("--one")
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    if options.one:
        one(options.one, options.count)
        return
    total, failures = 0, []
    for name, (_, share) in PATTERNS.items():
        if not available(name):
            print(f"{name}: not on this machine")
            continue
        count = max(4, int(options.children * share))
        command = [sys.executable, "-W", "ignore", __file__, "--one", name, "--count", str(count)]
        begin = time.perf_counter()
        try:
            run = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS + count, check=False
            )
            good = int(run.stdout.split()[-1]) if run.returncode == 0 else 0
            detail = (
                "" if run.returncode == 0 else f" (status {run.returncode}: {run.stderr[-300:]})"
            )
        except subprocess.TimeoutExpired:
            good, detail = 0, " (hangs)"
        print(f"{name}: {good} of {count}, {time.perf_counter() - begin:.1f} s{detail}", flush=True)
        total += good
        if good != count:
            failures.append(name)
    print(f"processes: {total} children and calls right; failed: {failures or 'none'}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
