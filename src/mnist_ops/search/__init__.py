"""A search over settings and architectures with Optuna, on any number of processes and machines."""
