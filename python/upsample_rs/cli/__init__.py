"""The `upsample-rs` command: compare, tour and resize.

This file holds the order of things only: read the arguments, make sure the extra is installed, run
the command, and turn every failure into one line on standard error. Pillow and rich are imported by
the commands themselves, so that `--help` works without them and `import upsample_rs` never does.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from upsample_rs.cli.arguments import build_parser
from upsample_rs.cli.errors import CommandError, reason

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

FAILURE = 2
INTERRUPTED = 130
CLOSED_PIPE = 141
EXTRA_MISSING = "this needs pillow and rich: pip install 'upsample-rs[cli]'"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; by default those of the process.

    Returns
    -------
    int
        The exit status: 0, or 2 after one line on standard error, or 130 when interrupted.
    """
    try:
        arguments = build_parser().parse_args(argv)
        require_extra()
        import_module(f"upsample_rs.cli.{arguments.command}").run(arguments)
        sys.stdout.flush()
    except CommandError as error:
        return fail(reason(error))
    except MemoryError:
        return fail("not enough memory for a picture of this size")
    except KeyboardInterrupt:
        fail("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left (as `| head` does): say nothing, and let the interpreter
        # flush what remains into the void instead of complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    return 0


def require_extra() -> None:
    """Raise `CommandError` unless both packages of the extra `[cli]` can be imported."""
    try:
        import_module("PIL.Image")
        import_module("rich.console")
    except ImportError as error:
        raise CommandError(EXTRA_MISSING) from error


def fail(message: str) -> int:
    """Print `message` as the one line of a failure and return the exit status."""
    sys.stderr.write(f"upsample-rs: {message}\n")
    return FAILURE
