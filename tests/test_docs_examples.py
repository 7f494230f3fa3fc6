"""Every example in the documentation runs and prints what it says.

The pages of docs/from, whose examples need other libraries, are run by `test_coming_from.py`.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import runpy
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import upsample_rs as us

FLAGS = doctest.NORMALIZE_WHITESPACE
ROOT = Path(__file__).parents[1]
README, DOCS = ROOT / "README.md", ROOT / "docs"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:\.ci|benches|docs|python|src|tests)/[\w./-]*\w")
MODULES = [
    module.name
    for module in pkgutil.walk_packages(us.__path__, "upsample_rs.", onerror=lambda name: None)
    if module.name.rpartition(".")[2] not in ("_core", "__main__")
]
# What a module of the package, or the page about it, needs beside NumPy.
NEEDS = {"cli": ("PIL", "rich"), "onnx": ("onnx",), "threadpool": ("threadpoolctl",)}
NEEDS |= {"torch": ("torch", "ml_dtypes"), "jax": ("jax",)}
NEEDS |= {"dask": ("dask.array", "xarray", "zarr"), "xarray": ("xarray",)}


def skip_without(name: str) -> None:
    for library in NEEDS.get(name, ()):
        pytest.importorskip(library)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


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
@pytest.mark.parametrize("page", [p for p in PAGES if p.parent.name != "from"], ids=name_of)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a page's Python blocks from top to bottom, in one namespace, as a reader would."""
    if page.parent == DOCS:
        skip_without(page.stem)
    monkeypatch.chdir(tmp_path)
    threads = us.get_num_threads()
    try:
        run_blocks(page, page.read_text(encoding="utf-8"))
    finally:
        us.set_num_threads(threads)


def run_blocks(page: Path, text: str) -> None:
    """Run the Python blocks of a page."""
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
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_pictures_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        # The source distribution leaves the photographs out.
        absent = target.endswith(".png") and not (DOCS / "images" / "compare.png").exists()
        assert "://" in target or absent or (page.parent / target).exists(), target


@pytest.mark.skipif(not README.exists(), reason="the installed package has no README")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_shell_commands(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each line of a page's shell blocks that is ours; of others check what they name."""
    text = page.read_text(encoding="utf-8")
    for block in SHELL.finditer(text):
        subprocess.run(["bash", "-n", "-c", block[1]], check=True)
        for line in block[1].splitlines():
            run_line(shlex.split(line, comments=True), tmp_path, monkeypatch)
    named = [*re.findall(r"`((?:python )?[^`\s<*]+)`", text), *SHELL.findall(text)]
    for name in FILE.findall("\n".join(named)):
        assert (ROOT / name).exists() or name.startswith(".ci") or name.endswith(".png"), name


def run_line(words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `upsample-rs`; see that the targets of `make` and the extras of `pip` are there."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words[:1] == ["upsample-rs"]:
        pytest.importorskip("PIL")
        pytest.importorskip("rich")
        from upsample_rs.cli import main

        monkeypatch.chdir(folder)
        shutil.copy(Path(us.__file__).parent / "data" / "chelsea.png", "photo.jpg")
        if "volume.npy" in words or "stack.tif" in words:
            pytest.importorskip("zarr")
            np.save("volume.npy", np.zeros((6, 20, 30), np.float32))
            pages = np.zeros((5, 300, 400), np.uint16)
            pytest.importorskip("tifffile").imwrite("stack.tif", pages, photometric="minisblack")
        assert main(words[1:]) == 0
    elif words[:1] == ["make"]:
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words
    elif words and words[0].endswith("pip"):
        extras = [
            e for some in re.findall(r"\[([\w,]+)\]", " ".join(words)) for e in some.split(",")
        ]
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras), words


@pytest.mark.skipif(not (DOCS / "figures.py").exists(), reason="the package has no docs")
def test_pictures_are_what_their_script_draws() -> None:
    """`python docs/figures.py` would change no file."""
    pictures = runpy.run_path(str(DOCS / "figures.py"))["figures"]()
    for name, picture in pictures.items():
        assert (DOCS / "images" / name).read_text(encoding="utf-8") == picture, name
    assert {p.name for p in (DOCS / "images").glob("*.svg")} == set(pictures)
