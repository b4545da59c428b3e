"""IDX files: what is whole is read exactly, what is malformed is refused by name."""

import gzip
import os
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnist_ops.data.idx import check_labels
from mnist_ops.data.unpack import unpack
from mnist_ops.errors import DataError
from tests.datasets import idx, read_idx

IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


def written(folder: Path, raw: bytes, name: str = "train-images-idx3-ubyte") -> Path:
    path = folder / name
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_packing_is_told_by_content_and_not_by_name(tmp_path, name, pack):
    array = read_idx(written(tmp_path, pack(idx(IMAGES)), name), 3)
    assert array.dtype == np.uint8
    assert np.array_equal(array, IMAGES)
    assert array.flags.writeable  # torch.from_numpy warns of arrays that are not


def test_a_gz_of_several_members_padded_with_zeros_is_read_whole(tmp_path):
    raw = idx(IMAGES)
    packed = gzip.compress(raw[:7]) + gzip.compress(b"") + gzip.compress(raw[7:]) + bytes(100)
    assert np.array_equal(read_idx(written(tmp_path, packed), 3), IMAGES)


WHOLE = idx(IMAGES)
PACKED = gzip.compress(WHOLE)
WRONG_CHECKSUM = PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:]
FOUR_GIGABYTES = b"\x00\x00\x08\x03" + struct.pack(">3I", 2**20, 64, 64)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", r"not an IDX file: is empty, expected 00 00 08 03"),
        (b"<html>404</html>", r"starts with 3c 68 74 6d, expected 00 00 08 03"),
        (b"\x00\x00", r"starts with 00 00, expected"),
        (gzip.compress(b"<html>404</html>"), r"starts with 3c 68 74 6d"),
        (idx(IMAGES.astype(">f4"), kind=13), r"holds float32 \(00 00 0d 03\), expected unsigned bytes"),
        (idx(IMAGES.astype(">i4"), kind=12), r"holds int32"),
        (idx(IMAGES[0, 0]), r"has 1 dimension .*expected 00 00 08 03\. Are images and labels swapped"),
        (WHOLE[:9], r"truncated within its header, after 9 bytes"),
        (WHOLE[:-1], r"truncated: 75 bytes, its header says 76"),  # 16 + 5 * 4 * 3 = 76
        (gzip.compress(WHOLE[:-1]), r"truncated: 75 bytes, its header says 76"),
        (WHOLE + b"x", r"too long: 77 bytes, its header says 76"),
        (gzip.compress(WHOLE + b"x"), r"too long: more bytes, its header says 76"),
        (PACKED[:-12], r"damaged gzip \(truncated\)"),
        (PACKED[:-2], r"damaged gzip \(truncated\)"),
        (PACKED[:5], r"damaged gzip \(truncated\)"),
        (WRONG_CHECKSUM, r"damaged gzip \(.*incorrect data check"),
        (PACKED + b"<html>", r"damaged gzip \(6 bytes of something else follow\)"),
        (idx(np.zeros((0, 28, 28), np.uint8)), r"is empty: its header says 0x28x28"),
        (FOUR_GIGABYTES, r"says 4,294,967,312 bytes, the limit is 1,073,741,824"),
    ],
    ids=[
        "empty",
        "web page",
        "two bytes",
        "packed web page",
        "floats",
        "integers",
        "labels",
        "cut header",
        "cut",
        "cut and packed",
        "too long",
        "too long and packed",
        "cut gzip",
        "cut checksum",
        "cut gzip header",
        "wrong checksum",
        "gzip and more",
        "no images",
        "four gigabytes",
    ],
)
def test_a_malformed_file_is_refused_with_its_name_what_was_found_and_what_to_do(tmp_path, raw, says):
    with pytest.raises(DataError, match=rf"train-images-idx3-ubyte: .*{says}.*download the original"):
        read_idx(written(tmp_path, raw), 3)


SWAPPED = WHOLE[:4] + b"".join(size.to_bytes(4, "little") for size in IMAGES.shape) + IMAGES.tobytes()


@pytest.mark.parametrize(("raw", "says"), [
    (SWAPPED, r"the sizes in its header are in little-endian order, IDX is big-endian\. Write the header"),
    (gzip.compress(SWAPPED), r"the sizes in its header are in little-endian order, IDX is big-endian"),
    (WHOLE[3::-1] + SWAPPED[4:], r"its header is in little-endian order \(03 08 00 00\), expected 00 00 08 03"),
    (idx(IMAGES.reshape(len(IMAGES), -1)), r"has 2 dimensions .*It holds 5 rows of 12 pixels: write them as 5 images"),
], ids=["sizes", "packed", "all of it", "flat"])
def test_images_written_in_another_way_are_named_and_not_to_be_thrown_away(tmp_path, raw, says):
    with pytest.raises(DataError, match=rf"train-images-idx3-ubyte: .*{says}") as raised:
        read_idx(written(tmp_path, raw), 3)
    assert "download the original" not in str(raised.value)


