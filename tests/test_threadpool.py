"""`threadpoolctl` sees the pool and limits it, once the module that tells it is imported."""

import subprocess
import sys

import pytest

import upsample_rs as us

threadpoolctl = pytest.importorskip("threadpoolctl")
import upsample_rs.threadpool  # noqa: E402 - only where there is threadpoolctl


def ours():
    """What is said of this package's pool."""
    return [i for i in threadpoolctl.threadpool_info() if i["internal_api"] == "upsample_rs"]


def test_it_is_seen_once():
    (info,) = ours()
    assert info["num_threads"] == us.get_num_threads() and info["version"] == us.__version__
    assert info["filepath"].endswith(us._core.__file__.rpartition("/")[2])


def test_it_is_limited():
    us.set_num_threads(2)
    with threadpoolctl.threadpool_limits(1):
        assert us.get_num_threads() == 1
    assert us.get_num_threads() == 2
    with threadpoolctl.threadpool_limits(1, user_api="upsample_rs"):
        assert us.get_num_threads() == 1
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert us.get_num_threads() == 2
    with threadpoolctl.threadpool_limits({"upsample_rs": 1}):
        assert us.get_num_threads() == 1
    assert us.get_num_threads() == 2


@pytest.mark.parametrize(
    "order",
    ["upsample_rs.threadpool, threadpoolctl", "threadpoolctl, upsample_rs.threadpool"],
)
def test_order_of_imports_does_not_matter(order):
    code = f"""
import {order}
before = threadpoolctl.threadpool_info()
with threadpoolctl.threadpool_limits(1):
    print(upsample_rs.get_num_threads(), upsample_rs.config()["threads"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_another_packages_core_is_not_ours(tmp_path):
    """A library of the same name, somewhere else."""
    import ctypes
    import shutil
    from pathlib import Path

    copy = Path(shutil.copy(us._core.__file__, tmp_path))
    try:
        ctypes.CDLL(str(copy))
    except OSError:
        pytest.skip("this system loads no library twice")
    assert len(ours()) == 1
