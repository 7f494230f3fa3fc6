"""`out=`, every way it can be given: exact, or refused with nothing written.

`python tests/trust/outs.py` tries all of them on every operation that has `out` and prints how
many there were.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import catalogue  # noqa: E402

REFUSALS = (ValueError, TypeError)


def placed(shape: tuple[int, ...], dtype: np.dtype, layout: str) -> np.ndarray:
    """Memory for a result, laid out so, inside a larger array of sevens."""
    n = len(shape)
    if layout == "contiguous":
        return np.full(shape, 7, dtype)
    if layout == "fortran":
        return np.full(shape[::-1], 7, dtype).T
    if layout == "reversed":
        return np.full(shape, 7, dtype)[(slice(None, None, -1),) * n]
    if layout == "step2":
        return np.full([2 * s for s in shape], 7, dtype)[(slice(1, None, 2),) * n]
    wider = np.full([s + 3 for s in shape], 7, dtype)
    return wider[tuple(slice(1, 1 + s) for s in shape)]


LAYOUTS = ("contiguous", "fortran", "reversed", "step2", "apart")


def root(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def unwritable(want: np.ndarray) -> Iterator[tuple[str, Any]]:
    """Arrays that cannot take the result."""
    shape, dtype = want.shape, want.dtype
    frozen = np.full(shape, 7, dtype)
    frozen.flags.writeable = False
    yield "read-only", frozen
    yield "broadcast", np.broadcast_to(np.full((), 7, dtype), shape)
    yield "other dtype", np.full(shape, 7, np.float64 if dtype != np.float64 else np.float32)
    yield "other byte order", np.full(shape, 7, dtype.newbyteorder(">"))
    yield "one axis more", np.full((1, *shape), 7, dtype)
    yield "one element more", np.full((*shape[:-1], shape[-1] + 1), 7, dtype)
    yield "zero size", np.full((*shape[:-1], 0), 7, dtype)
    yield "scalar", np.full((), 7, dtype)
    raw = np.full(want.nbytes + 1, 7, np.uint8)
    yield "misaligned", raw[1:].view(dtype).reshape(shape)
    cells = np.full(want.size + 8, 7, dtype)
    for axis in range(want.ndim):
        if shape[axis] < 2:
            continue
        strides = list(np.full(shape, 7, dtype).strides)
        strides[axis] = 0
        yield f"itself along axis {axis}", as_strided(cells, shape, strides, writeable=True)
    if want.ndim > 1 and shape[-1] > 1 and shape[-2] > 1:
        strides = list(np.full(shape, 7, dtype).strides)
        strides[-2] = dtype.itemsize  # rows one element apart
        yield "itself, rows too close", as_strided(cells, shape, strides, writeable=True)


def overlaps(
    array: np.ndarray, want: np.ndarray
) -> Iterator[tuple[str, bool, np.ndarray, np.ndarray]]:
    """(name, whether memory is shared, a copy of `array`, an out) in one buffer, at every distance
    that matters.
    """
    unit = max(array.itemsize, want.itemsize)
    gap = -(-array.nbytes // unit) * unit
    room = -(-want.nbytes // unit) * unit
    starts = {
        "the input's begin": 0,
        "one element on": unit,
        "half of it": array.nbytes // 2 // unit * unit,
        "its last element": gap - unit,
        "just behind": gap,
        "before, into its first": unit - room,
        "just before": -room,
    }
    for name, start in starts.items():
        raw = np.full(gap + 2 * room + 4 * unit, 7, np.uint8)
        shared = raw[room : room + array.nbytes].view(array.dtype).reshape(array.shape)
        shared[...] = array
        at = room + start
        out = raw[at : at + want.nbytes].view(want.dtype).reshape(want.shape)
        yield name, np.shares_memory(shared, out), shared, out


class Tally:
    """How many ways there were, and what went wrong."""

    def __init__(self) -> None:
        self.exact, self.refused = 0, 0
        self.problems: list[str] = []

    def refuse(self, call: catalogue.Call, what: str, outs: Any, watched: list[Any]) -> None:
        """The call must be refused and write nothing."""
        arrays = [root(a) for a in watched if isinstance(a, np.ndarray)]
        before = [a.tobytes() for a in arrays]
        try:
            call.run(out=outs)
        except REFUSALS:
            self.refused += 1
        except BaseException as error:  # noqa: BLE001
            self.problems.append(f"{call.label}, {what}: {type(error).__name__}: {error}")
        else:
            self.problems.append(f"{call.label}, {what}: accepted")
        if [a.tobytes() for a in arrays] != before:
            self.problems.append(f"{call.label}, {what}: refused, but something was written")

    def accept(
        self, call: catalogue.Call, what: str, outs: Any, want: tuple[np.ndarray, ...]
    ) -> None:
        """The call must give what a fresh result holds, and touch nothing around it."""
        got = outs if isinstance(outs, tuple) else (outs,)
        results = call.run(out=outs)
        self.exact += 1
        for result, out, fresh in zip(results, got, want, strict=True):
            if result is not out or out.tobytes() != fresh.tobytes():
                self.problems.append(f"{call.label}, {what}: not what a fresh result is")
            whole = root(out)
            if whole.size != out.size and whole.dtype == out.dtype:
                out[...] = 7
                if not np.all(whole == np.full((), 7, out.dtype)):
                    self.problems.append(f"{call.label}, {what}: wrote beside out")


def attempt(tally: Tally, call: catalogue.Call) -> None:
    """Every way of one call."""
    want = call.run()
    for layout in LAYOUTS:
        outs = tuple(placed(w.shape, w.dtype, layout) for w in want)
        tally.accept(call, layout, outs if len(outs) > 1 else outs[0], want)
    for i, result in enumerate(want):
        for what, out in unwritable(result):
            outs = [np.full(w.shape, 7, w.dtype) for w in want]
            outs[i] = out
            tally.refuse(call, what, tuple(outs) if len(want) > 1 else out, outs)
        for name, value in call.kwargs.items():
            if not isinstance(value, np.ndarray):
                continue
            for what, shares, shared, out in overlaps(value, result):
                changed = catalogue.replace(call, kwargs={**call.kwargs, name: shared})
                outs = [np.full(w.shape, 7, w.dtype) for w in want]
                outs[i] = out
                given: Any = tuple(outs) if len(want) > 1 else out
                label = f"out[{i}] and {name}: {what}"
                if shares:
                    tally.refuse(changed, label, given, [*outs, shared])
                else:
                    before = shared.tobytes()
                    results = changed.run(out=given)
                    tally.exact += 1
                    if any(r.tobytes() != w.tobytes() for r, w in zip(results, want, strict=True)):
                        tally.problems.append(f"{call.label}, {label}: not what a fresh result is")
                    if shared.tobytes() != before:
                        tally.problems.append(f"{call.label}, {label}: the input changed")


def run(side: int = 7) -> Tally:
    """Every way of every call."""
    tally = Tally()
    for call in catalogue.calls(side):
        if "out" in call.parameters():
            attempt(tally, call)
    return tally


def main() -> None:
    tally = run()
    print(*tally.problems[:50], sep="\n")
    print(f"out=: {tally.exact} exact, {tally.refused} refused, {len(tally.problems)} wrong")
    sys.exit(bool(tally.problems))


if __name__ == "__main__":
    main()
