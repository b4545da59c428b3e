"""`python -m mnist_ops` is the command mnist-ops."""

import sys

from mnist_ops.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
