"""A trained network and its preparation as an ONNX graph, for runtimes that know nothing of Python."""
