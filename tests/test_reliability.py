"""docs/reliability.md: its figures are those that the trials have left, and they are good enough to be promised."""

import json
import re

import pytest

from tools import reliability
from tools.guided import GUIDED as GUIDED_READERS
from tools.readers import READERS

KILLS = {"command": "python tools/kills.py --moments 2 --writes 1", "machine": "x86_64, 2 cores", "kills": 1234,
         "identical": 1233, "places": {"in an epoch": 1230, "after the end": 4},
         "signals": {"SIGINT": 34, "SIGKILL": 1200}, "slowest_end_seconds": 0.456}
FUZZ = {"command": "python -m tools.fuzz --inputs 9", "machine": "arm64, 8 cores",
        "limits": {"seconds": 2.0, "bytes": 10**9},
        "readers": [{"name": "idx", "what": "IDX files", "inputs": 2000, "refused": 1500, "slowest_seconds": 0.123,
                     "peak_bytes": 250_400_000, "failures": []},
                    {"name": "gzip", "what": "gzip streams", "inputs": 10, "refused": 1, "slowest_seconds": 1.0,
                     "peak_bytes": 10**8, "failures": ["ZeroDivisionError", "MemoryError"]}]}
POWER = {"command": "python -m tools.power", "machine": "x86_64, 2 cores",
         "cases": [{"name": "run", "operations": 80, "states": 1700, "tried": 35,
                    "outcomes": {"the same bits": 34, "refused by name": 1}}]}

FAULTS = {"command": "python -m tools.faults", "machine": "x86_64, 2 cores",
          "cases": [{"name": "run", "points": 80, "tried": 299, "problems": ["one"],
                     "faults": {"EIO at write": {"an error": 290}, "EIO at close": {"done without": 8, "wrong": 1}}}]}

HELD = {"megabytes": [245.3, 246.1], "descriptors": [5, 5], "threads": [4, 4]}
LONG = {"sweep": {"command": "python -m tools.long_life sweep", "seeds": 500, "kept": 252, "same_bits": 499,
                  "seconds_each": [0.5, 0.512], "problems": ["one"]},
        "database": {"command": "python -m tools.long_life database", "trials": 60, "dropped": 4, "seconds_down": 5.0,
                     "lost": 2, "problems": []}}


GUIDED = {"command": "python -m tools.guided --minutes 2", "machine": "x86_64, 2 cores",
          "readers": [{"name": "idx", "what": "IDX files", "inputs": 5000, "seconds": 120, "edges_at_first": 40,
                       "edges": 50, "peak_mb": 90, "failures": ["ValueError at idx.py:3"]}]}
SANITIZED = {"command": "python -m tools.sanitized --networks 9", "machine": "x86_64, 2 cores", "networks": 9,
             "passed": {"steps": 9, "gradients": 8, "float32": 9, "integers": 9}, "failures": []}


def test_no_generated_section_is_stale(capsys):
    assert reliability.main(["--check"]) == 0, capsys.readouterr().err


