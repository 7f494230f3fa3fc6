"""Structured fuzzing between guard pages: random calls whose arrays end, or begin, where memory
does.

`python tests/trust/fuzz.py [--calls 1000000] [--seed 0]` draws operation, shapes, strides,
dtype, parameters, threads and instruction set, places every input and every `out` against a page
that may not be touched, and prints how many calls there were and how many computed. A read or
write outside any array ends the process; the parent prints the call. So it does if a call takes
longer than `--seconds`: none should take one.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import mmap
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import catalogue  # noqa: E402
import determinism  # noqa: E402

import upsample_rs as us  # noqa: E402
from upsample_rs import _core  # noqa: E402

PAGE = mmap.PAGESIZE
PAGES = 64
ARENAS = 6
PROT_NONE = 0


class Arena:
    """Some pages between two that may not be touched."""

    def __init__(self) -> None:
        self.map = mmap.mmap(-1, (PAGES + 2) * PAGE)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        libc = ctypes.CDLL(None, use_errno=True)
        for page in (0, PAGES + 1):
            at = ctypes.c_void_p(self.start + page * PAGE)
            if libc.mprotect(at, ctypes.c_size_t(PAGE), PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.bytes = np.frombuffer(self.map, np.uint8)

    def place(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: Any
    ) -> np.ndarray | None:
        """An array of that shape with drawn strides, against one of the guards; None if it is too
        large.
        """
        dtype = np.dtype(dtype)
        steps = [1 + int(rng.random() < 0.2) for _ in shape]  # every element, or every other one
        order = rng.permutation(len(shape)) if rng.random() < 0.3 else np.arange(len(shape))
        spans = [(n - 1) * s + 1 if n else 0 for n, s in zip(shape, steps, strict=True)]
        laid = [spans[a] for a in order]
        size = int(np.prod(laid, dtype=np.int64)) * dtype.itemsize
        if size > PAGES * PAGE:
            return None
        offset = PAGE if rng.random() < 0.5 else (PAGES + 1) * PAGE - size
        array = self.bytes[offset : offset + size].view(dtype).reshape(laid)
        array = array.transpose(np.argsort(order))[tuple(slice(None, None, s) for s in steps)]
        flips = tuple(slice(None, None, -1 if rng.random() < 0.15 else 1) for _ in shape)
        return array[flips]


def resized(
    rng: np.random.Generator, call: catalogue.Call, arenas: list[Arena]
) -> catalogue.Call | None:
    """The call with parameters drawn anew and its arrays placed between guards."""
    kwargs = dict(call.kwargs)
    for name in call.parameters():
        if name in NUMBERS and rng.random() < 0.35:
            kwargs[name] = NUMBERS[name](rng)
    free = iter(arenas)
    for name, value in kwargs.items():
        if isinstance(value, np.ndarray):
            placed = next(free).place(rng, value.shape, value.dtype)
            if placed is None:
                return None
            placed[...] = value
            kwargs[name] = placed
    prepared = []
    for value in call.prepared:
        placed = next(free).place(rng, value.shape, value.dtype)
        if placed is None:
            return None
        placed[...] = value
        prepared.append(placed)
    return catalogue.replace(call, kwargs=kwargs, prepared=tuple(prepared))


def small(low: int, high: int) -> Any:
    """An int, or one for each of two or three axes."""

    def draw(rng: np.random.Generator) -> Any:
        n = int(rng.integers(1, 4))
        one = rng.integers(low, high, n).tolist()
        return one[0] if n == 1 or rng.random() < 0.5 else tuple(one)

    return draw


def one_of(*choices: Any) -> Any:
    """One of them."""
    return lambda rng: choices[int(rng.integers(len(choices)))]


NUMBERS: dict[str, Any] = {
    "kernel_size": small(1, 6),
    "stride": small(1, 5),
    "padding": small(0, 3),
    "dilation": small(1, 4),
    "output_padding": small(0, 2),
    "groups": one_of(1, 2, 4),
    "ceil_mode": one_of(True, False),
    "count_include_pad": one_of(True, False),
    "divisor_override": one_of(None, 1, 3),
    "channels_last": one_of(True, False),
    "return_indices": one_of(True, False),
    "index_dtype": one_of("int32", "int64"),
    "norm_type": one_of(1.0, 2.0, 2.5, 3.0, float("inf")),
    "size": small(1, 24),
    "output_size": small(1, 9),
    "align_corners": one_of(True, False),
    "antialias": one_of(True, False),
    "mode": one_of(
        "nearest", "bilinear", "bicubic", "trilinear", "linear", "area", "lanczos", "avg", "max"
    ),
    "padding_mode": one_of("zeros", "border", "reflection"),
    "method": one_of("linear", "cubic", "nearest", "lanczos3", "gaussian", "area"),
    "coordinates": one_of("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"),
    "edge": one_of("clamp", "reflect", "mirror", "wrap", "constant"),
    "duplicates": one_of("last", "first", "sum", "max", "error"),
    "rounding": one_of("nearest", "half_even", "floor", "trunc"),
    "factor": small(1, 4),
    "offset": small(0, 2),
    "upscale_factor": small(1, 3),
    "downscale_factor": small(1, 3),
    "block": small(1, 3),
    "sampling_ratio": one_of(-1, 1, 2, 5),
    "spatial_scale": one_of(0.25, 1.0, 2.0),
    "aligned": one_of(True, False),
    "seed": one_of(0, 1, 12345),
}

FLOATS, INTEGERS = ("f4", "f8", "f2"), ("u1", "i2", "i4", "i8", "u2")


def drawn(rng: np.random.Generator) -> list[catalogue.Call]:
    """A catalogue of drawn size and dtype."""
    side = int(rng.integers(5, 40))
    channels, batch = int(rng.choice([2, 4, 8])), int(rng.integers(1, 4))
    if rng.random() < 0.6:
        return catalogue.calls(side, rng.choice(FLOATS), channels, batch)
    return determinism.integer_calls(side, rng.choice(INTEGERS))


def fuzz(count: int, seed: int, note: mmap.mmap) -> collections.Counter[str]:
    """So many calls; `note` tells the parent which one is running."""
    rng = np.random.default_rng(seed)
    arenas = [Arena() for _ in range(ARENAS)]
    isas = determinism.instruction_sets()
    came: collections.Counter[str] = collections.Counter()
    warnings.simplefilter("ignore")
    while sum(came.values()) < count:
        us.set_num_threads(int(rng.integers(1, 4)))
        _core._force_grain(int(rng.choice([0, 16, 256])) or None)
        _core._force_isa(isas[int(rng.integers(len(isas)))])
        for call in drawn(rng):
            for _ in range(4):
                changed = resized(rng, call, arenas[:-1])
                if changed is None:
                    came["too large"] += 1
                    continue
                text = f"seed {seed}, {changed.label}, {shapes(changed)}"[:4000].encode()
                note[: len(text) + 1] = text + b"\0"
                came[attempt(rng, changed, arenas[-1])] += 1
    return came


def shapes(call: catalogue.Call) -> dict[str, Any]:
    """The arguments, arrays as shape, strides and dtype."""

    def shown(v: Any) -> Any:
        return (v.shape, v.strides, v.dtype.str) if isinstance(v, np.ndarray) else v

    return {k: shown(v) for k, v in call.kwargs.items()}


def attempt(rng: np.random.Generator, call: catalogue.Call, arena: Arena) -> str:
    """One call; every other one that computes again, into guarded memory."""
    try:
        results = call.run()
        if len(results) > 1 or rng.random() < 0.5 or "out" not in call.parameters():
            return "computed"
        out = arena.place(rng, results[0].shape, results[0].dtype)
        if out is None:
            return "computed"
        call.run(out=out)
        if out.tobytes() != results[0].tobytes():
            raise AssertionError("out= differs from a fresh result")
        return "computed, twice"
    except (ValueError, TypeError, IndexError, MemoryError):
        return "refused"


def watched(child: int, note: mmap.mmap, seconds: float) -> int:
    """The child's status; it is killed if `note` stays the same for so long."""
    running, since = b"", time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if note[:] != running:
            running, since = note[:], time.monotonic()
        elif time.monotonic() - since > seconds:
            print(f"fuzz: a call has not ended after {seconds:g} s", flush=True)
            os.kill(child, signal.SIGKILL)
            since = float("inf")
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=120, help="what one call may take")
    options = parser.parse_args()
    note = mmap.mmap(-1, 1 << 13)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        came = fuzz(options.calls, options.seed, note)
        ran = came["computed"] + 2 * came["computed, twice"] + came["refused"]
        print(
            f"fuzz: {ran} calls between guard pages, {dict(came)}, none outside its arrays",
            flush=True,
        )
        os._exit(0)
    status = watched(child, note, options.seconds)
    if status:
        how = (
            signal.Signals(os.WTERMSIG(status)).name
            if os.WIFSIGNALED(status)
            else f"status {status}"
        )
        print(f"fuzz: died, {how}, in: {note[:].split(bytes(1))[0].decode()}")
        sys.exit(1)


if __name__ == "__main__":
    main()
