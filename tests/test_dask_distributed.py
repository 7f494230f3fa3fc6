"""On a cluster whose workers die, in graphs, in files: the same bits."""

import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

import upsample_rs as us

da = pytest.importorskip("dask.array")
usd = pytest.importorskip("upsample_rs.dask")


def whole(shape=(6, 300, 400)):
    return np.random.default_rng(0).random(shape, np.float32)


def slowly(block):
    """Give the test the time to kill a worker."""
    time.sleep(0.05)
    return block


@pytest.mark.slow
def test_a_worker_killed_in_mid_run():
    distributed = pytest.importorskip("distributed")
    x = whole()
    options = {"scale_factor": (2, 1.5), "mode": "bicubic"}
    want = us.max_pool2d(us.interpolate(x, **options), 3, 2, 1, return_indices=True)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        lazy = da.from_array(x, chunks=(1, 70, 90)).map_blocks(slowly)
        y = usd.interpolate(lazy, **options)
        values, places = usd.max_pool2d(y, 3, 2, 1, return_indices=True)
        victim = next(iter(client.run(os.getpid).values()))
        done = []

        def kill():
            time.sleep(1.0)
            done.append(future.done())
            os.kill(victim, signal.SIGKILL)

        future = client.compute([values, places])[0]
        both = client.compute([values, places])
        thread = threading.Thread(target=kill)
        thread.start()
        made = client.gather(both)
        thread.join()
        assert done == [False], "it was killed after the run, not in it"
    assert all(a.tobytes() == b.tobytes() for a, b in zip(made, want, strict=True))


def test_graphs_are_pickled_small():
    """A task holds no array but in its chunks."""
    cloudpickle = pytest.importorskip("cloudpickle")
    x = da.zeros((4000, 4000), chunks=(100, 100))
    y = usd.conv2d(x[None], np.ones((1, 1, 3, 3)), padding="same")
    graph = dict(y.__dask_graph__())
    assert len(cloudpickle.dumps(graph)) < 6 << 20


def test_one_thread_for_a_task(monkeypatch):
    import dask

    from upsample_rs import _core
    from upsample_rs.dask import call

    seen = []
    real = call._own_threads
    monkeypatch.setattr(call, "_own_threads", lambda n: (seen.append(n), real(n))[1])
    x = da.from_array(whole(), chunks=(3, 200, 200))
    usd.avg_pool2d(x, 2).compute(scheduler="sync")
    assert seen[0] == 1
    seen.clear()
    with dask.config.set({"upsample_rs.inner-threads": 3}):
        y = usd.avg_pool2d(x, 2)
    y.compute(scheduler="sync")
    assert 3 in seen and _core._own_threads(0) == 0
    with dask.config.set({"upsample_rs.inner-threads": 0}), pytest.raises(ValueError) as refused:
        usd.avg_pool2d(x, 2)
    assert str(refused.value) == "upsample_rs.inner-threads = 0: must be an int from 1 to 1024"


def test_chunks_do_not_outgrow_dask():
    import dask

    x = da.zeros((100, 4096), chunks=(100, 4096), dtype=np.float32)
    with dask.config.set({"array.chunk-size": "4 MiB"}):
        y = usd.resize(x, scale=(8, 2))
    assert max(np.prod(c) for c in np.broadcast(*np.meshgrid(*y.chunks))) * 4 <= 4 << 20
    assert usd.avg_pool1d(da.zeros((10, 100), chunks=(5, 30)), 2).chunks == (
        (5, 5),
        (15, 15, 15, 5),
    )


def test_what_needs_a_whole_axis_says_so():
    x = da.zeros((2, 3, 20, 20), chunks=(1, 2, 7, 20))
    with pytest.warns(usd.RechunkWarning, match="avg_pool2d: every output reads all of axis 2"):
        usd.adaptive_avg_pool2d(x, 1)
    with pytest.warns(usd.RechunkWarning, match="max_unpool2d: x is put into one chunk along ax"):
        usd.max_unpool2d(x, da.zeros(x.shape, dtype=int, chunks=(1, 2, 20, 20)), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        usd.adaptive_avg_pool2d(x, 5)
        usd.interpolate(x, size=(3, 3), mode="bilinear", antialias=True)
        usd.max_pool2d(x, 3, 2, 1)
        usd.conv2d(x, np.zeros((4, 3, 3, 3)), padding=1)
        usd.pixel_unshuffle(x, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: usd.max_pool2d(x, 99), ValueError, "max_pool2d: kernel_size[0] = 99 exceeds"),
        (lambda x: usd.max_pool2d(x, 2, out=1), TypeError, "max_pool2d: out: results are always"),
        (lambda x: usd.resize(x), ValueError, "resize: size and scale = None: must give one"),
        (lambda x: usd.avg_pool2d(x > 0, 2), TypeError, "avg_pool2d: x.dtype = bool"),
        (lambda x: usd.avg_pool2d(x[x[:, 0] > 2], 2), ValueError, "avg_pool2d: x.chunks = unknown"),
        (lambda x: usd.interpolate_backward(x), TypeError, "interpolate_backward: missing a requ"),
        (
            lambda x: usd.interpolate_backward(x, (5, 5), mode="bilinear", scale_factor=2),
            ValueError,
            "interpolate_backward: grad_output.shape",
        ),
    ],
)
def test_a_wrong_call_is_refused_when_it_is_made(call, error, message):
    with pytest.raises(error) as refused:
        call(da.zeros((8, 8), chunks=3))
    assert str(refused.value).startswith(message), refused.value


def test_numpy_arrays_become_chunks():
    x = whole()
    made = usd.max_pool2d(x, 2)
    assert isinstance(made, da.Array) and np.array_equal(made.compute(), us.max_pool2d(x, 2))


def test_tasks_read_no_more_than_they_need():
    """One chunk of the result needs its own input chunk and the rims of its neighbours."""
    x = da.from_array(whole((90, 90)), chunks=(30, 30))
    middle = usd.interpolate(x, scale_factor=2, mode="bilinear").blocks[1, 1]
    graph = dict(middle.__dask_graph__().cull(set(middle.__dask_keys__()[0])))
    slices = [k for k in graph if isinstance(k, tuple) and "reads" in str(k[0])]
    assert len(slices) == 8


def test_a_zarr_volume(tmp_path):
    """The small copy of ``benches/chunked.py memory``, from disk to disk."""
    zarr = pytest.importorskip("zarr")
    x = whole((12, 128, 128))
    zarr.create_array(store=str(tmp_path / "in.zarr"), data=x, chunks=(5, 50, 60))
    y = usd.resize(da.from_zarr(str(tmp_path / "in.zarr")), scale=(2, 2), axes=(1, 2))
    y.to_zarr(str(tmp_path / "out.zarr"))
    out = zarr.open_array(str(tmp_path / "out.zarr"), mode="r")
    assert np.array_equal(out[:], us.resize(x, scale=(2, 2), axes=(1, 2)))


@pytest.mark.slow
def test_a_volume_takes_little_memory(tmp_path):
    """256 MB of Zarr to 1 GB, in a process that has less than both at its largest."""
    import subprocess
    import sys
    from pathlib import Path

    script = Path(__file__).parents[1] / "benches" / "chunked.py"
    if not script.exists():
        pytest.skip("the installed package has no benches")
    done = subprocess.run(
        [sys.executable, script, "memory", "--gigabytes", "0.25", "--folder", tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split("memory: ")[1].split()[0]) < 1000, done.stdout
