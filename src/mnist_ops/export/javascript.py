"""Runs a page's script on images, by Node.js, or within the page by Chromium. Takes only the page's text."""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_ops.errors import RunError, legible
from mnist_ops.export.page import template
from mnist_ops.parallel.children import ended_by
from mnist_ops.templating import hash_source

NODE = ("node", "nodejs")
OLDEST_NODE = 16  # the first with all that the page's script uses
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge",
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
HEADLESS = ("--headless", "--disable-gpu", "--no-first-run", "--no-default-browser-check", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage")
SECONDS = 120  # time limit of an engine; 10,000 images take the default network a few
MOST_BYTES = 2**28  # of an engine's output
ANSWERS = re.compile(rb'mnist-ops answers: (\{"engine"[^<\n]*\})')


@dataclass(frozen=True, eq=False)
class ScriptOutput:
    """The page's predictions on N images."""

    engine: str  # what ran its script: "Node.js 20.20.2"
    predicted: NDArray[np.int64]        # (N,)
    probabilities: NDArray[np.float64]  # (N, classes)
    oddness: NDArray[np.float64]  # (N,); NaN without the score that refuses


@dataclass(frozen=True)
class NotRun:
    """Why no engine ran the page's script."""

    reason: str


def run_script(page: str, images: NDArray[np.uint8]) -> ScriptOutput | NotRun:
    """The predictions of a page, the whole HTML text, on images (N, H, W), by the first engine that runs its script.

    Node.js comes first, as it starts eight times as fast. An engine that is missing, does not start, takes longer than
    SECONDS or prints anything else is skipped, and its processes are ended. Raises RunError with the engine's message
    if the script itself fails."""
    reasons = []
    for programs, run in ((NODE, _run_node), (CHROMIUM, _run_chromium)):
        program = next(filter(None, map(shutil.which, programs)), None)
        if program is None:
            continue
        try:
            # A browser may still write to its profile after it has answered.
            with tempfile.TemporaryDirectory(prefix="mnist-ops-", ignore_cleanup_errors=True) as folder:
                told = run(program, Path(folder), page, images)
            if "error" not in told:
                return ScriptOutput(told["engine"], np.array(told["best"], np.int64),
                                    *(np.array(told[name], np.float64)  # null, which is NaN in JSON, too
                                      for name in ("probabilities", "oddness")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            reasons.append(f"{program}: {error}")
        else:
            raise RunError(f"the page's script fails in {told['engine']}, so nothing was written: {told['error']}")
    return NotRun("; ".join(reasons) or "found neither Node.js nor Chromium, Chrome or Edge; install one of them")


def _run_node(program: str, folder: Path, page: str, images: NDArray[np.uint8]) -> dict[str, Any]:
    """The script, with the part of the page that it needs to compute: the data."""
    data, script = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    file = folder / "proof.cjs"
    file.write_text(f"""\
{template("proof.js")}
const version = process.versions.node, engine = `Node.js ${{version}}`;
if (parseInt(version) < {OLDEST_NODE}) {{
  console.error(`version ${{version}} is too old, expected {OLDEST_NODE} or later`);
  process.exit(1);
}}
globalThis.document = {{getElementById: () => ({{textContent: {json.dumps(data)}}}), addEventListener() {{}}}};
let failed = '';
try {{
  require('vm').runInThisContext({json.dumps(script)});
}} catch (error) {{
  failed = String(error);
}}
console.log(line(failed ? {{engine, error: failed}} : proof(engine, '{_base64(images)}', {len(images)})));
""", encoding="utf-8")
    return _told([program, str(file)])


def _run_chromium(program: str, folder: Path, page: str, images: NDArray[np.uint8]) -> dict[str, Any]:
    """The unchanged page with its policy, and one more script in its head, which the policy is extended to allow."""
    script = f"""\
{template("proof.js")}
let failed = '';
addEventListener('error', ({{message}}) => {{ failed = failed || message; }});
addEventListener('load', () => {{
  const engine = `Chromium ${{/Chrome\\/(\\d+)/.exec(navigator.userAgent)[1]}}`;
  const place = document.getElementById('images');
  place.textContent = line(failed ? {{engine, error: failed}} : proof(engine, place.textContent, {len(images)}));
}});
"""
    file = folder / "proof.html"
    elements = f'<script>{script}</script><script type="application/json" id="images">{_base64(images)}</script></head>'
    file.write_text(page.replace("script-src ", f"script-src {hash_source(script)} ", 1)
                    .replace("</head>", elements, 1), encoding="utf-8")
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # root has none
    return _told([program, *HEADLESS, *sandbox, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()])


def _base64(images: NDArray[np.uint8]) -> str:
    return base64.b64encode(images.tobytes()).decode()


def _told(command: Sequence[str]) -> dict[str, Any]:
    """An engine's answers. Raises ValueError with the reason if there are none."""
    late = threading.Event()
    with tempfile.TemporaryFile() as complaints, subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints,
            start_new_session=True) as process:
        assert process.stdout is not None

        def stop() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(SECONDS, stop)
        timer.start()
        try:
            said = process.stdout.read(MOST_BYTES)
            code = None if len(said) == MOST_BYTES else process.wait()
        finally:
            timer.cancel()
            _end(process)
        complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - 300))
        complaint = legible(" ".join(complaints.read().decode(errors="replace").split()))
    if late.is_set():
        raise ValueError(f"took longer than {SECONDS} seconds")
    if found := ANSWERS.search(said):
        return json.loads(found[1])  # type: ignore[no-any-return]
    if code:
        raise ValueError(f"failed ({ended_by(code, complaint)})")
    raise ValueError(f"printed unexpected output ({said[:40]!r}...)")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it and its child processes."""
    if not hasattr(os, "killpg"):
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended; macOS raises the second
        os.killpg(process.pid, signal.SIGKILL)
