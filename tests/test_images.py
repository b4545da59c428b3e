"""Pictures of all kinds become the same grey array, bad ones are refused by name."""

import contextlib
import io
import resource
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mnist_ops.errors import ConfigError, DataError
from mnist_ops.pictures.prepare import METHODS, prepare
from mnist_ops.pictures.read import FORMATS, read_image

GREY = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
LOSSLESS = ("PNG", "GIF", "BMP", "TIFF", "PPM")


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(folder: Path, raw: bytes) -> np.ndarray:
    path = folder / "picture"
    path.write_bytes(raw)
    return read_image(path).pixels


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_grey_picture_is_read_exactly(tmp_path, kind):
    array = read(tmp_path, encoded(Image.fromarray(GREY), kind))
    assert array.dtype == np.uint8
    assert np.array_equal(array, GREY)


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True}), ("JPEG", {"quality": 95})])
def test_a_picture_in_a_lossy_format_is_read_closely(tmp_path, kind, options):
    smooth = np.add.outer(np.arange(20) * 5, np.arange(30) * 5).astype(np.uint8)
    array = read(tmp_path, encoded(Image.fromarray(smooth), kind, **options))
    assert array.shape == (20, 30)
    assert np.abs(array.astype(int) - smooth).max() <= 4


def test_bilevel_palette_and_colour_pictures_become_grey(tmp_path):
    bilevel = Image.fromarray(GREY > 127)
    assert np.array_equal(read(tmp_path, encoded(bilevel)), (GREY > 127) * np.uint8(255))
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    for image in (red, red.quantize(4)):
        assert (read(tmp_path, encoded(image)) == 76).all()  # ITU-R 601: 0.299 * 255 = 76.2
    assert (read(tmp_path, encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "TIFF")) == 255).all()  # no ink
    assert (read(tmp_path, encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 255)), "TIFF")) == 0).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize(("values", "grey", "says"), [
    ([0, 1, 128, 255], [0, 1, 128, 255],
     ("is a 16-bit picture, but its values end at 255, so it is read as 8-bit",)),
    ([0, 256], [0, 1], ("is a 16-bit picture and nearly black: its brightest value is 256 of 65,535",)),
    ([0, 4095], [0, 16], ("is a 16-bit picture and nearly black: its brightest value is 4,095 of 65,535",)),
    ([0, 16384], [0, 64], ()),
], ids=["8 bits", "9 bits", "12 bits", "15 bits"])
def test_sixteen_bits_that_are_hardly_used_are_told(tmp_path, kind, values, grey, says):
    (tmp_path / "picture").write_bytes(encoded(Image.fromarray(np.array([values], np.uint16)), kind))
    found = read_image(tmp_path / "picture")
    assert found.pixels.tolist() == [grey]
    assert found.warnings == says


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    values = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    # v / 257, rounded: 128 is just below one half, 129 just above; 32896 / 257 = 128
    for kind in ("PNG", "TIFF"):
        assert read(tmp_path, encoded(Image.fromarray(values), kind)).tolist() == [[0, 0, 1, 1, 128, 255]]


@pytest.mark.parametrize("values", [np.full((2, 2), 70_000, np.int32), np.full((2, 2), -1, np.int32)])
def test_more_than_sixteen_bits_are_refused(tmp_path, values):
    with pytest.raises(DataError, match=r"picture: .*its pixels run from .* expected 0 to 65535"):
        read(tmp_path, encoded(Image.fromarray(values), "TIFF"))


def test_floating_point_pixels_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"picture: .*floating-point"):
        read(tmp_path, encoded(Image.new("F", (2, 2), 0.5), "TIFF"))


