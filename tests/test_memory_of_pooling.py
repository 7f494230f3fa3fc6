"""Pooling an array larger than memory should hold: read in place, a band at a time."""

import os
import subprocess
import sys
import textwrap

import pytest

MIB = 1 << 20
pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux's account of memory"
)

# Runs `call` once and prints by how many bytes this process's own memory (not the file's pages,
# which the kernel may drop) stood higher at its peak than before, less the result's.
PROBE = """
import sys, threading
import numpy as np
import upsample_rs as us

def own():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["RssAnon"].split()[0]) * 1024

us.set_num_threads(int(sys.argv[2]))
x = np.memmap(sys.argv[1], np.uint8, "r", shape=SHAPE)
call = lambda x: CALL
call(x[:, :, :250, :240])  # code and pool are there
peak, done = [own()], threading.Event()
before = peak[0]

def watch():
    while not done.is_set():
        peak.append(own())

watcher = threading.Thread(target=watch)
watcher.start()
results = call(x)
done.set()
watcher.join()
results = results if isinstance(results, tuple) else (results,)
assert not results[0].any()
print(max(peak) - before - sum(r.nbytes for r in results))
"""

CALLS = {
    "max": "us.max_pool2d(x, 64)",
    "max, some rows": "us.max_pool2d(x, 3, 16, 1)",
    "max, indices": "us.max_pool2d(x, 64, return_indices=True)",
    "max, half type": "us.max_pool2d(x.view(np.float16), 64)",
    "max, global": "us.adaptive_max_pool2d(x, 1)",
    "avg": "us.avg_pool2d(x, 64)",
    "avg, transposed": "us.avg_pool2d(x.swapaxes(2, 3), 64)",
    "avg, channels": "us.avg_pool2d(x.reshape(1, 125, -1, 60), (50, 4), channels_last=True)",
    "avg, one row": "us.avg_pool1d(x.reshape(-1), 7)",
    "avg, global": "us.adaptive_avg_pool2d(x, 1)",
    "adaptive": "us.adaptive_avg_pool2d(x, (300, 170))",
    "lp": "us.lp_pool2d(x, 2, (1, 64), 64)",
    "lp, one window": "us.lp_pool1d(x.reshape(-1), 2, x.size)",
    "max, one window of every other": "us.adaptive_max_pool1d(x.reshape(-1)[::2], 1)",
}


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """A file of 900 MB that takes no space: reading it gives zeros."""
    path = tmp_path_factory.mktemp("pooling") / "x.u8"
    with open(path, "wb") as file:
        file.truncate(30_000 * 30_000)
    yield path
    path.unlink()


@pytest.mark.parametrize("name, threads", [*((name, 1) for name in CALLS), ("max", 2), ("avg", 2)])
def test_a_mapped_array_is_pooled_without_being_read_into_memory(sparse, name, threads):
    """At most 4 MiB per thread beside the result; the array is 900 MB, or a tenth of that."""
    shape = (1, 1, 30_000 if threads == 2 and name == "max" else 3_000, 30_000)
    probe = textwrap.dedent(PROBE).replace("CALL", CALLS[name]).replace("SHAPE", str(shape))
    run = subprocess.run(
        [sys.executable, "-c", probe, str(sparse), str(threads)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) <= threads * 4 * MIB, f"{int(run.stdout) / MIB:.1f} MiB"
