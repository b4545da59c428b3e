"""Several processes: those that train a network together, and the workers of a command."""
