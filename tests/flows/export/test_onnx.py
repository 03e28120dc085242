"""A model as ONNX says what it says itself, whatever its layers and its columns; what ONNX cannot hold is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Architecture
from backprop.activations import ACTIVATIONS as CORE_ACTIVATIONS
from backprop.network import initial_parameters
from flows.data.encodings import BooleanEncoding, CategoricalEncoding, DateEncoding, NumericEncoding, Pixels
from flows.data.outputs import predictions
from flows.data.preparation import Preparation
from flows.errors import DestinationError, ModelError
from flows.prediction import Predictor
from flows.tracking.opened_model import OpenedModel
from flows.trials import HEADS

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from flows.export.document import onnx_model, write_onnx  # noqa: E402 - needs onnx
from flows.export.network_graph import ACTIVATIONS  # noqa: E402

ROWS = 25
NUMBERS = st.floats(-1e6, 1e6, width=32)
SCALES = st.floats(0.01, 1e4)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)


def model_of(preparation: Preparation, seed: int = 0, **layers: object) -> OpenedModel:
    """Return a model with drawn weights."""
    head = HEADS[preparation.task]
    architecture = Architecture(
        **{
            "inputs": preparation.inputs,
            "hidden": (5,),
            "outputs": preparation.outputs,
            "activation": "tanh",
            "output_activation": head.output_activation,
            "loss": head.loss,
            **layers,
        }
    )
    parameters = initial_parameters(architecture, [seed], "float32")
    return OpenedModel(
        name="drawn",
        run_id="4" * 32,
        trial_key="key",
        dataset_digest="digest",
        predictor=Predictor(preparation, architecture, parameters),
        version=7,
        model_id=None,
    )


def feed(preparation: Preparation, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return rows as a client of the graph gives them: text with "" for a gap, anything else as float64 with NaN."""
    if preparation.pixels is not None:
        return {"pixels": rows[list(preparation.pixels.columns)].to_numpy("float64")}
    given = {}
    for encoding in preparation.features:
        column = rows[encoding.column]
        if isinstance(encoding, CategoricalEncoding) and encoding.of_text:
            given[encoding.column] = column.where(column.notna(), "").to_numpy(object)[:, None]
        else:
            given[encoding.column] = column.to_numpy("float64", na_value=np.nan)[:, None]
    return given


def answered(model: OpenedModel, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    session = runtime.InferenceSession(onnx_model(model).SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed(model.predictor.preparation, rows)), strict=True))


