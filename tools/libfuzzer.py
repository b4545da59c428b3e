"""The process of tools/guided.py that libFuzzer runs in: python -m tools.libfuzzer READER OPTIONS.

It alone imports atheris, before anything that is to count as code reached. Failures are JSON lines on stdout."""

import contextlib
import json
import shlex
import sys
import tempfile
import traceback
from pathlib import Path

import atheris

INSTRUMENTED = ["mnist_ops", "tomllib", "zipfile", "gzip", "csv", "PIL", "numpy.lib", "optuna.storages"]
SLOWER = 5  # times, at most, that code takes longer when its way is recorded
FIRST = 20  # inputs read before libFuzzer begins, so that what is imported late is instrumented too

with atheris.instrument_imports(include=INSTRUMENTED):
    from tools import readers
    from tools.fuzz import drawn
    from tools.readers import READERS, Tally, TooLongError, attempt


def place_of(error: BaseException) -> str:
    """The last line of mnist_ops that it went through."""
    own = [one for one in traceback.extract_tb(error.__traceback__) if "mnist_ops" in one.filename]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "elsewhere"


def main(name: str, options: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    reader, tally, seen, place = READERS[name], Tally(), set[str](), Path(tempfile.mkdtemp())
    form = reader.form
    assert form is not None
    readers.SECONDS *= SLOWER

    def one(raw: bytes) -> None:
        try:
            attempt(reader, form.made(raw), place, tally)
        except (Exception, TooLongError) as error:
            where = f"{type(error).__name__} at {place_of(error)}"
            if where not in seen:
                seen.add(where)
                print(json.dumps({"where": where, "what": str(error)[:300], "input": raw.hex()[:20_000]}), flush=True)

    with atheris.instrument_imports(include=INSTRUMENTED):
        for raw in drawn(name, FIRST):  # with imports, whose time does not count
            with contextlib.suppress(Exception):
                reader.read(place, form.made(raw))
    again = place / "again"  # libFuzzer's -merge=1 starts itself once more
    again.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tools.libfuzzer {name} "$@"\n')
    again.chmod(0o755)
    atheris.Setup([str(again), *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
