"""Memory a convolution takes beside its arrays: a band of them, and the weight it computes with."""

import os
import subprocess
import sys
import textwrap

import pytest

MIB = 1 << 20
pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux's account of memory"
)

# Runs `call` once on small arrays and once on those asked for, and prints by how many bytes the
# process stood higher at its peak than before, less the results'.
PROBE = """
import sys, threading
import numpy as np, ml_dtypes
import upsample_rs as us

def own():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["RssAnon"].split()[0]) * 1024

def ones(*shape):
    return np.ones(shape, DTYPE)

us.set_num_threads(int(sys.argv[1]))
us.set_cache_limit(0)
small = us.conv2d(np.ones((64, 64, 64), "f4"), np.ones((64, 64, 3, 3), "f4"))  # the pool is there
arrays = [ARRAYS]
call = lambda CALL
peak, done = [own()], threading.Event()
before = peak[0]

def watch():
    while not done.is_set():
        peak.append(own())

watcher = threading.Thread(target=watch)
watcher.start()
results = call(*arrays)
done.set()
watcher.join()
results = [r for r in (results if isinstance(results, tuple) else (results,)) if r is not None]
packed = arrays[-1].size * {2: 4}.get(arrays[-1].itemsize, arrays[-1].itemsize)
print(max(peak) - before - sum(r.nbytes for r in results), packed)
"""

# The arrays, the weight last, and the call.
CALLS = {
    "k3, 64 to 64": (
        "ones(8, 64, 128, 128), ones(64, 64, 3, 3)",
        "x, w: us.conv2d(x, w, padding=1)",
    ),
    "k3, float16": (
        "ones(8, 64, 128, 128), ones(64, 64, 3, 3)",
        "x, w: us.conv2d(x, w, padding=1)",
        "'f2'",
    ),
    "k3, bfloat16, channels last": (
        "ones(4, 128, 128, 64), ones(64, 64, 3, 3)",
        "x, w: us.conv2d(x, w, padding=1, channels_last=True)",
        "ml_dtypes.bfloat16",
    ),
    "k3s2, few channels": (
        "ones(1, 3, 1080, 1920), ones(16, 3, 3, 3)",
        "x, w: us.conv2d(x, w, None, 2, 1)",
    ),
    "3-D": ("ones(1, 16, 32, 64, 64), ones(16, 16, 3, 3, 3)", "x, w: us.conv3d(x, w, padding=1)"),
    "many channels": (
        "ones(1, 8192, 24, 40), ones(16, 8192, 1, 1)",
        "x, w: us.conv2d(x, w)",
    ),
    "many channels, k3": (
        "ones(1, 8192, 24, 40), ones(4, 8192, 3, 3)",
        "x, w: us.conv2d(x, w, padding=1)",
    ),
    "huge dilation": (
        "ones(4, 16, 1, 200_000), ones(16, 16, 1, 5)",
        "x, w: us.conv2d(x, w, dilation=(1, 30_000))",
    ),
    "dilated on three axes": (
        "ones(1, 4, 100, 100, 100), ones(4, 4, 4, 4, 4)",
        "x, w: us.conv3d(x, w, dilation=16)",
    ),
    "one long row": ("ones(8, 2_000_000), ones(8, 8, 9)", "x, w: us.conv1d(x, w, padding=4)"),
    "long kernel": ("ones(4, 100_000), ones(4, 4, 20_000)", "x, w: us.conv1d(x, w, None, 97)"),
    "up k4s2p1": (
        "ones(8, 64, 64, 64), ones(64, 32, 4, 4)",
        "x, w: us.conv_transpose2d(x, w, None, 2, 1)",
    ),
    "few inputs": (
        "ones(9, 512, 8, 8), ones(512, 64, 4, 4)",
        "x, w: us.conv_transpose2d(x, w, None, 2, 1)",
    ),
    "up k4s2p1, float16": (
        "ones(8, 64, 64, 64), ones(64, 32, 4, 4)",
        "x, w: us.conv_transpose2d(x, w, None, 2, 1)",
        "'f2'",
    ),
    "up k16s8": (
        "ones(1, 21, 64, 64), ones(21, 21, 16, 16)",
        "x, w: us.conv_transpose2d(x, w, None, 8, 4)",
    ),
    "up, wide stride": (
        "ones(1, 4, 2_000), ones(4, 4, 3)",
        "x, w: us.conv_transpose1d(x, w, None, 1000)",
    ),
    "up 3-D": (
        "ones(1, 64, 8, 32, 32), ones(64, 32, 2, 2, 2)",
        "x, w: us.conv_transpose3d(x, w, None, 2)",
    ),
    "up 1-D, bfloat16": (
        "ones(512, 4_000), ones(512, 64, 16)",
        "x, w: us.conv_transpose1d(x, w, None, 8, 4)",
        "ml_dtypes.bfloat16",
    ),
    "up, many channels": (
        "ones(1, 8192, 16, 16), ones(8192, 4, 2, 2)",
        "x, w: us.conv_transpose2d(x, w, None, 2)",
    ),
}

