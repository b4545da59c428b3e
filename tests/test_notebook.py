"""The notebook of the Python interface: its code runs, in order, and says what it is shown to say."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

BOOK = json.loads((Path(__file__).resolve().parents[1] / "docs" / "python.ipynb").read_text(encoding="utf-8"))


@pytest.mark.timeout(400)  # ten runs: ten seconds on two cores that do nothing else
def test_its_cells_run_one_after_the_other_and_print_what_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    printed, shown = [], []
    for cell in BOOK["cells"]:
        if cell["cell_type"] == "code":
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec("".join(cell["source"]), names)
            printed.append(said.getvalue())
            shown.append("".join(line for output in cell["outputs"] for line in output["text"]))
    *exact, trained, read_by_it, _, swept, compared = zip(printed, shown, strict=True)
    for now, then in exact:
        assert now == then
    for now, then in (trained, read_by_it, swept):  # another processor may round otherwise, and so train otherwise
        assert len(now.split()) == len(then.split())
    for text in compared:
        assert re.fullmatch(r"(not )?larger than the noise: .*code\.augment.* \(paired by seed, n = 5\)\n", text)
    assert names["classifier"].classes == tuple("0123456789")  # type: ignore[attr-defined]


def test_it_shows_load_read_predict_train_and_an_idea_of_ones_own():
    code = "\n".join("".join(cell["source"]) for cell in BOOK["cells"] if cell["cell_type"] == "code")
    assert all(f".{name}(" in code for name in ("load", "read", "predict", "train", "sweep", "compare"))
    assert "network=" in code
    assert "augment=" in code
