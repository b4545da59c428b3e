"""Any picture file -> the 28x28 that a network expects: found, read, its ink told from its ground, drawn as MNIST was.
Knows no dataset."""
