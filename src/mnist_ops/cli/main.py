"""START HERE for the command line: which commands there are, and what becomes of an error."""

import os
import sys

from cyclopts import App, CycloptsError, Parameter

from mnist_ops import __version__
from mnist_ops.cli.output import complain
from mnist_ops.errors import MnistOpsError

INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE

app = App(
    name="mnist-ops",
    help="Train image classifiers so small that every parameter counts, and see what they see. "
         "`mnist-ops train` is where to start; every command has --help.",
    version=__version__,
    default_parameter=Parameter(negative=()),
    help_format="markdown",
    suppress_keyboard_interrupt=False,  # so that a command may say what it leaves behind
)

COMMANDS = {  # name -> module of this package; each is imported when it is called, or listed by --help
    "train": "train",
    "tune": "tune",
    "table": "table",
    "score": "score",
    "check": "check",
    "sweep": "sweep",
    "data": "data",
}

for name, module in COMMANDS.items():
    app.command(f"mnist_ops.cli.{module}:{name}", name=name)


def main(arguments: list[str] | None = None) -> int:
    """Carry out the command line and give its exit code: 0, 1 for what failed, 2 for wrong use, 130 for Ctrl-C."""
    try:
        code = app(sys.argv[1:] if arguments is None else arguments, exit_on_error=False, print_error=False,
                   result_action="return_value")
        sys.stdout.flush()  # here, so that a reader who has gone is noticed inside the try
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        return complain(f"{error}\nSee {' '.join(['mnist-ops', *(error.command_chain or ())])} --help.", 2)
    except MnistOpsError as error:
        return complain(str(error), error.exit_code)
    except KeyboardInterrupt as stop:
        return complain(str(stop) or "stopped", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains as it ends
        return BROKEN_PIPE
