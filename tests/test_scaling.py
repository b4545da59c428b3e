"""docs/scaling.md: its figures are those that were measured, and its examples are what the program takes."""

import json
import re
import tomllib

import pytest

from mnist_ops.config import Config
from mnist_ops.search.space import read_space
from tests.miniature import REPOSITORY
from tools import scaling

PAGE = (REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_no_generated_section_is_stale(capsys):
    assert scaling.main(["--check"]) == 0, capsys.readouterr().err


def test_the_figures_are_those_that_were_measured(tmp_path, monkeypatch):
    found = scaling.figures()
    found["throughput"] = [{"jobs": 1, "threads": 4, "runs": 8, "seconds": 80.0}, {"jobs": 4, "threads": 1, "runs": 8,
                                                                                "seconds": 20.0}]
    found["storages"] = {"journal": [
        {"trials": 1000, "bytes": 2000.0, "store_ms": 100.0, "draw_ms": 50.0, "open_seconds": 0.5},
        {"trials": 2000, "bytes": 2000.0, "store_ms": 200.0, "draw_ms": 40.0, "open_seconds": 1.0}]}
    (tmp_path / "scaling.json").write_text(json.dumps(found))
    monkeypatch.setattr(scaling, "FIGURES", tmp_path / "scaling.json")
    assert "| 4 | 1 | 8 | 20 s | 1,440 | 4.00 |" in scaling.processes()
    assert "| journal | 2,000 | 2,000 | 200 ms | 40 ms | 1.00 s |" in scaling.storage()
    # 10,000 trials: 20 MB; 0.5 s for each further 1,000 to open; 100 ms for each to store; a draw no dearer
    text = " ".join(scaling.large().split())
    assert "20 MB; a worker opens it in 5.0 s; the last trials cost 1.04 s each" in text


def test_the_space_of_the_page_can_be_searched():
    text = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert text is not None
    space = read_space(tomllib.loads(text[1]), Config(), "docs/scaling.md")
    assert space.objectives == ("accuracy", "parameters")
    assert set(space.fields) == {"lr", "batch_size", "augment.shift"}


@pytest.mark.parametrize("name", ["search", "seeds"])
def test_the_job_files_name_flags_that_there_are(name, capsys):
    from mnist_ops.cli.main import main

    main(["sweep", "--help"])
    known = capsys.readouterr().out
    script = (REPOSITORY / "docs" / "slurm" / f"{name}.sbatch").read_text(encoding="utf-8")
    command = script.split("mnist-ops sweep", 2)[-1]
    flags = set(re.findall(r"--[a-z-]+", command))
    assert flags
    assert all(flag in known for flag in flags)
