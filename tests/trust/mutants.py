"""Mutants: changes of the Rust code that no test notices.

`python tests/trust/mutants.py` needs `cargo install cargo-mutants`, which lists the changes to try.
All of them are compiled into one program, each function with its own body and its changed ones, of
which a number in the environment chooses: so a change costs the time of the tests up to the first
that fails, and not that of a build. What cannot be told at run time (a constant, a function whose
type is that of its body) is built alone. Printed are the changes that all tests passed with and
that `mutants_explained.py` does not explain.

It is `src/geometry/` with its tests, as a crate of its own in a temporary directory. `--shard 0/4`
takes every fourth change, `--file taps.rs` those of one file. `--kernels 30` takes so many from
three files of `src/kernels/` instead, evenly, in a copy of the whole crate, and tries
`tests/kernels.rs` on them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]

from mutants_explained import EXPLAINED, Explained  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ("argmax.rs", "reduce.rs", "resample.rs")
VARIABLE = "UPSAMPLE_RS_MUTANT"
MEMORY = 16 << 30  # bytes that the tests of one may map

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

CHOSEN = f"""
/// The number of the change that is in force.
#[doc(hidden)]
pub fn chosen() -> u32 {{
    static CHOSEN: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let given = || std::env::var("{VARIABLE}").ok()?.parse().ok();
    *CHOSEN.get_or_init(|| given().unwrap_or(0))
}}
"""

Mutant = dict[str, Any]


def small_crate(into: Path) -> None:
    """`src/geometry/`, what it imports and its tests, as a crate."""
    (into / "src").mkdir(parents=True)
    shutil.copytree(ROOT / "src" / "geometry", into / "src" / "geometry")
    shutil.copy(ROOT / "src" / "error.rs", into / "src")
    shutil.copy(ROOT / "Cargo.lock", into)
    # The tests are a part of the library, so that one piece of code is compiled.
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


def listed(crate: Path, files: Iterable[str]) -> list[Mutant]:
    """What cargo-mutants would change."""
    command = ["cargo", "mutants", "--dir", str(crate), "--list", "--json"]
    command += [f"--file={name}" for name in files]
    found: list[Mutant] = json.loads(
        subprocess.run(command, check=True, capture_output=True).stdout
    )
    return found


# ------------------------------------------------------------------------------------------- text


def offset(text: str, place: dict[str, int]) -> int:
    """Where a line and column, from 1 on, is in a text."""
    at = 0
    for _ in range(place["line"] - 1):
        at = text.index("\n", at) + 1
    return at + place["column"] - 1


def cut(text: str, span: dict[str, dict[str, int]]) -> tuple[int, int]:
    """Begin and end of a span."""
    return offset(text, span["start"]), offset(text, span["end"])


def body(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """What lies between the braces of the function there; none if its changes are built alone."""
    name = re.compile(r"\bfn \w+").search(text, begin, end)
    assert name, text[begin:end]
    depth = 0
    for at in range(name.end(), end):
        depth += (text[at] in "([") - (text[at] in ")]")
        if text[at] == "{" and depth == 0:
            head = text[begin:at]
            alone = "-> impl " in head or re.search(r"\bconst (unsafe )?fn\b", head)
            return None if alone else (at + 1, text.rindex("}", at, end))
    raise AssertionError(text[begin:end])


def woven(text: str, mutants: list[tuple[int, Mutant]]) -> tuple[str, list[int]]:
    """A file in which every function has its changed bodies too; the numbers that are not in it."""
    functions: dict[tuple[int, int], list[tuple[int, int, int, str]]] = defaultdict(list)
    alone = []
    for number, mutant in mutants:
        begin, end = cut(text, mutant["span"])
        inner = mutant["function"] and body(text, *cut(text, mutant["function"]["span"]))
        if inner and inner[0] <= begin and end <= inner[1]:
            functions[inner].append((number, begin, end, mutant["replacement"]))
        elif inner and begin == inner[0] - 1 and end == inner[1] + 1:
            functions[inner].append((number, *inner, mutant["replacement"]))
        else:
            alone.append(number)
    for (first, last), changes in sorted(functions.items(), reverse=True):
        arms = [
            f"{n} => /*{n}<*/ {{ {text[first:begin]}{new}{text[end:last]} }} /*>{n}*/\n"
            for n, begin, end, new in changes
        ]
        whole = "".join(arms) + f"_ => {{ {text[first:last]} }}\n"
        text = text[:first] + f" match crate::chosen() {{\n{whole}}} " + text[last:]
    return text, alone


def without(text: str, dropped: set[int]) -> str:
    """A woven file less some changes."""
    for n in dropped:
        text = re.sub(rf"{n} => /\*{n}<\*/.*?/\*>{n}\*/\n", "", text, flags=re.DOTALL)
    return text


def arms(text: str) -> Iterator[tuple[int, int, int]]:
    """Number, first and last line of each change in a woven file."""
    for found in re.finditer(r"/\*(\d+)<\*/.*?/\*>\1\*/", text, flags=re.DOTALL):
        first = text.count("\n", 0, found.start()) + 1
        yield int(found[1]), first, first + found[0].count("\n")


# ----------------------------------------------------------------------------------------- builds


def build(crate: Path, tests: list[str]) -> tuple[list[Path], list[tuple[str, int]]]:
    """The programs of the tests, or the file and line of each error."""
    command = ["cargo", "test", "--no-run", "--message-format=json", *tests]
    done = subprocess.run(command, cwd=crate, check=False, capture_output=True, text=True)
    programs, errors, words = [], [], []
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            programs.append(Path(message["executable"]))
        found = message.get("message")
        if isinstance(found, dict) and found["level"] == "error":
            words.append(found["rendered"])
            errors += [(s["file_name"], s["line_start"]) for s in found["spans"] if s["is_primary"]]
    if done.returncode and not errors:
        raise SystemExit(f"mutants: {done.stderr}\n{''.join(words)}")
    return ([] if done.returncode else programs), errors


def weave(crate: Path, mutants: dict[int, Mutant], tests: list[str]) -> tuple[list[Path], set[int]]:
    """Build all changes into one program; those that do not compile."""
    files = sorted({m["file"] for m in mutants.values()})
    with (crate / "src" / "lib.rs").open("a") as library:
        library.write(CHOSEN)
    for file in files:
        some = [(n, m) for n, m in mutants.items() if m["file"] == file]
        path = crate / file
        # (Bodies of bodies of bodies would come of what is always inlined.)
        text = woven(path.read_text(), some)[0]
        path.write_text(text.replace("#[inline(always)]", "#[inline(never)]"))
    dropped: set[int] = set()
    while True:
        programs, errors = build(crate, tests)
        if programs:
            return programs, dropped
        bad = set()
        for file in files:
            lines = [line for name, line in errors if name == file]
            found = list(arms((crate / file).read_text()))
            bad |= {n for n, first, last in found if any(first <= at <= last for at in lines)}
        if not bad:
            raise SystemExit(f"mutants: errors outside every change: {errors}")
        for file in files:
            (crate / file).write_text(without((crate / file).read_text(), bad))
        dropped |= bad


class Trial:
    """Programs of tests, and which of them are slow."""

    def __init__(self, programs: list[Path], seconds: int) -> None:
        self.programs, self.seconds = programs, seconds
        self.slow: dict[Path, list[str]] = {program: [] for program in programs}

    def measure(self) -> None:
        """Learn which tests are slow where nothing is changed."""
        for program in self.programs:
            done = self.start(program, 0, ["--report-time"])
            if done.returncode:
                raise SystemExit(f"mutants: tests fail before anything is changed\n{done.stdout}")
            times = re.findall(r"^test (\S+) .*<([\d.]+)s>$", done.stdout, flags=re.MULTILINE)
            self.slow[program] = [name for name, took in times if float(took) > 0.2]

    def start(
        self, program: Path, number: int, options: list[str]
    ) -> subprocess.CompletedProcess[str]:
        """One run, with limits of processor time and memory."""

        def limits() -> None:
            resource.setrlimit(resource.RLIMIT_CPU, (self.seconds, self.seconds))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        more = {VARIABLE: str(number), "RUSTC_BOOTSTRAP": "1", "PROPTEST_MAX_SHRINK_ITERS": "0"}
        command = [program, "-Zunstable-options", "--fail-fast", "--test-threads=1", *options]
        return subprocess.run(
            command,
            env={**os.environ, **more},
            preexec_fn=limits,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )

    def of(self, number: int) -> str:
        """What came of a change: the fast tests first, then the others."""
        for program in self.programs:
            slow = self.slow[program]
            fast = ["--exact", *(f"--skip={name}" for name in slow)]
            for options in (fast, ["--exact", *slow]) if slow else (fast,):
                status = self.start(program, number, options).returncode
                if status in (-9, -24):  # SIGKILL or SIGXCPU of the limit
                    return "too long"
                if status:
                    return "caught"
        return "missed"


def alone(crate: Path, mutant: Mutant, tests: list[str], seconds: int) -> str:
    """What comes of a change that is built by itself."""
    path = crate / mutant["file"]
    text = path.read_text()
    begin, end = cut(text, mutant["span"])
    new = mutant["replacement"]
    path.write_text(text[:begin] + (f"{{ {new} }}" if text[begin] == "{" else new) + text[end:])
    try:
        programs, _ = build(crate, tests)
        if not programs:
            return "does not compile"
        return Trial(programs, seconds).of(0)
    finally:
        path.write_text(text)


# ------------------------------------------------------------------------------------------- main


def explanation(mutant: Mutant, text: str) -> Explained | None:
    """Why no test can, or need, notice this one."""
    function = (mutant["function"] or {"function_name": ""})["function_name"]
    for known in EXPLAINED:
        if known.explains(mutant["file"], function, text, mutant["name"]):
            return known
    return None


def chosen(mutants: list[Mutant], shard: str | None, kernels: int | None) -> dict[int, Mutant]:
    """Those to try, by number from 1 on."""
    numbered = list(enumerate(mutants, 1))
    if kernels:
        return dict(numbered[:: max(len(numbered) // kernels, 1)])
    if shard:
        k, n = map(int, shard.split("/"))
        return dict(numbered[k::n])
    return dict(numbered)


def tried(
    mutants: dict[int, Mutant], work: Path, options: argparse.Namespace
) -> Iterator[tuple[int, str]]:
    """What came of each."""
    make = whole_crate if options.kernels else small_crate
    tests = ["--test", "kernels"] if options.kernels else ["--lib"]
    separate, together = {}, {}
    for number, mutant in mutants.items():
        text = (work / "plain" / mutant["file"]).read_text()
        side = separate if woven(text, [(number, mutant)])[1] else together
        side[number] = mutant
    make(work / "woven")
    programs, dropped = weave(work / "woven", together, tests)
    yield from ((number, "does not compile") for number in dropped)
    trial = Trial(programs, options.timeout)
    trial.measure()
    with ThreadPoolExecutor(options.jobs) as pool:
        rest = [number for number in together if number not in dropped]
        yield from zip(rest, pool.map(trial.of, rest), strict=True)
    for number, mutant in separate.items():
        yield number, alone(work / "plain", mutant, tests, options.timeout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard", help="k/n: every n-th mutant, from the k-th on")
    parser.add_argument("--file", action="append", help="of this file only; may be repeated")
    parser.add_argument("--kernels", type=int, metavar="COUNT", help="so many of the kernels'")
    parser.add_argument(
        "--timeout", type=int, default=40, help="seconds of a processor for the tests of one"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="tried at a time")
    parser.add_argument("--work", type=Path, help="directory to work in, kept; must not exist")
    options = parser.parse_args()
    begin = time.perf_counter()
    work = options.work or Path(tempfile.mkdtemp(prefix="upsample-rs-mutants."))
    os.environ.setdefault("CARGO_TARGET_DIR", str(work / "target"))
    if options.kernels:
        for profile in ("DEV", "TEST"):
            os.environ.setdefault(f"CARGO_PROFILE_{profile}_OPT_LEVEL", "1")
            os.environ.setdefault(f"CARGO_PROFILE_{profile}_DEBUG", "0")
    where = "kernels" if options.kernels else "geometry"
    files = options.file or (KERNELS if options.kernels else ["*.rs"])
    count: Counter[str] = Counter()
    unexplained = 0
    try:
        (whole_crate if options.kernels else small_crate)(work / "plain")
        found = listed(work / "plain", (f"src/{where}/{name}" for name in files))
        mutants = chosen(found, options.shard, options.kernels)
        for number, came in tried(mutants, work, options):
            mutant = mutants[number]
            lines = (work / "plain" / mutant["file"]).read_text().splitlines()
            text = lines[mutant["span"]["start"]["line"] - 1].strip()
            known = came == "missed" and explanation(mutant, text)
            count["explained" if known else came] += 1
            if came == "missed" and not known:
                unexplained += 1
                print(f"missed: {mutant['name']}\n    {text}", flush=True)
    finally:
        if not options.work:
            shutil.rmtree(work, ignore_errors=True)
    print(
        f"mutants of src/{where}: {len(mutants)} of {len(found)}: {count['caught']} caught, "
        f"{count['too long']} ran too long, {count['does not compile']} do not compile, "
        f"{count['explained']} explained, {unexplained} unexplained; "
        f"{time.perf_counter() - begin:.0f} s"
    )
    sys.exit(bool(unexplained))


if __name__ == "__main__":
    main()
