"""Every example in the documentation runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path

import pytest

import upsample_rs as us

FLAGS = doctest.NORMALIZE_WHITESPACE
README = Path(__file__).parents[1] / "README.md"
DOCS = README.parent / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(us.__path__, "upsample_rs.", onerror=lambda name: None)
    if module.name.rpartition(".")[2] not in ("_core", "__main__")
]
# What a module of the package, or the page about it, needs beside NumPy.
NEEDS = {"cli": ("PIL", "rich"), "onnx": ("onnx",), "threadpool": ("threadpoolctl",)}
NEEDS |= {"torch": ("torch", "ml_dtypes"), "jax": ("jax",)}


def skip_without(name: str) -> None:
    for library in NEEDS.get(name, ()):
        pytest.importorskip(library)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    skip_without(name.split(".")[1])
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert failed == 0


@pytest.mark.parametrize("name", [name for name in us.__all__ if name != "__version__"])
def test_docstring_is_complete(name: str) -> None:
    function = getattr(us, name)
    text = function.__doc__
    assert ">>> " in text
    assert function.__module__.startswith("upsample_rs.")
    if function.__module__ != "upsample_rs.runtime":
        for section in ("Parameters", "Returns", "Raises", "References", "Examples"):
            assert re.search(rf"^ *{section}\n *-+$", text, re.MULTILINE), section
    for parameter in function.__annotations__:
        if parameter not in ("return", "args", "kwargs"):
            described = rf"^ *([\w, *]*\b)?{parameter}\b[\w, *]*( :.*)?$"
            assert re.search(described, text, re.MULTILINE), parameter


@pytest.mark.skipif(not README.exists(), reason="the installed package has no README")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a page's Python blocks from top to bottom, in one namespace, as a reader would."""
    if page.parent == DOCS:
        skip_without(page.stem)
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": page.stem}
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        code, line = block[1], text[: block.start(1)].count("\n")
        if ">>> " in code:
            parsed = doctest.DocTestParser().get_doctest(
                code, namespace, page.stem, str(page), line
            )
            runner = doctest.DocTestRunner(optionflags=FLAGS)
            runner.run(parsed, clear_globs=False)
            namespace.update(parsed.globs)
            assert runner.summarize().failed == 0
        else:
            exec(compile("\n" * line + code, str(page), "exec"), namespace)


@pytest.mark.skipif(not README.exists(), reason="the installed package has no README")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.skipif(not (DOCS / "figures.py").exists(), reason="the package has no docs")
def test_pictures_are_what_their_script_draws() -> None:
    """`python docs/figures.py` would change no file."""
    pictures = runpy.run_path(str(DOCS / "figures.py"))["figures"]()
    for name, picture in pictures.items():
        assert (DOCS / "images" / name).read_text(encoding="utf-8") == picture, name
    assert {p.name for p in (DOCS / "images").glob("*.svg")} == set(pictures)
