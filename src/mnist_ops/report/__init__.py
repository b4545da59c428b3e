"""The report of a run: what is known about it, its plots, and the page that shows both."""

import logging

# Matplotlib's advice on where to keep its list of fonts is for programmers, and names a folder that does not stay.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
