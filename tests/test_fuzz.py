"""A few thousand damaged and made-up inputs for everything that reads what may come from anywhere: a result or an error
for the user, never another error, a hang or all memory. tools/fuzz.py feeds the same readers with many more."""

import random
import re
import time
import unicodedata
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_ops.errors import MnistOpsError, brief, legible
from tools import fuzz, readers
from tools.fuzz import drawn, explore
from tools.guided import GUIDED, KEPT, REPOSITORY, corpus
from tools.inputs import TOKENS
from tools.readers import READERS, Reader, Tally, TooLongError, attempt, peak_bytes

COUNTS = {"idx": 500, "idx-folders": 100, "archives": 300, "tables": 300, "gzip": 250, "picture-lists": 100,
          "pictures": 500, "drawings": 30, "picture-caches": 50, "settings": 300, "networks": 200, "spaces": 100,
          "run-files": 300, "run-folders": 30, "studies": 30, "weights": 200, "checkpoints": 200, "command-lines": 150}
NEIGHBOURS = 5  # changed copies of each input in the corpus


@pytest.mark.parametrize("name", list(READERS))
def test_no_input_is_a_failure(name):
    failures: list[str] = []
    before = peak_bytes()
    tally = explore(name, COUNTS[name], 0, lambda given, error: failures.append(f"{error!r:.500} on {given!r:.500}"))
    assert failures == []
    assert peak_bytes() - before < readers.BYTES
    assert tally.slowest_seconds < readers.SECONDS
    # Enough inputs, some that are whole and some that are not: or the inputs would prove nothing.
    assert tally.inputs >= 0.9 * COUNTS[name]
    least = 0 if name == "picture-caches" else 0.02  # a useless cache is left alone
    assert least <= tally.refused / tally.inputs < 0.999


def test_the_weekly_search_is_of_every_reader():
    workflow = (REPOSITORY / ".github" / "workflows" / "fuzz.yml").read_text(encoding="utf-8")
    assert re.findall(r"^          - ([\w-]+)$", workflow, re.MULTILINE) == GUIDED
    assert "python -m tools.guided --grow ${{ matrix.reader }}\n" in workflow


@pytest.mark.parametrize("name", GUIDED)
def test_no_input_of_the_corpus_nor_its_neighbour_is_a_failure(name, tmp_path):
    reader, tally, kept = READERS[name], Tally(), corpus(name)
    form, draws = reader.form, random.Random(0)
    assert form is not None
    assert 5 < len(kept) <= KEPT
    for raw in kept:
        for change in range(1 + NEIGHBOURS * (reader.weight > 0.3)):
            attempt(reader, form.made(nearby(raw, kept, draws) if change else raw), tmp_path, tally)
    assert tally.slowest_seconds < readers.SECONDS


def nearby(raw: bytes, others: Sequence[bytes], draws: random.Random) -> bytes:
    """With one change, of those that libFuzzer makes."""
    begin, end = sorted(draws.randrange(len(raw) + 1) for _ in range(2))
    other = draws.choice(others)
    return draws.choice([raw[:begin] + raw[end:], raw[:begin] + draws.randbytes(1) + raw[begin + 1:],
                         raw[:begin] + other[begin:], raw[:end] + raw[begin:],
                         raw[:begin] + draws.choice(TOKENS) + raw[begin:]])


@pytest.mark.parametrize("name", GUIDED)
def test_an_input_comes_back_from_its_bytes(name):
    form = READERS[name].form
    assert form is not None
    for raw in [b"", b"\0", b"\1", *drawn(name, 10)]:
        given = form.made(raw)
        assert repr(form.made(form.kept(given))) == repr(given) or name in ("archives", "checkpoints", "weights")


def test_the_counts_are_a_few_thousand():
    assert set(COUNTS) == set(READERS)
    assert 2000 < sum(COUNTS.values()) < 5000


# ---------------------------------------------------------------- the tool itself


def busy(_: Any, seconds: float) -> None:
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass


def test_another_error_an_empty_error_and_a_hang_are_failures(monkeypatch, tmp_path):
    monkeypatch.setattr(readers, "SECONDS", 0.05)

    def bad(_: Any, given: str) -> None:
        raise KeyError(given)

    def empty(_: Any, given: str) -> None:
        raise MnistOpsError("")

    for read, kind in ((bad, KeyError), (empty, AssertionError)):
        with pytest.raises(kind):
            attempt(Reader("", st.text, read), "one", tmp_path, Tally())
    with pytest.raises(TooLongError, match=r"more than 0\.05 s"):
        attempt(Reader("", st.floats, busy), 5.0, tmp_path, Tally())


def test_a_run_counts_every_input_and_goes_on_after_a_failure(monkeypatch):
    def read(_: Any, given: int) -> None:
        if given % 2:
            raise MnistOpsError("odd")
        if given % 4:
            raise ZeroDivisionError

    monkeypatch.setitem(READERS, "numbers", Reader("numbers", lambda: st.integers(0, 10**9), read))
    failures: list[Any] = []
    tally = explore("numbers", 200, 3, lambda given, error: failures.append(given))
    assert tally.inputs >= 200
    assert tally.inputs % fuzz.BATCH == 0  # none was left out after a failure
    assert failures
    assert all(given % 4 == 2 for given in failures)
    assert 0 < tally.refused < tally.inputs - len(failures)


# ---------------------------------------------------------------- what errors show


@settings(max_examples=60)
@given(st.recursive(st.integers() | st.text() | st.floats() | st.none(), lambda part: st.lists(part) | st.dictionaries(
    st.text(), part), max_leaves=20))
def test_a_value_in_an_error_is_short(value):
    assert 0 < len(brief(value)) <= 80


def test_a_value_that_python_cannot_write_out_is_shown_all_the_same():
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert brief(deep) == "[[[[...]]]]" or len(brief(deep)) < 80
    assert brief(10**5000).startswith("0x")
    assert brief([16**9000]).startswith("[0x1000")


@settings(max_examples=60)
@given(st.text())
def test_a_name_is_shown_on_one_line_that_moves_no_cursor(name):
    shown = legible(name)
    assert not {unicodedata.category(one) for one in shown if one not in "\u200c\u200d"} & {"Cc", "Cs", "Zl", "Zp"}
    assert len(shown.splitlines()) <= 1
    assert legible(shown) == shown
    shown.encode("utf-8")
    if name.isprintable():
        assert shown == name


@pytest.mark.parametrize(("name", "shown"), [
    ("a b", "a b"), ("ä 数字 🖉", "ä 数字 🖉"), ("👩\u200d🔬", "👩\u200d🔬"), ("a\nb", r"a\nb"), ("\x1b[2J", r"\x1b[2J"),
    ("\udcff", r"\udcff"), ("\u202egnp.exe", r"\u202egnp.exe"), ("\x9b1m", r"\x9b1m"), ("a\u2028b", r"a\u2028b"),
    ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"), ("क्\u200cष", "क्\u200cष"),
    ("\u2067a\u2069", r"\u2067a\u2069"),
    ("❤\ufe0f", "❤\ufe0f"), ("🏴\U000e0067\U000e0062\U000e007f", "🏴\U000e0067\U000e0062\U000e007f"),
    ("3.00\u202fPM 数\u3000字", "3.00\u202fPM 数\u3000字"), ("new \U0001fae9", "new \U0001fae9"),
])
def test_names_as_they_are_shown(name, shown):
    assert legible(name) == shown
