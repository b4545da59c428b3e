"""A file is written whole or not at all."""

import contextlib
import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnist_ops.disk import STALE, make_folder, remove_parts, temporary_folder, write_whole
from mnist_ops.errors import RunError, TrainingError


def test_content_arrives_and_nothing_else_is_left(tmp_path):
    write_whole(tmp_path / "one.bin", b"\x00\xffcontent")
    write_whole(tmp_path / "one.bin", b"new")
    assert (tmp_path / "one.bin").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["one.bin"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_file_and_no_part(step, tmp_path, monkeypatch):
    path = tmp_path / "one.bin"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(RunError, match=r"one\.bin: cannot be written \(No space left on device\); .* unchanged"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["one.bin"]


def test_a_temporary_folder_is_gone_afterwards_and_no_error_names_it(monkeypatch):
    def fail(error: Callable[[Path], Exception]) -> None:
        with temporary_folder("trying") as folder:
            assert folder.is_dir()
            used.append(folder)
            raise error(folder)

    used: list[Path] = []
    with pytest.raises(TrainingError, match=r"^x\.bin: broken$"):
        fail(lambda folder: TrainingError(f"{folder / 'x.bin'}: broken"))
    assert not used[0].exists()
    with pytest.raises(RunError, match=r"^the temporary files for trying cannot be written \(No space left on device\);"
                                       r" free some space, or set \$TMPDIR to another folder$"):
        fail(lambda folder: OSError(errno.ENOSPC, "No space left on device", str(folder)))
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(RunError, match=r"^the temporary files for trying cannot be written \(No such file"):
        fail(lambda folder: AssertionError("not reached"))


@pytest.mark.parametrize(("number", "fails"), [(errno.EIO, True), (errno.ENOSPC, True), (errno.EINVAL, False)])
def test_a_folder_that_the_disk_cannot_flush_is_an_error_and_one_that_has_no_flush_is_not(number, fails, tmp_path,
                                                                                          monkeypatch):
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    refused = pytest.raises(RunError, match=r"one\.bin: is written, but would not survive")
    with refused if fails else contextlib.nullcontext():
        write_whole(tmp_path / "one.bin", b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["one.bin"]


def test_a_disk_that_keeps_what_is_flushed_in_its_memory_is_told_to_write_it(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)  # as macOS has it
    monkeypatch.setattr(fcntl, "fcntl", lambda _, what: asked.append(what))
    write_whole(tmp_path / "one.bin", b"new")
    assert asked == [51, 51]  # the file and its folder


def test_new_folders_are_flushed_into_those_above_them(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    make_folder(tmp_path / "a" / "b")
    assert flushed == [tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino]


def test_what_a_killed_process_left_of_a_file_goes_with_its_next_write_once_it_is_old(tmp_path):
    for name, hours in ((".one.bin.01234567.part", 2), (".one.bin.89abcdef.part", 0), (".two.bin.01234567.part", 2)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - 3600 * hours,) * 2)
    write_whole(tmp_path / "one.bin", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".one.bin.89abcdef.part", ".two.bin.01234567.part",
                                                                "one.bin"]


def test_a_clock_set_forward_lets_another_writer_take_the_part_and_the_file_is_written_all_the_same(tmp_path,
                                                                                                   monkeypatch):
    taken: list[str] = []
    replace = os.replace

    def later(part, path):
        if not taken:
            taken.append(part)
            with monkeypatch.context() as patch:
                now = time.time()
                patch.setattr(time, "time", lambda: now + 3601)
                remove_parts(tmp_path, ["one.bin"], older=STALE)
        replace(part, path)

    monkeypatch.setattr(os, "replace", later)
    write_whole(tmp_path / "one.bin", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["one.bin"]
    assert (tmp_path / "one.bin").read_bytes() == b"new"


def test_an_interruption_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "one.bin"
    path.write_bytes(b"old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["one.bin"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match=r"nowhere.one\.bin: cannot be written \(No such file or directory\)"):
        write_whole(tmp_path / "nowhere" / "one.bin", b"new")


def test_a_process_killed_before_the_rename_leaves_the_old_file(tmp_path):
    path = tmp_path / "one.bin"
    path.write_bytes(b"old")
    program = ("import os, sys, pathlib; from mnist_ops.disk import write_whole; os.replace = lambda *_: os._exit(9); "
               "write_whole(pathlib.Path(sys.argv[1]), b'new')")
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == 9
    assert path.read_bytes() == b"old"


def test_the_file_may_be_read_by_whom_the_mask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "one.bin", b"x")
        assert os.umask(0o027) == 0o027  # left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "one.bin").stat().st_mode) == 0o640


def test_the_file_reaches_the_disk_before_its_name_does_and_the_name_before_the_call_ends(tmp_path, monkeypatch):
    """After a loss of power a rename that came first would show an empty file under the name of the old one."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        done.append(f"flush {kind} of {os.fstat(descriptor).st_size if kind == 'file' else '-'} bytes")
        fsync(descriptor)

    def noted_replace(old: Path, new: Path) -> None:
        assert old.parent == new.parent  # or it would be a copy, which may be seen half-done
        done.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_whole(tmp_path / "one.bin", b"content")
    assert done == ["flush file of 7 bytes", "rename", "flush folder of - bytes"]


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "elsewhere.bin").write_bytes(b"theirs")
    (tmp_path / "one.bin").symlink_to(tmp_path / "elsewhere.bin")
    write_whole(tmp_path / "one.bin", b"ours")
    assert (tmp_path / "elsewhere.bin").read_bytes() == b"theirs"
    assert not (tmp_path / "one.bin").is_symlink()
    assert (tmp_path / "one.bin").read_bytes() == b"ours"


def test_what_no_longer_fits_is_named_and_leaves_the_old_file(tmp_path):
    """A limit of the file size stands for a disk that is full: the system itself refuses the rest."""
    path = tmp_path / "one.bin"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(RunError, match=r"one\.bin: cannot be written \(File too large\); .* is unchanged"):
            write_whole(path, bytes(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["one.bin"]


def test_what_a_killed_process_left_half_written_is_removed_and_nothing_else(tmp_path, monkeypatch):
    def killed(*_: Any) -> None:
        raise SystemExit  # and the part cannot be removed, as in a process that is gone

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(os, "unlink", killed)
        with pytest.raises(SystemExit):
            write_whole(tmp_path / "model.safetensors", b"new")
    [left] = tmp_path.iterdir()
    others = {"notes.part", ".notes.part", "film.mp4.0123abcd.part", ".lock", "model.safetensors"}
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    remove_parts(tmp_path)
    assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == others
