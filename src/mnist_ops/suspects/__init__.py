"""Training images that are likely mislabelled: confident learning on out-of-fold predictions."""
