"""Training steps compiled for this processor from the layer records. PyTorch's path is the definition."""
