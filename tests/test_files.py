"""Finding and fetching a dataset's files, against a server on localhost that misbehaves in every way."""

import dataclasses
import gzip
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mnist_ops.data import files
from mnist_ops.data.catalog import CATALOG
from mnist_ops.data.download import Patience
from mnist_ops.data.files import fetch, fetch_target, locate, named_data
from mnist_ops.data.inventory import status as inventory
from mnist_ops.errors import DataError, UsageError
from tests.datasets import ARRAYS, MNIST, PACKED, PLAIN, idx, lay, md5, read_idx
from tests.miniature import REPOSITORY
from tests.server import (
    Behaviour,
    Handler,
    Server,
    content,
    crawling,
    dripping,
    dripping_chunks,
    dripping_headers,
    endless,
    redirect,
    serving,
    silent,
    status,
    unannounced,
)

IMAGES = "train-images-idx3-ubyte"


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "user_cache_path", lambda *_, **__: tmp_path / "cache")


@pytest.fixture
def server():
    with serving() as running:
        yield running


def good_mirror(server: Server, base: str = "/good/") -> str:
    server.routes |= {f"{base}{name}.gz": content(raw) for name, raw in PACKED.items()}
    return server.url(base)


# Finding


def test_the_search_goes_from_data_dir_over_the_variable_to_the_cache(tmp_path, monkeypatch):
    named, variable, cache = (lay(tmp_path / name) for name in ("named", "variable", "cache"))
    monkeypatch.setenv(files.VARIABLE, str(variable))
    for place in (named, variable, cache):
        found = locate(MNIST, named)
        assert found is not None
        assert {path.parent for path in found.values()} == {place / "MNIST" / "raw"}
        (place / "MNIST" / "raw" / f"{IMAGES}.gz").unlink()  # not all four: the next place is taken whole
    assert locate(MNIST, named) is None
    assert files.describe_search(MNIST, named).count(f"lacks {IMAGES}") == 3


def test_unpacked_files_are_found_too_and_a_gz_comes_before_its_twin(tmp_path):
    lay(tmp_path, suffix="")
    found = locate(MNIST, tmp_path)
    assert found is not None
    assert all(path.suffix == "" for path in found.values())
    lay(tmp_path, names=[IMAGES])
    found = locate(MNIST, tmp_path)
    assert found is not None
    assert found[IMAGES].suffix == ".gz"


def dotted(name: str) -> str:
    return name.replace("-idx", ".idx")


@pytest.mark.parametrize("at", [
    lambda name: f"MNIST/raw/{dotted(name)}", lambda name: f"MNIST/{name}", lambda name: f"mnist/raw/{name}.gz",
    lambda name: name, lambda name: f"raw/{dotted(name)}.gz", lambda name: f"{name}/{name}",
    lambda name: f"{dotted(name)}/{dotted(name)}", lambda name: f"MNIST/raw/{name}/{dotted(name)}",
], ids=["dots", "without raw", "small letters", "in the folder itself", "in raw", "in folders of their names", "dotted",
        "in raw in folders"])
def test_files_close_to_the_layout_are_found(tmp_path, at):
    for name in ARRAYS:
        path = tmp_path / at(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((PACKED if path.suffix == ".gz" else PLAIN)[name])
    found = locate(MNIST, tmp_path)
    assert found is not None
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in found.items()} == {
        name: at(name) for name in ARRAYS}
    assert [state.state for state in inventory(MNIST, tmp_path)] == ["original"] * 4
    lay(tmp_path)
    found = locate(MNIST, tmp_path)
    assert found is not None
    assert {path.parent for path in found.values()} == {tmp_path / "MNIST" / "raw"}  # the layout itself comes first


def test_files_close_to_the_layout_are_taken_whole_or_not_at_all(tmp_path):
    for name in list(ARRAYS)[:3]:
        (tmp_path / name).write_bytes(PLAIN[name])
    assert locate(MNIST, tmp_path) is None
    assert f"  {tmp_path}: lacks t10k-labels-idx1-ubyte\n" in f"{files.describe_search(MNIST, tmp_path)}\n"


