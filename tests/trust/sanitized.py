"""The Rust tests, or the fuzzed extension, under AddressSanitizer.

`python tests/trust/sanitized.py` builds all tests with it (long: some twenty minutes on a core) and
runs them; `--test geometry` takes one of the programs, and may be repeated. The runtime is a part
of the stable toolchain. Leaks are looked for where `llvm-symbolizer` is on PATH, which it takes to
tell the one thing that is left behind on purpose (a pool of threads that a larger one replaced).

`--fuzz 100000` builds the extension with it instead, and makes so many calls of `fuzz.py` (`--seed`
is that of it): what the guard pages do not see, the memory that the package takes for itself and
results inside of the heap, has forbidden bytes around it then. It needs a C compiler, which makes
the toolchain's runtime a library that Python loads first. Leaks are not looked for.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ON_PURPOSE = "leak:new<upsample_rs::engine::parallel::Pool>\n"


def runtime(work: Path, host: str) -> Path:
    """The toolchain's runtime, which is for programs, as a library."""
    root = Path(subprocess.check_output(["rustc", "--print=sysroot"], text=True).strip())
    (archive,) = (root / "lib" / "rustlib" / host / "lib").glob("librustc-*_rt.asan.a")
    copy, library = shutil.copy(archive, work / "runtime.a"), work / "runtime.so"
    # (What starts it ahead of everything else is for programs alone.)
    subprocess.run(["ar", "d", copy, "asan_preinit.cpp.o"], check=True)
    whole = ["-Wl,--whole-archive", copy, "-Wl,--no-whole-archive"]
    command = ["cc", "-shared", "-o", library, *whole, "-lpthread", "-ldl", "-lm", "-lrt"]
    subprocess.run(command, check=True)
    return library


def build_extension(package: Path, host: str, jobs: int) -> None:
    """The Python package with an extension under the sanitizer."""
    command = ["cargo", "rustc", "--locked", f"--jobs={jobs}", "--lib", "--crate-type=cdylib"]
    command += ["--features=python", "--target", host]
    command += ["--message-format=json-render-diagnostics"]
    env = {
        "RUSTC_BOOTSTRAP": "1",
        "RUSTFLAGS": "-Zsanitizer=address",
        "CARGO_PROFILE_DEV_OPT_LEVEL": "1",
    }
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, check=True, stdout=subprocess.PIPE
    )
    built = [json.loads(line) for line in done.stdout.splitlines()]
    names = [n for b in built for n in b.get("filenames", ()) if "upsample_rs" in n]
    unwanted = shutil.ignore_patterns("*.so", "__py*")
    shutil.copytree(ROOT / "python" / "upsample_rs", package, ignore=unwanted)
    shutil.copy(names[-1], package / "_core.abi3.so")


def fuzz(calls: int, seed: int, host: str, jobs: int) -> int:
    """Fuzzed calls of the extension under the sanitizer; 0 if nothing was found."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="upsample-rs-sanitized.") as name:
        work = Path(name)
        build_extension(work / "upsample_rs", host, jobs)
        env = {
            "LD_PRELOAD": str(runtime(work, host)),
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "PYTHONPATH": str(work),
        }
        script = str(Path(__file__).parent / "fuzz.py")
        done = subprocess.run(
            [sys.executable, script, f"--calls={calls}", f"--seed={seed}"],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    print(
        f"AddressSanitizer, extension: {done.stdout.strip()}; "
        f"{'errors' if done.returncode else 'no error'}; {time.perf_counter() - begin:.0f} s"
    )
    return done.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test", action="append", default=[], help="this program only")
    parser.add_argument("--fuzz", type=int, metavar="CALLS", help="the extension, so many calls")
    parser.add_argument("--seed", type=int, default=0, help="of the calls")
    parser.add_argument("--jobs", type=int, default=2, help="of the build")
    options = parser.parse_args()
    begin = time.perf_counter()
    host = re.search(r"host: (\S+)", subprocess.check_output(["rustc", "-vV"], text=True))
    assert host
    if options.fuzz:
        sys.exit(fuzz(options.fuzz, options.seed, host[1], options.jobs))
    command = ["cargo", "test", "--locked", f"--jobs={options.jobs}", "--no-fail-fast"]
    command += ["--target", host[1], *(f"--test={t}" for t in options.test)]
    command += [] if options.test else ["--tests"]
    leaks = shutil.which("llvm-symbolizer") is not None
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as purpose:
        purpose.write(ON_PURPOSE)
        purpose.flush()
        env = {
            "RUSTC_BOOTSTRAP": "1",
            "RUSTFLAGS": "-Zsanitizer=address",
            "CARGO_PROFILE_TEST_OPT_LEVEL": "1",
            "CARGO_PROFILE_TEST_DEBUG": "line-tables-only",
            "ASAN_OPTIONS": f"detect_leaks={leaks:d}:allocator_may_return_null=1",
            "LSAN_OPTIONS": f"suppressions={purpose.name}:print_suppressions=0",
        }
        done = subprocess.run(
            [*command, "--", "--quiet"],
            cwd=ROOT,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    print(done.stdout)
    passed = [int(n) for n in re.findall(r"test result: ok\. (\d+) passed", done.stdout)]
    print(
        f"AddressSanitizer, leaks {'included' if leaks else 'not looked for'}: {sum(passed)} tests "
        f"of {len(passed)} programs passed, {'errors' if done.returncode else 'no error'}; "
        f"{time.perf_counter() - begin:.0f} s"
    )
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
