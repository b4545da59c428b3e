"""The storage of a study: a journal file in its folder, or a database shared by many machines. Hides passwords."""

import itertools
import logging
import re
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from mnist_ops.disk import create_folder
from mnist_ops.errors import MnistOpsError, RunError, UsageError, brief
from mnist_ops.search.claims import again
from mnist_ops.search.journal import JOURNAL, WholeLines

VARIABLE = "MNIST_OPS_STORAGE"  # environment variable for a URL that other users must not see
PATIENCE = 10  # seconds in which a database must answer
RESTART = 60  # seconds in which a database that has been there must come back
BEATS = 3  # heartbeats that a worker may miss before its trial is taken over
TRIES = 5  # to open a database while another worker may be creating its tables
LIBRARIES = ("optuna", "sqlalchemy", "psycopg")  # whose errors mean that the storage failed
SECRET = re.compile(r"(?i)(pass(?:word|wd)?|pwd|secret|token)=[^&\s]+")


@dataclass(frozen=True, eq=False)
class StudyStorage:
    """An open storage."""

    storage: Any  # optuna.storages.BaseStorage
    shown: str  # the place in words, without a password

    def close(self) -> None:
        """Close the connections to a database."""
        if (engine := getattr(self.storage, "_backend", self.storage)) and hasattr(engine, "engine"):
            self.storage.remove_session()
            engine.engine.dispose()


def open_storage(folder: Path, url: str | None, heartbeat: int, *, patience: float = 0) -> StudyStorage:
    """The storage at `url`, or the journal file in `folder` if it is None.

    heartbeat: seconds between the heartbeats of a trial's worker, in a database. patience: seconds in which one that
    cannot be reached is tried again, as it may be starting. Raises UsageError for an invalid URL,
    or if its driver is not installed; RunError if the storage cannot be reached. No message contains a password."""
    import_optuna()
    if url is None:
        return StudyStorage(_journal(folder / JOURNAL), str(folder / JOURNAL))
    shown = masked(url)
    end = time.monotonic() + patience
    for attempt in itertools.count():
        try:
            return StudyStorage(_database(url, heartbeat), shown)
        except ImportError as error:
            raise UsageError(f"--storage {shown}: its driver is not installed ({error.name}); for PostgreSQL: pip "
                             "install 'mnist-ops[postgresql]'") from None
        except Exception as error:  # each driver raises its own kind, which may contain the URL
            if type(error).__name__ in ("ArgumentError", "NoSuchModuleError"):
                raise UsageError(f"--storage {shown}: {without(url, error)}; expected a URL such as "
                                 "postgresql://USER@HOST/DATABASE") from None
            # If two workers create the tables of a new database at once, one fails and then finds them.
            doubled = attempt + 1 < TRIES and type(error).__name__ in ("ProgrammingError", "IntegrityError")
            if not doubled and time.monotonic() >= end:
                raise unreachable(url, error) from None
            time.sleep(min(0.2 * (attempt + 1), 1))
    raise AssertionError("an attempt returns or raises")


def import_optuna() -> Any:
    """Optuna, silent. Raises UsageError if it is not installed."""
    try:
        import optuna
    except ImportError:
        raise UsageError("a search needs Optuna; pip install 'mnist-ops[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    for name in ("sqlalchemy", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def failure_of(error: BaseException) -> BaseException | None:
    """The first of the errors that led to this one by which the storage failed; None if none of them is of its
    libraries. Where a result cannot be stored, Optuna hides that behind an AssertionError."""
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) and before not in chain:
        chain.append(before)
    return next((one for one in reversed(chain) if type(one).__module__.partition(".")[0] in LIBRARIES), None)


def unreachable(url: str | None, error: BaseException) -> RunError:
    """The error of a storage that fails."""
    where = "the journal" if url is None else f"--storage {masked(url)}"
    return RunError(f"{where}: cannot be reached or used ({without(url, error)}); check that it runs, and its "
                    "address, user, password and database")


def _database(url: str, heartbeat: int) -> Any:
    """Optuna's storage in a database; psycopg is the default driver for PostgreSQL."""
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import make_url

    parsed = make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url))

    class Database(RDBStorage):
        """Takes over no trial of a worker that lives, whatever becomes of connections and of the database's clock."""

        stale: Mapping[int, float] = {}

        def record_heartbeat(self, trial_id: int) -> None:
            with suppress(Exception):  # or no further one would be tried
                super().record_heartbeat(trial_id)

        def _get_stale_trial_ids(self, study_id: int) -> list[int]:
            """Those that are found stale for more than an interval: after a jump of the clock the next beat is new."""
            now = time.monotonic()
            self.stale = {one: self.stale.get(one, now) for one in super()._get_stale_trial_ids(study_id)}
            return [one for one, since in self.stale.items() if now - since > heartbeat]

    options: dict[str, Any] = {"pool_pre_ping": True}
    if parsed.get_backend_name() == "postgresql" and "connect_timeout" not in parsed.query:
        options["connect_args"] = {"connect_timeout": PATIENCE}
    return Database(parsed.render_as_string(hide_password=False), options, heartbeat_interval=heartbeat,
                    grace_period=BEATS * heartbeat, heartbeat_stale_trial_callback=again)


def _journal(path: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    def failed(error: OSError) -> RunError:
        return RunError(f"{path}: cannot be read or written ({error.strerror}); free some space and run the same "
                        "command again, or choose another --out")

    class Backend(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            try:
                super().append_logs(logs)
            except OSError as error:
                raise failed(error) from error

    try:
        create_folder(path.parent)
        lock: Any = WholeLines(path)
        lock.acquire()  # a torn end would be damage to whoever reads it
        lock.release()
        return JournalStorage(Backend(str(path), lock))
    except OSError as error:
        raise failed(error) from error
    except MnistOpsError:
        raise
    except Exception as error:  # on damaged lines Optuna raises anything
        raise RunError(f"{path}: damaged, not an Optuna journal ({brief(str(error))}); restore it, or start again "
                       "with another --out") from error


def masked(url: str) -> str:
    """The URL to show and store: with *** for a password, wherever it is; only the scheme if it cannot be parsed."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return brief(_hidden(re.sub(":.*", ":***", url)))
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if "@" in path.partition("?")[0]:  # a password with a slash in it: hide all before the last @
        return f"{scheme}://***@{_hidden(path.rpartition('@')[2])}"
    name, colon, _ = user.partition(":")
    return f"{scheme}://{name}{colon and ':***'}{at}{host}{slash}{_hidden(path)}"


def _hidden(text: str) -> str:
    return SECRET.sub(r"\1=***", text)


def without(url: str | None, error: BaseException) -> str:
    """The first line of an error's text, without the passwords of `url`."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = lines[0].replace(url, masked(url)) if url else lines[0]
    for password in _passwords(url or ""):
        text = text.replace(password, "***")
    return _hidden(text)[:300]


def _passwords(url: str) -> list[str]:
    """Every form in which a password of the URL may appear, the longest first."""
    rest = url.partition("://")[2] or f"{url}@"
    found = [one.partition("=")[2] for one in rest.partition("?")[2].split("&") if SECRET.match(one)]
    found.append(rest.rpartition("@")[0].partition(":")[2])
    forms = {form for one in found for form in (one, unquote(one), quote(one), quote(unquote(one), safe=""))}
    return sorted((form for form in forms if form), key=len, reverse=True)
