"""A trained network as ONNX, C or one HTML page, each proved to compute what PyTorch computes before it is written."""
