"""Training images whose labels are likely wrong: confident learning over out-of-fold predictions."""
