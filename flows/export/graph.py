"""An ONNX graph in the making: nodes in the order in which they are computed, each with a name of its own."""

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
"""The first that has Gelu; of May 2024's ONNX 1.16, so that runtimes of the years since then read the file."""

ML_OPSET = 3
IR_VERSION = 10
ML_DOMAIN = "ai.onnx.ml"

ROWS = "rows"
"""What the graph calls the number of rows, which is open."""


class Graph:
    """Collects the parts of a graph.

    Parameters
    ----------
    reserved : collection of str
        Names that nothing computed inside may have: those of the columns.
    """

    def __init__(self, reserved: Collection[str]) -> None:
        self._taken = set(reserved)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def add_input(self, name: str, kind: int, width: int, meaning: str) -> str:
        """Declare an input of the graph, (rows, width)."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, [ROWS, width], doc_string=meaning))
        return name

    def add_output(self, name: str, value: str, kind: int, width: int | None) -> str:
        """Declare an output of the graph, (rows, width), or (rows,) if there is no width; return what it is called."""
        called = self._unused(name)
        self._nodes.append(helper.make_node("Identity", [value], [called]))
        shape: list[str | int | None] = [ROWS] if width is None else [ROWS, width]
        self._outputs.append(helper.make_tensor_value_info(called, kind, shape))
        return called

    def constant(self, values: np.ndarray) -> str:
        """Add values that do not change."""
        name = self._unused("constant")
        if values.dtype == object:
            encoded = np.array([str(value).encode() for value in values.tolist()], object)
            self._constants.append(helper.make_tensor(name, TensorProto.STRING, values.shape, encoded))
        else:
            self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Compute something and return the name of its one output."""
        name = self._unused(kind)
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def finish(self, name: str, meaning: str, metadata: dict[str, str]) -> onnx.ModelProto:
        """Return the whole as a model; ONNX's own checker has looked at it."""
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants, doc_string=meaning)
        model = helper.make_model(
            graph,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)],
            producer_name="backprop",
            producer_version=metadata["backprop.version"],
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _unused(self, name: str) -> str:
        number, found = 0, name
        while found in self._taken:
            number += 1
            found = f"{name}_{number}"
        self._taken.add(found)
        return found
