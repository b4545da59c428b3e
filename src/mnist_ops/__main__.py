"""`python -m mnist_ops` is the command mnist-ops."""

import sys


def main() -> int:
    """Carry out the command line of this process; -> the exit code."""
    try:
        from mnist_ops.cli.main import main as carry_out  # here, so that Ctrl-C in the meantime leaves no traceback
    except KeyboardInterrupt:
        return 130
    return carry_out()


if __name__ == "__main__":
    sys.exit(main())
