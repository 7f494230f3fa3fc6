"""Make the threads of this package known to ``threadpoolctl``; importing the module does it.

``threadpoolctl`` learns of thread pools beyond BLAS and OpenMP from the packages that have them.
This is a module of its own, not part of ``import upsample_rs``, so that what is limited does not
depend on which of the two was imported first.

Examples
--------
>>> import upsample_rs as us
>>> import upsample_rs.threadpool
>>> from threadpoolctl import threadpool_limits
>>> before = us.get_num_threads()
>>> with threadpool_limits(1):
...     us.get_num_threads()
1
>>> us.get_num_threads() == before
True
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import threadpoolctl

from . import _core, runtime

__all__ = ["UpsampleController"]

_LIBRARY = Path(_core.__file__).resolve()


class UpsampleController(threadpoolctl.LibController):  # type: ignore[misc]
    """What ``threadpoolctl`` asks: how many threads there are, and to have as many.

    A library is taken for ours if its file is called as ours is and it has one of
    `check_symbols`. Other packages have a library called ``_core`` too, and none exports a symbol
    of its own; so ours is told by its path, and given the symbol.
    """

    user_api = "upsample_rs"
    internal_api = "upsample_rs"
    filename_prefixes = (_LIBRARY.name.lower(),)
    check_symbols = ("upsample_rs",)

    def set_additional_attributes(self) -> None:
        """Replace the library, none of whose symbols is called, by what `check_symbols` asks."""
        ours = Path(self.filepath).resolve() == _LIBRARY
        self.dynlib = SimpleNamespace(**{name: ours for name in self.check_symbols if ours})

    def get_num_threads(self) -> int:
        """Return the number of threads an operation may use."""
        return runtime.get_num_threads()

    def set_num_threads(self, num_threads: int) -> None:
        """Set it, for the whole process."""
        runtime.set_num_threads(num_threads)

    def get_version(self) -> str:
        """Return the version of the package."""
        return _core.__version__


threadpoolctl.register(UpsampleController)
