"""`upsample-rs resize` on arrays: `.npy`, TIFF stacks, Zarr; block by block, all or nothing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import upsample_rs as us
from command_line import run
from upsample_rs.cli import main, volumes

zarr = pytest.importorskip("zarr")
tifffile = pytest.importorskip("tifffile")
RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run every test in a directory of its own, in blocks of a few elements."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(volumes, "BLOCK_BYTES", 2000)


def save(name, x):
    if name.endswith(".npy"):
        np.save(name, x)
    elif name.endswith(".zarr"):
        zarr.create_array(store=name, data=x, chunks=tuple(-(-n // 3) for n in x.shape))
    else:
        tifffile.imwrite(name, x, photometric="minisblack")


def load(name):
    if name.endswith(".npy"):
        return np.load(name)
    if name.endswith(".zarr"):
        return zarr.open_array(name, mode="r")[:]
    return tifffile.imread(name)


@pytest.mark.parametrize("target", ["out.npy", "out.zarr", "out.tif"])
@pytest.mark.parametrize("source", ["in.npy", "in.zarr", "in.tif"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_every_kind_into_every_other(source, target, dtype):
    x = (RNG.random((7, 20, 24)) * 200).astype(dtype)
    save(source, x)
    assert main(["resize", source, target, "--scale", "2"]) == 0
    np.testing.assert_array_equal(load(target), us.resize(x, scale=2, axes=(1, 2)))
    assert main(["resize", source, target, "--size", "5x9x30", "--axes", "0,1,2"]) == 0
    np.testing.assert_array_equal(load(target), us.resize(x, (5, 9, 30)))
    assert sorted(p.name for p in Path().iterdir()) == [source, target]


@pytest.mark.parametrize("mode", ["nearest", "bicubic", "lanczos", "area", "hamming"])
def test_modes(mode):
    x = RNG.random((3, 31, 17))
    np.save("in.npy", x)
    assert main(["resize", "in.npy", "out.npy", "--scale", "1.7", "--mode", mode]) == 0
    from upsample_rs.cli.resize import options_of

    options = options_of(mode) | {"axes": (1, 2)}
    np.testing.assert_array_equal(np.load("out.npy"), us.resize(x, scale=(1.7, 1.7), **options))


def test_a_matrix_and_a_row():
    np.save("in.npy", np.arange(12.0).reshape(3, 4))
    assert main(["resize", "in.npy", "out.npy", "--size", "6x8"]) == 0
    assert np.load("out.npy").shape == (6, 8)
    np.save("in.npy", np.arange(5.0))
    assert main(["resize", "in.npy", "out.npy", "--size", "10"]) == 0
    assert np.load("out.npy").shape == (10,)


def test_colour_stacks():
    x = RNG.integers(0, 256, (5, 12, 10, 3), np.uint8)
    tifffile.imwrite("in.tif", x, photometric="rgb")
    assert main(["resize", "in.tif", "out.tif", "--scale", "2"]) == 0
    np.testing.assert_array_equal(tifffile.imread("out.tif"), us.resize(x, scale=2, axes=(1, 2)))


REFUSED = {
    "resize in.npy out.npy --scale 2 --axes 5": "--axes 5: the array has 3 axes, (4, 5, 6)",
    "resize in.npy out.npy --scale 2 --axes x": "must be numbers of axes, such as 0,1",
    "resize in.npy out.npy --size 3x4x5": "--size 3x4x5: must have one length for each of axes",
    "resize in.npy out.npy --scale 1e-9": "scale[0] = ",
    "resize in.npy out.png --scale 2": "the name must end in .npy, .zarr",
    "resize none.npy out.npy --scale 2": "cannot read 'none.npy'",
    "resize bad.npy out.npy --scale 2": "cannot read 'bad.npy'",
    "resize objects.npy out.npy --scale 2": "cannot read 'objects.npy'",
    "resize in.npy folder/out.npy --scale 2": "there is no directory",
    "resize in.npy taken.zarr --scale 2": "it is there and no Zarr store",
    "resize in.png out.npy --scale 2": "cannot read 'in.png'",
    "resize empty.npy out.npy --scale 2": "'empty.npy' has no elements: (0, 4)",
    "resize bools.npy out.npy --scale 2": "x.dtype = bool",
}


@pytest.mark.parametrize("words", REFUSED)
def test_refusals_are_one_line_and_leave_nothing(words, capsys):
    np.save("in.npy", RNG.random((4, 5, 6)))
    np.save("bools.npy", np.ones((4, 5), bool))
    np.save("empty.npy", np.ones((0, 4)))
    np.save("objects.npy", np.array([None, {}]), allow_pickle=True)
    Path("bad.npy").write_bytes(b"nothing")
    Path("in.png").write_bytes(b"nothing")
    Path("taken.zarr").mkdir()
    before = sorted(Path().iterdir())
    assert main(words.split()) == 2
    err = capsys.readouterr().err
    assert REFUSED[words] in err and err.count("\n") == 1, err
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("target", ["out.npy", "out.zarr", "out.tif"])
@pytest.mark.parametrize("there", [False, True])
def test_an_interrupted_run_leaves_what_was_there(target, there, monkeypatch):
    save("in.npy", RNG.random((9, 20, 20)))
    old = RNG.random((2, 3, 4))
    if there:
        save(target, old)
    made = []

    def resize(x, **options):
        made.append(x)
        if len(made) > 6:
            raise KeyboardInterrupt
        return us.resize(x, **options)

    class Engine:
        pass

    Engine.resize = staticmethod(resize)
    monkeypatch.setattr(volumes, "us", Engine)
    assert main(["resize", "in.npy", target, "--scale", "2"]) == 130
    assert len(made) == 7
    assert sorted(p.name for p in Path().iterdir()) == ["in.npy"] + [target] * there
    if there:
        np.testing.assert_array_equal(load(target), old)


def test_a_killed_run_leaves_no_file_of_that_name():
    np.save("in.npy", np.zeros((64, 1024, 1024), np.float32))
    command = [sys.executable, "-m", "upsample_rs", "resize", "in.npy", "out.npy", "--scale", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(Path().glob(".upsample-rs-*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(Path().glob(".upsample-rs-*")) and not Path("out.npy").exists()


def test_a_volume_streams(tmp_path):
    """Far less memory than the arrays have: 64 MB in, 256 MB out."""
    np.lib.format.open_memmap("in.npy", mode="w+", dtype=np.float32, shape=(64, 512, 512)).flush()
    program = (
        "import resource, sys; from upsample_rs.cli import main, volumes;"
        "volumes.BLOCK_BYTES = 8 << 20; import zarr;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "assert main(['resize', 'in.npy', 'out.zarr', '--scale', '2']) == 0;"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout.split()[-1]) < 150 << 10, done.stdout
    assert zarr.open_array("out.zarr", mode="r").shape == (64, 1024, 1024)


def test_the_program_itself():
    np.save("in.npy", np.arange(24.0).reshape(2, 3, 4))
    done = run("resize", "in.npy", "out.npy", "--scale", "2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def refused(words, capsys):
    assert main(["resize", *words, "--scale", "2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_cannot_be_read_or_written(capsys, monkeypatch):
    x = np.ones((4, 5, 6), np.float32)
    np.save("in.npy", x)
    Path("out.npy").mkdir()
    assert "it is not a regular file" in refused(["in.npy", "out.npy"], capsys)
    with tifffile.TiffWriter("pages.tif") as pages:
        pages.write(x[0])
        pages.write(x[0, :2])
    assert "its pages have several shapes" in refused(["pages.tif", "made.npy"], capsys)
    zarr.create_group(store="group.zarr").create_array("a", shape=(4,), dtype="f4")
    assert "it is a group" in refused(["group.zarr", "made.npy"], capsys)
    np.save("row.npy", np.ones(5, np.float32))
    assert main(["resize", "row.npy", "made.tif", "--scale", "2", "--axes", "0"]) == 2
    assert "a TIFF has two axes at least, not 1" in capsys.readouterr().err
    Path("bad.tif").write_bytes(b"no TIFF at all")
    assert "cannot read 'bad.tif'" in refused(["bad.tif", "made.npy"], capsys)

    def fails(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(volumes, "write", fails)
        assert "cannot write 'made.npy': No space left" in refused(["in.npy", "made.npy"], capsys)
    with monkeypatch.context() as patch:

        def strange(*_, **__):
            raise AttributeError("of a library's own")

        patch.setattr(tifffile, "TiffFile", strange)
        assert "cannot read 'bad.tif'" in refused(["bad.tif", "made.npy"], capsys)
    with monkeypatch.context() as patch:
        patch.setattr(volumes.os, "access", lambda *_: False)
        assert "permission denied" in refused(["in.npy", "made.npy"], capsys)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "zarr", None)
        assert "zarr" in refused(["in.npy", "made.zarr"], capsys)
    assert not list(Path().glob("made*"))


def test_chunks_of_a_zarr_input_are_kept():
    x = np.ones((2, 200, 200), np.float32)
    zarr.create_array(store="in.zarr", data=x, chunks=(1, 150, 150))
    assert main(["resize", "in.zarr", "out.zarr", "--scale", "0.5"]) == 0
    assert zarr.open_array("out.zarr", mode="r").chunks == (1, 100, 100)
