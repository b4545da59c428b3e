"""`make setup` fits one screen, and what goes wrong in it is seen."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# What stands for Python, and makes another such of itself in .venv.
PYTHON = """\
#!/bin/bash
case "$*" in
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  --version) echo "Python 3.12.0" ;;
  *"pip install"*)
    for one in $(seq 40); do
      echo "WARNING: Location 'file:///gone/simple/package-$one/' is ignored: it is neither a file nor a directory." >&2
      echo "Collecting package-$one"
      echo "  Downloading package-$one-1.0.whl (1.$one MB)"
    done
    echo "  Downloading torch-2.13.0.whl (821.0 MB)"
    echo "WARNING: Retrying after connection broken" >&2
    echo "Installing collected packages: $(seq -s ' ' 200)"
    [ -z "$FAILING" ] || { echo "ERROR: No matching distribution found" >&2; exit 1; } ;;
  *"pip list"*) echo "torch==2.13.0" ;;
esac
"""


@pytest.mark.parametrize("fails", [False, True])
def test_set_up_fits_one_screen_and_passes_on_what_goes_wrong(tmp_path, fails):
    if shutil.which("make") is None or shutil.which("bash") is None:
        pytest.skip("needs make and bash")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    done = subprocess.run(["make", "setup", "PYTHON=./python"], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "FAILING": "yes" if fails else ""})
    assert (done.returncode != 0) == fails
    assert len(done.stdout.splitlines() + done.stderr.splitlines()) <= 24
    assert "Setting up .venv with Python 3.12.0" in done.stdout
    assert "  Downloading torch-2.13.0.whl (821.0 MB)" in done.stdout.splitlines()
    assert "WARNING: Retrying after connection broken" in done.stderr
    assert "Location" not in done.stderr
    assert ("ERROR: No matching distribution found" in done.stderr) == fails
    assert ("Ready: torch==2.13.0" in done.stdout) == (not fails)
    assert (tmp_path / ".venv" / ".ready").exists() == (not fails)
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_the_workflow_checks_every_package_that_is_installed_for_known_vulnerabilities():
    workflow = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    job = re.search(r"^  advisories:\n((?:   .*\n)+)", workflow, re.MULTILINE)
    assert job
    assert re.search(r"- run: pip install pip-audit==[\d.]+\n", job[1])
    assert "- run: pip-audit --requirement constraints.txt --no-deps --disable-pip --strict\n" in job[1]
    assert re.search(r"^on:\n(  .*\n)*  schedule:\n    - cron: ", workflow, re.MULTILINE)
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    names = re.findall(r"^    \"([a-z0-9-]+)(?:\[[a-z]+\])?>=", project, re.MULTILINE)
    assert len(names) > 15
    assert set(names) <= {*pinned, "tensorboard"}  # which is installed for nobody but those who ask for it


def test_a_vulnerability_is_reported_in_private():
    text = " ".join((REPOSITORY / "SECURITY.md").read_text(encoding="utf-8").split())
    assert "*Report a vulnerability* in this repository's *Security* tab" in text
    assert "do not open an issue" in text
