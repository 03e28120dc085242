"""The preparation as a part of an ONNX graph: one input for each raw column, the network's inputs in the end.

Numbers and truth values are float64, a gap being NaN; text is text, a gap being empty. All is computed in float64
and becomes float32 in the end, as in `flows.data.encodings`. A graph cannot refuse a row: where the preparation would,
the outputs are NaN.
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from onnx import TensorProto

from flows.data.encodings import BooleanEncoding, CategoricalEncoding, DateEncoding, Encoding, NumericEncoding, Pixels
from flows.data.preparation import Preparation
from flows.errors import ModelError
from flows.export.graph import ML_DOMAIN, Graph

PIXELS = "pixels"
"""The one input of images: a row of it has a value for each pixel."""


def require_exportable(title: str, preparation: Preparation) -> None:
    """Raise a ModelError that names each column whose preparation ONNX cannot hold."""
    reasons = [reason for encoding in preparation.features if (reason := why_not(encoding)) is not None]
    if reasons:
        raise ModelError(
            f"{title} cannot be ONNX: {'; '.join(reasons)}; train without them, by `drop` in the preparation's "
            "file, or serve the model with MLflow"
        )


def why_not(encoding: Encoding) -> str | None:
    """Say why a column's preparation cannot be a part of a graph; None if it can."""
    if isinstance(encoding, DateEncoding):
        return f"column {encoding.column!r} is a date, which ONNX does not know"
    if isinstance(encoding, CategoricalEncoding):
        if encoding.of_text is None and len([level for level in encoding.levels if level is not None]):
            return (
                f"column {encoding.column!r} has categories of text and of numbers, and an input of ONNX has one type"
            )
        if "" in encoding.levels:
            return f"column {encoding.column!r} has the empty text among its categories, which in ONNX is a gap"
    return None


def add_preparation(graph: Graph, preparation: Preparation) -> str:
    """Add the inputs and what prepares them; return the name of the network's inputs, float32 (rows, inputs)."""
    if preparation.pixels is not None:
        return _pixels(graph, preparation.pixels)
    pieces = []
    # All plain numbers that follow each other at once: a table may have thousands.
    for is_plain, encodings in groupby(preparation.features, _is_plain):
        if is_plain:
            pieces.append(
                _numbers(graph, [encoding for encoding in encodings if isinstance(encoding, NumericEncoding)])
            )
        else:
            pieces.extend(_encoded(graph, encoding) for encoding in encodings)
    return pieces[0] if len(pieces) == 1 else graph.op("Concat", *pieces, axis=1)


def _is_plain(encoding: Encoding) -> bool:
    return isinstance(encoding, NumericEncoding) and not encoding.indicator


def _encoded(graph: Graph, encoding: Encoding) -> str:
    match encoding:
        case NumericEncoding():
            return _number(graph, encoding)
        case BooleanEncoding():
            return _truth(graph, encoding)
        case CategoricalEncoding():
            return _text_levels(graph, encoding) if encoding.of_text else _number_levels(graph, encoding)
        case DateEncoding():
            raise ModelError(str(why_not(encoding)))


def _pixels(graph: Graph, pixels: Pixels) -> str:
    values = graph.add_input(PIXELS, TensorProto.DOUBLE, len(pixels.columns), "numbers, in the order of `columns`")
    return _standardised(graph, values, np.array([pixels.shift]), np.array([pixels.scale]))


def _numbers(graph: Graph, encodings: Sequence[NumericEncoding]) -> str:
    """Return some columns of numbers side by side: ``(value - shift) / scale``, gaps filled."""
    names = [_number_input(graph, encoding.column) for encoding in encodings]
    values = names[0] if len(names) == 1 else graph.op("Concat", *names, axis=1)
    filled = _filled(graph, values, [encoding.fill for encoding in encodings])
    shift, scale = ([getattr(e, name) for e in encodings] for name in ("shift", "scale"))
    return _standardised(graph, filled, np.array(shift), np.array(scale))