def test_another_datasets_files_are_not_taken_for_it(tmp_path, monkeypatch):
    fashion = dataclasses.replace(MNIST, name="fashion-mnist", title="Fashion-MNIST")
    monkeypatch.setitem(CATALOG, "fashion-mnist", fashion)
    for name in ARRAYS:
        (tmp_path / name).write_bytes(PLAIN[name])
    assert locate(fashion, tmp_path) is not None
    assert locate(MNIST, tmp_path) is None
    assert f"{tmp_path}: these are the files of fashion-mnist, which have the same names" in files.describe_search(
        MNIST, tmp_path)
    assert named_data(tmp_path) == ("It holds the files of Fashion-MNIST. Use --data fashion-mnist --data-dir "
                                    f"{tmp_path}")


def test_a_file_in_the_place_of_a_data_folder_is_named(tmp_path, monkeypatch):
    file = tmp_path / "a-file"
    file.touch()
    with pytest.raises(UsageError, match=r"--data-dir .*a-file: is a file, expected the folder of the dataset files"):
        locate(MNIST, file)
    monkeypatch.setenv(files.VARIABLE, str(file))
    with pytest.raises(UsageError, match=r"\$MNIST_OPS_DATA .*a-file: is a file, expected the folder"):
        locate(MNIST, None)
    with pytest.raises(UsageError, match=r"\$MNIST_OPS_DATA .*a-file: is a file"):
        fetch_target(None)
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "yet-to-be-made"))
    assert locate(MNIST, None) is None


def test_files_are_fetched_to_data_dir_else_the_variable_else_the_cache(tmp_path, monkeypatch):
    assert fetch_target(None) == tmp_path / "cache"
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "yet" / "to" / "be" / "made"))
    assert fetch_target(None) == tmp_path / "yet" / "to" / "be" / "made"
    (tmp_path / "a-file").touch()
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "a-file" / "below"))
    assert fetch_target(None) == tmp_path / "cache"
    assert fetch_target(tmp_path / "named") == tmp_path / "named"


def test_the_inventory_tells_original_unknown_damaged_and_missing_files_apart(tmp_path):
    lay(tmp_path)
    folder = tmp_path / MNIST.folder
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(PACKED["t10k-images-idx3-ubyte"][:-20])
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(PLAIN["train-labels-idx1-ubyte"], 1))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(20, np.uint8))))
    states = [record.state for record in inventory(MNIST, tmp_path)]
    assert states[:2] == ["original", "original"]  # packed again around the same content is the original
    assert states[2].startswith("damaged: damaged gzip (truncated)")
    assert states[3] == "unknown content"
    (folder / f"{IMAGES}.gz").unlink()
    first = inventory(MNIST, tmp_path)[0]
    assert (first.file, first.path, first.bytes, first.state) == (IMAGES, None, 0, "missing")


def test_the_embedded_digits_are_as_they_were_shipped():
    (record,) = inventory(CATALOG["digits"], None)
    assert record.state == "original"
    assert record.bytes < 100_000


# Fetching


def test_a_fetch_brings_all_files_tells_its_progress_and_leaves_nothing_else(tmp_path, server):
    seen: dict[str, list[tuple[int, int]]] = {}
    info = dataclasses.replace(MNIST, bases=(good_mirror(server),))
    found = fetch(info, tmp_path, lambda name, received, total: seen.setdefault(name, []).append((received, total)))
    assert found == locate(info, tmp_path)
    for name, path in found.items():
        assert path.read_bytes() == PACKED[name]
        assert seen[name][0] == (0, len(PACKED[name]))
        assert seen[name][-1] == (len(PACKED[name]), len(PACKED[name]))
    assert len(list((tmp_path / info.folder).iterdir())) == 4
    if os.name == "posix":  # others may use a shared data folder
        mask = os.umask(0)
        os.umask(mask)
        assert stat.S_IMODE(found[IMAGES].stat().st_mode) == 0o666 & ~mask


