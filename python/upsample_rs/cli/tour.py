"""`upsample-rs tour`: the worked examples on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from upsample_rs.cli.examples import EXAMPLES, Example
from upsample_rs.cli.terminal import console

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

TITLE = "bold"
CALL = "green"
INDENT = Text("    ")


def run(_: argparse.Namespace) -> None:
    """Print every example."""
    out = console()
    for number, example in enumerate(EXAMPLES, 1):
        show(out, number, example())


def show(out: Console, number: int, example: Example) -> None:
    """Print one example: title, call, the steps, and the result as the call returns it."""
    lines = [Text(f"{number}. {example.title}", TITLE), INDENT + Text(example.call, CALL), Text()]
    for part in example.parts:
        text = part if isinstance(part, Text) else Text(part)
        lines += [
            INDENT + line if line.plain else line for line in text.split("\n", allow_blank=True)
        ]
    lines += [Text(), INDENT + Text(f"= {as_lists(example.result)}", CALL), Text(), Text()]
    for line in lines:
        out.print(line, soft_wrap=True)


def as_lists(result: object) -> str:
    """Write a result as Python lists."""
    if isinstance(result, tuple):
        return ", ".join(as_lists(part) for part in result)
    return str(np.asarray(result).tolist())
