"""Writes the figures of docs/reliability.md from those in docs/figures that the long trials leave.

    python -m tools.reliability             write the marked sections again
    python -m tools.reliability --check     exit code 1, naming them, where some are stale
"""

import argparse
import functools
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mnist_ops import settings_file
from mnist_ops.data import idx, unpack
from mnist_ops.data.download import Patience
from mnist_ops.pictures import candidates, read
from mnist_ops.run import checkpoint, safe_files, trained, weights
from tools.guided import GUIDED
from tools.readme import renew

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE, FIGURES = REPOSITORY / "docs" / "reliability.md", REPOSITORY / "docs" / "figures"
MEGABYTE = 10**6
CHECKS = {  # of tools/sanitized.py
    "steps": "the engine's step and evaluation: no finding of the sanitizers", "gradients": "its gradient is PyTorch's",
    "float32": "C code in float32: PyTorch's logits, no finding",
    "integers": "C code of 8, 4 and 2 bits: the integers of the reference, no finding"}


def figures(name: str) -> dict[str, Any] | None:
    """What the trial has left; None if it has not been made."""
    path = FIGURES / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def measured(name: str, command: str) -> Callable[[Callable[[dict[str, Any]], str]], Callable[[], str]]:
    """A section of the figures that the command writes; before it was run the section says so."""
    def section(told: Callable[[dict[str, Any]], str]) -> Callable[[], str]:
        @functools.wraps(told)
        def text() -> str:
            found = figures(name)
            return f"*The figures stand here once `{command}` has been run.*" if found is None else told(found)
        return text
    return section


@measured("kills", "python tools/kills.py")
def kills(found: dict[str, Any]) -> str:
    """Where the kills struck, and how many of the runs came out the same."""
    signals = ", ".join(f"{count:,} by {name}" for name, count in found["signals"].items())
    text = (f"`{found['command']}` ({found['machine']}): {found['kills']:,} runs killed, {signals}; "
            f"**{found['identical']:,} of {found['kills']:,} ended in the same bits** once they were resumed.")
    if found["slowest_end_seconds"] is not None:
        text += (" A process that was told to end by SIGTERM or SIGINT took at most "
                 f"{found['slowest_end_seconds']:.2f} s to do so.")
    places = [(place, f"{count:,}") for place, count in found["places"].items()]
    return f"{_wrapped(text)}\n\n{_table(('killed', 'runs'), places)}"


@measured("fuzz", "python -m tools.fuzz")
def fuzz(found: dict[str, Any]) -> str:
    """How many inputs each reader got, what became of them, and the worst time and memory."""
    readers = found["readers"]
    rows = [(one["what"], f"{one['inputs']:,}", f"{one['inputs'] - one['refused'] - len(one['failures']):,}",
             f"{one['refused']:,}", f"{len(one['failures']):,}", f"{one['slowest_seconds']:.2f} s",
             f"{one['peak_bytes'] / MEGABYTE:,.0f} MB") for one in readers]
    total, failed = sum(one["inputs"] for one in readers), sum(len(one["failures"]) for one in readers)
    limits = found["limits"]
    text = (f"`{found['command']}` ({found['machine']}): **{total:,} inputs, {failed:,} failures**. A failure is any "
            f"error but one for the user, more than {limits['seconds']:g} s of processor time for an input, or a "
            f"process of more than {limits['bytes'] / MEGABYTE:,.0f} MB, PyTorch and the other libraries included.")
    heads = ("reader", "inputs", "read", "refused", "failures", "slowest input", "peak memory")
    return f"{_wrapped(text)}\n\n{_table(heads, rows)}"


@measured("guided", "python -m tools.guided")
def guided(found: dict[str, Any]) -> str:
    """How long libFuzzer searched for each reader, how many inputs it tried, and how much code they reached."""
    readers = found["readers"]
    rows = [(one["what"], *(f"{one[key]:,}" for key in ("seconds", "inputs", "edges_at_first", "edges")),
             f"{len(one['failures']):,}") for one in readers]
    total, failed = sum(one["inputs"] for one in readers), sum(len(one["failures"]) for one in readers)
    text = (f"`{found['command']}` ({found['machine']}): **{total:,} inputs, {failed:,} failures** in "
            f"{sum(one['seconds'] for one in readers) / 60:,.1f} minutes in all, for {len(readers)} of the "
            f"{len(GUIDED)} readers.")
    heads = ("reader", "seconds", "inputs", "places in the code at first", "at the end", "failures")
    return f"{_wrapped(text)}\n\n{_table(heads, rows)}"


@measured("sanitized", "python -m tools.sanitized")
def sanitized(found: dict[str, Any]) -> str:
    """How many random networks were compiled under sanitizers, and what was compared."""
    text = (f"`{found['command']}` ({found['machine']}): **{found['networks']:,} networks, {len(found['failures']):,} "
            "failures**. A gradient is not compared where float32 lacks the digits.")
    return f"{_wrapped(text)}\n\n" + _table(("check", "networks passed"), [
        (CHECKS[name], f"{count:,}") for name, count in found["passed"].items()])


