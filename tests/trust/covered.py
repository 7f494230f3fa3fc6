"""Lines and branches of Rust and of Python that the tests reach.

`python tests/trust/covered.py` builds the extension with counters (minutes), runs pytest on it and
on the Python files, runs the Rust tests of `src/geometry/` with counters too, and prints what was
reached by directory, then every line of `src/geometry/`, `src/python/` and `python/` that was not
and is not explained below. `--rust-tests` adds the rest of `cargo test`. What follows `--` goes to
pytest: files are shared out to `--processes` of it (all of `tests/` if none are named). Workers of
pytest-xdist would not do: one that takes ten seconds to write its counters is killed over it.

It needs `pip install coverage` and LLVM's tools, of version 19 or newer: `--llvm` is the directory
with `llvm-cov` and `llvm-profdata` (on Debian `apt-get install llvm-19`,
`--llvm /usr/lib/llvm-19/bin`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parent)]

from mutants import small_crate  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
WATCHED = ("src/geometry/", "src/python/", "python/")
FLAGS = ["-Cinstrument-coverage", "-Zcoverage-options=branch"]

Lines = dict[str, dict[int, int]]
Branches = dict[str, dict[tuple[int, str], int]]


class Explained(NamedTuple):
    """Lines that no test reaches: a file or a directory, the line, and why.

    A line may end in `...`, which stands for the rest of it.
    """

    file: str
    text: str
    why: str

    def holds(self, file: str, line: str) -> bool:
        """Whether this is such a line."""
        whole, begins = self.text, self.text.removesuffix("...")
        same = line == whole if begins == whole else line.startswith(begins)
        return same and file.startswith(self.file)


EXPLAINED: list[Explained] = [
    Explained(
        "src/geometry/coords.rs",
        "Rule::HalfPixel | Rule::AlignCorners | Rule::Asymmetric => 0.0, // exact: above",
        "these rules have an exact position and have returned before",
    ),
    *(
        Explained("src/geometry/recent.rs", text, "run by the compiler, for a static")
        for text in ("const fn new() -> Self {", "Self { tables: Vec::new(), next: 0 }", "}")
    ),
    Explained("src/python/", "})?;", "the error of a `dispatch` whose dtypes were accepted before"),
    Explained("src/python/", "#[pymethods]", "written by PyO3"),
    Explained(
        "src/python/unpooling.rs",
        "let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };",
        "run for every dtype, but counted with the arm for those that `refuse_rule` has refused",
    ),
    Explained(
        "src/python/reserve.rs",
        "...",
        "where the system refuses memory, as it refuses the counters': `starve.py`",
    ),
    Explained(
        "src/python/array.rs",
        "return None;",
        "another package's dtype of two bytes that is not bfloat16: none is known",
    ),
    Explained(
        "src/python/array.rs",
        'Error::kind(format!("{name} = an array whose memory layout cannot be read...',
        "what NumPy has copied in order can be read",
    ),
    Explained(
        "src/python/array.rs", "Err(_) => Ok(true),", "arrays too entangled for NumPy to tell apart"
    ),
    *(
        Explained("src/python/memory.rs", text, "NumPy's table wants it; nothing here asks for it")
        for text in (
            'unsafe extern "C" fn handler_calloc(...',
            "count.checked_mul(size)...",
            "return;",
            "}",
        )
    ),
    Explained(
        "src/python/memory.rs", "Err(_) => vec![block],", "another thread, at the same moment"
    ),
    Explained(
        "python/upsample_rs/borrowing.py", "return self.device", "NumPy asks only for some devices"
    ),
    *(
        Explained(
            "python/upsample_rs/cli/compare.py",
            text,
            "at a terminal: in a process of its own whose counters are lost",
        )
        for text in (
            "columns = (SpinnerColumn()...",
            "with Progress(*columns...",
            "task = bar.add_task(...",
            "begun = itertools.count()",
            "yield lambda doing: bar.update(...",
        )
    ),
    Explained(
        "python/upsample_rs/onnx/pooling.py",
        'raise self.complaint("kernel_shape: must be given")',
        "onnx itself refuses a node without it",
    ),
    *(
        Explained("python/upsample_rs/torch/tensors.py", text, "an import without ml_dtypes")
        for text in ("except ImportError:", "_bfloat16 = None")
    ),
    Explained(
        "python/upsample_rs/dask/__init__.py", "raise", "the whole call has been checked before"
    ),
]


class Counts:
    """How often each line and each branch was reached."""

    def __init__(self) -> None:
        self.lines: Lines = defaultdict(dict)
        self.branches: Branches = defaultdict(dict)

    def line(self, file: str, number: int, count: int) -> None:
        """A line, here or in another program."""
        self.lines[file][number] = self.lines[file].get(number, 0) + count

    def branch(self, file: str, number: int, which: str, count: int) -> None:
        """A side of a branch."""
        place = (number, which)
        self.branches[file][place] = self.branches[file].get(place, 0) + count


def environment(work: Path, **more: str) -> dict[str, str]:
    """That of a build or a run; counters go to a few files that all processes share."""
    new = {**os.environ, "RUSTC_BOOTSTRAP": "1", "CARGO_INCREMENTAL": "0", **more}
    for profile in ("DEV", "TEST"):
        new[f"CARGO_PROFILE_{profile}_OPT_LEVEL"] = "1"
        new[f"CARGO_PROFILE_{profile}_DEBUG"] = "0"
    return {"CARGO_TARGET_DIR": str(work / "target"), **new}


def profile(work: Path, name: str) -> str:
    """Where the counters of one program go."""
    return str(work / f"{name}-%2m.profraw")


def build_extension(work: Path) -> Path:
    """The extension with counters."""
    command = ["cargo", "rustc", "--locked", "--lib", "--crate-type=cdylib", "--features=python"]
    command += ["--message-format=json-render-diagnostics", "--", *FLAGS]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(work), check=True, stdout=subprocess.PIPE
    )
    built = [json.loads(line) for line in done.stdout.splitlines()]
    names = [n for b in built for n in b.get("filenames", ()) if "upsample_rs" in n]
    return Path(names[-1])


def run_rust(work: Path, crate: Path, name: str) -> list[Path]:
    """Run the Rust tests of a crate; the programs they were."""
    host = re.search(r"host: (\S+)", subprocess.check_output(["rustc", "-vV"], text=True))
    assert host
    env = environment(work, RUSTFLAGS=" ".join(FLAGS), LLVM_PROFILE_FILE=profile(work, name))
    command = ["cargo", "test", "--lib", "--tests", "--target", host[1]]
    built = subprocess.run(
        [*command, "--no-run", "--message-format=json-render-diagnostics"],
        cwd=crate,
        env=env,
        check=True,
        stdout=subprocess.PIPE,
    )
    subprocess.run([*command, "--quiet"], cwd=crate, env=env, check=True, stdout=subprocess.DEVNULL)
    programs = (json.loads(line).get("executable") for line in built.stdout.splitlines())
    return [Path(p) for p in programs if p]


def run_python(work: Path, extension: Path, arguments: list[str], processes: int) -> Path:
    """Run pytest on a copy of the package with this extension; where the report is."""
    package = work / "package" / "upsample_rs"
    shutil.copytree(
        ROOT / "python" / "upsample_rs", package, ignore=shutil.ignore_patterns("*.so", "__py*")
    )
    shutil.copy(extension, package / "_core.abi3.so")
    # Every process counts, also those that tests start.
    (package.parent / "sitecustomize.py").write_text(
        "import coverage\ncoverage.process_startup()\n"
    )
    settings = work / "coveragerc"
    settings.write_text(
        f"[run]\nbranch = True\nparallel = True\nsource_pkgs = upsample_rs\n"
        f"data_file = {work / 'coverage'}\n[report]\nexclude_also =\n    if TYPE_CHECKING:\n"
    )
    paths = [str(package.parent), os.environ.get("PYTHONPATH", "")]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in paths if p),
        "COVERAGE_PROCESS_START": str(settings),
        "LLVM_PROFILE_FILE": profile(work, "extension"),
    }
    files = [a for a in arguments if a.endswith(".py")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += [a for a in arguments if a not in files]
    files = files or sorted(map(str, (ROOT / "tests").glob("test_*.py")))
    running = [
        subprocess.Popen([*command, *files[i::processes]], cwd=ROOT, env=env)
        for i in range(min(processes, len(files)))
    ]
    if any([p.wait() for p in running]):
        print("covered: some tests failed")
    coverage = [sys.executable, "-m", "coverage"]
    report = work / "coverage.json"
    options = ["--rcfile", str(settings)]
    subprocess.run([*coverage, "combine", "--quiet", *options], cwd=work, check=True)
    subprocess.run(
        [*coverage, "json", "--quiet", *options, "-o", str(report)], cwd=work, check=True
    )
    return report


def read_python(report: Path, counts: Counts) -> None:
    """What coverage.py counted."""
    for path, found in json.loads(report.read_text())["files"].items():
        file = "python/upsample_rs/" + path.split("/upsample_rs/", 1)[1]
        for number in found["executed_lines"]:
            counts.line(file, number, 1)
        for number in found["missing_lines"]:
            counts.line(file, number, 0)
        for key, count in (("executed_branches", 1), ("missing_branches", 0)):
            for begin, end in found[key]:
                counts.branch(file, begin, str(end), count)


def read_rust(work: Path, llvm: Path, name: str, programs: list[Path], counts: Counts) -> None:
    """What the counters of these programs say of the files in `src/`, tests in them left out."""
    merged = work / f"{name}.profdata"
    raw = sorted(map(str, work.glob(f"{name}-*.profraw")))
    subprocess.run([llvm / "llvm-profdata", "merge", "-sparse", *raw, "-o", merged], check=True)
    objects = [f"-object={p}" for p in programs[1:]]
    command = [llvm / "llvm-cov", "export", "-format=lcov", f"-instr-profile={merged}"]
    lcov = subprocess.run(
        [*command, programs[0], *objects], check=True, capture_output=True, text=True
    )
    file, tests = "", 0
    for line in lcov.stdout.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            found = re.search(r"/(src/(?:[a-z_0-9]+/)*[a-z_0-9]+\.rs)$", rest)
            ours = found and "/registry/" not in rest and (ROOT / found[1]).exists()
            file = found[1] if found and ours else ""
            text = (ROOT / file).read_text().splitlines() if file else []
            tests = next((i for i, t in enumerate(text, 1) if t == "#[cfg(test)]"), len(text) + 1)
        elif kind == "DA" and file:
            number, count = map(int, rest.split(",")[:2])
            if number < tests:
                counts.line(file, number, count)
        elif kind == "BRDA" and file:
            number, block, side, count = rest.split(",")
            if int(number) < tests:
                counts.branch(
                    file, int(number), f"{block},{side}", 0 if count == "-" else int(count)
                )


def directory(file: str) -> str:
    """What a file is counted under."""
    return "/".join(file.split("/")[:2]) + "/" if file.count("/") > 1 else "src/*.rs"


def share(reached: int, total: int) -> str:
    """So many of so many."""
    return f"{reached} of {total} ({100 * reached / max(total, 1):.1f} %)"


def table(counts: Counts) -> list[str]:
    """Lines and branches reached, by directory."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, found in (("lines", counts.lines), ("branches", counts.branches)):
        for file, places in found.items():
            for where in (directory(file), "Python" if file.startswith("python/") else "Rust"):
                rows[where][kind] += len(places)
                rows[where][f"{kind} reached"] += sum(count > 0 for count in places.values())
    return [
        f"{where}: lines {share(n['lines reached'], n['lines'])}, "
        f"branches {share(n['branches reached'], n['branches'])}"
        for where, n in sorted(rows.items())
    ]


