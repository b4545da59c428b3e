"""What survives the process: the run folder, checkpoints, weights, the summary, and reading them again safely."""