ALTERED = bytearray(PACKED[IMAGES])
ALTERED[len(ALTERED) // 2] ^= 1
TRUNCATED = PACKED[IMAGES][:-50]


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        (status(404), "answered 404 Not Found"),
        (status(503), "answered 503"),
        (
            content(b"<!DOCTYPE html><p>Log in to the hotel network"),
            r"start with b'<!DOCTYPE html><' instead of a \.gz",
        ),
        (content(b"", announce=0), r"sent 0 bytes that start with b''"),
        (content(TRUNCATED, announce=len(PACKED[IMAGES])), "broke off"),
        (unannounced(TRUNCATED), f"another or a damaged file .*expected {md5(PACKED[IMAGES])}"),
        (content(bytes(ALTERED)), f"another or a damaged file .*expected {md5(PACKED[IMAGES])}"),
        (content(gzip.compress(idx(ARRAYS[IMAGES][::-1]))), "another or a damaged file"),
        (content(b"", announce=10**9), "sends at least 1,000,000,000 bytes, expected at most"),
        (endless, "bytes, expected at most"),
        (silent, r"too slow: after 0 bytes no answer in 0.5 s"),
        (dripping, r"too slow: after .* bytes less than 8,192 bytes more in 0.5 s"),
        (dripping_chunks, r"too slow: after .* bytes less than 8,192 bytes more in 0.5 s"),
        (crawling(4_000), r"too slow: after .* bytes less than 8,192 bytes more in 0.5 s"),
        (dripping_headers, r"too slow: after 0 bytes no answer in 0.5 s"),
        (redirect("/mirror/train-images-idx3-ubyte.gz"), "redirects more than 5 times"),
    ],
    ids=lambda value: None if isinstance(value, str) else getattr(value, "__name__", None),
)
def test_a_bad_first_mirror_is_survived_and_named_where_all_fail(tmp_path, server, behaviour, says):
    server.routes[f"/mirror/{IMAGES}.gz"] = behaviour
    bad, good = server.url("/mirror/"), good_mirror(server)
    patience = Patience(0.5 if says.startswith("too slow") else 20.0)
    with pytest.raises(DataError, match=rf"(?s)MNIST: {IMAGES}\.gz could not be .*{bad}{IMAGES}\.gz: .*{says}"):
        fetch(dataclasses.replace(MNIST, bases=(bad,)), tmp_path, patience=patience)
    assert not list(tmp_path.iterdir())
    found = fetch(dataclasses.replace(MNIST, bases=(bad, good)), tmp_path, patience=patience)
    assert {name: path.read_bytes() for name, path in found.items()} == PACKED
    # The good one is asked first from then on, so that a slow mirror costs its time once.
    assert [path for path in server.asked if "/mirror/" in path and IMAGES not in path] == []


def test_a_dead_first_mirror_is_survived(tmp_path, server):
    with serving() as other:
        dead = other.url("/")
    found = fetch(dataclasses.replace(MNIST, bases=(dead, good_mirror(server))), tmp_path)
    assert len(found) == 4


def test_where_every_mirror_fails_the_error_lists_each_and_the_way_by_hand(tmp_path, server):
    with serving() as other:
        dead = other.url("/")
    with pytest.raises(DataError) as raised:
        fetch(dataclasses.replace(MNIST, bases=(dead, server.url("/missing/"))), tmp_path)
    text = str(raised.value)
    assert f"{dead}{IMAGES}.gz: no connection or no answer (" in text
    assert f"{server.url('/missing/')}{IMAGES}.gz: answered 404 Not Found" in text
    assert all(f"{name}.gz" in text for name in ARRAYS)
    assert "into MNIST/raw in any folder" in text
    assert "--data digits" in text


def test_a_mirror_that_packed_the_same_content_anew_is_accepted(tmp_path, server):
    server.routes |= {f"/{name}.gz": content(gzip.compress(raw, 1)) for name, raw in PLAIN.items()}
    found = fetch(dataclasses.replace(MNIST, bases=(server.url(),)), tmp_path)
    assert np.array_equal(read_idx(found[IMAGES], 3), ARRAYS[IMAGES])


