"""Several processes: those that train one network together, and those that work for a command."""
