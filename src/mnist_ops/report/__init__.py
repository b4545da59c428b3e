"""The report of a run: its results, plots, and the page that shows both."""

import logging

# Matplotlib's message about its font cache is for programmers, and names a temporary folder.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