def unexplained(counts: Counts) -> tuple[int, list[str]]:
    """How many lines are explained, and those that are neither reached nor explained."""
    explained, rest = 0, []
    for file, places in sorted(counts.lines.items()):
        if not file.startswith(WATCHED):
            continue
        text = (ROOT / file).read_text().splitlines()
        for number, count in sorted(places.items()):
            line = text[number - 1].strip()
            if count == 0 and any(e.holds(file, line) for e in EXPLAINED):
                explained += 1
            elif count == 0:
                rest.append(f"{file}:{number}: {line}")
    return explained, rest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llvm", type=Path, help="directory of llvm-cov and llvm-profdata")
    parser.add_argument("--rust-tests", action="store_true", help="all of cargo test, too")
    parser.add_argument("--extension", type=Path, help="one built with counters before")
    parser.add_argument("--work", type=Path, help="directory to work in, kept; must not exist")
    parser.add_argument("--processes", type=int, default=2, help="of pytest")
    parser.add_argument("pytest", nargs="*", help="for pytest")
    options = parser.parse_args()
    begin = time.perf_counter()
    llvm = options.llvm or Path(shutil.which("llvm-cov") or "llvm-cov").parent
    work = options.work or Path(tempfile.mkdtemp(prefix="upsample-rs-covered."))
    work.mkdir(parents=True, exist_ok=True)
    counts = Counts()
    try:
        extension = options.extension or build_extension(work)
        read_python(run_python(work, extension, options.pytest, options.processes), counts)
        read_rust(work, llvm, "extension", [extension], counts)
        small_crate(work / "crate")
        read_rust(work, llvm, "geometry", run_rust(work, work / "crate", "geometry"), counts)
        if options.rust_tests:
            read_rust(work, llvm, "tests", run_rust(work, ROOT, "tests"), counts)
    finally:
        if not options.work:
            shutil.rmtree(work, ignore_errors=True)
    explained, rest = unexplained(counts)
    rows = table(counts)
    print(*rows, *rest, sep="\n")
    print(
        "; ".join(r for r in rows if r.startswith(("Python", "Rust")))
        + f"; of {', '.join(WATCHED)} {explained} lines explained, {len(rest)} unexplained; "
        f"{time.perf_counter() - begin:.0f} s"
    )
    sys.exit(bool(rest))


if __name__ == "__main__":
    main()
