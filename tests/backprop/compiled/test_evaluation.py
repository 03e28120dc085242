"""Evaluations by compiled loops equal those of the plain form."""

from dataclasses import replace

import numpy as np
import pytest
from both_ways import COMPILED, HIDDEN, OUTPUTS, PLAIN, drawn, sparse
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backprop import Architecture, Network, Parameters, Samples, initial_parameters
from backprop.compiled.evaluation import ROWS, evaluate_compiled
from backprop.compiled.layout import mostly_zeros
from backprop.compiled.products import TILE_ROWS
from backprop.evaluation import evaluate
from backprop.samples import to_device

TASKS = ("classification", "regression")


def drawn_parameters(architecture: Architecture, trials: int, dtype: str = "float64") -> Parameters:
    parameters = initial_parameters(architecture, range(trials), dtype)
    for k, biases in enumerate(parameters.biases):
        biases += np.random.default_rng(k).normal(size=biases.shape)
    return parameters


def assert_as_plain(
    architecture: Architecture, parameters: Parameters, samples: Samples, task: str, tolerance: float = 1e-12
) -> dict[str, np.ndarray]:
    with np.errstate(all="ignore"):
        wanted, found = [
            evaluate(
                Network(architecture, on), parameters, to_device(samples, on, parameters.biases[0].dtype), task, "val"
            )
            for on in (PLAIN, COMPILED)
        ]
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name].dtype == np.float64
        np.testing.assert_allclose(found[name], values, rtol=tolerance, atol=tolerance, err_msg=name)
    return found


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
@settings(max_examples=60)
@given(
    hidden=st.lists(st.integers(1, 40), max_size=3),
    sigma=st.sampled_from(HIDDEN),
    output=st.sampled_from(OUTPUTS),
    outputs=st.integers(1, 40),
    rows=st.sampled_from([1, 2, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 5]),
    trials=st.integers(1, 4),
    weighted=st.booleans(),
    kind=st.sampled_from(["float64", "uint8"]),
    standardised=st.just((0.0, 1.0)) | st.tuples(st.floats(-1, 1), st.floats(0.5, 4)),
    task=st.sampled_from(TASKS),
)
def test_measures_of_any_network_are_those_of_the_plain_form(
    dtype, tolerance, hidden, sigma, output, outputs, rows, trials, weighted, kind, standardised, task
):
    assume(outputs > 1 or output[0] != "softmax")
    architecture = Architecture(7, tuple(hidden), outputs, sigma, *output)
    shift, scale = standardised
    samples = replace(drawn(architecture, rows, weighted=weighted, dtype=kind), shift=shift, scale=scale)
    assert_as_plain(architecture, drawn_parameters(architecture, trials, dtype), samples, task, tolerance)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("phi", "loss", "outputs"),
    [(phi, loss, outputs) for phi, loss in OUTPUTS for outputs in (1, 3) if outputs > 1 or phi != "softmax"],
)
def test_every_output_is_measured_for_every_task_as_in_the_plain_form(phi, loss, outputs, task):
    architecture = Architecture(5, (6,), outputs, "tanh", phi, loss)
    samples = drawn(architecture, 100, weighted=True)
    found = assert_as_plain(architecture, drawn_parameters(architecture, 3), samples, task)
    if task == "classification" and phi != "softmax":
        assert len(set(found["val/accuracy"])) > 1


def test_a_sample_counts_as_right_by_its_weight():
    architecture = Architecture(2, (), 2)
    parameters = Parameters([np.eye(2)[None]], [np.zeros((1, 1, 2))])
    samples = Samples(np.eye(2), np.array([[1.0, 0], [1, 0]]), np.array([3.0, 1]))
    found = evaluate(Network(architecture, COMPILED), parameters, samples, "classification", "val")
    assert found["val/accuracy"].tolist() == [0.75]


@pytest.mark.parametrize("target", [0.5, 0.75])
def test_r2_of_a_constant_target_met_or_missed_is_that_of_the_plain_form(target):
    architecture = Architecture(2, (), 1, output_activation="identity", loss="mse")
    parameters = Parameters([np.zeros((1, 2, 1))], [np.full((1, 1, 1), 0.5)])
    samples = Samples(np.ones((4, 2)), np.full((4, 1), target))
    found = assert_as_plain(architecture, parameters, samples, "regression")
    assert found["val/r2"].tolist() == [target == 0.5]


