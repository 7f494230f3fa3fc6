"""Nothing that is passed, forked, interrupted or starved breaks the package: the short forms.

Each is a script of `trust/` that prints its figure and fails by its exit status; CONTRIBUTING.md
says how to run it in full, and what it printed last.
"""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TRUST = Path(__file__).parent / "trust"

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
preloads = pytest.mark.skipif(
    not sys.platform.startswith("linux")
    or shutil.which("cc") is None
    or platform.libc_ver()[0] != "glibc",
    reason="needs glibc and a C compiler",
)


def figure(script, *options):
    """Run a script; its last line, which `pytest -s` shows."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(TRUST / f"{script}.py"), *options],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, (run.stdout + run.stderr)[-4000:]
    line = run.stdout.splitlines()[-1]
    print(line)
    return line


def test_every_fault_on_every_operation_is_refused():
    """Thousands of wrong calls, generated; one line each, no input changed."""
    line = figure("siblings")
    assert int(line.split()[1]) >= 1500


@preloads
def test_refusals_come_before_the_result_is_allocated():
    figure("siblings", "--watch")


def test_every_operation_is_in_the_catalogue():
    sys.path.insert(0, str(TRUST))
    import catalogue

    assert {call.op for call in catalogue.calls(7)} == catalogue.operations()


def test_what_is_explained_is_still_there():
    """An explanation of a mutant, or of a line that no test reaches, names a line of its file."""
    sys.path.insert(0, str(TRUST))
    import covered
    import mutants_explained

    root = TRUST.parents[1]
    for known in covered.EXPLAINED:
        named = root / known.file
        files = named.rglob("*.rs") if named.is_dir() else [named]
        assert any(
            known.holds(path.relative_to(root).as_posix(), line.strip())
            for path in files
            for line in path.read_text().splitlines()
        ), known
    for known in mutants_explained.EXPLAINED:
        text = (TRUST.parents[1] / known.file).read_text()
        assert f"fn {known.function.rsplit('::', 1)[-1]}" in text and known.text in text, known


def test_out_is_exact_or_refused():
    figure("outs")


@preloads
def test_a_starved_call_raises_memory_error_or_succeeds():
    figure("starve", "--most", "12")


@on_linux
def test_processes_and_threads():
    figure("processes", "--children", "20")


@on_linux
def test_ctrl_c_stops_an_operation():
    names = ("max_pool2d indices", "max_pool2d one window", "lp_pool2d")
    figure("interrupts", "--only", *names, "--after", "0.1")


def test_the_same_bits_every_time():
    figure("determinism", "--repeats", "1", "--threads", "3", "--side", "13")


@on_linux
def test_memory_does_not_grow():
    figure("soak", "--good", "20000", "--refused", "5000")


@on_linux
def test_nothing_outside_the_arrays_is_touched():
    figure("fuzz", "--calls", "5000")
