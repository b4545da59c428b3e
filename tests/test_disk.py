"""A file is written whole or not at all."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from mnist_ops.disk import write_whole
from mnist_ops.errors import RunError


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
    with pytest.raises(RunError, match=r"one\.bin: could not be written \(No space left on device\); .* unchanged"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["one.bin"]


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
    with pytest.raises(RunError, match=r"nowhere.one\.bin: could not be written \(No such file or directory\)"):
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
