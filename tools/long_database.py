"""A search in PostgreSQL whose server is restarted, and whose connections are dropped: nothing is lost."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from mnist_ops.search.storage import VARIABLE, open_storage
from mnist_ops.search.study import join, load
from tests.postgres import Server, restartable
from tools.held import lay_settings
from tools.long_search import JOBS, SPACE, VALIDATION, wrong_in

DOWN = 5.0  # seconds for which the server is away


def drop_connections(url: str) -> int:
    """End every other connection to the database. -> how many."""
    import psycopg

    with psycopg.connect(url) as connection:
        return len(connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> "
                                      "pg_backend_pid() and datname = current_database()").fetchall())


def trial(count: int, folder: Path) -> dict[str, Any]:
    """A search of so many trials by two workers; after a third of them connections are dropped, after two thirds the
    server is restarted."""
    settings, space, out = lay_settings(folder), folder / "space.toml", folder / "study"
    space.write_text(SPACE)
    words = ["sweep", "default", "--config", settings, "--search", space, "--validation", VALIDATION, "--trials", count,
             "--jobs", JOBS, "--out", out, "--heartbeat", 2]
    with restartable() as server:
        code, error, dropped = struck(server, [str(word) for word in words], count)
        with closing(open_storage(out, server.url, 2)) as place:
            trials = join(load(out), place, server.url).get_trials(deepcopy=False)
    problems = wrong_in(trials, count)
    if code:
        problems.append(f"the command ended with {code}: {error[-1000:]}")
    if "Traceback" in error:
        problems.append(f"a traceback was shown: {error[-1500:]}")
    states = Counter(one.state.name for one in trials)
    return {"trials": count, "trained": states["COMPLETE"], "lost": states["FAIL"], "dropped": dropped,
            "seconds_down": DOWN, "replaced": error.count("was replaced"), "problems": problems}


def struck(server: Server, words: list[str], count: int) -> tuple[int, str, int]:
    """Run the command with both misfortunes. -> exit code, stderr, connections that were dropped."""
    environment = os.environ | {VARIABLE: server.url, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    said: list[str] = []
    done = dropped = 0
    with subprocess.Popen([sys.executable, "-m", "mnist_ops", *words], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        listener = threading.Thread(target=said.extend, args=(process.stderr,))
        listener.start()
        for line in process.stdout:
            done += line.startswith("trial ")
            if not dropped and done >= count // 3:
                dropped = drop_connections(server.url)
            if done == 2 * count // 3 and line.startswith("trial "):
                server.stop()
                time.sleep(DOWN)
                server.start()
        listener.join()
    return process.returncode, "".join(said), dropped