def test_a_path_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing-here: cannot be read \(No such file.*Check the path"):
        read_idx(tmp_path / "nothing-here", 3)
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory"):
        read_idx(tmp_path, 3)


def test_a_file_far_too_large_is_not_even_read(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    with path.open("wb") as file:
        file.truncate(2**30 + 1)  # sparse: takes no room on the disk
    with pytest.raises(DataError, match=r"too long: 1,073,741,825 bytes, the limit is 1,073,741,824"):
        read_idx(path, 3)


def test_a_bomb_is_not_unpacked(tmp_path):
    packer = zlib.compressobj(wbits=31)
    megabyte = bytes(2**20)
    bomb = b"".join([packer.compress(WHOLE), *(packer.compress(megabyte) for _ in range(200)), packer.flush()])
    path = written(tmp_path, bomb)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="too long"):
            read_idx(path, 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2**20  # 200 MiB would come out; the file itself is 0.2 MiB


def test_ten_megabytes_that_are_ten_gigabytes_are_refused_at_the_size_that_the_header_promises(tmp_path):
    """A whole and valid gzip file: a thousand members of ten million zeros, the first after an IDX header."""
    member = gzip.compress(bytes(10**7), mtime=0)
    path = written(tmp_path, gzip.compress(WHOLE + bytes(10**7), mtime=0) + member * 1000)
    assert 9e6 < path.stat().st_size < 11e6
    assert len(unpack(member, 2 * 10**7)) == 10**7  # so much comes out of each, were it asked for
    start = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="too long: more bytes, its header says 76"):
            read_idx(path, 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * path.stat().st_size
    assert time.process_time() - start < 1


def test_a_bomb_behind_the_largest_promise_takes_no_more_memory_than_a_few_times_that(tmp_path, monkeypatch):
    """The same in small: what is promised is at most MOST_BYTES, here a hundredth of what it is."""
    monkeypatch.setattr("mnist_ops.data.idx.MOST_BYTES", 2 * 10**6)
    promised = b"\x00\x00\x08\x01" + struct.pack(">I", 10**6)
    path = written(tmp_path, gzip.compress(promised + bytes(10**7), mtime=0))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"too long: more bytes, its header says 1,000,008"):
            read_idx(path, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 10**6
    path.write_bytes(gzip.compress(b"\x00\x00\x08\x01" + struct.pack(">I", 3 * 10**6), mtime=0))
    with pytest.raises(DataError, match=r"says 3,000,008 bytes, the limit is 2,000,000"):
        read_idx(path, 1)


def test_countless_empty_members_are_refused_at_once():
    raw = gzip.compress(b"", mtime=0) * 500_000  # ten megabytes without content
    start = time.process_time()
    with pytest.raises(ValueError, match="gzip of more than 65,536 members"):
        unpack(raw, 100)
    assert time.process_time() - start < 2


def test_a_file_packed_in_blocks_is_read_whole_and_in_time():
    """As programs do that pack in parallel: a member for every so many bytes, with and without padding."""
    blocks = [bytes([number % 256]) * 1000 for number in range(2000)]
    for padding in (b"", bytes(7)):
        raw = b"".join(gzip.compress(block, mtime=0) + padding for block in blocks)
        start = time.process_time()
        assert unpack(raw, 3_000_000) == b"".join(blocks)
        assert unpack(raw, 1_500_500) == b"".join(blocks)[:1_500_500]
        assert time.process_time() - start < 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: is a pipe"):
        read_idx(tmp_path / "train-images-idx3-ubyte", 3)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packed=st.booleans(), data=st.data())
def test_any_damage_gives_a_data_error_or_an_array_but_nothing_else(tmp_path, packed, data):
    raw = bytearray(PACKED if packed else WHOLE)
    flips = data.draw(st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(1, 255)), max_size=4))
    for place, change in flips:
        raw[place] ^= change
    cut = data.draw(st.integers(0, len(raw)))
    path = written(tmp_path, bytes(raw[:cut]))
    try:
        array = read_idx(path, 3)
    except DataError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert array.dtype == np.uint8
        assert array.ndim == 3
    assert not refusal or str(path) in refusal
    assert refusal or not packed or cut == len(PACKED), "a gzip file that was cut off was read as if it were whole"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=4), packed=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_what_is_written_is_what_is_read(tmp_path, shape, packed, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    raw = idx(array)
    assert np.array_equal(read_idx(written(tmp_path, gzip.compress(raw) if packed else raw), len(shape)), array)


def test_labels_of_another_count_than_the_images_are_refused():
    with pytest.raises(DataError, match=r"some-labels: 3 labels for 4 images; .* do not belong together"):
        check_labels(Path("some-labels"), np.array([0, 1, 2], np.uint8), 4, 10)


def test_labels_out_of_range_are_refused_with_the_first_of_them():
    with pytest.raises(
        DataError, match=r"some-labels: 2 labels are out of range, the first is 10 at index 1; expected 0 to 9"
    ):
        check_labels(Path("some-labels"), np.array([9, 10, 0, 255], np.uint8), 4, 10)
    check_labels(Path("some-labels"), np.array([9, 0], np.uint8), 2, 10)
