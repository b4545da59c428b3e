"""Which commit a figure names."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mnist_ops.run import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository whose src/mnist_ops/run/provenance.py is the one that is asked."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    source = tmp_path / "src" / "mnist_ops" / "run" / "provenance.py"
    source.parent.mkdir(parents=True)
    source.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(source))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    provenance.commit.cache_clear()
    yield tmp_path
    provenance.commit.cache_clear()


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@example.org", *words],
                          capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit_all(folder: Path) -> str:
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return git(folder, "rev-parse", "HEAD")


def test_a_clean_checkout_names_its_commit(checkout):
    head = commit_all(checkout)
    assert provenance.commit() == head


def test_changed_code_is_said_to_be_changed(checkout):
    head = commit_all(checkout)
    (checkout / "src" / "mnist_ops" / "run" / "provenance.py").write_text("x = 1\n")
    assert provenance.commit() == f"{head}+changes"


def test_changes_elsewhere_do_not_count(checkout):
    (checkout / "README.md").write_text("one")
    head = commit_all(checkout)
    (checkout / "README.md").write_text("two")
    assert provenance.commit() == head


def test_a_copy_that_is_not_part_of_a_repository_names_none(checkout):
    assert provenance.commit() is None


def test_a_copy_installed_inside_somebody_elses_repository_names_none(checkout):
    (checkout / ".gitignore").write_text("src/\n")
    commit_all(checkout)
    assert provenance.commit() is None
