"""Printing for a terminal and for a file alike."""

from __future__ import annotations

import sys
from typing import IO

from rich.console import Console

NARROWEST = 80


class Terminal(Console):
    """A console that leaves it to the command what happens when its reader is gone."""

    def on_broken_pipe(self) -> None:
        """Raise again instead of ending the process."""
        raise BrokenPipeError


def console(file: IO[str] | None = None) -> Terminal:
    """Make a console that colours a terminal and writes plain text anywhere else.

    Parameters
    ----------
    file : text file, optional
        Where to print; by default standard output.

    Returns
    -------
    Terminal
        At least 80 columns wide, so that matrices are never broken up.
    """
    stream = file or sys.stdout
    width = max(Console(file=stream).width, NARROWEST)
    return Terminal(file=stream, width=width, highlight=False, markup=False, emoji=False)
