"""The network as a part of an ONNX graph: the stages of `backprop.network`, forward."""

from collections.abc import Callable

import numpy as np

from backprop import Architecture, Parameters
from backprop.activations import LEAKY_RELU_SLOPE
from flows.errors import ModelError
from flows.export.graph import Graph

ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "identity": lambda _, z: z,
    "sigmoid": lambda graph, z: graph.op("Sigmoid", z),
    "tanh": lambda graph, z: graph.op("Tanh", z),
    "relu": lambda graph, z: graph.op("Relu", z),
    "leaky_relu": lambda graph, z: graph.op("LeakyRelu", z, alpha=LEAKY_RELU_SLOPE),
    "elu": lambda graph, z: graph.op("Elu", z, alpha=1.0),
    "softplus": lambda graph, z: graph.op("Softplus", z),
    "gelu": lambda graph, z: graph.op("Gelu", z, approximate="none"),
    "silu": lambda graph, z: graph.op("Mul", z, graph.op("Sigmoid", z)),
    "softmax": lambda graph, z: graph.op("Softmax", z, axis=-1),
}
"""What computes an activation; a user's own has no counterpart."""


def add_network(graph: Graph, x: str, architecture: Architecture, parameters: Parameters) -> str:
    """Add every stage; return the name of the network's outputs, float32 (rows, outputs).

    Raises
    ------
    ModelError
        An activation is a user's own.
    """
    h = x
    names = (*architecture.activations, architecture.output_activation)
    for name, w, b in zip(names, parameters.weights, parameters.biases, strict=True):
        if name not in ACTIVATIONS:
            raise ModelError(f"activation {name!r} is your own, and ONNX knows {', '.join(ACTIVATIONS)}")
        weight, bias = (graph.constant(np.asarray(values, np.float32)) for values in (w[0], b[0, 0]))
        h = ACTIVATIONS[name](graph, graph.op("Gemm", h, weight, bias))
    return h
