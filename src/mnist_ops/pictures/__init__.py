"""Any picture file -> the 28x28 pixels that a network expects, made as MNIST was. Knows no dataset."""
