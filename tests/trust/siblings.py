"""Wrong calls, generated: every fault of a parameter, on every operation that takes the parameter.

Two sources. `FAULTS` holds, by parameter, values that no operation accepts. The corpus holds values that broke other
systems; each is tried on every operation of ours that has the parameter, where it may also be right.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import catalogue  # noqa: E402
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
COUNTS += [(), (0,) * 2, (2**62,) * 2, (1.0, 1.0), (None, "x"), np.zeros((0,)), np.array([[2, 2]])]
PADS = [-1, (-1, 0), ((-1, 0),) * 2, HUGE, 0.5, "reflect", "", Wild(), ((0, 0, 0),) * 2, {}, (1,) * 9]
NUMBERS = [nan, inf, -inf, "2", b"2", {}, Wild(), HUGE**20, 1j, (1.0,) * 9, [[]]]
FLAGS = [2.5, "yes", (), {}, [True], np.ones(3, bool), Wild(), 1j]
CHOICES = ["", "nonsense", "NEAREST", 3, 0.5, b"x", {}, Wild(), "a\nb"]
SHAPES = [3, None, (), (0,), "4444", (2**62,) * 4, (2, 4, -1, 8), (1.5,) * 4, HUGE, (HUGE,) * 4, {}, Wild()]
MASKS = [(), (True,), (True,) * 9, "TTT", 3, None, (1.5, 1, 1), Wild(), {}]

# By parameter: values that no operation accepts.
FAULTS: dict[str, list[Any]] = {
    **dict.fromkeys(("kernel_size", "factor", "upscale_factor", "downscale_factor", "block"), COUNTS),
    **dict.fromkeys(("dilation", "groups"), COUNTS),
    "stride": COUNTS,
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
    "out": [3, "x", [[1.0]], (), np.zeros(3), np.zeros((2, 2), ">f8"), np.asmatrix(np.eye(2)), Wild()],
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
    "no spatial": lambda a: np.zeros((*a.shape[:-1], 0), a.dtype),
}
# None is a value of these.
OPTIONAL_ARRAYS = {"bias"}

# A line of refusal: the operation, the parameter or a part of it, the value.
PART = r"(\[\d+\]|\.[a-z_]+)*"
LINE = rf"[a-z_0-9]+: [a-z_]+{PART} = .+"


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
    """(parameter, value) of every refused entry of the corpus, where this operation has the parameter."""
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