def test_what_is_transparent_is_laid_on_white(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = [0, 127, 255]  # black, ever less transparent
    assert read(tmp_path, encoded(Image.fromarray(pixels))).tolist() == [[255, 128, 0]]
    assert read(tmp_path, encoded(Image.fromarray(np.array([[7, 0]], np.uint8)), transparency=7)).tolist() == [[255, 0]]
    palette = Image.new("P", (1, 2), 1)
    palette.putpalette([10, 10, 10, 20, 20, 20])
    palette.putpixel((0, 0), 0)
    assert read(tmp_path, encoded(palette, transparency=1)).tolist() == [[10], [255]]
    sixteen = Image.fromarray(np.array([[7, 0]], np.uint16))
    assert read(tmp_path, encoded(sixteen, transparency=7)).tolist() == [[255, 0]]


@pytest.mark.parametrize("opaque", [255, 128, 30, 1])
def test_light_ink_is_laid_on_black_however_translucent_it_is(tmp_path, opaque):
    pixels = np.zeros((10, 10, 4), np.uint8)  # black where nothing is to be seen, as programs leave it
    pixels[2:8, 4:6] = (250, 255, 250, opaque)
    array = read(tmp_path, encoded(Image.fromarray(pixels)))
    assert array[0, 0] == 0
    assert abs(int(array[5, 5]) - opaque) <= 2
    pixels[..., :3] = 255 - pixels[..., :3]
    array = read(tmp_path, encoded(Image.fromarray(pixels)))
    assert array[0, 0] == 255
    assert abs(int(array[5, 5]) - (255 - opaque)) <= 2


def test_what_is_wholly_transparent_is_refused_rather_than_blank(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[1:3, 1:3, :3] = 200  # there, and never to be seen
    with pytest.raises(DataError, match=r"picture: cannot be read as a picture \(it is fully transparent"):
        read(tmp_path, encoded(Image.fromarray(pixels)))


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(1, GREY), (2, GREY[:, ::-1]), (3, GREY[::-1, ::-1]), (6, np.rot90(GREY, -1)), (8, np.rot90(GREY))],
)
def test_a_picture_taken_sideways_is_turned_upright(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(read(tmp_path, encoded(Image.fromarray(GREY), exif=exif)), turned)


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.new("L", (5, 5), shade) for shade in (10, 200)]
    for kind, what in (("GIF", "frame"), ("PNG", "frame"), ("TIFF", "page")):
        (tmp_path / "picture").write_bytes(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
        found = read_image(tmp_path / "picture")
        assert (found.pixels == 10).all()
        assert found.warnings == (f"has more than one {what}; only the first is read",)
        (tmp_path / "picture").write_bytes(encoded(frames[0], kind))
        assert read_image(tmp_path / "picture").warnings == ()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_that_is_cut_off_is_refused_by_name(tmp_path, kind):
    raw = encoded(Image.fromarray(GREY), kind)
    for length in (len(raw) // 2, 10, 0):
        with pytest.raises(DataError, match=r"picture: cannot be read as a picture .*Save it again, or move it"):
            read(tmp_path, raw[:length])


@pytest.mark.parametrize(
    "raw",
    [b"<html>404</html>", b"%!PS-Adobe-3.0 EPSF-3.0\n"],
    ids=["html", "eps"],
)
def test_other_files_are_refused_by_name(tmp_path, raw):
    with pytest.raises(DataError, match=r"picture: cannot be read as a picture .*expected an intact PNG, JPEG"):
        read(tmp_path, raw)


def memory() -> int:
    """The most that this process has had so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def huge_png(width: int, height: int, *, bits: int = 8, data: bytes = zlib.compress(b""),
             chunk: tuple[bytes, bytes] | None = None) -> bytes:
    """A grey PNG that claims to be of that size, with these packed rows, which may not be there, and another chunk."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    if chunk is not None:
        chunks.insert(1, chunk)
    body = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize("side", [5_100, 10_000, 60_000])  # above our limit, Pillow's warning, Pillow's error
def test_a_picture_that_would_fill_the_memory_is_refused_by_name(tmp_path, side):
    with pytest.raises(DataError, match=r"picture: the picture is too large: .*the limit is 25,000,000 pixels"):
        read(tmp_path, huge_png(side, side))


def test_a_whole_picture_of_20000_by_20000_is_refused_by_name_without_being_unpacked(tmp_path):
    """Fifty megabytes of black in fifty kilobytes, all there; as one value per pixel it would be 400 megabytes."""
    rows = zlib.compress((b"\x00" + bytes(2500)) * 20_000)
    raw = huge_png(20_000, 20_000, bits=1, data=rows)
    before, start = memory(), time.process_time()
    with pytest.raises(DataError, match=r"picture: the picture is too large: .*the limit is 25,000,000 pixels"):
        read(tmp_path, raw)
    assert len(raw) < 100_000
    assert memory() - before < 10**8
    assert time.process_time() - start < 1


def test_a_picture_of_the_largest_size_is_read_within_time_and_memory(tmp_path):
    raw = huge_png(5000, 5000, bits=8, data=zlib.compress((b"\x00" + b"\x80" * 5000) * 5000))
    before = memory()
    array = read(tmp_path, raw)
    assert array.shape == (5000, 5000)
    assert (array == 128).all()
    assert memory() - before < 5 * 10**8


def test_a_phones_photo_of_48_million_pixels_is_decoded_at_half_its_sides(tmp_path):
    photo = Image.new("RGB", (8064, 6048), (90, 90, 90))
    photo.paste((200, 200, 200), (4032, 0, 8064, 6048))
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = encoded(photo, "JPEG", exif=exif)
    before = memory()
    array = read(tmp_path, raw)
    assert array.shape == (4032, 3024)  # by its EXIF data
    assert abs(int(array[10, 10]) - 90) <= 2
    assert abs(int(array[-10, 10]) - 200) <= 2
    assert memory() - before < 5 * 10**8


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "GIF"])
def test_strips_meet_without_a_seam(tmp_path, kind, monkeypatch):
    """Large pictures are converted strip by strip; here each is two rows high."""
    pixels = np.random.default_rng(2).integers(0, 256, (31, 30, 4 if kind in ("PNG", "TIFF", "WEBP") else 3), np.uint8)
    raw = encoded(Image.fromarray(pixels), kind)
    whole = read(tmp_path, raw)
    monkeypatch.setattr("mnist_ops.pictures.read.STRIP", 60)
    assert np.array_equal(read(tmp_path, raw), whole)


