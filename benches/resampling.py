"""Bars of the resampling family beside the course: threads, volumes, 16 bits, channels, memory.

    python benches/resampling.py                  # all of them
    python benches/resampling.py --only channels  # one section

Each line says what was measured, the figure, and the bar where there is one. Calls of one line take
turns (A B A B ...); the figure is the least time over the rounds, for a ratio of two calls alone.
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import upsample_rs as us

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[], Any]

ROUNDS = 7
HD = (1080, 1920)


def least(*calls: Call) -> list[float]:
    """Return the least time of each call in milliseconds, the calls taking turns."""
    best = [float("inf")] * len(calls)
    for call in calls:
        call()
    for _ in range(ROUNDS):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[i] = min(best[i], (time.perf_counter() - start) * 1e3)
    return best


def say(what: str, figure: str, got: float | None = None, bar: float | None = None) -> None:
    verdict = (
        "" if bar is None or got is None else f"  bar {bar:g}: " + "short ok".split()[got >= bar]
    )
    print(f"{what:58} {figure}{verdict}", flush=True)


def random(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(20240607)
    if dtype.startswith("float"):
        return rng.standard_normal(shape, dtype=np.float32).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def against(what: str, ours: Call, peers: dict[str, Call], bar: float) -> None:
    """Race a call of ours against the peers that can do the same."""
    times = least(ours, *peers.values())
    name, other = min(zip(peers, times[1:], strict=True), key=lambda pair: pair[1])
    ratio = other / times[0]
    say(what, f"{times[0]:8.2f} ms, {name} {other:.2f}: x{ratio:.2f}", ratio, bar)


def threads() -> None:
    """Two threads against one."""
    image, planes = random((*HD, 3), "uint8"), random((1, 3, 1024, 1024), "float32")
    for mode in ("bicubic", "lanczos"):
        for what, x, size, last in [
            ("uint8 1080p->720p", image, (720, 1280), True),
            ("float32 (1,3,1024,1024)->512", planes, (512, 512), False),
        ]:
            options: dict[str, Any] = {"mode": mode, "antialias": True, "channels_last": last}
            found = []
            for n in (1, 2):
                us.set_num_threads(n)
                found += least(lambda x=x, size=size, o=options: us.interpolate(x, size, **o))
            ratio = found[0] / found[1]
            say(
                f"two threads: {mode} antialias {what}",
                f"{found[1]:8.2f} ms: x{ratio:.2f}",
                ratio,
                1.6,
            )


def volumes() -> None:
    """Volumes against SciPy, with the memory that a call takes beside its result."""
    zoom = __import__("scipy.ndimage", fromlist=["zoom"]).zoom
    us.set_num_threads(1)
    for dtype, bar in (("float32", 30), ("uint8", 1.5), ("uint16", 1.5)):
        x = random((256, 256, 256), dtype)
        out = np.empty((384, 384, 384), x.dtype)

        def ours(x: np.ndarray = x, out: np.ndarray = out) -> Any:
            return us.resize(x, out.shape, axes=(0, 1, 2), method="linear", out=out)

        share = temporary(ours) / out.nbytes
        start = time.perf_counter()
        zoom(x, 1.5, order=1, grid_mode=True, mode="nearest")
        theirs = (time.perf_counter() - start) * 1e3
        (mine,) = least(ours)
        ratio = theirs / mine
        say(
            f"{dtype} 256^3 x1.5 against scipy zoom order 1",
            f"{mine:8.1f} ms: x{ratio:.1f}",
            ratio,
            bar,
        )
        say(
            "  memory beside the result, as a share of it",
            f"1/{1 / max(share, 1e-9):.0f}",
            -share,
            -0.05,
        )


def temporary(call: Call) -> int:
    """Return by how many bytes the process grows while a call with `out=` runs."""
    page = 4096

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    call()
    before, most, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, resident())
            time.sleep(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return max(0, most - before)


def sixteen() -> None:
    """16-bit images against OpenCV."""
    cv2 = __import__("cv2")
    cv2.setNumThreads(1)
    us.set_num_threads(1)
    small = (540, 960)
    for dtype in ("uint16", "int16"):
        x = random((*HD, 3), dtype)
        for method, how, size in [
            ("linear", cv2.INTER_LINEAR, (2160, 3840)),
            ("cubic", cv2.INTER_CUBIC, (2160, 3840)),
            ("area", cv2.INTER_AREA, small),
            ("area", cv2.INTER_AREA, (480, 852)),
            ("linear", cv2.INTER_LINEAR, (720, 1280)),
        ]:
            against(
                f"{dtype} RGB 1080p->{size[0]}x{size[1]} {method}",
                lambda x=x, size=size, m=method: us.resize(x, size, axes=(0, 1), method=m),
                {
                    "cv2": lambda x=x, size=size, how=how: cv2.resize(
                        x, size[::-1], interpolation=how
                    )
                },
                1.5,
            )


def channels() -> None:
    """Time per element of channels-last images, against the best number of channels."""
    us.set_num_threads(1)
    counts = (1, 2, 3, 4, 5, 32, 200)
    for dtype in ("float32", "uint8"):
        for what, size, options in [
            ("bilinear x2", 2.0, {"mode": "bilinear"}),
            ("bicubic x1.7", 1.7, {"mode": "bicubic"}),
            ("bilinear antialias x0.3", 0.3, {"mode": "bilinear", "antialias": True}),
            ("nearest x2", 2.0, {"mode": "nearest"}),
        ]:
            found = []
            for c in counts:
                side = int((1_500_000 / c) ** 0.5)
                x = random((side, side, c), dtype)
                out = (max(1, int(side * size)),) * 2
                call = least(
                    lambda x=x, out=out, o=options: us.interpolate(x, out, channels_last=True, **o)
                )
                found.append(call[0] * 1e6 / max(x.size, c * out[0] * out[1]))
            worst = max(found) / min(found)
            each = " ".join(f"{c}: {t:.2f}" for c, t in zip(counts, found, strict=True))
            say(f"channels, {dtype} {what}", f"ns an element {each}; x{worst:.1f}", -worst, -2)


SECTIONS = {f.__name__: f for f in (threads, volumes, sixteen, channels)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=SECTIONS, help="one section")
    only = parser.parse_args().only
    for name, section in SECTIONS.items():
        if only in (None, name):
            section()


if __name__ == "__main__":
    main()
