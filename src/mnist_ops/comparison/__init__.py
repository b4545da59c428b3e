"""Comparison of runs, and whether they differ by more than the noise between seeds."""