def test_the_figures_are_those_of_the_trials(tmp_path, monkeypatch):
    monkeypatch.setattr(reliability, "FIGURES", tmp_path)
    assert "once `python tools/kills.py` has been run" in reliability.kills()
    assert "once `python -m tools.fuzz` has been run" in reliability.fuzz()
    assert "once `python -m tools.guided` has been run" in reliability.guided()
    assert "once `python -m tools.sanitized` has been run" in reliability.sanitized()
    for name, content in (("kills", KILLS), ("fuzz", FUZZ), ("power", POWER), ("faults", FAULTS), ("guided", GUIDED),
                          ("sanitized", SANITIZED)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    told = reliability.kills()
    flat = " ".join(told.split())
    assert "1,234 runs killed, 34 by SIGINT, 1,200 by SIGKILL; **1,233 of 1,234 ended in the same bits**" in flat
    assert "took at most 0.46 s to do so" in flat
    assert told.endswith("| in an epoch | 1,230 |\n| after the end | 4 |")
    told = reliability.faults()
    assert "**299 faults, 1 with another outcome**" in " ".join(told.split())
    assert "| `run` | 80 | 299 | 290 | 8 | 1 |" in told
    told = reliability.guided()
    assert "**5,000 inputs, 1 failures** in 2.0 minutes in all, for 1 of the" in " ".join(told.split())
    assert "| IDX files | 120 | 5,000 | 40 | 50 | 1 |" in told
    told = reliability.sanitized()
    assert "**9 networks, 0 failures**" in " ".join(told.split())
    assert "| its gradient is PyTorch's | 8 |" in told
    (tmp_path / "long_life.json").write_text(json.dumps({**LONG, "sweep": {**LONG["sweep"], "held": HELD}}))
    told = reliability.long_life()
    assert ("| `python -m tools.long_life sweep` | 500 seeds | killed after 252; 499 with the bits of a run in one "
            "process | 245 to 246 MB, 5 descriptors, 4 threads | 0.5 to 0.51 | 1 |") in told
    assert told.endswith("| 60 trials in PostgreSQL | 4 connections dropped, server away for 5 s; 2 trials lost and "
                         "repeated |  |  | 0 |")
    told = reliability.power()
    assert "from **34 of 35** the command went on to the same bits" in " ".join(told.split())
    assert "| run | 80 | 1,700 | 35 | 34 | 1 | 0 |" in told
    told = reliability.fuzz()
    assert "**2,010 inputs, 2 failures**" in " ".join(told.split())
    assert "| IDX files | 2,000 | 500 | 1,500 | 0 | 0.12 s | 250 MB |" in told
    assert "| gzip streams | 10 | 7 | 1 | 2 | 1.00 s | 100 MB |" in told


def test_a_stale_section_is_named_and_written_anew(tmp_path, monkeypatch, capsys):
    page = tmp_path / "reliability.md"
    page.write_text("<!-- generated: kills -->\nold\n<!-- end -->\n<!-- generated: fuzz -->\n<!-- end -->\n"
                    "<!-- generated: limits -->\n<!-- end -->\n<!-- generated: faults -->\n<!-- end -->\n"
                    "<!-- generated: power -->\n<!-- end -->\n<!-- generated: guided -->\n<!-- end -->\n"
                    "<!-- generated: sanitized -->\n<!-- end -->\n<!-- generated: long-life -->\n<!-- end -->\n")
    monkeypatch.setattr(reliability, "PAGE", page)
    assert reliability.main(["--check"]) == 1
    assert "the section 'kills' is stale; run python -m tools.reliability" in capsys.readouterr().err
    assert reliability.main([]) == 0
    assert "\nold\n" not in page.read_text()
    assert reliability.main(["--check"]) == 0
    page.write_text("no mark")
    names = "faults, fuzz, guided, kills, limits, long-life, power, sanitized"
    with pytest.raises(SystemExit, match=f"expected each once: {names}"):
        reliability.main([])


def test_a_hundred_thousand_inputs_were_tried_and_none_is_a_failure():
    found = reliability.figures("fuzz")
    assert found is not None, "run python -m tools.fuzz"
    readers = found["readers"]
    assert {one["name"] for one in readers} == set(READERS)
    assert sum(one["inputs"] for one in readers) >= 100_000
    assert all(one["failures"] == [] for one in readers)
    assert all(one["slowest_seconds"] < 2 and one["peak_bytes"] < 10**9 for one in readers)


def test_no_search_and_no_network_left_a_failure():
    guided, sanitized = reliability.figures("guided"), reliability.figures("sanitized")
    assert guided is not None, "run python -m tools.guided"
    assert sanitized is not None, "run python -m tools.sanitized"
    assert {one["name"] for one in guided["readers"]} <= set(GUIDED_READERS)
    assert all(one["failures"] == [] and one["inputs"] > 0 for one in guided["readers"])
    assert sanitized["failures"] == []


def test_every_command_on_the_page_is_there():
    text = reliability.PAGE.read_text(encoding="utf-8")
    for command in re.findall(r"^python (?:-m )?(\S+)", text, re.MULTILINE):
        name = command.removesuffix(".py").replace(".", "/")
        assert (reliability.REPOSITORY / f"{name}.py").exists(), command
