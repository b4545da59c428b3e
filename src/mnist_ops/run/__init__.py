"""The files of a run: its folder, checkpoints, weights and summary, and reading them safely."""