def assert_same(model: OpenedModel, rows: pd.DataFrame) -> None:
    """Hold the graph's answers against the model's own."""
    preparation = model.predictor.preparation
    outputs = model.predictor.outputs(rows)
    said = predictions(preparation, outputs)
    found = answered(model, rows)
    if preparation.task == "regression":
        wanted = said.to_numpy() if isinstance(said, pd.DataFrame) else said
        scale = np.array(preparation.target_scale)
        found_values = next(iter(found.values()))
        np.testing.assert_allclose((found_values - wanted) / scale, 0, atol=1e-5)
        return
    np.testing.assert_allclose(found["probabilities"], outputs, atol=1e-5)
    if preparation.task == "multilabel":
        clear = np.abs(outputs - 0.5) > 1e-4
        np.testing.assert_array_equal(found["labels"][clear], said.to_numpy()[clear])
        return
    ordered = np.sort(outputs, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 1e-4
    assert found["label"][clear].tolist() == said[clear].tolist()


@st.composite
def columns(draw: st.DrawFn, name: str) -> tuple[object, pd.Series]:
    """An encoding of a column, and values that it takes."""
    kind = draw(st.sampled_from(["numeric", "text", "levels", "boolean"]))
    gaps = draw(st.booleans())
    if kind == "numeric":
        shift, scale = draw(NUMBERS), draw(SCALES)
        # As far from the mean as values are. Of outputs in the millions float32 keeps no fifth decimal place.
        values: st.SearchStrategy = st.floats(-5, 5).map(lambda deviations: shift + scale * deviations)
        encoding: object = NumericEncoding(
            column=name,
            shift=shift,
            scale=scale,
            fill=draw(values) if gaps else None,
            indicator=gaps and draw(st.booleans()),
        )
    elif kind == "boolean":
        encoding = BooleanEncoding(column=name, fill=draw(st.floats(0, 1)) if gaps else None, indicator=gaps)
        values = st.sampled_from([0.0, 1.0])
    else:
        level = TEXT if kind == "text" else st.one_of(st.integers(-9, 9), st.sampled_from([0.5, 1e9]))
        known = draw(st.lists(level, min_size=1, max_size=5, unique=True))
        gaps_known = gaps and draw(st.booleans())
        encoding = CategoricalEncoding(
            column=name, levels=(*known, None) if gaps_known else tuple(known), refuse_missing=not gaps
        )
        values = st.one_of(st.sampled_from(known), level)
    drawn = draw(st.lists(st.one_of(st.none(), values) if gaps else values, min_size=ROWS, max_size=ROWS))
    return encoding, pd.Series(drawn, dtype=object if kind == "text" else "float64", name=name)


@st.composite
def models(draw: st.DrawFn) -> tuple[OpenedModel, pd.DataFrame]:
    """A model of any layers, any columns and any task, and rows for it."""
    count = draw(st.integers(1, 4))
    names = draw(st.lists(TEXT, min_size=count, max_size=count, unique=True))
    drawn = [draw(columns(name)) for name in names]
    task = draw(st.sampled_from(["classification", "regression", "multilabel"]))
    targets = tuple(f"target {k}" for k in range(1 if task == "classification" else draw(st.integers(1, 3))))
    facts: dict[str, object] = {"targets": targets}
    if task == "classification":
        facts["classes"] = draw(st.sampled_from([("no", "yes", "ø"), (-1, 0, 7), (False, True), (0.5, 1.5)]))
    if task == "regression":
        facts["target_mean"] = tuple(draw(NUMBERS) for _ in targets)
        facts["target_scale"] = tuple(draw(SCALES) for _ in targets)
    preparation = Preparation(task=task, features=tuple(encoding for encoding, _ in drawn), **facts)
    hidden = tuple(draw(st.lists(st.integers(1, 8), max_size=3)))
    layers = {"hidden": hidden, "activation": tuple(draw(st.sampled_from(sorted(ACTIVATIONS))) for _ in hidden)}
    model = model_of(preparation, draw(st.integers(0, 99)), **layers)
    return model, pd.concat([values for _, values in drawn], axis=1)


@given(models())
@settings(max_examples=60)
def test_a_graph_says_what_the_model_says(drawn: tuple[OpenedModel, pd.DataFrame]) -> None:
    assert_same(*drawn)


def test_every_activation_of_the_core_has_a_counterpart() -> None:
    assert set(ACTIVATIONS) >= {"identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "gelu", "silu"}
    # Those that a test registered are users' own.
    assert set(ACTIVATIONS) <= set(CORE_ACTIVATIONS)


def numbers(**more: object) -> Preparation:
    features = (NumericEncoding(column="a", shift=1.0, scale=2.0), NumericEncoding(column="label", fill=3.0))
    return Preparation(
        **{"task": "classification", "features": features, "targets": ("y",), "classes": ("n", "y"), **more}
    )


def test_a_column_called_like_an_output_keeps_its_name() -> None:
    found = answered(model_of(numbers()), pd.DataFrame({"a": [1.0, 2.0], "label": [np.nan, 4.0]}))

    assert list(found) == ["label_1", "probabilities"]


def test_a_gap_that_the_model_refuses_gives_no_number() -> None:
    found = answered(model_of(numbers()), pd.DataFrame({"a": [np.nan, 2.0], "label": [1.0, 1.0]}))

    assert np.isnan(found["probabilities"]).tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize(
    "encoding",
    [
        CategoricalEncoding(column="a", levels=("x", "y"), refuse_missing=True),
        CategoricalEncoding(column="a", levels=(1, 2), refuse_missing=True),
        BooleanEncoding(column="a"),
    ],
)
def test_a_category_or_a_truth_value_that_is_missing_and_may_not_gives_no_number(encoding: object) -> None:
    values = ["x", None] if encoding.column and getattr(encoding, "of_text", None) else [1.0, np.nan]
    found = answered(model_of(numbers(features=(encoding,))), pd.DataFrame({"a": pd.Series(values, dtype=object)}))

    assert np.isnan(found["probabilities"]).tolist() == [[False, False], [True, True]]


def test_the_pixels_of_an_image_are_one_input() -> None:
    names = tuple(f"p{k}" for k in range(6))
    preparation = numbers(features=(), pixels=Pixels(columns=names, shift=7.5, scale=6.0))
    rows = pd.DataFrame(np.arange(18.0).reshape(3, 6), columns=list(names))

    assert_same(model_of(preparation), rows)


@pytest.mark.parametrize(
    ("encoding", "reason"),
    [
        (DateEncoding(column="born", parts=("year",)), "column 'born' is a date"),
        (CategoricalEncoding(column="kind", levels=("a", 1)), "column 'kind' has categories of text and of numbers"),
        (CategoricalEncoding(column="kind", levels=("", "a")), "column 'kind' has the empty text among its categories"),
    ],
)
def test_a_column_that_onnx_cannot_hold_is_named(encoding: object, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        onnx_model(model_of(numbers(features=(encoding,))))


def test_a_file_says_where_it_came_from(tmp_path: Path) -> None:
    write_onnx(model_of(numbers()), tmp_path / "model.onnx", overwrite=False)
    said = {entry.key: entry.value for entry in onnx.load(tmp_path / "model.onnx").metadata_props}

    assert (said["model.name"], said["model.version"], said["run.id"]) == ("drawn", "7", "4" * 32)
    assert (said["trial.key"], said["dataset.digest"], said["task"]) == ("key", "digest", "classification")
    assert json.loads(said["columns"]) == ["a", "label"]
    assert json.loads(said["classes"]) == ["n", "y"]


def test_a_file_that_is_there_is_replaced_only_if_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("mine")
    with pytest.raises(DestinationError, match="there is one already"):
        write_onnx(model_of(numbers()), path, overwrite=False)
    assert path.read_text() == "mine"

    write_onnx(model_of(numbers()), path, overwrite=True)
    assert onnx.load(path).producer_name == "backprop"
    assert list(tmp_path.iterdir()) == [path]