def _number(graph: Graph, encoding: NumericEncoding) -> str:
    values = _number_input(graph, encoding.column)
    filled = _filled(graph, values, [encoding.fill])
    number = _standardised(graph, filled, np.array([encoding.shift]), np.array([encoding.scale]))
    return graph.op("Concat", number, _gaps(graph, values), axis=1)


def _truth(graph: Graph, encoding: BooleanEncoding) -> str:
    values = graph.add_input(encoding.column, TensorProto.DOUBLE, 1, "1 true, 0 false, NaN missing")
    known = graph.op("Or", _equal(graph, values, 0.0), _equal(graph, values, 1.0))
    missing = graph.op("IsNaN", values)
    fill = np.nan if encoding.fill is None else encoding.fill
    otherwise = graph.op("Where", missing, graph.constant(np.array(fill)), graph.constant(np.array(np.nan)))
    truth = _float32(graph, graph.op("Where", known, values, otherwise))
    return graph.op("Concat", truth, _float32(graph, missing), axis=1) if encoding.indicator else truth


def _number_levels(graph: Graph, encoding: CategoricalEncoding) -> str:
    """Return an input for each level and one for all others, of a column of numbers."""
    values = _number_input(graph, encoding.column)
    missing = graph.op("IsNaN", values)
    pieces = [
        _float32(graph, missing if level is None else _equal(graph, values, float(level))) for level in encoding.levels
    ]
    one = graph.constant(np.array([[1.0]], "float32"))
    taken = graph.op("Sum", *pieces) if pieces else graph.op("Mul", _float32(graph, missing), _zero(graph))
    others = graph.op("Sub", one, taken)
    if encoding.refuse_missing:
        others = graph.op("Where", missing, graph.constant(np.array(np.nan, "float32")), others)
    return graph.op("Concat", *pieces, others, axis=1) if pieces else others


def _text_levels(graph: Graph, encoding: CategoricalEncoding) -> str:
    """Return the same of a column of text."""
    values = graph.add_input(encoding.column, TensorProto.STRING, 1, "text, empty where missing")
    flat = graph.op("Reshape", values, graph.constant(np.array([-1])))
    others = len(encoding.levels)
    places = graph.op(
        "LabelEncoder",
        flat,
        domain=ML_DOMAIN,
        keys_strings=["" if level is None else str(level) for level in encoding.levels],
        values_int64s=list(range(others)),
        default_int64=others,
    )
    ends = graph.constant(np.array([0.0, 1.0], "float32"))
    inputs = graph.op("OneHot", places, graph.constant(np.array(others + 1)), ends, axis=-1)
    if not encoding.refuse_missing:
        return inputs
    refused = graph.op(
        "LabelEncoder", values, domain=ML_DOMAIN, keys_strings=[""], values_floats=[float("nan")], default_float=0.0
    )
    return graph.op("Add", inputs, refused)


def _number_input(graph: Graph, column: str) -> str:
    return graph.add_input(column, TensorProto.DOUBLE, 1, "a number, NaN where missing")


def _standardised(graph: Graph, values: str, shift: np.ndarray, scale: np.ndarray) -> str:
    centred = graph.op("Sub", values, graph.constant(shift.astype(np.float64)))
    return _float32(graph, graph.op("Div", centred, graph.constant(scale.astype(np.float64))))


def _filled(graph: Graph, values: str, fills: Sequence[float | None]) -> str:
    if all(fill is None for fill in fills):
        return values
    known = np.array([np.nan if fill is None else fill for fill in fills], np.float64)
    return graph.op("Where", graph.op("IsNaN", values), graph.constant(known), values)


def _gaps(graph: Graph, values: str) -> str:
    return _float32(graph, graph.op("IsNaN", values))


def _equal(graph: Graph, values: str, wanted: float) -> str:
    return graph.op("Equal", values, graph.constant(np.array([[wanted]], np.float64)))


def _zero(graph: Graph) -> str:
    return graph.constant(np.array([[0.0]], "float32"))


def _float32(graph: Graph, values: str) -> str:
    return graph.op("Cast", values, to=TensorProto.FLOAT)
