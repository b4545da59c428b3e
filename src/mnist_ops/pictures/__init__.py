"""Any picture file -> the 28x28 pixels that a network expects, prepared like MNIST. Knows no dataset."""