MASKS = {
    "by x": "(True, False, False)",
    "by weight": "(False, True, False)",
    "by bias": "(False, False, True)",
}

# As above, the gradient first.
BACKWARDS = {
    "k3": (
        "ones(8, 64, 128, 128), ones(8, 64, 128, 128), ones(64, 64, 3, 3)",
        "g, x, w: us.conv2d_backward(g, x, w, 1, 1, output_mask=MASK)",
    ),
    "k3, float16": (
        "ones(8, 64, 64, 64), ones(8, 64, 64, 64), ones(64, 64, 3, 3)",
        "g, x, w: us.conv2d_backward(g, x, w, 1, 1, output_mask=MASK)",
        "'f2'",
    ),
    "3-D, dilated": (
        "ones(1, 4, 52, 52, 52), ones(1, 4, 100, 100, 100), ones(4, 4, 4, 4, 4)",
        "g, x, w: us.conv3d_backward(g, x, w, dilation=16, output_mask=MASK)",
    ),
    "many channels": (
        "ones(1, 16, 24, 40), ones(1, 8192, 24, 40), ones(16, 8192, 1, 1)",
        "g, x, w: us.conv2d_backward(g, x, w, output_mask=MASK)",
    ),
    "huge dilation": (
        "ones(16, 32_000), ones(16, 80_000), ones(16, 16, 5)",
        "g, x, w: us.conv1d_backward(g, x, w, dilation=12_000, output_mask=MASK)",
    ),
    "up k4s2p1": (
        "ones(8, 32, 128, 128), ones(8, 64, 64, 64), ones(64, 32, 4, 4)",
        "g, x, w: us.conv_transpose2d_backward(g, x, w, 2, 1, output_mask=MASK)",
    ),
    "depthwise, channels last": (
        "ones(8, 128, 128, 64), ones(8, 128, 128, 64), ones(64, 1, 7, 7)",
        "g, x, w: us.conv2d_backward(g, x, w, 1, 3, 1, 64, channels_last=True, output_mask=MASK)",
    ),
    "depthwise, float16, small planes": (
        "ones(8, 1536, 14, 14), ones(8, 512, 14, 14), ones(1536, 1, 3, 3)",
        "g, x, w: us.conv2d_backward(g, x, w, 1, 1, groups=512, output_mask=MASK)",
        "'f2'",
    ),
    "up 1-D, bfloat16": (
        "ones(64, 32_000), ones(512, 4_000), ones(512, 64, 16)",
        "g, x, w: us.conv_transpose1d_backward(g, x, w, 8, 4, output_mask=MASK)",
        "ml_dtypes.bfloat16",
    ),
}


# Above the bound for now: taps up to 16 places apart share one copy, on all axes; and the weight of
# a half type is there twice, converted and gathered; or converted, and half as large again as what
# outputs in pairs are computed with.
ABOVE = {"dilated on three axes", "3-D, dilated, by x", "3-D, dilated, by weight"}
ABOVE |= {"huge dilation, by weight", "up 1-D, bfloat16", "up 1-D, bfloat16, by x"}


def cases():
    """(name, threads, arrays, call, dtype) of every call; two of them on two threads as well."""
    for name, (arrays, call, *dtype) in CALLS.items():
        for threads in (1, 2) if name in ("k3, float16", "up k4s2p1") else (1,):
            yield name, threads, arrays, call, *(dtype or ["'f4'"])
    for name, (arrays, call, *dtype) in BACKWARDS.items():
        for by, mask in MASKS.items():
            yield f"{name}, {by}", 1, arrays, call.replace("MASK", mask), *(dtype or ["'f4'"])


@pytest.mark.parametrize(
    "name, threads, arrays, call, dtype", [pytest.param(*c, id=f"{c[0]}, {c[1]}") for c in cases()]
)
def test_memory_beside_the_arrays(name, threads, arrays, call, dtype):
    """At most the weight as it is computed with, and 4 MiB for each thread; printed with -s."""
    probe = textwrap.dedent(PROBE).replace("ARRAYS", arrays).replace("CALL", call)
    run = subprocess.run(
        [sys.executable, "-c", probe.replace("DTYPE", dtype), str(threads)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    more, packed = map(int, run.stdout.split())
    print(f"{name}, {threads} threads: {more / MIB:.1f} MiB, packed weight {packed / MIB:.1f} MiB")
    if name in ABOVE and more > packed + threads * 4 * MIB:
        pytest.xfail(f"{more / MIB:.1f} MiB")
    assert more <= packed + threads * 4 * MIB, f"{more / MIB:.1f} MiB"
