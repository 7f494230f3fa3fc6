"""docs/from: every call of another library beside the one here, run as it is written.

A page's Python blocks run from top to bottom. Then each row of its tables whose first two cells are
code is two expressions with the same value: floats to 1e-5, anything else exactly, unless the third
cell allows "a level". A page whose library is not installed is skipped.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.peer

PAGES = sorted((Path(__file__).parents[1] / "docs" / "from").glob("*.md"))
PAGES = [page for page in PAGES if page.stem != "index"]
BLOCK = r"^```python\n(?P<code>(?:.*\n)*?)```$"
ROW = r"^\| `(?P<there>[^`\n]+)` \| `(?P<here>[^`\n]+)` \|(?P<note>.*)\|$"
PART = re.compile(f"{BLOCK}|{ROW}", re.MULTILINE)


def run(page: Path) -> list[str]:
    """Run the blocks of a page and compare the rows of its tables; return what does not agree."""
    text = page.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": page.stem}
    wrong = []
    for part in PART.finditer(text):
        line = text[: part.start()].count("\n")
        if part["code"]:
            exec(compile("\n" * (line + 1) + part["code"], str(page), "exec"), names)
            continue
        there, here = (
            eval(compile("\n" * line + part[side], str(page), "eval"), names)
            for side in ("there", "here")
        )
        if difference := compared(there, here, "a level" in part["note"]):
            wrong.append(f"{page.name}:{line + 1}: {part['there']}: {difference}")
    return wrong


def compared(there: object, here: object, a_level: bool) -> str:
    """Tell how two results differ; nothing if they do not."""
    if isinstance(there, tuple | list) and isinstance(here, tuple | list):
        if len(there) != len(here):
            return f"{len(there)} results and {len(here)}"
        each = (compared(*pair, a_level) for pair in zip(there, here, strict=True))
        return "; ".join(filter(None, each))
    one, other = np.asarray(there), np.asarray(here)
    if one.shape != other.shape:
        return f"shapes {one.shape} and {other.shape}"
    apart = np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0)
    if np.issubdtype(other.dtype, np.floating):
        near = np.allclose(one, other, rtol=1e-5, atol=1e-5)
        return "" if near else f"up to {apart:g} apart"
    return "" if apart <= a_level else f"up to {apart:g} apart"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_calls_give_the_same(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        wrong = run(page)
    except ModuleNotFoundError as error:
        pytest.skip(f"without {error.name}")
    assert not wrong, "\n".join(wrong)


def test_a_wrong_row_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\n| a | b | |\n|---|---|---|\n| `x` | `x + 1` | |\n")
    assert len(run(page)) == 1
    page.write_text(page.read_text().replace("x + 1` | |", "x + 1` | within a level |"))
    assert not run(page)
    page.write_text(page.read_text() + "| `x` | `x + 1` | |\n| `x` | `x` | |\n")
    assert len(run(page)) == 1
