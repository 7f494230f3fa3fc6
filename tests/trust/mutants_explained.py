"""Mutants that no test notices, and why that is no gap.

Each entry names a file, a function, a part of the line that is changed, and a part of what
`cargo mutants` calls the change; an empty string stands for any.
"""

from __future__ import annotations

from typing import NamedTuple


class Explained(NamedTuple):
    """Changes of one kind, and why nothing can tell."""

    why: str
    file: str
    function: str
    text: str = ""
    change: str = ""

    def explains(self, file: str, function: str, text: str, change: str) -> bool:
        """Whether a mutant is one of these."""
        same = self.file == file and self.function == function
        return same and self.text in text and self.change in change


EXPLAINED: list[Explained] = [
    Explained(
        "at the limit itself an overlap of 10^-12 of a box is nothing either way",
        "src/geometry/coords.rs",
        "AxisMap::overlap",
        "common < 1e-12 * ratio",
        "replace < with <=",
    ),
]
