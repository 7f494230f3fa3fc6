"""What a release rests on: one version, a changelog that knows it, metadata that agrees."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import upsample_rs as us

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "Cargo.toml"

pytestmark = pytest.mark.skipif(not MANIFEST.exists(), reason="not in the source tree")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def version() -> str:
    (found,) = re.findall(r'^version = "(.+)"$', text("Cargo.toml"), re.MULTILINE)
    return found


def test_the_package_has_the_version_of_the_manifest() -> None:
    assert us.__version__ == version()


def test_no_other_file_says_the_version() -> None:
    """Where a release is named as such (changelog, lock file, generated figures) it may stand."""
    may = {"Cargo.toml", "Cargo.lock", "CHANGELOG.md"}
    may |= {"docs/benchmarks.md", "docs/benchmarks-avx2.md"}
    folders = ("benches", "docs", "python", "src", "tests", ".ci", ".github")
    files = [p for p in ROOT.iterdir() if p.is_file()]
    files += [p for name in folders for p in (ROOT / name).rglob("*") if p.is_file()]
    kinds = {".md", ".toml", ".py", ".pyi", ".rs", ".yml", ".cff", ".ipynb", ".cfg", ".css"}
    pattern = re.compile(rf"(?<![\d.]){re.escape(version())}(?![\d.])")
    said = {
        name
        for p in files
        if p.suffix in kinds and (name := p.relative_to(ROOT).as_posix()) not in may
        if pattern.search(p.read_text(encoding="utf-8"))
    }
    assert not said


def test_changelog() -> None:
    """Keep a Changelog: newest first, known headings, a link for each version."""
    log = text("CHANGELOG.md")
    headings = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d{2}-\d{2})?$", log, re.MULTILINE)
    assert headings == re.findall(r"^\[(.+?)\]: https://", log, re.MULTILINE)
    assert headings[0] == "Unreleased" and version() in headings
    kinds = re.findall(r"^### (.+)$", log, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_citation() -> None:
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load(text("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert "version" not in cited  # it would be a second place
    assert " OR ".join(cited["license"]) in text("Cargo.toml")


def test_every_function_is_in_the_reference_once() -> None:
    pages = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs" / "api").glob("*.md"))
    documented = re.findall(r"^\.\. autofunction:: upsample_rs\.(\w+)$", pages, re.MULTILINE)
    assert sorted(documented) == sorted(set(us.__all__) - {"__version__"})


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="the source distribution has no .ci")
def test_links_on_the_package_index() -> None:
    """No link of the README is relative once the release workflow has seen it."""
    names = runpy.run_path(str(ROOT / ".ci" / "absolute_links.py"))
    shown = names["absolute"](text("README.md"), "v1")
    targets = re.findall(r"\]\(([^)]+)\)", shown)
    assert len(targets) > 10 and all(t.startswith("https://") for t in targets)
    assert "![" in shown and "raw.githubusercontent.com" in shown
