"""The house's rules, held by reading the source: which file may name what, and who imports whom.

See docs/design.md. Comments and string literals do not count, save where a rule is about comments.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
FILES = sorted(SRC.rglob("*.rs"))

# Imports point one way: a layer may name those after it. The last three are one layer.
LAYERS = ["python", "arrays", "ops", "kernels", "engine", "geometry", "layout", "element", "error"]
MAY_IMPORT = {layer: set(LAYERS[i + 1 :]) for i, layer in enumerate(LAYERS)}
for ground in LAYERS[-3:]:
    MAY_IMPORT[ground] |= set(LAYERS[-3:])

# Pattern, the files in which it may stand (relative to src/, as regular expressions), and why.
HOMES = [
    (r"\brayon\b", [r"engine/parallel\.rs"], "threads have one home"),
    (r"\btarget_feature\s*\(", [r"engine/simd(\.rs|/.*)"], "instruction sets have one home"),
    (r"\b(std|core)::arch\b", [r"engine/simd(\.rs|/.*)"], "instruction sets have one home"),
    (r"\bpyo3\b", [r"python/.*"], "only the bindings know Python"),
    (r"(?<![\w.\"])numpy::", [r"python/.*"], "only the bindings know NumPy"),
    (r"\bcrate::python\b", [r"python/.*"], "nothing imports the bindings"),
]

STRING = r'b?r?#*"(?:\\.|[^"\\])*"#*'
CHARACTER = r"'(?:\\[^\n]{1,8}?|[^'\\\n])'"
COMMENT = r"//[^\n]*|/\*.*?\*/"
TOKEN = re.compile(f"{COMMENT}|{STRING}|{CHARACTER}", re.DOTALL)
UNSAFE = re.compile(r"\bunsafe\s*\{|\bunsafe\s+impl\b")


def blank(match: re.Match[str]) -> str:
    """As many spaces and newlines, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match.group())


def code(path: Path) -> str:
    return TOKEN.sub(blank, path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def places(path: Path, pattern: str) -> list[str]:
    lines = code(path).splitlines()
    return [f"src/{name(path)}:{i}" for i, text in enumerate(lines, 1) if re.search(pattern, text)]


def test_there_is_source_to_read() -> None:
    assert {name(path).split("/")[0] for path in FILES} >= {"lib.rs", "error.rs", "geometry", "ops"}


@pytest.mark.parametrize(("pattern", "homes", "why"), HOMES, ids=[home[0] for home in HOMES])
def test_named_only_at_home(pattern: str, homes: list[str], why: str) -> None:
    strays = [
        place
        for path in FILES
        if not any(re.fullmatch(home, name(path)) for home in homes)
        for place in places(path, pattern)
    ]
    assert not strays, f"{why}: {strays}"


def test_bindings_are_behind_the_feature() -> None:
    text = (SRC / "lib.rs").read_text(encoding="utf-8")
    assert re.search(r'#\[cfg\(feature = "python"\)\]\s*(pub(\(crate\))? )?mod python;', text)


@pytest.mark.parametrize("layer", sorted(MAY_IMPORT))
def test_imports_point_one_way(layer: str) -> None:
    allowed = MAY_IMPORT[layer] | {layer}
    files = [path for path in FILES if name(path).split("/")[0] in (layer, f"{layer}.rs")]
    assert files, f"src/{layer} is gone; mend LAYERS"
    strays = [
        f"src/{name(path)} names crate::{other}"
        for path in files
        for other in imported(code(path))
        if other in MAY_IMPORT and other not in allowed
    ]
    assert not strays


def imported(text: str) -> set[str]:
    """Top-level modules named as `crate::x`, also within `use crate::{x, y::z}`."""
    names = set(re.findall(r"\bcrate::(\w+)", text))
    for match in re.finditer(r"\bcrate::\{", text):
        depth, start = 1, match.end()
        item = ""
        for letter in text[start:]:
            depth += (letter == "{") - (letter == "}")
            if depth == 1 and letter != "}":
                item += letter
            if depth == 0:
                break
        names |= {part.strip().split("::")[0].split(" ")[0] for part in item.split(",")}
    return names - {""}


@pytest.mark.parametrize("layer", ["geometry", "ops"])
def test_unsafe_is_forbidden(layer: str) -> None:
    for path in (SRC / layer).rglob("*.rs"):
        assert "unsafe " not in code(path), f"src/{name(path)}"
    roots = [SRC / f"{layer}.rs", SRC / layer / "mod.rs"]
    assert any(p.exists() and "#![forbid(unsafe_code)]" in p.read_text() for p in roots)


def test_every_unsafe_says_why_it_is_safe() -> None:
    bare = []
    for path in FILES:
        source = path.read_text(encoding="utf-8").splitlines()
        for i, text in enumerate(code(path).splitlines()):
            if UNSAFE.search(text) and not says_why(source, i):
                bare.append(f"src/{name(path)}:{i + 1}")
    assert not bare, f"no SAFETY comment: {bare}"


def says_why(source: list[str], i: int) -> bool:
    """Whether `SAFETY:` stands on the line, within three lines above, or in the comment above."""
    if any("SAFETY:" in text for text in source[max(0, i - 3) : i + 1]):
        return True
    while i > 0 and source[i - 1].lstrip().startswith(("//", "#[")):
        i -= 1
        if "SAFETY:" in source[i]:
            return True
    return False


def test_library_never_imports_the_command_line() -> None:
    package = ROOT / "python" / "upsample_rs"
    for path in set(package.glob("*.py")) - {package / "__main__.py"}:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import)\s+\S*(\bcli\b|PIL|rich)", text, re.M), path.name


BRIDGES = {"onnx": r"onnx", "torch": r"torch", "jax": r"jax", "threadpool": r"threadpoolctl"}
BRIDGES |= {"dask": r"dask", "xarray": r"xarray"}


def test_only_a_bridge_imports_what_it_leads_to() -> None:
    package = ROOT / "python" / "upsample_rs"
    for path in package.rglob("*.py"):
        home = path.relative_to(package).parts[0].removesuffix(".py")
        others = [library for name, library in BRIDGES.items() if name != home]
        text = path.read_text(encoding="utf-8")
        strays = re.search(rf"^\s*(from|import)\s+({'|'.join(others)})\b", text, re.M)
        assert not strays, path.name
        if home not in BRIDGES:
            assert not re.search(r"^(from|import)\s+\S*\b(bridges|borrowing)\b", text, re.M) or (
                home == "bridges"
            ), path.name
