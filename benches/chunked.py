"""Figures of chunked arrays: what chunks cost, and how little memory a volume takes.

    python benches/chunked.py overhead     # against the call on the whole array, at 64 MB chunks
    python benches/chunked.py memory       # 8 GB of Zarr resized x2 along two axes; --gigabytes 0.5

Both print what they measure and nothing else; `memory` checks a few chunks against the call on
their surroundings and removes what it wrote.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np

import upsample_rs as us
import upsample_rs.dask as usd

CALLS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "bilinear x2": ("interpolate", (), {"scale_factor": (2, 2), "mode": "bilinear"}),
    "bicubic x2": ("interpolate", (), {"scale_factor": (2, 2), "mode": "bicubic"}),
    "bilinear antialias x0.5": (
        "interpolate",
        (),
        {"scale_factor": (0.5, 0.5), "mode": "bilinear", "antialias": True},
    ),
    "max_pool2d k3s2p1": ("max_pool2d", (3, 2, 1), {}),
    "max_pool2d k2s2 with indices": ("max_pool2d", (2,), {"return_indices": True}),
    "avg_pool2d k3s1p1": ("avg_pool2d", (3, 1, 1), {}),
}


def seconds(run: Any, *args: Any, **kwargs: Any) -> float:
    """Time one call; its result is dropped before the clock stops, as a stream's would be."""
    begun = time.perf_counter()
    run(*args, **kwargs)
    return time.perf_counter() - begun


def overhead(rounds: int, side: int, threads: int) -> None:
    """Compare graphs of 64 MB chunks with the whole call, on the same number of threads."""
    us.set_num_threads(threads)
    x = np.random.default_rng(0).random((side, side), np.float32)
    print(f"float32 {side} x {side}, chunks of 64 MB, threads: {threads}")
    for chunks in ((2**24 // side, side), (4096, 4096)):
        # Chunks as they come from a file: each in memory of its own.
        lazy = da.from_array(x, chunks=chunks, name=False).map_blocks(np.copy).persist()
        idle = lazy.map_blocks(_same, dtype=x.dtype, meta=np.empty((0, 0), x.dtype))
        idle = idle.map_blocks(_drop, dtype=bool, meta=np.empty((0, 0), bool))
        with dask.config.set(scheduler="threads", num_workers=threads):
            floor = statistics.median(seconds(dask.compute, idle) for _ in range(4 * rounds))
        shape = "{} x {}".format(*chunks)
        print(f"{shape:13} chunks handed on as they are take dask {floor * 1e3:.0f} ms")
        ratios = []
        for title, (name, args, kwargs) in CALLS.items():
            made = getattr(usd, name)(lazy, *args, **kwargs)
            parts = made if isinstance(made, tuple) else (made,)
            # Every chunk is made and let go: measured is the graph, not a copy at its end.
            ends = [p.map_blocks(_drop, dtype=bool, meta=np.empty((0, 0), bool)) for p in parts]
            times: list[list[float]] = [[], [], []]
            with dask.config.set(scheduler="threads", num_workers=threads):
                for _ in range(rounds):
                    times[0].append(seconds(getattr(us, name), x, *args, **kwargs))
                    times[1].append(seconds(dask.compute, *ends))
                    with nothing_computed():
                        times[2].append(seconds(dask.compute, *ends))
            a, b, dask_alone = (statistics.median(t) for t in times)
            ratios.append(b / a)
            text = f"whole {a * 1e3:7.1f} ms, chunked {b * 1e3:7.1f} ms: {b / a - 1:+.0%}"
            print(f"{shape:13} {title:29} {text} (an empty graph takes {dask_alone * 1e3:.0f} ms)")
        mean = statistics.geometric_mean(ratios) - 1
        print(f"{shape:13} geometric mean {mean:+.0%}, largest {max(ratios) - 1:+.0%}")


@contextmanager
def nothing_computed() -> Iterator[None]:
    """Have tasks return at once: what is left is dask's own time."""
    chunk = sys.modules["upsample_rs.dask.parted"]._Chunk
    real, one = chunk.__call__, np.zeros((1, 1), np.float32)
    chunk.__call__ = lambda self, *given: one if self.dtypes is None else (one, one)
    try:
        yield
    finally:
        chunk.__call__ = real


def _same(block: Any) -> Any:
    return block


def _drop(block: Any) -> Any:
    return np.zeros((1,) * block.ndim, bool)


def peak_megabytes() -> float:
    """Return the largest resident size of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # what resource tells begins with that of the parent process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(gigabytes: float, folder: str | None) -> None:
    """Resize a Zarr volume x2 along its last two axes, from disk to disk."""
    import zarr

    depth = max(round(gigabytes * 2**30 / 4 / 2048**2), 1)
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        options = {"dtype": "f4", "compressors": zarr.codecs.BloscCodec(cname="lz4", clevel=1)}
        source = zarr.create_array(
            str(place / "in.zarr"), shape=(depth, 2048, 2048), chunks=(4, 1024, 1024), **options
        )
        ramp = (np.arange(2048, dtype=np.float32) // 16)[None, :] * np.ones((2048, 1), np.float32)
        for d in range(0, depth, 4):
            planes = min(4, depth - d)
            source[d : d + 4] = np.broadcast_to(ramp + np.float32(d % 7), (planes, 2048, 2048))
        before = peak_megabytes()
        x = da.from_zarr(str(place / "in.zarr"))
        y = usd.resize(x, scale=(2, 2), axes=(1, 2), method="linear")
        out = zarr.create_array(
            str(place / "out.zarr"), shape=y.shape, chunks=y.chunksize, **options
        )
        begun = time.perf_counter()
        with dask.config.set(scheduler="threads", num_workers=us.get_num_threads()):
            da.store(y, out, lock=False)
        took = time.perf_counter() - begun
        for d in {0, depth // 2, depth - 1}:
            whole = us.resize(source[d], scale=2, method="linear")
            assert np.array_equal(out[d], whole), f"plane {d} differs"
        print(
            f"Zarr {source.nbytes / 2**30:.2f} GiB {source.shape} -> {out.nbytes / 2**30:.2f} GiB "
            f"{out.shape} in {took:.0f} s, {threading.active_count()} threads alive"
        )
        print(f"peak resident memory: {peak_megabytes():.0f} MiB ({before:.0f} MiB before)")
    finally:
        shutil.rmtree(place)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("overhead")
    command.add_argument("--rounds", type=int, default=7)
    command.add_argument("--side", type=int, default=16384)
    command.add_argument("--threads", type=int, default=us.get_num_threads())
    command = commands.add_parser("memory")
    command.add_argument("--gigabytes", type=float, default=8.0)
    command.add_argument("--folder", help="where to write; default: the system's")
    given = parser.parse_args()
    if given.command == "overhead":
        overhead(given.rounds, given.side, given.threads)
    else:
        memory(given.gigabytes, given.folder)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
