"""The Rust tests under AddressSanitizer, leaks included.

`python tests/trust/sanitized.py` builds all tests with it (long: some twenty minutes on a core) and
runs them; `--test geometry` takes one of the programs, and may be repeated. The runtime is a part
of the stable toolchain. Leaks are looked for where `llvm-symbolizer` is on PATH, which it takes to
tell the one thing that is left behind on purpose (a pool of threads that a larger one replaced).
"""

from __future__ import annotations

import argparse
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test", action="append", default=[], help="this program only")
    parser.add_argument("--jobs", type=int, default=2, help="of the build")
    options = parser.parse_args()
    begin = time.perf_counter()
    host = re.search(r"host: (\S+)", subprocess.check_output(["rustc", "-vV"], text=True))
    assert host
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
