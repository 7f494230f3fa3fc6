"""The store large results take their memory from: NumPy's arrays as ever, bounded, releasable."""

import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import upsample_rs as us

MIB = 1 << 20


@pytest.fixture(autouse=True)
def restored():
    """Give the store back as it was."""
    limit = us.config()["cache_limit"]
    yield
    us.set_cache_limit(0)
    us.set_cache_limit(limit)


def large(mib=4):
    """Return a result of so many MiB."""
    return us.interpolate(np.ones((mib, 256, 256), np.float32), scale_factor=(2, 2), mode="nearest")


def test_a_large_result_is_numpys_own():
    y = large()
    assert y.flags.owndata and y.base is None and y.flags.c_contiguous and y.flags.writeable
    assert y.ctypes.data % 64 == 0


def test_freed_memory_is_used_again_and_bounded():
    us.set_cache_limit(0)
    us.set_cache_limit(64 * MIB)
    y = large()
    address = y.ctypes.data
    assert us.config()["cache_bytes"] == 0
    del y
    assert 0 < us.config()["cache_bytes"] <= 64 * MIB
    assert large().ctypes.data == address
    for mib in (1, 2, 3, 4, 5, 6, 7, 8):
        large(mib)
        assert us.config()["cache_bytes"] <= 64 * MIB
    us.set_cache_limit(10 * MIB)
    assert us.config()["cache_bytes"] <= 10 * MIB
    us.set_cache_limit(0)
    assert us.config()["cache_bytes"] == 0
    large()
    assert us.config()["cache_bytes"] == 0


def test_reused_memory_shows_nothing_of_its_past():
    us.set_cache_limit(64 * MIB)
    first = us.interpolate(np.full((4, 256, 256), 7, np.float32), scale_factor=(2, 2))
    del first
    nails = us.bed_of_nails(np.ones((4, 256, 256), np.float32), 2)
    assert nails.sum() == 4 * 256 * 256


def test_resizing_pickling_and_threads():
    y = large(2)
    want = y.copy()
    y.resize((2, 700, 700), refcheck=False)
    np.testing.assert_array_equal(y.ravel()[: want.size], want.ravel()[: y.size])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(want)), want)
    kept = [large(2) for _ in range(4)]
    threads = [threading.Thread(target=lambda: [large(2) for _ in range(5)]) for _ in range(4)]
    for t in threads:
        t.start()
    del kept
    for t in threads:
        t.join()
    np.testing.assert_array_equal(large(2), 1)


def test_other_arrays_keep_numpys_allocator():
    large()
    pytest.importorskip("numpy._core.multiarray")
    from numpy._core.multiarray import get_handler_name

    assert get_handler_name(np.ones(1 << 20)) == "default_allocator"
    assert get_handler_name(large()) == "upsample_rs"
    us.set_cache_limit(3 * MIB)
    assert get_handler_name(large()) == "default_allocator"  # could not be kept
    assert get_handler_name(large(1)) == "upsample_rs"


def test_the_environment_sets_the_limit():
    code = "import upsample_rs as us; print(us.config()['cache_limit'])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "UPSAMPLE_RS_CACHE_BYTES": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "12345"


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (10**30, ValueError)]
)
def test_a_wrong_limit_is_refused(value, error):
    with pytest.raises(error, match="set_cache_limit: nbytes"):
        us.set_cache_limit(value)


def test_a_result_that_cannot_be_had_is_a_memory_error():
    with pytest.raises(MemoryError):
        us.interpolate(np.ones((1, 1, 4, 4), np.float32), size=(2**21, 2**21))
    np.testing.assert_array_equal(large(), 1)
