"""A trained network as ONNX, C or an HTML page, each checked against PyTorch before it is written."""