# The largest of logits


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3.0])
@given(places=st.sets(st.integers(0, 3)), target=st.integers(0, 3))
def test_the_largest_logit_is_the_first_one_and_what_is_not_a_number_is_larger_as_for_numpy(bad, places, target):
    architecture = Architecture(1, (), 4)
    biases = np.array([1.0, 3, 3, 2])
    biases[list(places)] = bad
    parameters = Parameters([np.zeros((1, 1, 4))], [biases.reshape(1, 1, 4)])
    samples = Samples(np.ones((1, 1)), np.eye(4)[[target]])
    found = evaluate(Network(architecture, COMPILED), parameters, samples, "classification", "val")
    assert found["val/accuracy"].item() == (biases.argmax() == target)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("sigma", "phi", "loss"), [(s, "identity", "mse") for s in HIDDEN] + [("relu", *o) for o in OUTPUTS]
)
def test_a_trial_of_nan_has_measures_of_the_plain_form_and_changes_none_of_its_neighbours(
    sigma, phi, loss, task, dtype
):
    architecture = Architecture(5, (6, 20), 3, sigma, phi, loss)
    parameters = drawn_parameters(architecture, 3, dtype)
    for array in parameters:
        array[1] = np.nan
    samples = to_device(drawn(architecture, 70), PLAIN, dtype)
    tolerance = 1e-10 if dtype == "float64" else 1e-4
    found = assert_as_plain(architecture, parameters, samples, task, tolerance)
    assert np.isnan(found["val/loss"]).tolist() == [False, True, False]
    calm = evaluate(Network(architecture, COMPILED), parameters.select([0, 2]), samples, task, "val")
    for name, values in calm.items():
        np.testing.assert_array_equal(found[name][[0, 2]], values)


# How it is done


@pytest.mark.parametrize("kind", ["float64", "uint8"])
@pytest.mark.parametrize("rows", [1, 3, ROWS, ROWS + 5])
def test_samples_that_are_mostly_zeros_are_measured_as_any(rows, kind):
    architecture = Architecture(601, (6,), 3, "relu", "identity", "mse")
    samples = sparse(drawn(architecture, rows, dtype=kind))
    assert mostly_zeros(samples) == (rows >= TILE_ROWS)
    assert_as_plain(architecture, drawn_parameters(architecture, 3), samples, "regression")


@pytest.mark.parametrize("residuals", [False, True])
@pytest.mark.parametrize("trials", [1, 3, 8])
@pytest.mark.parametrize("threads", [2, 3, 4, 8])
def test_threads_that_share_the_trials_measure_the_same_bits(threads, trials, residuals):
    architecture = Architecture(5, (20,), 3, "relu", "identity", "mse")
    samples, parameters = drawn(architecture, 300, weighted=True), drawn_parameters(architecture, trials)
    network = Network(architecture, COMPILED)
    alone, shared = [
        evaluate_compiled(network, parameters, samples, None, residuals=residuals, threads=n) for n in (1, threads)
    ]
    for found, wanted in ((shared.loss, alone.loss), (shared.hits, alone.hits), (shared.squares, alone.squares)):
        np.testing.assert_array_equal(found, wanted)


def test_parameters_and_samples_stay_as_they_were():
    architecture = Architecture(5, (6,), 3)
    parameters, samples = drawn_parameters(architecture, 2), drawn(architecture, 20, weighted=True)
    kept = [array.copy() for array in (*parameters, samples.x, samples.y, samples.weights)]
    evaluate(Network(architecture, COMPILED), parameters, samples, "classification", "val")
    for found, wanted in zip((*parameters, samples.x, samples.y, samples.weights), kept, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_padded_trials_are_measured_as_they_are_alone():
    narrow, wide = [Architecture(5, hidden, 3, "sigmoid") for hidden in ((4,), (20,))]
    own = drawn_parameters(narrow, 1)
    padded = Parameters(
        [np.pad(own.weights[0], ((0, 0), (0, 0), (0, 16))), np.pad(own.weights[1], ((0, 0), (0, 16), (0, 0)))],
        [np.pad(own.biases[0], ((0, 0), (0, 0), (0, 16))), own.biases[1]],
    )
    samples = drawn(narrow, 40)
    found, wanted = [
        evaluate(Network(architecture, COMPILED), parameters, samples, "classification", "val")
        for architecture, parameters in ((wide, padded), (narrow, own))
    ]
    assert found["val/accuracy"] == wanted["val/accuracy"]
    np.testing.assert_allclose(found["val/loss"], wanted["val/loss"], rtol=1e-12)
