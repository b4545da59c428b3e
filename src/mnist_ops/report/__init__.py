"""The report of a run: what there is to say of it, its plots, and the page that holds both."""

import logging

# Matplotlib's advice on where to keep its list of fonts is for programmers, and names a folder that does not stay.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
