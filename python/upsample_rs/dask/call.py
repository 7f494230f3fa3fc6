"""A call that crosses to a worker: the operation by name, and everything but its arrays."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np

import upsample_rs as us

from .._core import _own_threads

__all__ = ["Call", "RechunkWarning", "as_dask", "inner_threads", "one_chunk", "warn"]

PACKAGE = str(Path(__file__).parent.parent)


class RechunkWarning(UserWarning):
    """An axis is put together into one chunk, for the operation needs all of it at once."""


def inner_threads() -> int:
    """Return the threads of one task: one, or what ``dask.config`` says.

    Returns
    -------
    int
        The value of ``upsample_rs.inner-threads``.
    """
    n = dask.config.get("upsample_rs.inner-threads", 1)
    if not isinstance(n, int) or not 1 <= n <= 1024:
        raise ValueError(f"upsample_rs.inner-threads = {n!r}: must be an int from 1 to 1024")
    return n


@dataclass(frozen=True)
class Call:
    """An operation with its parameters, to be given its arrays."""

    name: str
    parameters: dict[str, Any]
    threads: int
    function: str = ""
    """Of the package, what is run: that of the same name, if not another."""

    def without(self, *names: str) -> Call:
        """Return the call without some of its parameters."""
        left = {name: value for name, value in self.parameters.items() if name not in names}
        return replace(self, parameters=left)

    def given(self, **parameters: Any) -> Call:
        """Return the call with other parameters."""
        return replace(self, parameters=self.parameters | parameters)

    def __call__(self, **arrays: Any) -> Any:
        """Run it, on as many threads as a task has."""
        before = _own_threads(self.threads)
        try:
            return getattr(us, self.function or self.name)(**self.parameters, **arrays)
        finally:
            _own_threads(before)


def as_dask(op: str, name: str, value: Any) -> Any:
    """Return an argument as a dask array whose chunks are known.

    Parameters
    ----------
    op, name : str
        For the message.
    value : dask array or array_like
        The argument.

    Returns
    -------
    dask array
        NumPy arrays in chunks of dask's choice.
    """
    array = value if isinstance(value, da.Array) else da.asarray(value)
    if any(np.isnan(n) for lens in array.chunks for n in lens):
        raise ValueError(
            f"{op}: {name}.chunks = unknown lengths: must be known (call compute_chunk_sizes)"
        )
    return array


def warn(text: str) -> None:
    """Give a :class:`RechunkWarning` at the line outside of this package that led to it.

    Parameters
    ----------
    text : str
        What it says.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RechunkWarning, stacklevel=level)


def one_chunk(op: str, name: str, array: Any, axes: Any, why: str) -> Any:
    """Put all of some axes into one chunk, and say so if they were in several.

    Parameters
    ----------
    op, name, why : str
        For the warning.
    array : dask array
        What is rechunked.
    axes : iterable of int
        Which of its axes.

    Returns
    -------
    dask array
        With one chunk along each of them.
    """
    several = [axis for axis in axes if len(array.chunks[axis]) > 1]
    if not several:
        return array
    listed = ", ".join(map(str, several))
    text = f"{op}: {name} is put into one chunk along axis {listed}: {why}"
    warn(text)
    return array.rechunk(dict.fromkeys(several, -1))
