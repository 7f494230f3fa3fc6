"""How the command line fails: one line, exit status 2, and every file as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import upsample_rs as us
from command_line import run, save
from upsample_rs.cli import main
from upsample_rs.cli.output import write_picture
from upsample_rs.cli.pictures import Picture


def complaint(capsys):
    """Return the one line a failed command printed, without its prefix."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("upsample-rs: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("upsample-rs: ").rstrip("\n")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run every test in a directory of its own."""
    monkeypatch.chdir(tmp_path)


def damaged(name, keep):
    """Write the first part of a picture file."""
    save("whole" + Path(name).suffix, (64, 64, 3))
    content = Path("whole" + Path(name).suffix).read_bytes()
    Path(name).write_bytes(content[: int(len(content) * keep)])


def broken(name):
    """Write a TIFF of which libtiff complains by itself."""
    save(name, (64, 64), compression="tiff_adobe_deflate")
    content = bytearray(Path(name).read_bytes())
    content[600:700] = bytes(100)
    Path(name).write_bytes(content)


def bomb(name):
    """Write a PNG that declares 60000 x 60000 pixels."""
    save("small.png")
    content = bytearray(Path("small.png").read_bytes())
    content[16:24] = (60000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    Path(name).write_bytes(content)


BAD_INPUT = {
    "missing.png": (lambda name: None, "No such file"),
    "directory.png": (lambda name: Path(name).mkdir(), "directory"),
    "empty.png": (lambda name: Path(name).write_bytes(b""), "the file is empty"),
    "text.png": (lambda name: Path(name).write_text("no picture\n" * 99), "not a PNG"),
    "odd.gif": (lambda name: Image.new("P", (9, 9)).save(name), "not a PNG"),
    "float.tif": (lambda name: Image.new("F", (9, 9)).save(name), "samples stored as"),
    "cut.png": (lambda name: damaged(name, 0.5), ""),
    "cut.jpg": (lambda name: damaged(name, 0.5), "truncated"),
    "cut.webp": (lambda name: damaged(name, 0.5), ""),
    "cut.tif": (lambda name: damaged(name, 0.5), ""),
    "head.png": (lambda name: damaged(name, 0.01), ""),
    "head.tif": (lambda name: damaged(name, 0.001), "not a PNG"),
    "broken.tif": (broken, "damaged"),
    "bomb.png": (bomb, "exceeds limit"),
    "new\nline.png": (lambda name: None, "No such file"),
}


@pytest.mark.parametrize("command", ["compare", "resize"])
@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_line(name, command, capfd):
    make, why = BAD_INPUT[name]
    make(name)
    Path("out.png").write_bytes(b"before")
    words = [name, "-o", "out.png"] if command == "compare" else [name, "out.png", "--scale", "2"]
    assert main([command, *words]) == 2
    line = complaint(capfd)
    assert line.startswith(f"cannot read {name!r}: ")
    assert why in line
    assert Path("out.png").read_bytes() == b"before"
    assert not list(Path().glob(".upsample-rs-*"))


BAD_WORDS = {
    "": "required",
    "dance": "invalid choice: 'dance'",
    "compare in.png extra": "unrecognized arguments: extra",
    "compare in.png --scale 1": "a whole number from 2 to 64, not '1'",
    "compare in.png --scale 2.5": "not '2.5'",
    "compare in.png --scale 99999999999999": "from 2 to 64",
    "compare in.png --methods nearest,best": "no technique 'best'",
    "compare in.png --methods ,": "no technique ''",
    "compare in.png -o out.bmp": "the name must end in .png",
    "compare in.png -o nowhere/out.png": "there is no directory",
    "compare in.png -o directory.png": "not a regular file",
    "compare in.png -o /dev/null": "the name must end in",
    "tour now": "unrecognized",
    "resize in.png out.png": "one of the arguments --scale --size is required",
    "resize in.png": "required: OUT",
    "resize in.png out.png --scale 2 --size 4x4": "not allowed with",
    "resize in.png out.png --scale 0": "a number above 0, not '0'",
    "resize in.png out.png --scale -1": "above 0, not '-1'",
    "resize in.png out.png --scale nan": "not 'nan'",
    "resize in.png out.png --scale inf": "not 'inf'",
    "resize in.png out.png --scale two": "not 'two'",
    "resize in.png out.png --scale 1e-9": "leaves no pixel of 12x10",
    "resize in.png out.png --scale 1e9": "too many",
    "resize in.png out.png --scale 1e308": "too many",
    "resize in.png out.png --size 0x4": "must be HEIGHTxWIDTH",
    "resize in.png out.png --size 4": "must be HEIGHTxWIDTH",
    "resize in.png out.png --size 4x-4": "must be HEIGHTxWIDTH",
    "resize in.png out.png --size 99999x99999": "too many",
    "resize in.png out.png --scale 2 --mode cubic-ish": "invalid choice: 'cubic-ish'",
    "resize in.png out.png --size 4x4 --antialias --mode nearest": "needs a --mode with a filter",
    "resize in.png out.png --sca 2": "--sca",
    "resize in.png out --scale 2": "the name must end in",
    "resize in.png out.gif --scale 2": "the name must end in",
    "resize in.png out.webp --size 1x20000": "WEBP holds at most 16383",
    "resize in.png out.jpg --size 70000x1": "JPEG holds at most 65500",
    "resize deep.png out.jpg --scale 2": "JPEG holds 8 bits",
    "resize deep.png out.webp --scale 2": "WEBP holds 8 bits",
    "resize clear.png out.jpg --scale 2": "JPEG holds no transparency",
}


@pytest.mark.parametrize("words", BAD_WORDS)
def test_bad_words_are_one_line(words, capfd):
    save("in.png")
    Path("directory.png").mkdir()
    Image.new("RGBA", (4, 4), (9, 9, 9, 9)).save("clear.png")
    write_picture("deep.png", Picture(np.zeros((4, 4, 3), np.uint16)))
    places = ["out.png", "out.jpg", "out.webp"]
    for place in places:
        Path(place).write_bytes(b"before")
    assert main(words.split()) == 2
    assert BAD_WORDS[words] in complaint(capfd)
    assert all(Path(place).read_bytes() == b"before" for place in places)


def test_failure_in_a_process_of_its_own():
    done = run("resize", "missing.png", "out.png", "--scale", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("upsample-rs: cannot read 'missing.png': No such file or directory\n")


@pytest.mark.parametrize("forbidden", ["out.png", "."])
def test_forbidden_output(forbidden, capsys, monkeypatch):
    save("in.png")
    Path("out.png").write_bytes(b"before")
    place = Path(forbidden).resolve()
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != place
    )  # root may do anything
    assert main(["resize", "in.png", "out.png", "--scale", "2"]) == 2
    assert complaint(capsys) == "cannot write 'out.png': permission denied"
    assert Path("out.png").read_bytes() == b"before"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.tif", "out.webp"])
def test_a_full_disk_leaves_the_old_file(name):
    import resource

    save("in.png", (50, 50, 3))
    Path(name).write_bytes(b"before")
    done = run(
        *("resize", "in.png", name, "--scale", "4"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"upsample-rs: cannot write {name!r}: ")
    assert done.stderr.count("\n") == 1
    assert Path(name).read_bytes() == b"before"
    assert not list(Path().glob(".upsample-rs-*"))


@pytest.mark.parametrize(
    "command", ["compare in.png -o out.png", "resize in.png out.png --scale 2"]
)
def test_ctrl_c_leaves_the_old_file(command, capsys, monkeypatch):
    def interrupted(self, file, **options):
        file.write(b"half a picture")
        raise KeyboardInterrupt

    save("in.png")
    Path("out.png").write_bytes(b"before")
    monkeypatch.setattr(Image.Image, "save", interrupted)
    assert main(command.split()) == 130
    assert capsys.readouterr().err == "upsample-rs: interrupted\n"
    assert Path("out.png").read_bytes() == b"before"
    assert not list(Path().glob(".upsample-rs-*"))


def test_no_memory_is_one_line(capsys, monkeypatch):
    def starved(*_, **__):
        raise MemoryError

    save("in.png")
    monkeypatch.setattr(us, "resize", starved)
    assert main(["resize", "in.png", "out.png", "--scale", "2"]) == 2
    assert "not enough memory" in complaint(capsys)


@pytest.mark.parametrize("missing", ["PIL", "rich"])
@pytest.mark.parametrize("command", ["compare", "tour", "resize a.png b.png --scale 2"])
def test_missing_extra_is_one_line(command, missing):
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"from upsample_rs.cli import main; sys.exit(main({command.split()!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "upsample-rs: this needs pillow and rich: pip install 'upsample-rs[cli]'\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_leaves_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = run("tour", capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
