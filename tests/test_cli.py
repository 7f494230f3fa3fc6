"""The command line: what it prints and what it writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import upsample_rs as us
from command_line import RNG, run, save
from upsample_rs.cli import main
from upsample_rs.cli.examples import EXAMPLES, POOLED
from upsample_rs.cli.output import write_picture
from upsample_rs.cli.pictures import Picture, read_picture
from upsample_rs.cli.techniques import TECHNIQUES, extend, reduce

PHOTOGRAPH = Path(us.__file__).parent / "data" / "chelsea.png"

# API.md, section 6.
WORKED = [
    [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]],
    [[10, 12, 17, 20], [15, 17, 22, 25], [25, 27, 32, 35], [30, 32, 37, 40]],
    [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]],
    ([[4, 4], [4, 4]], [[5, 2], [9, 14]]),
    [[0, 0, 2, 0], [0, 1, 0, 0], [0, 3, 0, 0], [0, 0, 4, 0]],
    [[5, 15, 10], [20, 50, 30], [15, 35, 20]],
    (3, 3, 1),
    3,
    3,
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run every test in a directory of its own."""
    monkeypatch.chdir(tmp_path)


# --- compare ------------------------------------------------------------------------------------


def test_compare_shows_the_photograph():
    done = run("compare")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for technique in TECHNIQUES:
        row = rf"{re.escape(technique.title)} +\(300, 452, 3\) +[\d.]+ (s|ms|us) +[\d.]+ dB"
        assert re.search(row, done.stdout)
    with Image.open("upsample-rs-compare.png") as sheet:
        assert sheet.mode == "RGB"
        assert min(sheet.size) > 1000


def test_compare_takes_image_scale_methods_and_output(capsys):
    save("in.jpg", (30, 41, 3))
    words = ["compare", "in.jpg", "--scale", "3", "--methods", "bilinear,nearest", "-o", "out.webp"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.index("bilinear  ") < printed.index("nearest  ")
    assert printed.count("(30, 42, 3)") == 2
    assert "bed of nails" not in printed
    with Image.open("out.webp") as sheet:
        assert sheet.format == "WEBP"


@pytest.mark.parametrize("scale", [2, 3, 7, 64])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (9, 500), (64, 64)])
def test_compare_takes_every_size(size, scale):
    save("in.png", size)
    assert main(["compare", "in.png", "--scale", str(scale), "-o", "out.png"]) == 0
    with Image.open("out.png") as sheet:
        sheet.load()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_compare_takes_every_kind(dtype, channels):
    pixels = RNG.integers(0, np.iinfo(dtype).max, (20, 30, channels), dtype=dtype)
    write_picture("in.png", Picture(pixels))
    assert main(["compare", "in.png", "-o", "out.png"]) == 0


def test_techniques_bring_back_the_size():
    picture = extend(RNG.random((11, 13, 3), np.float32), 3)
    reduced = reduce(picture, 3)
    for technique in TECHNIQUES:
        assert technique.restore(reduced).shape == picture.shape


@pytest.mark.parametrize("scale", [2, 3, 4, 5])
def test_transposed_convolution_with_a_tent_is_bilinear_inside(scale):
    reduced = reduce(RNG.random((8 * scale, 6 * scale, 3), np.float32), scale)
    restored = {technique.name: technique.restore(reduced) for technique in TECHNIQUES}
    inside = (slice(scale, -scale), slice(scale, -scale))
    np.testing.assert_allclose(
        restored["conv-transpose"][inside], restored["bilinear"][inside], atol=1e-6
    )
    np.testing.assert_allclose(restored["conv-transpose"], restored["nails-conv"], atol=1e-6)


def test_equal_pictures_have_no_finite_psnr(capsys):
    Image.new("L", (8, 8), 255).save("in.png")
    assert main(["compare", "in.png", "--scale", "2", "--methods", "nearest"]) == 0
    assert re.search(r"nearest .* equal", capsys.readouterr().out)


# --- tour ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("example", "expected"), list(zip(EXAMPLES, WORKED, strict=True)))
def test_tour_computes_the_worked_examples(example, expected):
    result = example().result
    if example.__name__ == "convolution":
        result = result.shape
    if example.__name__ == "max_pooling":
        result = tuple(part.tolist() for part in result)
    assert (result.tolist() if isinstance(result, np.ndarray) else result) == expected


def test_tour_calls_are_what_it_computes():
    names = {name: getattr(us, name) for name in us.__all__}
    names["indices"] = us.max_pool2d(POOLED, 2, return_indices=True)[1]
    for example in EXAMPLES:
        shown = example()
        if example.__name__ == "convolution":
            continue  # its x and weight are printed below the call
        np.testing.assert_equal(eval(shown.call, names), shown.result)


