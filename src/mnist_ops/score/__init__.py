"""How good a network is: evaluation, metrics, mistakes, intervals."""
