"""Picture files in and out: formats, depths, orientations, transparency."""

from __future__ import annotations

import os
import stat
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from upsample_rs.cli import main, output, pictures, resize
from upsample_rs.cli.errors import CommandError
from upsample_rs.cli.output import check_output, write_picture
from upsample_rs.cli.pictures import Picture, read_picture, turned
from upsample_rs.cli.sheet import line

RNG = np.random.default_rng(21)
PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
WHOLE = [(0, 0, 1, 1)]
ADAM7 = [
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
    *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
]


def noise(shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def assert_same(pixels, expected):
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)


def png16(pixels, interlaced=False, transparent=b""):
    """Lay out a 16-bit PNG without filters, independently of the package."""

    def chunk(name, body):
        sealed = name + body
        return struct.pack(">I", len(body)) + sealed + struct.pack(">I", zlib.crc32(sealed))

    height, width, channels = pixels.shape
    rows = b""
    for top, left, down, right in ADAM7 if interlaced else WHOLE:
        for row in pixels[top::down, left::right].astype(">u2"):
            rows += b"\0" + row.tobytes() if row.size else b""
    kind = PNG_COLOUR_TYPES[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, interlaced)
    body = chunk(b"IHDR", head) + (chunk(b"tRNS", transparent) if transparent else b"")
    body += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff16(pixels, order, *, packed=False, photometric=None, extra=2, planar=1):
    """Lay out a 16-bit TIFF in one strip, independently of the package."""
    height, width, channels = pixels.shape
    data = pixels.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if packed else data
    if photometric is None:
        photometric = 2 if channels > 1 else 1
    shorts = {258: [16] * channels, 259: [8 if packed else 1], 262: [photometric]}
    shorts |= {277: [channels], 284: [planar]} | ({338: [extra]} if channels == 4 else {})
    longs = {256: [width], 257: [height], 273: [8], 278: [height], 279: [len(data)]}
    fields = {tag: (3, "H", values) for tag, values in shorts.items()}
    fields |= {tag: (4, "I", values) for tag, values in longs.items()}
    directory = 8 + len(data)
    entries, far = b"", b""
    for tag, (kind, letter, values) in sorted(fields.items()):
        body = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(body) > 4:
            place = directory + 2 + 12 * len(fields) + 4 + len(far)
            far, body = far + body, struct.pack(f"{order}I", place)
        entries += struct.pack(f"{order}HHI4s", tag, kind, len(values), body)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, directory)
    return head + data + struct.pack(f"{order}H", len(fields)) + entries + bytes(4) + far


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run every test in a directory of its own."""
    monkeypatch.chdir(tmp_path)


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (70, 33)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("interlaced", [False, True])
def test_16_bit_png_is_read_whole(shape, channels, interlaced):
    pixels = noise((*shape, channels), np.uint16)
    Path("in.png").write_bytes(png16(pixels, interlaced))
    assert_same(read_picture("in.png").pixels, pixels)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_tiff_is_read_whole(order, packed, channels):
    pixels = noise((40, 31, channels), np.uint16)
    Path("in.tif").write_bytes(tiff16(pixels, order, packed=packed))
    assert_same(read_picture("in.tif").pixels, pixels)


@pytest.mark.parametrize("packed", [False, True])
def test_16_bit_tiff_in_which_0_is_white(packed):
    pixels = noise((10, 10, 1), np.uint16)
    Path("in.tif").write_bytes(tiff16(pixels, "<", packed=packed, photometric=0))
    np.testing.assert_array_equal(read_picture("in.tif").pixels, 65535 - pixels)


@pytest.mark.parametrize(
    ("words", "channels"),
    [
        ({"photometric": 5}, 4),
        ({"extra": 1}, 4),
        ({"planar": 2}, 3),
        ({"planar": 2, "packed": True}, 3),
    ],
)
def test_16_bit_tiff_of_other_kinds_is_refused(words, channels):
    Path("in.tif").write_bytes(tiff16(noise((8, 8, channels), np.uint16), "<", **words))
    with pytest.raises(CommandError, match=r"cannot read 'in.tif'"):
        read_picture("in.tif")


@pytest.mark.parametrize("packed", [False, True])
def test_16_bit_tiff_with_a_channel_that_means_nothing(packed):
    pixels = noise((8, 8, 4), np.uint16)
    Path("in.tif").write_bytes(tiff16(pixels, "<", packed=packed, extra=0))
    np.testing.assert_array_equal(read_picture("in.tif").pixels, pixels[..., :3])


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_with_a_transparent_colour(channels):
    pixels = noise((6, 7, channels), np.uint16)
    colour = pixels[2, 3]
    Path("in.png").write_bytes(png16(pixels, transparent=colour.astype(">u2").tobytes()))
    read = read_picture("in.png").pixels
    np.testing.assert_array_equal(read[..., :-1], pixels)
    expected = np.full((6, 7), 65535)
    expected[2, 3] = 0
    np.testing.assert_array_equal(read[..., -1], expected)


MODES = {
    "png": ["1", "L", "LA", "RGB", "RGBA", "P"],
    "tif": ["1", "L", "LA", "RGB", "RGBA", "P", "CMYK"],
    "webp": ["L", "RGB", "RGBA"],
    "jpg": ["L", "RGB", "CMYK", "YCbCr"],
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind in MODES for mode in MODES[kind]])
def test_every_mode_becomes_grey_or_rgb(kind, mode):
    Image.fromarray(noise((12, 9, 3))).convert(mode).save("in." + kind)
    pixels = read_picture("in." + kind).pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape[:2] == (12, 9)
    with Image.open("in." + kind) as stored:
        wanted = {"L": 1, "1": 1, "LA": 2, "RGBA": 4}.get(stored.mode, 3)
        assert pixels.shape[2] == wanted
        grey_or_rgb = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[wanted]
        expected = np.asarray(stored.convert(grey_or_rgb)).reshape(pixels.shape)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_becomes_alpha(mode):
    image = Image.new(mode, (4, 3))
    if mode == "P":
        image.putpalette(bytes(range(256)) * 3)
    image.putpixel((1, 1), (7, 7, 7) if mode == "RGB" else 7)
    image.save("in.png", transparency=(7, 7, 7) if mode == "RGB" else 7)
    pixels = read_picture("in.png").pixels
    assert pixels.shape[2] in (2, 4)
    assert np.argwhere(pixels[..., -1] == 0).tolist() == [[1, 1]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tif", "webp", "jpg"])
def test_pictures_are_turned_upright(orientation, kind):
    pixels = np.repeat(np.repeat(noise((2, 3)), 16, axis=0), 16, axis=1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if kind == "jpg" else {"lossless": True} if kind == "webp" else {}
    Image.fromarray(pixels).save("in." + kind, exif=exif, **options)
    read = read_picture("in." + kind).pixels[..., 0]
    # EXIF 2.32, 4.6.5.1: where the first row and the first column of the file are.
    expected = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.T,
        6: np.rot90(pixels, -1),
        7: np.rot90(pixels, 2).T,
        8: np.rot90(pixels),
    }[orientation]
    assert read.shape == expected.shape
    np.testing.assert_allclose(read, expected, atol=2 if kind == "jpg" else 0)


@pytest.mark.parametrize("orientation", [0, 9, None, "6", (1, 2)])
def test_an_orientation_that_is_none_is_ignored(orientation):
    pixels = noise((2, 3, 1))
    np.testing.assert_array_equal(turned(pixels, orientation), pixels)


# --- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (13, 7), (600, 5)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_what_is_written_is_read(shape, channels, dtype, kind):
    profile = bytes(range(256))
    picture = Picture(noise((*shape, channels), dtype), profile)
    write_picture("out." + kind, picture)
    read = read_picture("out." + kind)
    if (channels, dtype, kind) == (2, np.uint16, "tif"):
        assert_same(read.pixels, picture.pixels[..., [0, 0, 0, 1]])
    else:
        assert_same(read.pixels, picture.pixels)
        assert read.icc_profile == profile


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_webp_is_lossless(channels):
    pixels = noise((13, 7, channels))
    write_picture("out.webp", Picture(pixels))
    rgb = pixels if channels > 2 else pixels[..., [0, 0, 0, 1][: channels + 2]]
    np.testing.assert_array_equal(read_picture("out.webp").pixels, rgb)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_jpeg_drops_an_alpha_that_says_nothing(channels):
    pixels = np.full((16, 16, channels), 200, np.uint8)
    if channels in (2, 4):
        pixels[..., -1] = 255
    write_picture("out.jpg", Picture(pixels))
    read = read_picture("out.jpg").pixels
    np.testing.assert_allclose(read, pixels[..., : read.shape[2]], atol=2)
    assert read.shape[2] == {1: 1, 2: 1, 3: 3, 4: 3}[channels]


@pytest.mark.peer
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_other_readers_agree(channels):
    cv2 = pytest.importorskip("cv2")
    pixels = noise((30, 20, channels), np.uint16)
    for name in ("out.png", "out.tif"):
        write_picture(name, Picture(pixels))
        other = cv2.imread(name, cv2.IMREAD_UNCHANGED).reshape(pixels.shape)
        np.testing.assert_array_equal(
            other, pixels[..., [2, 1, 0, 3][:channels]] if channels > 1 else pixels
        )


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and links")
def test_permissions_and_links_are_kept():
    picture = Picture(noise((4, 4, 3)))
    old = os.umask(0o027)
    try:
        write_picture("new.png", picture)
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat("new.png").st_mode) == 0o640
    Path("old.png").write_bytes(b"before")
    os.chmod("old.png", 0o604)
    os.symlink("old.png", "link.png")
    write_picture("link.png", picture)
    assert Path("link.png").is_symlink()
    assert stat.S_IMODE(os.stat("old.png").st_mode) == 0o604
    np.testing.assert_array_equal(read_picture("old.png").pixels, picture.pixels)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX special files")
def test_special_files_are_left_alone():
    os.mkfifo("pipe.png")
    with pytest.raises(CommandError, match="not a regular file"):
        check_output("pipe.png")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 300 + ".png"])
def test_impossible_names(name):
    with pytest.raises(CommandError, match="cannot write"):
        write_picture(name, Picture(noise((4, 4, 3))))


def test_modes_that_are_no_samples_are_refused():
    Image.new("LAB", (4, 4)).save("lab.tif")
    with pytest.raises(CommandError, match="samples stored as Pillow's LAB"):
        read_picture("lab.tif")


def test_metadata_beyond_repair_is_no_reason_to_refuse():
    class Strange:
        def getexif(self):
            raise SyntaxError("not TIFF metadata")

    assert pictures.orientation(Strange()) == 1


def test_reading_without_a_standard_error(monkeypatch):
    Image.new("RGB", (4, 3), (1, 2, 3)).save("in.png")

    def closed(_):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(pictures.os, "dup", closed)
    assert read_picture("in.png").pixels.shape == (3, 4, 3)


def test_a_disk_that_fills_up_is_named(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output, "replace", full)
    with pytest.raises(CommandError, match="cannot write 'out.png': No space left on device"):
        write_picture("out.png", Picture(np.zeros((2, 2, 3), np.uint8), None))


def test_a_long_name_is_cut_short():
    def drawn(text, width):
        sheet = Image.new("RGB", (300, 20), "white")
        line(ImageDraw.Draw(sheet), (0, 0), text, 12, "black", width)
        return np.asarray(sheet)

    name = "a name far too long for the room it has"
    cut = [drawn(name[:n] + "...", 300) for n in range(len(name))]
    (kept,) = [n for n, whole in enumerate(cut) if np.array_equal(drawn(name, 60), whole)]
    font = ImageFont.load_default(12)
    assert font.getlength(name[:kept] + "...") <= 60 < font.getlength(name[: kept + 1] + "...")


def test_compare_says_that_only_the_first_of_several_pictures_is_used(capsys):
    frames = [Image.new("RGB", (24, 20), colour) for colour in ("red", "blue")]
    frames[0].save("in.tif", save_all=True, append_images=frames[1:])
    words = ["compare", "in.tif", "--methods", "nearest", "-o", "out.png"]
    assert main(words) == 0
    assert "'in.tif' holds 2 pictures; only the first is used" in capsys.readouterr().err


def test_what_resizing_refuses_is_one_line(monkeypatch, capsys):
    Image.new("RGB", (4, 3)).save("in.png")

    def refuses(*_):
        raise ValueError("resize: size[0] = 7: must be something else")

    monkeypatch.setattr(resize, "resized", refuses)
    assert main(["resize", "in.png", "out.png", "--scale", "2"]) == 2
    (line_of_it,) = capsys.readouterr().err.splitlines()
    assert line_of_it.endswith("resize: size[0] = 7: must be something else")