@measured("power", "python -m tools.power")
def power(found: dict[str, Any]) -> str:
    """How many states a loss of power may leave, and what became of the commands that went on from them."""
    cases = found["cases"]
    rows = [(one["name"], *(f"{count:,}" for count in (
        one["operations"], one["states"], one["tried"], one["outcomes"].get("the same bits", 0),
        one["outcomes"].get("refused by name", 0), one["outcomes"].get("wrong", 0)))) for one in cases]
    tried, same = (sum(counts) for counts in ([one["tried"] for one in cases],
                                              [one["outcomes"].get("the same bits", 0) for one in cases]))
    text = (f"`{found['command']}` ({found['machine']}): the power was taken away after each operation on the disk; of "
            f"the states that it may then hold {tried:,} differ, and from **{same:,} of {tried:,}** the command went "
            "on to the same bits.")
    heads = ("command", "operations", "states", "different ones", "the same bits", "refused by name", "wrong")
    return f"{_wrapped(text)}\n\n{_table(heads, rows)}"


@measured("faults", "python -m tools.faults")
def faults(found: dict[str, Any]) -> str:
    """How many faults each command met, by kind, and what became of it."""
    rows = []
    for one in found["cases"]:
        ends = [sum(counts.get(end, 0) for counts in one["faults"].values())
                for end in ("an error", "done without", "wrong")]
        rows.append((f"`{one['name']}`", *(f"{count:,}" for count in (one["points"], one["tried"], *ends))))
    tried, wrong = (sum(counts) for counts in ([one["tried"] for one in found["cases"]],
                                               [len(one["problems"]) for one in found["cases"]]))
    text = f"`{found['command']}` ({found['machine']}): **{tried:,} faults, {wrong:,} with another outcome**."
    heads = ("command", "points", "faults", "a clear error", "done all the same", "wrong")
    return f"{_wrapped(text)}\n\n{_table(heads, rows)}"


@measured("long_life", "python -m tools.long_life")
def long_life(found: dict[str, Any]) -> str:
    """What many runs, seeds and trials have come to: how many, what was done to them, growth and pace."""
    told: dict[str, Callable[[dict[str, Any]], tuple[str, str, Any]]] = {
        "runs": lambda one: (f"{one['runs']:,} runs in one process, with reports and exports", "", one["growth"]),
        "sweep": lambda one: (f"{one['seeds']:,} seeds", f"killed after {one['kept']:,}; {one['same_bits']:,} with the "
                              "bits of a run in one process", one["held"]),
        "search": lambda one: (f"{one['trials']:,} trials", f"{one['kills']:,} workers killed, {one['lost']:,} trials "
                               "lost and repeated", one["held"]),
        "database": lambda one: (f"{one['trials']:,} trials in PostgreSQL", f"{one['dropped']} connections dropped, "
                                 f"server away for {one['seconds_down']:g} s; {one['lost']} trials lost and repeated",
                                 None)}
    rows = []
    for name in (name for name in told if name in found):
        one = found[name]
        what, done, grew = told[name](one)
        rows.append((f"`{one['command']}`", what, done, " to ".join(f"{size:,.0f}" for size in grew["megabytes"])
                     + f" MB, {grew['descriptors'][1]} descriptors, {grew['threads'][1]} threads" if grew else "",
                     " to ".join(f"{pace:.2g}" for pace in one.get("seconds_each", ())), f"{len(one['problems'])}"))
    heads = ("command", "what", "done to it", "held, after a fifth and at the end", "seconds each, first and last",
             "wrong")
    return _table(heads, rows)


def limits() -> str:
    """What is refused for its size alone, from the constants themselves."""
    patience = Patience()
    rows = [
        ("content of an IDX file, packed or not", f"{idx.MOST_BYTES:,} bytes, and what its header promises"),
        ("members of a gzip file", f"{unpack.MOST_MEMBERS:,}"),
        ("picture", f"{read.MOST_PIXELS:,} pixels ({Image.MAX_IMAGE_PIXELS:,} of a JPEG, decoded at half its sides), "
         f"{read.MOST_BYTES:,} bytes, {read.MOST_SCANS} scans of a JPEG"),
        ("picture of several characters", f"{candidates.MOST:,} marks that may be one, alone or together"),
        ("TOML or JSON of `--config`, TOML of `--model`",
         f"{settings_file.MOST_JSON:,} bytes of JSON, {settings_file.MOST_TOML:,} of TOML"),
        ("JSON file of a run", f"{safe_files.MOST_JSON:,} bytes, {safe_files.MOST_CONTAINERS:,} objects and lists"),
        ("`model.safetensors`", f"{weights.MOST_WEIGHTS:,} bytes; for an image {trained.MOST_MACS:,} "
                                f"multiply-adds and {trained.MOST_ELEMENTS:,} elements in a feature map"),
        ("`checkpoint.pt`", f"{checkpoint.MOST_CHECKPOINT:,} bytes, {checkpoint.MOST_PICKLE:,} of them structure"),
        ("download", f"the known size; at least {patience.pace:,.0f} bytes a second over each {patience.seconds:g} s"),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (("what", "limit"), ("---", "---"), *rows))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 125, break_long_words=False, break_on_hyphens=False)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    ruler = ["---", *["---:"] * (len(heads) - 1)]  # numbers to the right
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ruler, *rows))


SECTIONS = {"kills": kills, "power": power, "faults": faults, "fuzz": fuzz, "guided": guided, "sanitized": sanitized,
            "long-life": long_life, "limits": limits}


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Write the figures of docs/reliability.md again.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a section is stale")
    chosen = parser.parse_args(arguments)
    return renew(PAGE, SECTIONS, "python -m tools.reliability", check=chosen.check)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
