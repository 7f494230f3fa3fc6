"""Small matrices as text: aligned, with some elements marked, and several beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike

MARKED = "bold yellow"
ZERO = "dim"
HEADING = "cyan"
GAP = 4


def matrix(values: ArrayLike, marked: Collection[tuple[int, int]] = ()) -> Text:
    """Write a matrix.

    Parameters
    ----------
    values : array_like, (height, width)
        The elements; columns come out equally wide.
    marked : collection of (int, int)
        Row and column of the elements to point out. They stand in brackets, so that they show
        without colour too.

    Returns
    -------
    rich.text.Text
        One line per row.
    """
    array = np.asarray(values)
    width = max(len(number(value)) for value in array.flat)
    text = Text()
    for row, line in enumerate(array):
        for column, value in enumerate(line):
            word = number(value)
            if (row, column) in marked:
                text.append(f"[{word}]".rjust(width + 2), MARKED)
            else:
                text.append(f" {word} ".rjust(width + 2), "" if value else ZERO)
        if row + 1 < len(array):
            text.append("\n")
    return text


def number(value: Any) -> str:
    """Write an element: `3`, `0.25`."""
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)


def beside(**blocks: Text) -> Text:
    """Put blocks of text beside each other.

    Parameters
    ----------
    **blocks : rich.text.Text
        From left to right; the names become the headings, with blanks for underscores.

    Returns
    -------
    rich.text.Text
        As many lines as the highest block, and one of headings above.
    """
    columns = []
    for name, block in blocks.items():
        lines = [Text(name.replace("_", " "), HEADING), *block.split("\n")]
        width = max(line.cell_len for line in lines)
        columns.append((width, lines))
    rows = []
    for row in range(max(len(lines) for _, lines in columns)):
        joined = Text()
        for width, lines in columns:
            line = lines[row].copy() if row < len(lines) else Text()
            line.pad_right(width + GAP - line.cell_len)
            joined.append_text(line)
        joined.rstrip()
        rows.append(joined)
    return Text("\n").join(rows)
