"""A registered model as one ONNX file: preparation, network, and what its outputs mean."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from backprop import __version__
from flows.data.preparation import LABEL_THRESHOLD, Preparation, label_array
from flows.data.whole import file_appearing_whole
from flows.errors import DestinationError, ModelError
from flows.export.graph import Graph
from flows.export.network_graph import add_network
from flows.export.preparation_graph import PIXELS, add_preparation, require_exportable
from flows.tracking.opened_model import OpenedModel, OpenedTrial

LARGEST_FILE = 2**31
"""Bytes that a file of ONNX without a second one beside it can have."""


def onnx_model(model: OpenedTrial) -> onnx.ModelProto:
    """Return a model as ONNX.

    Its inputs are the raw columns, (rows, 1) each. Of classes the outputs are ``label`` (rows,) and ``probabilities``
    (rows, classes); of several labels ``labels`` and ``probabilities``, (rows, targets); of one quantity ``value``
    (rows,), of several ``values`` (rows, targets), in their units. A name that a column has is followed by ``_1``.

    Raises
    ------
    ModelError
        A column's preparation or an activation has no counterpart in ONNX, or the file would be too large.
    """
    predictor = model.predictor
    preparation = predictor.preparation
    require_exportable(model.title, preparation)
    if 4 * predictor.architecture.parameter_count >= LARGEST_FILE:
        raise ModelError(f"{model.title} cannot be written as ONNX: its weights take more than 2 GiB")
    graph = Graph(preparation.columns if preparation.pixels is None else (PIXELS,))
    x = add_preparation(graph, preparation)
    outputs = add_network(graph, x, predictor.architecture, predictor.parameters)
    add_answers(graph, outputs, preparation)
    return graph.finish(model.name, f"{model.title}, exported by backprop {__version__}", metadata_of(model))


def add_answers(graph: Graph, outputs: str, preparation: Preparation) -> None:
    """Add what the network's outputs mean in the words of the data."""
    if preparation.classes is not None:
        labels = label_array(preparation.classes)
        best = graph.op("ArgMax", outputs, axis=1, keepdims=0)
        kind = TensorProto.STRING if labels.dtype == object else helper.np_dtype_to_tensor_dtype(labels.dtype)
        graph.add_output("label", graph.op("Gather", graph.constant(labels), best), kind, None)
    elif preparation.task == "multilabel":
        threshold = graph.constant(np.array(LABEL_THRESHOLD, np.float32))
        likely = graph.op("Cast", graph.op("Greater", outputs, threshold), to=TensorProto.INT64)
        graph.add_output("labels", likely, TensorProto.INT64, preparation.outputs)
    else:
        # float64 before the unit is restored: float32 would round a target of large numbers.
        wide = graph.op("Cast", outputs, to=TensorProto.DOUBLE)
        scaled = graph.op("Mul", wide, graph.constant(np.array(preparation.target_scale, np.float64)))
        values = graph.op("Add", scaled, graph.constant(np.array(preparation.target_mean, np.float64)))
        if preparation.outputs > 1:
            graph.add_output("values", values, TensorProto.DOUBLE, preparation.outputs)
        else:
            flat = graph.op("Reshape", values, graph.constant(np.array([-1])))
            graph.add_output("value", flat, TensorProto.DOUBLE, None)
        return
    graph.add_output("probabilities", outputs, TensorProto.FLOAT, preparation.outputs)


def metadata_of(model: OpenedTrial) -> dict[str, str]:
    """Return what the file says of where it came from, and of the order of columns, classes and targets, as JSON."""
    preparation = model.predictor.preparation
    known = {
        "model.name": model.name,
        "model.version": str(model.version) if isinstance(model, OpenedModel) else "",
        "run.id": model.run_id,
        "trial.key": model.trial_key,
        "dataset.digest": model.dataset_digest,
        "backprop.version": __version__,
        "task": preparation.task,
        "columns": json.dumps(preparation.columns),
        "targets": json.dumps(preparation.targets),
    }
    return known | ({} if preparation.classes is None else {"classes": json.dumps(preparation.classes)})


def write_onnx(model: OpenedTrial, path: Path, *, overwrite: bool) -> onnx.ModelProto:
    """Write a model to a file, which appears whole or not at all, and return what was written.

    Raises
    ------
    ModelError
        It cannot be ONNX.
    DestinationError
        There is a file already, or none can be written.
    """
    written = onnx_model(model)
    try:
        with file_appearing_whole(path, overwrite=overwrite) as temporary:
            onnx.save(written, temporary)
    except FileExistsError as error:
        raise DestinationError(f"{path}: there is one already; name another, or replace it with --overwrite") from error
    except OSError as error:
        raise DestinationError(f"{path}: cannot be written: {error.strerror or error}; choose another") from error
    return written
