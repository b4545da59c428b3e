"""Several runs side by side, and whether they differ by more than the noise between seeds."""
