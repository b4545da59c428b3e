"""START HERE for the command line: the commands, and how errors are reported."""

import sys
from collections.abc import Callable
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from mnist_ops.cli.check import check
from mnist_ops.cli.compare import compare
from mnist_ops.cli.data import data
from mnist_ops.cli.demo import demo
from mnist_ops.cli.export import export
from mnist_ops.cli.output import checked, complain, follows
from mnist_ops.cli.predict import predict
from mnist_ops.cli.recipes import recipes
from mnist_ops.cli.records import records
from mnist_ops.cli.report import report
from mnist_ops.cli.score import score
from mnist_ops.cli.search import search_worker
from mnist_ops.cli.stopping import conclude, stoppable
from mnist_ops.cli.suspects import fold_worker, suspects
from mnist_ops.cli.sweep import sweep
from mnist_ops.cli.table import table
from mnist_ops.cli.train import train
from mnist_ops.cli.tune import tune
from mnist_ops.errors import MnistOpsError, UsageError, hint

BROKEN_PIPE = 141  # exit code if the reader of stdout has gone: 128 + SIGPIPE


def _version() -> str:
    from mnist_ops import __version__  # slow: read from the package metadata

    return __version__


app = App(
    name="mnist-ops",
    help="Train very small image classifiers, and see what they see. "
         "Start with `mnist-ops train`; every command has --help.",
    version=_version,
    default_parameter=Parameter(negative=()),
    help_format="markdown",
    suppress_keyboard_interrupt=False,  # so a command can say what it leaves behind
)

# Their modules import torch, numpy and rich inside functions, so that --help and errors are fast.
COMMANDS: tuple[Callable[..., Any], ...] = (
    train, recipes, tune, table, score, check, report, compare, suspects, predict, export, demo, sweep, records, data,
)

for place, command in enumerate(COMMANDS):
    app.command(command, sort_key=place)


@app.command(name="help", show=False)  # many type this first
def show_help(command: str | None = None, /) -> None:
    """Show a command's help, or list the commands."""
    names = [command.__name__ for command in COMMANDS]
    if command is not None and command not in names:
        raise UsageError(f"{command!r:.80} is not a command; {hint(command, names)}")
    app.help_print([] if command is None else [command])


for worker in (search_worker, fold_worker):  # started by `sweep --search` and `suspects`
    app.command(worker, show=False)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 success, 1 failure, 2 usage error, 130 Ctrl-C, 143 SIGTERM."""
    with checked(), stoppable():
        try:
            return _carry_out(sys.argv[1:] if arguments is None else arguments)
        except KeyboardInterrupt as stop:
            return conclude(stop)


def _carry_out(arguments: list[str]) -> int:
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()  # inside the try, to notice a closed pipe
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        text = f"{error}\nSee {' '.join(['mnist-ops', *(error.command_chain or ())])} --help."
        return complain("" if follows() else text, 2)
    except MnistOpsError as error:
        return complain(str(error), error.exit_code)
    except BrokenPipeError:
        return BROKEN_PIPE
    except OSError as error:  # where no module knows better, such as at the lock of a folder
        where = f"{error.filename}: " if error.filename else ""
        return complain(f"{where}{error.strerror or error}; what was written before is whole. Free some space or check "
                        "the disk, then run the same command again", 1)
    except MemoryError as error:
        return complain(f"out of memory{f' ({error})' if str(error) else ''}; what was written before is whole. Close "
                        "other programs, or use a smaller --batch-size or fewer --jobs", 1)
