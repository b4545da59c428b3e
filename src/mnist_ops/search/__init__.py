"""A search over settings and architectures, on as many processes and machines as join it; Optuna is its engine."""
