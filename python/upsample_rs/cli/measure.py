"""How long a technique takes and how near it comes, in numbers and in words."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from upsample_rs._types import Array
    from upsample_rs.cli.techniques import Reduced, Technique

MOST_ROUNDS = 5
ENOUGH_SECONDS = 1.0
ROWS_AT_ONCE = 256
UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6))


def timed(technique: Technique, reduced: Reduced) -> tuple[Array, float]:
    """Run a technique a few times.

    Parameters
    ----------
    technique : Technique
        What to run.
    reduced : Reduced
        What to run it on.

    Returns
    -------
    restored : array
        Its result.
    seconds : float
        The shortest of its runs: at most `MOST_ROUNDS`, and no further one after `ENOUGH_SECONDS`.
    """
    times: list[float] = []
    while len(times) < MOST_ROUNDS and sum(times) < ENOUGH_SECONDS:
        start = time.perf_counter()
        restored = technique.restore(reduced)
        times.append(time.perf_counter() - start)
    return restored, min(times)


def peak_signal_to_noise(original: Array, restored: Array) -> float:
    """Return the PSNR of two pictures whose numbers run from 0 to 1.

    Parameters
    ----------
    original, restored : array of float, (height, width, channels)
        Of the same shape. What of `restored` lies beyond 0 or 1 is cut off, as a file would.

    Returns
    -------
    float
        Decibels; infinite where they are equal.
    """
    total = 0.0
    for start in range(0, len(original), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        difference = np.clip(restored[part], 0, 1).astype(np.float64) - original[part]
        total += float(np.square(difference).sum())
    return 10 * math.log10(original.size / total) if total else math.inf


def decibels(value: float) -> str:
    """Write a PSNR, such as `27.31 dB`."""
    return "equal" if math.isinf(value) else f"{value:.2f} dB"


def duration(seconds: float) -> str:
    """Write a time to three digits, such as `1.23 ms`."""
    unit, length = next((u, n) for u, n in UNITS if seconds >= n or u == "us")
    value = seconds / length
    digits = max(0, 2 - int(math.log10(value))) if value >= 1 else 2
    return f"{value:.{digits}f} {unit}"