def test_tour_is_plain_text_where_there_is_no_terminal():
    done = run("tour", env=os.environ | {"COLUMNS": "20"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert not re.search(r" $", done.stdout, re.MULTILINE)
    for number in range(1, 10):
        assert f"{number}. " in done.stdout
    for line in [
        "3  3  4  4",
        "10 * 0.5625 + 20 * 0.1875 + 30 * 0.1875 + 40 * 0.0625 = 17.5, rounded down to 17",
        "3 [4] 2  3",  # where the maximum was
        "4 at (1, 1) stamps 4 times the kernel:",
        "[10][10]",  # a stamp
        "20  30  10",  # a running sum
        "20  50  30",
        "W = 5, K = 3, P = 0, S = 1: 1 + (5 - 3 + 2*0)/1 = 3",
    ]:
        assert line in done.stdout


def test_tour_is_coloured_on_a_terminal():
    assert "\x1b[" in run("tour", env=os.environ | {"FORCE_COLOR": "1", "TERM": "xterm"}).stdout


def test_running_sum_ends_in_the_result(capsys):
    assert main(["tour"]) == 0
    section = capsys.readouterr().out.split("6. ")[1].split("7. ")[0]
    last = section.split("sum so far")[-1]
    sums = [[int(word) for word in line.split()[-3:]] for line in last.splitlines()[1:4]]
    assert sums == WORKED[5]


# --- resize -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "lanczos", "area"]
)
@pytest.mark.parametrize(
    ("target", "options"),
    [
        (["--scale", "2"], {"scale_factor": (2.0, 2.0)}),
        (["--scale", "0.37"], {"scale_factor": (0.37, 0.37)}),
        (["--size", "7x31"], {"size": (7, 31)}),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_resize_is_interpolate(target, options, mode, dtype):
    pixels = RNG.integers(0, np.iinfo(dtype).max, (20, 33, 3), dtype=dtype)
    write_picture("in.tif", Picture(pixels))
    assert main(["resize", "in.tif", "out.png", *target, "--mode", mode]) == 0
    if mode == "area":  # torch's takes whole pixels, `resize` shares of them
        target = {"scale": options.get("scale_factor"), "size": options.get("size")}
        expected = us.resize(pixels, **target, axes=(0, 1), method="area")
    else:
        expected = us.interpolate(pixels, mode=mode, channels_last=True, **options)
    np.testing.assert_array_equal(read_picture("out.png").pixels, expected)


@pytest.mark.parametrize("mode", ["box", "hamming", "mitchell", "gaussian", "lanczos2"])
def test_resize_by_other_filters(mode):
    pixels = save("in.png", (40, 30, 3))
    words = ["resize", "in.png", "out.png", "--size", "17x50", "--mode", mode, "--antialias"]
    assert main(words) == 0
    expected = us.resize(pixels, (17, 50), axes=(0, 1), method=mode, antialias=True)
    np.testing.assert_array_equal(np.asarray(Image.open("out.png")), expected)


def test_resize_with_antialias():
    pixels = save("in.png", (40, 40))
    assert main(["resize", "in.png", "out.png", "--size", "7x9", "--antialias"]) == 0
    expected = us.interpolate(pixels, (7, 9), mode="bilinear", antialias=True)
    np.testing.assert_array_equal(np.asarray(Image.open("out.png")), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hidden_colour_does_not_bleed(dtype):
    peak = np.iinfo(dtype).max
    pixels = np.zeros((4, 4, 4), dtype)
    pixels[:, :2] = (0, peak, 0, 0)  # green, but transparent
    pixels[:, 2:] = (peak, 0, 0, peak)
    write_picture("in.png", Picture(pixels))
    assert main(["resize", "in.png", "out.png", "--scale", "3"]) == 0
    resized = read_picture("out.png").pixels
    assert resized.dtype == dtype
    shown = resized[..., 3] > 0
    assert (resized[shown][:, 0] == peak).all()
    assert (resized[shown][:, 1] == 0).all()
    np.testing.assert_array_equal(
        resized[..., 3],
        us.interpolate(pixels[..., 3], scale_factor=3, mode="bilinear"),
    )


def test_resize_in_place():
    pixels = save("a.png")
    assert main(["resize", "a.png", "a.png", "--scale", "2", "--mode", "nearest"]) == 0
    assert Image.open("a.png").size == (pixels.shape[1] * 2, pixels.shape[0] * 2)


def test_further_pictures_of_a_file_are_mentioned(capsys):
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save("in.webp", save_all=True, append_images=frames[1:])
    assert main(["resize", "in.webp", "out.png", "--scale", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.err == (
        "upsample-rs: note: 'in.webp' holds 2 pictures; only the first is resized\n"
    )


# --- around it -----------------------------------------------------------------------------------


def test_the_library_imports_neither_pillow_nor_rich():
    code = (
        "import sys, upsample_rs, upsample_rs.cli\n"
        "assert not {'PIL', 'rich'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    code = "import sys, upsample_rs\nassert 'upsample_rs.cli' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_help_and_version():
    for words in (["--help"], ["compare", "--help"], ["tour", "--help"], ["resize", "--help"]):
        done = run(*words)
        assert done.returncode == 0
        assert done.stdout.startswith("usage: upsample-rs")
    assert run("--version").stdout.strip() == f"upsample-rs {us.__version__}"


def test_the_photograph_is_small_and_its_origin_stated():
    assert PHOTOGRAPH.stat().st_size <= 300_000
    assert PHOTOGRAPH.name in (PHOTOGRAPH.parent / "README.md").read_text()
