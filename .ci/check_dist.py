"""Look into a wheel and a source distribution: what must be there is, and nothing else.

    python .ci/check_dist.py WHEEL SDIST

Run it at the root of the source tree. Prints a line for each; fails with what is wrong.
"""

import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGE = Path("python/upsample_rs")
INFO = (
    "METADATA",
    "RECORD",
    "WHEEL",
    "entry_points.txt",
    "licenses/LICENSE-APACHE",
    "licenses/LICENSE-MIT",
    "sboms/upsample_rs.cyclonedx.json",
)
# Of the source tree, by the first part of the path; photographs in docs are left out: too large.
SOURCES = ("benches", "docs", "python", "src", "tests")
ROOT = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "build.rs",
    "pyproject.toml",
)
GENERATED = ("__pycache__", "jupyter_execute", "proptest-regressions")
LARGEST_SDIST = 2_000_000  # bytes


def version() -> str:
    """Read the one place that has the version."""
    found = re.search(r'^version = "(.+)"$', Path("Cargo.toml").read_text(), re.MULTILINE)
    assert found, "Cargo.toml has no version"
    return found[1]


def tracked(top: str) -> set[str]:
    """Return the files of the source tree below a folder."""
    return {
        path.as_posix()
        for path in Path(top).rglob("*")
        if path.is_file()
        and not any(part in GENERATED for part in path.parts)
        and path.suffix not in (".so", ".pyd")
        and not (path.parts[0] == "docs" and path.suffix == ".png")
    }


def same(what: str, got: set[str], want: set[str]) -> None:
    """Fail with the difference of two sets of names."""
    if got != want:
        raise SystemExit(f"{what}: lacks {sorted(want - got)}, has besides {sorted(got - want)}")


def bill_of_materials(text: str) -> int:
    """Check that the SBOM lists crates of Cargo.lock, each direct dependency among them."""
    sbom = json.loads(text)
    assert sbom["bomFormat"] == "CycloneDX", sbom["bomFormat"]
    listed = {(c["name"], c["version"]) for c in sbom["components"]}
    lock = Path("Cargo.lock").read_text()
    locked = set(re.findall(r'^name = "(.+)"\nversion = "(.+)"$', lock, re.MULTILINE))
    if not listed <= locked:
        raise SystemExit(f"SBOM lists what is not in Cargo.lock: {sorted(listed - locked)}")
    manifest = Path("Cargo.toml").read_text()
    section = manifest[manifest.index("\n[dependencies]") :].split("\n[", 2)[1]
    direct = set(re.findall(r"^([\w-]+) = ", section, re.MULTILINE))
    same("direct dependencies in the SBOM", direct & {name for name, _ in listed}, direct)
    return len(listed)


def check_wheel(path: Path) -> None:
    """Look into the wheel."""
    info = f"upsample_rs-{version()}.dist-info"
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        crates = bill_of_materials(wheel.read(f"{info}/sboms/upsample_rs.cyclonedx.json").decode())
        metadata = wheel.read(f"{info}/METADATA").decode()
        unpacked = sum(entry.file_size for entry in wheel.infolist())
    (extension,) = (name for name in names if name.endswith((".so", ".pyd")))
    if not re.fullmatch(r"upsample_rs/_core\.(abi3\.so|pyd)", extension):
        raise SystemExit(f"unexpected extension {extension}")
    want = {name.removeprefix("python/") for name in tracked(str(PACKAGE))}
    same("wheel", names, want | {extension} | {f"{info}/{name}" for name in INFO})
    for line in (f"Version: {version()}", "License-Expression: MIT OR Apache-2.0"):
        assert f"\n{line}\n" in metadata, line
    size = path.stat().st_size
    print(f"{path.name}: {len(names)} files, {size} bytes, {unpacked} unpacked, {crates} crates")


def check_sdist(path: Path) -> None:
    """Look into the source distribution."""
    top = f"upsample_rs-{version()}/"
    with tarfile.open(path) as archive:
        names = {m.name.removeprefix(top) for m in archive.getmembers() if m.isfile()}
    for folder in SOURCES:
        got = {name for name in names if name.startswith(f"{folder}/")}
        same(f"source distribution, {folder}/", got, tracked(folder))
    others = {name for name in names if name.split("/")[0] not in SOURCES}
    if stray := others - {p.name for p in Path().iterdir()} - {"PKG-INFO"}:
        raise SystemExit(f"source distribution: {sorted(stray)} is not part of it")
    same("source distribution", others & set(ROOT), set(ROOT))
    size = path.stat().st_size
    print(f"{path.name}: {len(names)} files, {size} bytes (limit {LARGEST_SDIST})")
    assert size < LARGEST_SDIST


check_wheel(Path(sys.argv[1]))
check_sdist(Path(sys.argv[2]))
