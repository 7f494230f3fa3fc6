"""Every picture in docs/images is made by a command in the repository, and is what it makes.

Drawings are text and equal. Of pictures of the photograph a few pixels may differ: sums of floats
differ in the last bits between machines, letters between fonts.
"""

from __future__ import annotations

import runpy
from functools import cache
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"
IMAGES = DOCS / "images"
SCRIPTS = sorted(DOCS.glob("figures*.py"))
COMPARED = 0.98  # of the pixels of a sheet; the others are labels, which tell times

photographs = pytest.mark.skipif(
    not (IMAGES / "compare.png").exists(), reason="the source distribution has drawings only"
)


@cache
def made(script: Path, kind: str) -> dict[Path, object]:
    """Return what a script makes, by the file it is for: its `figures` or its `galleries`."""
    names = runpy.run_path(str(script))
    if kind not in names:
        return {}
    if kind == "galleries":
        pytest.importorskip("PIL")
    return {names["IMAGES"] / name: picture for name, picture in names[kind]().items()}


def agreeing(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of pixels that are the same to 2 levels."""
    assert one.shape == other.shape
    return float(np.mean(abs(one.astype(int) - other).max(axis=-1) <= 2))


def rgb(path: Path) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(path).convert("RGB"))


@pytest.mark.skipif(not IMAGES.exists(), reason="the installed package has no docs")
def test_drawings_of_techniques() -> None:
    """`python docs/figures_techniques.py` would change no drawing."""
    for path, drawing in made(DOCS / "figures_techniques.py", "figures").items():
        assert path.read_text(encoding="utf-8") == drawing, path.name


@photographs
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_pictures_of_the_photograph(script: Path) -> None:
    """Run the script's `galleries`, if it has any, and compare with its files."""
    for path, page in made(script, "galleries").items():
        assert agreeing(rgb(path), np.asarray(page.convert("RGB"))) > 0.99, path.name


@photographs
def test_the_sheet(tmp_path: Path) -> None:
    """`upsample-rs compare -o docs/images/compare.png` would change its times only."""
    pytest.importorskip("PIL")
    pytest.importorskip("rich")
    from upsample_rs.cli import main

    sheet = tmp_path / "compare.png"
    main(["compare", "-o", str(sheet)])
    assert agreeing(rgb(IMAGES / "compare.png"), rgb(sheet)) > COMPARED


@photographs
def test_every_picture_has_a_command() -> None:
    known = {IMAGES / "compare.png"}
    for script in SCRIPTS:
        known |= made(script, "figures").keys() | made(script, "galleries").keys()
    assert {path for path in IMAGES.rglob("*") if path.is_file()} == known
