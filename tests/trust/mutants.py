"""Mutants: changes of the Rust code that no test notices.

`python tests/trust/mutants.py` needs `cargo install cargo-mutants`. It puts `src/geometry/` and its
tests into a crate of their own in a temporary directory (the whole takes minutes to compile, this
seconds), lets cargo-mutants change it in one place after the other, and prints the changes that
all tests passed with and that `mutants_explained.py` does not explain. `--shard 0/4` takes every
fourth of them, `--file taps.rs` those of one file.

`--kernels 30` takes so many from three files of `src/kernels/` instead, evenly, in a copy of the
whole crate, and tries `tests/kernels.rs` on them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]

from mutants_explained import EXPLAINED, Explained  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ("argmax.rs", "reduce.rs", "resample.rs")

MANIFEST = """\
[package]
name = "upsample_rs"
version = "0.0.0"
edition = "2024"
publish = false

[lib]
doctest = false

[dev-dependencies]
proptest = { version = "1.12", default-features = false, features = ["std"] }

[profile.dev]
debug = false

[profile.test]
opt-level = 1
debug = false

[profile.test.package."*"]
opt-level = 2

[workspace]
"""


def small_crate(into: Path) -> None:
    """`src/geometry/`, what it imports and its tests, as a crate."""
    (into / "src").mkdir(parents=True)
    shutil.copytree(ROOT / "src" / "geometry", into / "src" / "geometry")
    shutil.copy(ROOT / "src" / "error.rs", into / "src")
    shutil.copy(ROOT / "Cargo.lock", into)
    # The tests are a part of the library, so that one piece of code is compiled for each mutant.
    library = "extern crate self as upsample_rs;\npub mod error;\npub mod geometry;\n"
    for number, path in enumerate(sorted((ROOT / "tests").glob("geometry*.rs"))):
        shutil.copy(path, into / "src" / f"laws{number}.rs")
        library += f"#[cfg(test)]\nmod laws{number};\n"
    (into / "src" / "lib.rs").write_text(library)
    (into / "Cargo.toml").write_text(MANIFEST)


def whole_crate(into: Path) -> None:
    """All that is compiled."""
    into.mkdir(parents=True)
    for name in ("src", "tests", "benches"):
        shutil.copytree(ROOT / name, into / name, ignore=shutil.ignore_patterns("*.py", "*.so"))
    for name in ("Cargo.toml", "Cargo.lock", "build.rs", "README.md"):
        shutil.copy(ROOT / name, into)


def mutate(crate: Path, work: Path, options: list[str], tests: list[str]) -> list[dict[str, Any]]:
    """What came of each mutant, as cargo-mutants writes it down."""
    command = ["cargo", "mutants", "--dir", str(crate), "--output", str(work), "--no-shuffle"]
    command += ["--in-place", "--colors=never", "--no-times", *options, "--", *tests]
    # (The first test that fails is enough; libtest knows how, but calls it unstable.)
    command += ["--", "-Zunstable-options", "--fail-fast"]
    subprocess.run(command, env={**os.environ, "RUSTC_BOOTSTRAP": "1"}, check=False)
    outcomes = json.loads((work / "mutants.out" / "outcomes.json").read_text())["outcomes"]
    if outcomes[0]["summary"] != "Success":
        raise SystemExit("mutants: the tests fail before anything is changed")
    return outcomes[1:]


def listed(crate: Path, options: list[str]) -> int:
    """Number of mutants there are."""
    command = ["cargo", "mutants", "--dir", str(crate), "--list", "--json", *options]
    return len(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def explanation(mutant: dict[str, Any], text: str) -> Explained | None:
    """Why no test can, or need, notice this one."""
    function = (mutant["function"] or {"function_name": ""})["function_name"]
    for known in EXPLAINED:
        if known.explains(mutant["file"], function, text, mutant["name"]):
            return known
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard", help="k/n: every n-th mutant, from the k-th on")
    parser.add_argument("--file", action="append", help="of this file only; may be repeated")
    parser.add_argument("--kernels", type=int, metavar="COUNT", help="so many of the kernels'")
    parser.add_argument("--timeout", type=int, default=120, help="seconds for the tests of one")
    parser.add_argument("--work", type=Path, help="directory to work in, kept; must not exist")
    options = parser.parse_args()
    begin = time.perf_counter()
    work = options.work or Path(tempfile.mkdtemp(prefix="upsample-rs-mutants."))
    crate = work / "crate"
    environment = os.environ
    environment.setdefault("CARGO_TARGET_DIR", str(work / "target"))
    where = "kernels" if options.kernels else "geometry"
    files = options.file or (KERNELS if options.kernels else ["*.rs"])
    given = [f"--file=src/{where}/{name}" for name in files]
    try:
        (whole_crate if options.kernels else small_crate)(crate)
        total, tests = listed(crate, given), []
        if options.kernels:
            given += ["--shard", f"0/{max(total // options.kernels, 1)}", "--sharding=round-robin"]
            tests = ["--test", "kernels"]
        elif options.shard:
            given += ["--shard", options.shard, "--sharding=round-robin"]
        outcomes = mutate(crate, work, [*given, f"--timeout={options.timeout}"], tests)
        lines = {
            path.relative_to(crate).as_posix(): path.read_text().splitlines()
            for path in (crate / "src" / where).glob("*.rs")
        }
    finally:
        if not options.work:
            shutil.rmtree(work, ignore_errors=True)
    count = Counter(outcome["summary"] for outcome in outcomes)
    explained = 0
    for outcome in outcomes:
        if outcome["summary"] not in ("MissedMutant", "Timeout"):
            continue
        mutant = outcome["scenario"]["Mutant"]
        text = lines[mutant["file"]][mutant["span"]["start"]["line"] - 1].strip()
        if explanation(mutant, text):
            explained += outcome["summary"] == "MissedMutant"
        elif outcome["summary"] == "MissedMutant":
            print(f"missed: {mutant['name']}\n    {text}")
    unexplained = count["MissedMutant"] - explained
    print(
        f"mutants of src/{where}: {len(outcomes)} of {total}: {count['CaughtMutant']} caught, "
        f"{count['Timeout']} ran too long, {count['Unviable']} do not compile, "
        f"{explained} explained, {unexplained} unexplained; {time.perf_counter() - begin:.0f} s"
    )
    sys.exit(bool(unexplained))


if __name__ == "__main__":
    main()
