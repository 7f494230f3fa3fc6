"""Wrong calls, generated: every fault of a parameter, on every operation that takes the parameter.

`python tests/trust/siblings.py [--watch]` makes them all and prints how many were refused. A
refusal is one line that names the operation, the parameter and its value, changes no input, and
comes before anything of the output's size is allocated (`--watch`: under the allocator of
`starve.c`).

Two sources. `FAULTS` holds, by parameter, values that no operation accepts. The corpus holds
values that broke other systems; each is tried on every operation of ours that has the parameter,
where it may also be right.
"""

from __future__ import annotations

import collections
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import catalogue  # noqa: E402
import starve  # noqa: E402

from abuse import corpus, run_one  # noqa: E402

nan, inf, HUGE = float("nan"), float("inf"), 10**30
REFUSALS = (ValueError, TypeError, IndexError, MemoryError)


class Wild:
    """An object whose every conversion fails."""

    def __index__(self):
        raise ValueError("no\nindex")

    def __float__(self):
        raise ValueError("no float")

    def __bool__(self):
        raise ValueError("no bool")

    def __repr__(self):
        return "Wild\nover two lines"


COUNTS = [0, -1, -(2**63), HUGE, -HUGE, 2**63 - 1, 1.5, nan, "2", b"2", {}, set(), Wild(), (1,) * 9]
COUNTS += [(), (0,) * 2, (1.0, 1.0), (None, "x"), np.zeros((0,)), np.array([[2, 2]])]
STRIDES = [v for v in COUNTS if not (isinstance(v, int) and v == 2**63 - 1)]  # one window is fine
PADS = [
    -1,
    (-1, 0),
    ((-1, 0),) * 2,
    HUGE,
    0.5,
    "reflect",
    "",
    Wild(),
    ((0, 0, 0),) * 2,
    {},
    (1,) * 9,
]
NUMBERS = [nan, inf, -inf, "2", b"2", {}, Wild(), HUGE**20, 1j, (1.0,) * 9, [[]]]
FLAGS = [2.5, "yes", (), {}, [True], np.ones(3, bool), Wild(), 1j]
CHOICES = ["", "nonsense", "NEAREST", 3, 0.5, b"x", {}, Wild(), "a\nb"]
SHAPES = [
    3,
    None,
    (),
    (0,),
    "4444",
    (2**62,) * 4,
    (2, 4, -1, 8),
    (1.5,) * 4,
    HUGE,
    (HUGE,) * 4,
    {},
    Wild(),
]
MASKS = [(), (True,), (True,) * 9, "TTT", 3, None, (1.5, 1, 1), Wild(), {}]

# By parameter: values that no operation accepts.
FAULTS: dict[str, list[Any]] = {
    **dict.fromkeys(
        ("kernel_size", "factor", "upscale_factor", "downscale_factor", "block"), COUNTS
    ),
    **dict.fromkeys(("dilation", "groups"), COUNTS),
    "stride": STRIDES,
    "padding": PADS,
    "output_padding": [-1, HUGE, 1.5, "1", (0,) * 9, Wild(), 2**62],
    "offset": [-1, HUGE, 1.5, "1", (0,) * 9, Wild(), 99],
    "output_size": COUNTS,
    "size": COUNTS,
    "input_size": SHAPES,
    "axes": [99, -99, HUGE, 1.5, "0", (1, 1), (0,) * 9, Wild(), {}],
    "scale": [0.0, -1.0, 1e-9, *NUMBERS],
    "scale_factor": [0.0, -1.0, 1e-9, *NUMBERS],
    "output_ratio": [0.0, -0.5, 1.5, *NUMBERS],
    "norm_type": [0.0, -1.0, nan, "2", {}, Wild(), 1j],
    "spatial_scale": [0.0, -1.0, *NUMBERS],
    "cubic_a": [nan, inf, "a", {}, Wild(), 1j],
    "divisor_override": [0, HUGE, 1.5, "2", {}, Wild()],
    "sampling_ratio": [HUGE, 1.5, "2", {}, Wild()],
    "seed": [-1, HUGE, 1.5, "2", {}, Wild()],
    "roi": [3, (0.0, 1.0), ((nan, 1.0),) * 2, ((inf, 1.0),) * 2, "ab", ((0.0,),) * 2, Wild()],
    **dict.fromkeys(("ceil_mode", "count_include_pad", "return_indices", "antialias"), FLAGS),
    **dict.fromkeys(("channels_last", "aligned"), FLAGS),
    **dict.fromkeys(("align_corners", "recompute_scale_factor", "exclude_outside"), FLAGS),
    **dict.fromkeys(("mode", "padding_mode", "rounding", "duplicates", "index_dtype"), CHOICES),
    **dict.fromkeys(("method", "coordinates", "edge", "nearest_rounding"), CHOICES),
    "keep_aspect_ratio": CHOICES,
    "output_mask": MASKS,
    "out": [
        3,
        "x",
        [[1.0]],
        (),
        np.zeros(3),
        np.zeros((2, 2), ">f8"),
        np.asmatrix(np.eye(2)),
        Wild(),
    ],
}

# Made from the array that is there: what is wrong with its dtype, its shape, its kind.
ARRAY_FAULTS = {
    "object": lambda a: a.astype(object),
    "str": lambda a: np.full(a.shape, "1"),
    "datetime": lambda a: np.zeros(a.shape, "M8[s]"),
    "structured": lambda a: np.zeros(a.shape, "i4,f4"),
    "masked": lambda a: np.ma.array(a),
    "none": lambda a: None,
    "ragged": lambda a: [[1.0, 2.0], [3.0]],
    "scalar": lambda a: np.float32(1),
    "wild": lambda a: Wild(),
    "dict": lambda a: {},
    "33 axes or 0": lambda a: np.zeros(()),
}
# None is a value of these.
OPTIONAL_ARRAYS = {"bias", "random_samples"}

