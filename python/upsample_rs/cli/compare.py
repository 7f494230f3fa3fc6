"""`upsample-rs compare`: a picture made smaller and brought back by every technique."""

from __future__ import annotations

import itertools
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from upsample_rs.cli.measure import decibels, duration, peak_signal_to_noise, timed
from upsample_rs.cli.output import check_output, write_picture
from upsample_rs.cli.pictures import Picture, read_picture
from upsample_rs.cli.sheet import Panel, draw
from upsample_rs.cli.techniques import Reduced, Technique, extend, reduce
from upsample_rs.cli.terminal import console
from upsample_rs.cli.views import frame, real

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from upsample_rs._types import Array

PHOTOGRAPH = "chelsea.png"


@dataclass(frozen=True)
class Result:
    """What the table says of one technique."""

    title: str
    shape: tuple[int, ...]
    """Of the array the technique returned: height, width, channels."""
    seconds: float
    psnr: float


@dataclass(frozen=True)
class Comparison:
    """Everything there is to print."""

    title: str
    subtitle: str
    results: list[Result]
    sheet: Array


def run(arguments: argparse.Namespace) -> None:
    """Compare the techniques on `arguments.image` and write the sheet to `arguments.output`."""
    check_output(arguments.output)
    path = arguments.image or str(photograph())
    picture = read_picture(path)
    if picture.frames > 1:
        sys.stderr.write(
            f"upsample-rs: note: {path!r} holds {picture.frames} pictures; only the first is used\n"
        )
    with progress(len(arguments.methods) + 2) as step:
        done = compare(Path(path).name, picture, arguments.scale, arguments.methods, step)
        step("write the sheet")
        write_picture(arguments.output, Picture(done.sheet))
    out = console()
    out.print(f"{done.title}: {done.subtitle}", soft_wrap=True)
    out.print(table(done.results))
    out.print(f"Side by side: {arguments.output}", soft_wrap=True)


def photograph() -> Path:
    """Return the photograph shipped with the package."""
    return Path(str(resources.files("upsample_rs") / "data" / PHOTOGRAPH))


@contextmanager
def progress(steps: int) -> Iterator[Callable[[str], None]]:
    """Show on a terminal how far the work is; anywhere else, show nothing.

    Parameters
    ----------
    steps : int
        How many there are.

    Yields
    ------
    callable
        To be told what begins next.
    """
    out = console(sys.stderr)
    if not out.is_terminal:
        yield lambda doing: None
        return
    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("reduce", total=steps)
        begun = itertools.count()
        yield lambda doing: bar.update(task, completed=next(begun), description=doing)


def compare(
    name: str,
    picture: Picture,
    scale: int,
    techniques: tuple[Technique, ...],
    step: Callable[[str], None],
) -> Comparison:
    """Make a picture `scale` times smaller and bring it back with each technique.

    Parameters
    ----------
    name : str
        The picture's, for the title.
    picture, scale, techniques
        What is compared.
    step : callable
        Told what begins next.

    Returns
    -------
    Comparison
        The numbers and the sheet.
    """
    original = real(picture.pixels)
    reduced = reduce(extend(original, scale), scale)
    shown = frame(reduced, (original.shape[0], original.shape[1]))
    size = f"{reduced.small.shape[1]} x {reduced.small.shape[0]}"
    panels = [
        Panel.of(shown, original, "original", f"{original.shape[1]} x {original.shape[0]}"),
        Panel.of(shown, reduced.small, "reduced", f"{size}, drawn to the same scale", scale),
    ]
    results = []
    for technique in techniques:
        step(technique.title)
        result, restored = measured(technique, reduced, original)
        note = f"PSNR {decibels(result.psnr)}, {duration(result.seconds)}"
        results.append(result)
        panels.append(Panel.of(shown, restored, result.title, note))
    step("draw the sheet")
    title = f"{name}, {scale} times smaller and back"
    subtitle = f"{picture.description}, reduced to {size} and brought back by each technique"
    legend = f"{subtitle}. PSNR against the original; time of one call."
    return Comparison(title, subtitle, results, draw(title, legend, panels, shown))


def measured(technique: Technique, reduced: Reduced, original: Array) -> tuple[Result, Array]:
    """Run one technique; return its numbers, and its result cut back to the original's size."""
    restored, seconds = timed(technique, reduced)
    cropped = restored[: original.shape[0], : original.shape[1]]
    psnr = peak_signal_to_noise(original, cropped)
    return Result(technique.title, restored.shape, seconds, psnr), cropped


def table(results: list[Result]) -> Table:
    """Lay out the results; the nearest to the original is bold."""
    best = max(result.psnr for result in results)
    layout = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    layout.add_column("technique", no_wrap=True)
    for heading in ("output shape", "time", "PSNR"):
        layout.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        layout.add_row(
            result.title,
            str(result.shape),
            duration(result.seconds),
            decibels(result.psnr),
            style="bold" if result.psnr == best else "",
        )
    return layout