def test_a_server_that_declares_the_packing_as_its_own_gives_the_packed_file(tmp_path, server):
    server.routes |= {f"/{name}.gz": content(raw, Content_Encoding="gzip") for name, raw in PACKED.items()}
    found = fetch(dataclasses.replace(MNIST, bases=(server.url(),)), tmp_path)
    assert found[IMAGES].read_bytes() == PACKED[IMAGES]


def test_files_that_are_there_are_left_alone(tmp_path, server):
    mine = lay(tmp_path, names=[IMAGES]) / MNIST.folder / f"{IMAGES}.gz"
    mine.write_bytes(b"something of my own")
    fetch(dataclasses.replace(MNIST, bases=(good_mirror(server),)), tmp_path)
    assert mine.read_bytes() == b"something of my own"
    assert not any(IMAGES in path for path in server.asked)


def test_fetches_at_the_same_time_do_not_damage_each_other(tmp_path, server):
    info = dataclasses.replace(MNIST, bases=(good_mirror(server),))
    results: list[dict[str, Path]] = []
    threads = [threading.Thread(target=lambda: results.append(fetch(info, tmp_path))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert {path.name: path.read_bytes() for path in (tmp_path / info.folder).iterdir()} == {
        f"{name}.gz": raw for name, raw in PACKED.items()
    }


FETCHING = """
import dataclasses, sys
from pathlib import Path
from mnist_ops.data.files import fetch
from tests.datasets import MNIST
sys.stdin.readline()  # all processes begin at one moment
fetch(dataclasses.replace(MNIST, bases=(sys.argv[1],)), Path(sys.argv[2]))
"""


def test_processes_that_fetch_at_once_do_not_damage_each_others_files(tmp_path, server):
    def steady(body: bytes) -> Behaviour:
        def behave(handler: Handler) -> None:
            handler.begin(len(body))
            for place in range(0, len(body), 2048):
                handler.wfile.write(body[place:place + 2048])
                handler.server.closing.wait(0.01)

        return behave

    server.routes |= {f"/slow/{name}.gz": steady(raw) for name, raw in PACKED.items()}
    command = [sys.executable, "-c", FETCHING, server.url("/slow/"), str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, cwd=REPOSITORY) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert {path.name: path.read_bytes() for path in (tmp_path / MNIST.folder).iterdir()} == {
        f"{name}.gz": raw for name, raw in PACKED.items()
    }


def test_a_fetch_that_is_killed_leaves_no_file_that_passes_for_whole(tmp_path, server):
    server.routes |= {f"/{name}.gz": content(raw) for name, raw in PACKED.items()}
    server.routes[f"/{IMAGES}.gz"] = content(PACKED[IMAGES][:2000], announce=len(PACKED[IMAGES]))
    server.routes["/train-labels-idx1-ubyte.gz"] = silent
    process = subprocess.Popen([sys.executable, "-c", FETCHING, server.url(), str(tmp_path)], stdin=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, cwd=REPOSITORY)
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.close()
    while not server.asked and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert locate(MNIST, tmp_path) is None
    assert len(fetch(dataclasses.replace(MNIST, bases=(good_mirror(server),)), tmp_path)) == 4


def test_a_folder_that_cannot_be_written_is_named(tmp_path, server):
    (tmp_path / "a-file").touch()
    with pytest.raises(DataError, match=r"a-file.*could not be saved.*--data-dir"):
        fetch(dataclasses.replace(MNIST, bases=(good_mirror(server),)), tmp_path / "a-file")


@pytest.mark.parametrize("place", ["~nobody-of-this-name/data", "~nobody-of-this-name"])
def test_the_home_of_nobody_is_named(place, monkeypatch):
    with pytest.raises(UsageError, match=r"data folder ~nobody-of-this-name.*Give an absolute path"):
        locate(MNIST, Path(place))
    with pytest.raises(UsageError, match="Give an absolute path"):
        fetch_target(Path(place))
    monkeypatch.setenv(files.VARIABLE, place)
    with pytest.raises(UsageError, match="Give an absolute path"):
        locate(MNIST, None)


def test_digits_need_no_fetching(tmp_path):
    with pytest.raises(DataError, match="digits: part of the package"):
        fetch(CATALOG["digits"], tmp_path)