# A line of refusal: the operation, the parameter or a part of it, the value, what is allowed. Two
# parameters that do not
# go together are named both; an axis and a shape that are no parameter go by their names.
PART = r"(\[\d+\]|\.[a-z_]+)*"
SUBJECT = rf"([a-z_]+{PART}( and [a-z_]+)?|axis [A-Z]|axis \d+|output shape|weights of an axis)"
LINE = re.compile(rf"{SUBJECT} = [^:].*")
# Bytes that a refused call may allocate, messages and tables of an axis; the outputs are far
# larger.
MOST_BYTES = 1 << 16


def faults(call: catalogue.Call) -> Iterator[tuple[str, Any]]:
    """(parameter, wrong value) for everything `FAULTS` knows of this operation."""
    for name in call.parameters():
        yield from ((name, value) for value in FAULTS.get(name, ()))
        given = call.kwargs.get(name)
        if isinstance(given, np.ndarray):
            for label, make in ARRAY_FAULTS.items():
                if not (label == "none" and name in OPTIONAL_ARRAYS):
                    yield name, make(given)


def transplants(call: catalogue.Call) -> Iterator[tuple[str, Any]]:
    """(parameter, value) of every refused entry of the corpus, where this operation has the
    parameter.
    """
    known, seen = set(call.parameters()), set()
    for entry in corpus.CORPUS:
        if entry["expect"] != "error":
            continue
        _, kwargs = run_one.arguments(entry) if small(entry) else ((), {})
        for name, value in kwargs.items():
            key = (name, repr(value))
            if name in known and key not in seen:
                seen.add(key)
                yield name, value


def small(entry: dict[str, Any]) -> bool:
    """Whether no array of the entry takes long to make."""
    specs = [*entry["args"], *entry["kwargs"].values()]
    return all(np.prod(s[0], dtype=float) < 1e6 for s in specs if run_one.is_array(s))


def wrong(call: catalogue.Call, line: str) -> str | None:
    """What is wrong with a refusal's line."""
    op, _, rest = line.partition(": ")
    ours = op == call.op or call.prepared and op.startswith(call.op.removeprefix("prepare_"))
    if not ours:
        return "does not begin with the operation"
    if not LINE.fullmatch(rest):
        return "not `parameter = value`"
    return "longer than a line" if len(line) > 400 else None


class Tally:
    """What came of all calls."""

    def __init__(self, allocator: Any = None) -> None:
        self.allocator = allocator
        self.refused, self.calls, self.largest = 0, 0, 0
        self.accepted: collections.Counter[str] = collections.Counter()
        self.problems: list[str] = []

    def attempt(self, call: catalogue.Call, name: str, value: Any, must: bool) -> None:
        """One call with one parameter changed; `must` it be refused?"""
        self.calls += 1
        what = f"{call.label}, {name} = {str(repr(value))[:60]!r}"
        before = [a.tobytes() for a in call.arrays()]
        if self.allocator:
            self.allocator.arm()
        try:
            call.run(**{name: value})
            line, tried = None, False
        except REFUSALS as error:
            line, tried = str(error), isinstance(error, MemoryError)
        except BaseException as error:  # noqa: BLE001 - a PanicException is what is looked for
            line, tried = None, False
            self.problems.append(f"{what}: {type(error).__name__}: {error}")
        largest = self.allocator.disarm()[2] if self.allocator else 0
        if [a.tobytes() for a in call.arrays()] != before:
            self.problems.append(f"{what}: an input changed")
        if line is None:
            self.accepted[name] += 1
            if must:
                self.problems.append(f"{what}: accepted")
            return
        self.refused += 1
        if fault := wrong(call, line):
            self.problems.append(f"{what}: {fault}: {line!r}")
        # A MemoryError has tried to allocate; arrays of other kinds have to be looked at first.
        if not tried and not isinstance(value, np.ndarray):
            self.largest = max(self.largest, largest)
            if largest > MOST_BYTES:
                self.problems.append(f"{what}: allocated {largest} bytes first: {line!r}")


def every(side: int, allocator: Any = None) -> Tally:
    """Every fault on every operation."""
    tally = Tally(allocator)
    warnings.simplefilter("ignore")
    for call in catalogue.calls(side):
        call.run()
        for name, value in faults(call):
            tally.attempt(call, name, value, must=True)
        for name, value in transplants(call):
            tally.attempt(call, name, value, must=False)
    return tally


def main() -> None:
    watched = bool(os.environ.get("UNDER_STARVE"))
    if "--watch" in sys.argv and not watched:
        run = starve.preloaded(__file__, *sys.argv[1:])
        print(run.stdout, end="")
        sys.exit(run.returncode)
    allocator = starve.Allocator() if watched else None
    tally = every(64 if allocator else 9, allocator)
    print(*tally.problems[:60], sep="\n")
    print(
        f"siblings: {tally.refused} of {tally.calls} calls refused, {len(tally.problems)} of "
        f"them wrongly; largest allocation before a refusal: {tally.largest} bytes"
    )
    sys.exit(bool(tally.problems) or tally.refused < 1500)


if __name__ == "__main__":
    main()
