"""Calls that broke other systems, each in a process of its own: see `abuse/corpus.py`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from abuse.corpus import CORPUS

# Operations that the package does not have yet; an entry of any other one must run.
NOT_YET: tuple[str, ...] = ()

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")


SETTINGS = {
    "1 thread": {"UPSAMPLE_RS_NUM_THREADS": "1"},
    "2 threads": {"UPSAMPLE_RS_NUM_THREADS": "2"},
    "scalar": {"UPSAMPLE_RS_ISA": "scalar"},
}


@pytest.fixture(scope="module", params=SETTINGS)
def runner(request):
    """The process that forks a child per entry; it has imported the package once."""
    script = Path(__file__).parent / "abuse" / "run_one.py"
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **SETTINGS[request.param]},
    ) as process:
        yield process
        process.stdin.close()


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry["id"])
def test_entry(runner, entry):
    runner.stdin.write(entry["id"] + "\n")
    runner.stdin.flush()
    report = json.loads(runner.stdout.readline())
    assert report["id"] == entry["id"]
    if report["outcome"] == "skip":
        assert any(f"no {name}" in report["detail"] for name in NOT_YET), report["detail"]
        pytest.skip(report["detail"])
    assert report["outcome"] == "pass", f"{report['detail']} ({entry['note']})"


def test_every_identifier_is_unique():
    assert len({entry["id"] for entry in CORPUS}) == len(CORPUS)
