"""Raw bytes -> what the network sees: datasets and folders read and checked, as tensors, augmented."""
