"""Threads: the settings, concurrent callers, and children of fork."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import laws
import upsample_rs as us
from fork_many import work

has_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this platform does not fork"
)


def in_new_process(code, **environment):
    """What a fresh interpreter prints, as JSON."""
    run = subprocess.run(
        [sys.executable, "-c", "import json, os, upsample_rs as us\n" + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


# --- settings -------------------------------------------------------------------------------------


def test_set_and_get():
    for n in (1, 2, 5, 64):
        us.set_num_threads(n)
        assert us.get_num_threads() == n == us.config()["threads"]


def test_config():
    config = us.config()
    assert set(config) >= {"version", "isa", "isa_detected", "threads"}
    assert config["version"] == us.__version__
    assert config["isa"] in laws.ISAS and config["isa_detected"] in laws.ISAS
    assert config["conv"] == "auto"


def test_environment_sets_the_threads():
    for n in (1, 3):
        got = in_new_process("print(us.get_num_threads())", UPSAMPLE_RS_NUM_THREADS=str(n))
        assert got == n


@pytest.mark.parametrize("value", ["", "0", "-1", "many", "1.5", "99999999999999999999"])
def test_a_meaningless_number_of_threads_in_the_environment(value):
    """It neither crashes the import nor leaves no thread at all."""
    code = "print(us.max_pool2d([[1, 2], [3, 4]], 2).tolist() == [[4]] and us.get_num_threads())"
    assert in_new_process(code, UPSAMPLE_RS_NUM_THREADS=value) >= 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def test_the_default_is_the_cpus_this_process_may_use():
    cpus = sorted(os.sched_getaffinity(0))
    for some in (cpus[:1], cpus):
        code = f"os.sched_setaffinity(0, {some})\nprint(us.get_num_threads())"
        assert in_new_process(code, UPSAMPLE_RS_NUM_THREADS="") == len(some)


@pytest.fixture
def one_cpu_group():
    """The file that puts a process into a control group of one CPU, where one can be made."""
    v1, v2 = Path("/sys/fs/cgroup/cpu/upsample_rs"), Path("/sys/fs/cgroup/upsample_rs")
    group = v1 if v1.parent.is_dir() else v2
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no right to make a control group")
    try:
        if not (group / "cgroup.procs").exists():
            pytest.skip("not a control group")
        if group == v1:
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text("100000")
        else:
            (group / "cpu.max").write_text("100000 100000")
        yield group / "cgroup.procs"
    except OSError:
        pytest.skip("no control group for CPUs")
    finally:
        group.rmdir()


def test_the_default_is_bounded_by_the_quota(one_cpu_group):
    code = f"open({str(one_cpu_group)!r}, 'w').write(str(os.getpid()))\nprint(us.get_num_threads())"
    assert in_new_process(code, UPSAMPLE_RS_NUM_THREADS="") == 1


def test_environment_forces_an_instruction_set():
    for isa in laws.ISAS:
        config = in_new_process("print(json.dumps(us.config()))", UPSAMPLE_RS_ISA=isa)
        assert config["isa"] == isa
        assert config["isa_detected"] == us.config()["isa_detected"]


def test_an_unknown_instruction_set_in_the_environment_is_no_crash():
    code = "print(us.max_pool2d([[1, 2], [3, 4]], 2).tolist())"
    assert in_new_process(code, UPSAMPLE_RS_ISA="mmx") == [[4]]


# --- callers and children -------------------------------------------------------------------------


def test_concurrent_callers():
    """Eight Python threads at once, settings changing under them: every result is right."""
    want = work()
    wrong = []

    def caller():
        for _ in range(10):
            if work() != want:
                wrong.append(threading.get_ident())

    callers = [threading.Thread(target=caller) for _ in range(8)]
    for c in callers:
        c.start()
    for n in (1, 3, 2, 5, 2):
        us.set_num_threads(n)
    for c in callers:
        c.join()
    assert not wrong


@has_fork
def test_forked_children_compute():
    """1,000 children, forked after the parent's pool has worked, each make and use their own."""
    script = Path(__file__).with_name("fork_many.py")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), "1000"],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == 1000


@has_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_a_child_computes():
    """Settings are inherited, pools are not, at any depth."""
    us.set_num_threads(3)
    want = work()
    fork = multiprocessing.get_context("fork")

    def child(depth, results):
        results.put((us.get_num_threads(), work()))
        if depth:
            grandchild = fork.Process(target=child, args=(depth - 1, results))
            grandchild.start()
            grandchild.join()

    results = fork.SimpleQueue()
    first = fork.Process(target=child, args=(2, results))
    first.start()
    first.join(timeout=120)
    assert first.exitcode == 0
    assert [results.get() for _ in range(3)] == [(3, want)] * 3


@has_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_while_other_threads_compute():
    """A child forked in the middle of a parallel call is as good as any."""
    us.set_num_threads(2)
    want = work()
    stop = threading.Event()
    fork = multiprocessing.get_context("fork")

    def busy():
        while not stop.is_set():
            work()

    background = threading.Thread(target=busy)
    background.start()
    try:
        for _ in range(20):
            child = fork.Process(target=lambda: os._exit(work() != want))
            child.start()
            child.join(timeout=60)
            assert child.exitcode == 0
    finally:
        stop.set()
        background.join()
