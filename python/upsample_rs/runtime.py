"""Threads and instruction sets: the settings of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import config as _config
from ._core import get_num_threads as _get_num_threads
from ._core import set_cache_limit as _set_cache_limit
from ._core import set_num_threads as _set_num_threads

if TYPE_CHECKING:
    from ._types import Config

__all__ = ["config", "get_num_threads", "set_cache_limit", "set_num_threads"]


def set_num_threads(n: int) -> None:
    """Set how many threads an operation may use in this process.

    Results do not depend on it: every operation gives the same bits at any thread count.

    Parameters
    ----------
    n : int
        Number of threads, at least 1. With 1 everything runs on the calling thread.

    Raises
    ------
    ValueError
        `n` is out of range.
    TypeError
        `n` is not an integer.

    Notes
    -----
    The default is the environment variable ``UPSAMPLE_RS_NUM_THREADS`` if set, else the number of
    CPUs this process may run on. Small work stays on the calling thread whatever the setting.

    Examples
    --------
    >>> import upsample_rs as us
    >>> before = us.get_num_threads()
    >>> us.set_num_threads(1)
    >>> us.get_num_threads()
    1
    >>> us.set_num_threads(before)
    """
    _set_num_threads(n)


def get_num_threads() -> int:
    """Return how many threads an operation may use in this process.

    Returns
    -------
    int
        At least 1; see :func:`set_num_threads` for where it comes from.

    Examples
    --------
    >>> import upsample_rs as us
    >>> us.get_num_threads() >= 1
    True
    """
    return _get_num_threads()


def set_cache_limit(nbytes: int) -> None:
    """Set how much memory of freed results may wait for the next results.

    Writing to memory fresh from the operating system takes about three times as long as writing to
    memory that was in use before. Results of 1 MiB and more therefore take over the memory of
    results that were freed earlier, and this is how much of it may wait; what has waited longest is
    given back first.

    Parameters
    ----------
    nbytes : int
        Most bytes that may wait. 0 gives everything back and keeps nothing from now on.

    Raises
    ------
    ValueError
        `nbytes` is negative.
    TypeError
        `nbytes` is not an integer.

    Notes
    -----
    The default is the environment variable ``UPSAMPLE_RS_CACHE_BYTES`` if set, else 256 MiB or a
    sixteenth of the machine's memory, whichever is less. ``config()["cache_bytes"]`` tells how much
    waits now. The arrays are NumPy's own as ever (``flags.owndata`` is True).

    Examples
    --------
    >>> import upsample_rs as us
    >>> before = us.config()["cache_limit"]
    >>> us.set_cache_limit(0)
    >>> us.config()["cache_bytes"]
    0
    >>> us.set_cache_limit(before)
    """
    _set_cache_limit(nbytes)


def config() -> Config:
    """Describe the build and the machine it runs on, for reports of errors and timings.

    Returns
    -------
    dict
        ``version`` of the package; ``isa``, the instruction set in use (``"scalar"``, ``"avx2"``,
        ``"avx512"``, ...); ``isa_detected``, the best one of this machine; ``conv``, how
        convolutions are summed (``"auto"`` or ``"direct"``); ``threads``, as
        :func:`get_num_threads`; ``cache_bytes`` and ``cache_limit``, as :func:`set_cache_limit`.

    Notes
    -----
    ``isa`` is below ``isa_detected`` only if the environment variable ``UPSAMPLE_RS_ISA`` forces a
    lower one. ``UPSAMPLE_RS_CONV=direct`` has every product of a convolution computed by itself,
    where ``auto`` computes outputs in pairs from fewer of them if that takes less time
    (`docs/numerics.md` says what it does to rounding).

    Examples
    --------
    >>> import upsample_rs as us
    >>> sorted(us.config())
    ['cache_bytes', 'cache_limit', 'conv', 'isa', 'isa_detected', 'threads', 'version']
    """
    return _config()