def test_one_pixel_is_a_picture(tmp_path):
    for kind in FORMATS:
        assert read(tmp_path, encoded(Image.new("L", (1, 1), 255), kind)).tolist() == [[255]]
    assert prepare(np.full((1, 1), 7, np.uint8)).tolist() == [[7] * 28] * 28


def test_a_jpeg_of_countless_passes_is_refused_before_the_first(tmp_path):
    """Each pass goes over all pixels, and takes a few bytes of the file."""
    raw = encoded(Image.new("L", (2000, 2000), 255), "JPEG", progressive=True)
    last = raw.rindex(b"\xff\xda")
    scan = raw[last:raw.rindex(b"\xff\xd9")]
    path = tmp_path / "picture"
    path.write_bytes(raw[:last] + scan * 5000 + b"\xff\xd9")
    start = time.process_time()
    with pytest.raises(DataError, match=r"picture: cannot be read as a picture .*5,0\d\d scans, the limit is 100"):
        read_image(path)
    assert time.process_time() - start < 1


def test_numbers_spelt_out_are_read_and_refused_where_they_would_take_long(tmp_path):
    assert read(tmp_path, b"P2 3 1 15\n0 15 5\n").tolist() == [[0, 255, 85]]
    start = time.process_time()
    with pytest.raises(DataError, match=r"picture: .*\(18,000,0\d\d bytes of numbers as text, the limit is 16,777,216"):
        read(tmp_path, b"P2 2500 2400 255\n" + b"10 " * 6_000_000)
    assert time.process_time() - start < 1


