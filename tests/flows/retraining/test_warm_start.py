"""Weights behind another preparation: what the network says of a row must not change."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import Architecture, Backend, Network, initial_parameters
from flows.data.encodings import (
    BooleanEncoding,
    CategoricalEncoding,
    DateEncoding,
    NumericEncoding,
    Pixels,
    Scale,
)
from flows.data.outputs import predictions
from flows.data.preparation import Preparation
from flows.retraining.warm_start import NoWarmStart, carried_over

CPU = Backend(np)
scales = st.tuples(st.floats(-50, 50), st.floats(0.1, 50))

ROWS = pd.DataFrame(
    {
        "age": [20.0, 41.5, 70.0, 33.0],
        "region": ["north", "south", "west", "north"],
        "member": [True, False, True, True],
        "day": pd.to_datetime(["2024-02-29", "2026-12-31", "2025-06-01", "2026-01-01"]),
    }
)


def prepared(
    age: tuple[float, float], year: tuple[float, float], elapsed: tuple[float, float], **task: object
) -> Preparation:
    features = (
        NumericEncoding(column="age", shift=age[0], scale=age[1], fill=1.0, indicator=True),
        CategoricalEncoding(column="region", levels=("north", "south")),
        BooleanEncoding(column="member"),
        DateEncoding(
            column="day",
            parts=("month", "year", "elapsed"),
            year=Scale(shift=2000 + year[0], scale=year[1]),
            elapsed=Scale(shift=1.7e9 + 1e7 * elapsed[0], scale=1e7 * elapsed[1]),
        ),
    )
    chosen = task or {"task": "classification", "targets": ("kind",), "classes": ("a", "b")}
    return Preparation.model_validate({"features": features, **chosen})


def said(preparation: Preparation, architecture: Architecture, parameters: object) -> np.ndarray:
    inputs = preparation.transform_features(ROWS, "float64")
    return Network(architecture, CPU).predict(parameters, inputs)[0]


@given(st.tuples(scales, scales, scales), st.tuples(scales, scales, scales))
def test_a_classifier_says_of_every_row_what_it_said(before: tuple, now: tuple) -> None:
    old, new = prepared(*before), prepared(*now)
    architecture = Architecture(inputs=old.inputs, hidden=(5, 4), outputs=2, activation="tanh")
    parameters = initial_parameters(architecture, [1], "float64")

    moved = carried_over(parameters, old, new)

    np.testing.assert_allclose(
        said(new, architecture, moved), said(old, architecture, parameters), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("hidden", [(), (5,)])
@given(ages=st.tuples(scales, scales), targets=st.tuples(scales, scales))
def test_a_regression_says_the_same_in_the_unit_of_its_target(
    hidden: tuple[int, ...], ages: tuple, targets: tuple
) -> None:
    old, new = (
        prepared(age, (0, 1), (0, 1), task="regression", targets=("price",), target_mean=(mean,), target_scale=(scale,))
        for age, (mean, scale) in zip(ages, targets, strict=True)
    )
    architecture = Architecture(old.inputs, hidden, 1, "relu", "identity", "mse")
    parameters = initial_parameters(architecture, [2], "float64")

    moved = carried_over(parameters, old, new)

    np.testing.assert_allclose(
        predictions(new, said(new, architecture, moved)),
        predictions(old, said(old, architecture, parameters)),
        rtol=1e-7,
        atol=1e-7,
    )


def test_pixels_share_one_scale() -> None:
    def images(scale: float) -> Preparation:
        pixels = Pixels(columns=("p0", "p1"), shift=0.0, scale=scale)
        return Preparation(task="classification", targets=("digit",), classes=(0, 1), pixels=pixels)

    architecture = Architecture(2, (3,), 2)
    parameters = initial_parameters(architecture, [0], "float32")

    moved = carried_over(parameters, images(255.0), images(16.0))

    assert moved.weights[0].dtype == np.float32
    np.testing.assert_allclose(moved.weights[0], parameters.weights[0] * 16 / 255, rtol=1e-6)
    np.testing.assert_array_equal(moved.weights[1], parameters.weights[1])


SAME = prepared((0, 1), (0, 1), (0, 1))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"features": SAME.features[:-1]}, "input 7 is none now and was 'day month sin'"),
        ({"features": SAME.features[::-1]}, "input 1 is 'day month sin' now and was 'age'"),
        (
            {"features": (SAME.features[0], CategoricalEncoding(column="region", levels=("north", "east")))},
            "input 4 is 'region=east' now and was 'region=south'",
        ),
        ({"classes": ("a", "b", "c")}, "class 3 is 'c' now and was none"),
        ({"targets": ("sort",)}, "target 1 is 'sort' now and was 'kind'"),
    ],
)
def test_other_inputs_or_outputs_are_no_start_and_the_first_is_named(change: dict, reason: str) -> None:
    now = Preparation.model_validate({**SAME.model_dump(), **change})
    parameters = initial_parameters(Architecture(SAME.inputs, (3,), 2), [0], "float32")

    with pytest.raises(NoWarmStart, match=reason):
        carried_over(parameters, SAME, now)