def test_a_file_far_too_large_is_not_even_read(tmp_path):
    with (tmp_path / "picture").open("wb") as file:
        file.truncate(2**34)  # sparse: takes no room on the disk
    with pytest.raises(DataError, match=r"picture: the file is too large: 17,179,869,184 bytes, .* 268,435,456"):
        read_image(tmp_path / "picture")


def text_bomb() -> bytes:
    """A PNG of two kilobytes whose comment would be a gigabyte."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()
    return huge_png(2, 2, data=zlib.compress(bytes(6)), chunk=(b"zTXt", b"Comment\x00\x00" + packed))


@pytest.mark.parametrize("raw", [text_bomb()], ids=["comment"])
def test_a_bomb_beside_the_pixels_takes_no_memory(tmp_path, raw):
    before = memory()
    with contextlib.suppress(DataError):
        read(tmp_path, raw)
    assert memory() - before < 1.5e8


def test_an_animation_of_countless_frames_costs_what_its_first_does(tmp_path):
    frames = [Image.fromarray(np.roll(GREY, number)) for number in range(300)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        raw = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        start = time.process_time()
        assert read(tmp_path, raw).shape == GREY.shape
        assert time.process_time() - start < 1


@pytest.mark.parametrize("content", [
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', b"<!DOCTYPE html><p>404",
    b"%PDF-1.7\n", b"RIFF\x04\x00\x00\x00WAVE", b"\x00\x00\x00\x20ftypheic", b"#define im_width 9\n",
], ids=["svg", "html", "pdf", "wave", "heic", "xbm"])
def test_the_name_makes_no_picture(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png: cannot be read as a picture .*expected an intact PNG, JPEG"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(("name", "content"), [("a.HEIC", b"?"), ("a.jpg", b"\x00\x00\x00\x20ftypheic\x00\x00")])
def test_what_to_do_with_a_heic_is_told_by_name_and_by_content(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: cannot be read .*\(HEIC is not supported\. Convert it to PNG"):
        read_image(tmp_path / name)


def test_a_picture_that_may_not_be_read_says_so(unprivileged):
    path = unprivileged / "1.png"
    path.write_bytes(encoded(Image.new("L", (2, 2))))
    path.chmod(0)
    with pytest.raises(DataError, match=r"1\.png: cannot be read \(Permission denied\)\. Check its permissions"):
        read_image(path)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(FORMATS), data=st.data())
def test_a_damaged_picture_gives_a_data_error_or_an_array_but_nothing_else(tmp_path, kind, data):
    raw = bytearray(encoded(Image.fromarray(GREY), kind))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=6)):
        raw[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    try:
        array = read(tmp_path, bytes(raw[:cut]))
    except DataError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert array.ndim == 2
    assert not refusal or "picture: " in refusal


# Preparation


@settings(max_examples=60)
@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 1000))
def test_resizing_takes_existing_pixels_and_gives_what_pillow_gives(height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    small = prepare(image)
    assert small.shape == (28, 28)
    assert small.dtype == np.uint8
    expected = Image.fromarray(image).resize((28, 28), Image.Resampling.NEAREST)
    assert np.array_equal(small, np.asarray(expected))


def test_a_picture_of_the_right_size_stays_as_it_is_in_an_array_of_its_own():
    image = np.arange(784, dtype=np.int64).reshape(28, 28).astype(np.uint8)
    small = prepare(image)
    assert np.array_equal(small, image)
    assert not np.shares_memory(small, image)


def test_doubling_the_size_and_preparing_gives_the_picture_back():
    image = np.random.default_rng(1).integers(0, 256, (28, 28), dtype=np.uint8)
    assert np.array_equal(prepare(image.repeat(2, axis=0).repeat(2, axis=1)), image)


def test_an_unknown_preparation_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=rf"prepare: found 'crop', expected one of {', '.join(METHODS)}"):
        prepare(np.zeros((28, 28), np.uint8), "crop")
