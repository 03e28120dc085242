"""What `backprop explain` shows is what the core computes, and would show where the core is wrong."""

import json
import re
from itertools import product

import numpy as np
import pytest
from typer.testing import CliRunner

from backprop import Architecture, Backend, Network, Parameters, check_gradients, initial_parameters
from backprop.activations import ACTIVATIONS, Activation, Softmax, UserActivation
from backprop.explain import Explanation, Quantity, explain, explain_square, tiny_example
from backprop.losses import FUSED, LOSSES, MeanSquaredError, Staged, UserLoss
from flows.cli import app

CPU = Backend(np)
BUILT_IN = sorted(set(ACTIVATIONS))
OUTPUTS = [*FUSED, *product(BUILT_IN, ("mse", "mae", "huber"))]


def explained(architecture: Architecture, seed: int = 0) -> Explanation:
    return explain(Network(architecture, CPU), *tiny_example(architecture, seed))


def by_name(explanation: Explanation) -> dict[str, Quantity]:
    return {quantity.name: quantity for quantity in explanation.quantities}


def command(*arguments: str, columns: int = 100) -> tuple[int, str, str]:
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, ["explain", *arguments])
    return result.exit_code, result.stdout, result.stderr


# The scalar case


def test_the_derivative_of_the_square_at_4_is_8():
    x, y = explain_square().quantities
    assert (x.name, x.value, x.local, x.gradient) == ("x", [4], [8], [8])
    assert (y.name, y.value, y.gradient) == ("y", 16, 1)
    np.testing.assert_allclose(x.numerical, [8], rtol=1e-9)


@pytest.mark.parametrize("x", [-3.0, 0.0, 0.5])
def test_the_derivative_of_the_square_is_2x_anywhere(x):
    np.testing.assert_allclose(explain_square(x).quantities[0].gradient, [2 * x])
    assert explain_square(x).largest_difference[0] < 1e-9


# The numbers are the core's


@pytest.mark.parametrize("hidden", [(), (2,), (3, 2), (2, 1, 3)])
def test_values_and_gradients_are_those_of_the_network(hidden):
    architecture = Architecture(2, hidden, 3, "tanh")
    network = Network(architecture, CPU)
    parameters, x, y = tiny_example(architecture, 5)
    shown = by_name(explain(network, parameters, x, y))
    trace = network.forward(parameters, x)
    loss, gradients = network.gradients(parameters, x, y)
    numerical = check_gradients(network, parameters, x, y).numerical
    for k in range(len(hidden) + 1):
        np.testing.assert_array_equal(shown["x" if k == 0 else f"h{k}"].value, trace.h[k].reshape(-1))
        np.testing.assert_array_equal(shown[f"z{k + 1}"].value, trace.z[k][0, 0])
        np.testing.assert_array_equal(shown[f"W{k + 1}"].gradient, gradients.weights[k][0])
        np.testing.assert_array_equal(shown[f"b{k + 1}"].gradient, gradients.biases[k][0, 0])
        np.testing.assert_array_equal(shown[f"W{k + 1}"].numerical, numerical.weights[k][0])
    np.testing.assert_array_equal(shown["yhat"].value, network.predict(parameters, x)[0, 0])
    assert shown["L"].value == loss[0]


@pytest.mark.parametrize("sigma", BUILT_IN)
@pytest.mark.parametrize(("phi", "loss"), OUTPUTS)
def test_both_gradients_agree_for_every_activation_and_loss(sigma, phi, loss):
    assert explained(Architecture(2, (3, 2), 2, sigma, phi, loss), 3).largest_difference[0] < 1e-6


@pytest.mark.parametrize("seed", range(20))
def test_both_gradients_agree_for_every_sample(seed):
    assert explained(Architecture(2, (2,), 2, "sigmoid"), seed).largest_difference[0] < 1e-6


@pytest.mark.parametrize("sigma", BUILT_IN)
@pytest.mark.parametrize(("phi", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "mse")])
def test_a_gradient_is_the_local_derivative_times_the_gradients_of_what_it_moves(sigma, phi, loss):
    """The chain rule, from the numbers shown alone: nothing shown is beside the point."""
    shown = by_name(explained(Architecture(2, (3, 2), 2, sigma, phi, loss), 1))
    for quantity in shown.values():
        if quantity.name == "L":
            continue
        after = re.fullmatch(r"d(\w+)/d\w+", quantity.local_name)[1]
        gradients = shown[after].gradient
        together = quantity.local.ndim > quantity.value.ndim
        chained = quantity.local @ gradients if together else quantity.local * gradients
        np.testing.assert_allclose(chained, quantity.gradient, rtol=1e-12, atol=1e-15, err_msg=quantity.name)


def test_local_derivatives_are_those_on_paper():
    shown = by_name(explained(Architecture(2, (3,), 2, "sigmoid")))
    x, h, yhat = shown["x"].value, shown["h1"].value, shown["yhat"].value
    np.testing.assert_array_equal(shown["W1"].local, np.outer(x, np.ones(3)))
    np.testing.assert_array_equal(shown["h1"].local, shown["W2"].value)
    np.testing.assert_allclose(shown["z1"].local, h * (1 - h), rtol=1e-15)
    np.testing.assert_allclose(shown["z2"].local, np.diag(yhat) - np.outer(yhat, yhat), rtol=1e-14)


def test_explaining_changes_neither_the_network_nor_what_is_given():
    architecture = Architecture(2, (3, 2), 2, "relu", "softmax")
    network = Network(architecture, CPU)
    arrays = tiny_example(architecture, 0)
    kept = [array.copy() for array in (*arrays[0], *arrays[1:])]
    explain(network, *arrays)
    assert network.backend is CPU
    assert len(network.sigmas) == 2
    for array, copy in zip((*arrays[0], *arrays[1:]), kept, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_the_example_starts_from_the_weights_of_a_trial_with_that_seed():
    architecture = Architecture(2, (3,), 2)
    parameters, x, y = tiny_example(architecture, 7)
    np.testing.assert_array_equal(
        parameters.weights[0], initial_parameters(architecture, [7], "float64").weights[0].round(2)
    )
    assert x.shape == (1, 2)
    assert sorted(y[0]) == [0, 1]


@pytest.mark.parametrize(("which", "argument"), [(0, "parameters"), (1, "x"), (2, "y")])
def test_more_than_one_trial_or_sample_is_refused(which, argument):
    architecture = Architecture(2, (2,), 2)
    given = list(tiny_example(architecture, 0))
    given[which] = (
        Parameters([np.tile(w, (2, 1, 1)) for w in given[0].weights], [np.tile(b, (2, 1, 1)) for b in given[0].biases])
        if which == 0
        else np.tile(given[which], (2, 1))
    )
    with pytest.raises(ValueError, match=f"{argument} has 2 rows: an explanation is of one trial and one sample"):
        explain(Network(architecture, CPU), *given)


# A wrong derivative shows, and where


def wrong_activation() -> Activation:
    """Not registered: `register_activation` would refuse it."""
    return UserActivation("wrong", lambda xp, z: xp.tanh(z), lambda xp, z, h: 1 - h)  # noqa: ARG005


def test_a_wrong_activation_shows_below_it_and_not_above():
    architecture = Architecture(2, (3, 2), 2, "tanh")
    network = Network(architecture, CPU)
    network.sigmas[0] = wrong_activation()
    explanation = explain(network, *tiny_example(architecture, 0))
    assert explanation.largest_difference[0] > 1e-2
    wrong = {name for name, quantity in by_name(explanation).items() if quantity.difference.max() > 1e-6}
    assert wrong == {"x", "W1", "b1", "z1"}


def test_a_wrong_loss_shows_from_the_output_on():
    architecture = Architecture(2, (2,), 1, "tanh", "identity", "mse")
    network = Network(architecture, CPU)
    half = UserLoss("half", MeanSquaredError().value, lambda xp, yhat, y: yhat - y)  # noqa: ARG005
    network.output_stage = Staged(ACTIVATIONS["identity"], half)
    shown = by_name(explain(network, *tiny_example(architecture, 0)))
    right = {name for name, quantity in shown.items() if quantity.difference.max() < 1e-6}
    assert right == {"L"}


class DiagonalSoftmax(Softmax):
    def chain(self, xp, delta, z, h):  # noqa: ARG002 - one signature for all
        return delta * h * (1 - h)


def test_a_softmax_taken_for_elementwise_shows():
    architecture = Architecture(2, (3,), 2, "softmax", "identity", "mse")
    network = Network(architecture, CPU)
    network.sigmas[0] = DiagonalSoftmax()
    assert explain(network, *tiny_example(architecture, 0)).largest_difference[0] > 1e-3


def test_a_derivative_that_is_not_a_number_counts_as_the_largest_difference():
    architecture = Architecture(2, (2,), 2, "tanh")
    network = Network(architecture, CPU)
    network.sigmas[0] = UserActivation("nan", lambda xp, z: xp.tanh(z), lambda xp, z, h: xp.nan * z)  # noqa: ARG005
    assert np.isnan(explain(network, *tiny_example(architecture, 0)).largest_difference[0])


# The command


def test_the_tables_begin_with_the_8_and_end_with_the_largest_difference():
    code, shown, _ = command()
    assert code == 0
    assert shown.index("dy/dx = 8.000000") < shown.index("z1 = x W1 + b1") < shown.index("L = cross_entropy(yhat, y)")
    assert re.search(r"Largest difference: \de-1\d, at \w+\. \(Relative to [^)]*\)\n$", shown)


def test_scalar_shows_the_square_only():
    code, shown, _ = command("--scalar")
    assert code == 0
    assert re.search(r"x\[1\] +4\.000000  dy/dx = 8\.000000 +8\.0000000 +8\.0000000 ", shown)
    assert "W1" not in shown


@pytest.mark.parametrize("columns", [80, 100, 200])
@pytest.mark.parametrize("options", [(), ("--hidden", "8,3", "--loss", "mse"), ("--hidden", "")])
def test_the_tables_keep_to_the_terminals_width(columns, options):
    code, shown, _ = command(*options, columns=columns)
    assert code == 0
    assert max(len(line) for line in shown.splitlines()) <= columns
    assert "…" not in shown


def test_every_number_of_every_quantity_has_a_row():
    _, shown, _ = command("--hidden", "3,2", "--loss", "mse", "--activation", "relu")
    _, network = shown.split("A network of")
    architecture = Architecture(2, (3, 2), 2, "relu", "identity", "mse")
    for quantity in explained(architecture).quantities:
        for place in np.ndindex(quantity.value.shape):
            name = f"{quantity.name}[{','.join(str(i + 1) for i in place)}]" if place else quantity.name
            (row,) = [line.split() for line in network.splitlines() if line.startswith(f"  {name} ")]
            assert float(row[1]) == pytest.approx(quantity.value[place], abs=1e-6)


def test_json_has_every_stage_and_its_numbers():
    code, shown, _ = command("--json", "--activation", "tanh", "--hidden", "3", "--seed", "4")
    assert code == 0
    data = json.loads(shown)
    assert [stage["name"] for stage in data["network"]["stages"]] == [
        "input",
        "affine 1",
        "activation 1",
        "affine 2",
        "output",
        "loss",
    ]
    explanation = explained(Architecture(2, (3,), 2, "tanh"), 4)
    quantities = [quantity for stage in data["network"]["stages"] for quantity in stage["quantities"]]
    for shown_quantity, quantity in zip(quantities, explanation.quantities, strict=True):
        assert shown_quantity["name"] == quantity.name
        assert shown_quantity["local_name"] == quantity.local_name
        for name in ("value", "local", "gradient", "numerical", "difference"):
            np.testing.assert_array_equal(shown_quantity[name], getattr(quantity, name))
    assert data["network"]["target"] == explanation.target.tolist()
    assert data["network"]["largest_difference"]["value"] < 1e-6
    assert data["scalar"]["stages"][0]["quantities"][0]["gradient"] == [8]


def test_json_of_the_scalar_case_is_the_square_only():
    assert set(json.loads(command("--json", "--scalar")[1])) == {"scalar"}


@pytest.mark.parametrize(
    "options",
    [
        ("--activation", "tanh"),
        ("--loss", "mse"),
        ("--output-activation", "sigmoid"),
        ("--hidden", "3"),
        ("--seed", "1"),
    ],
)
def test_every_option_changes_the_table(options):
    assert command(*options)[1] != command()[1]


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_loss_has_an_output_activation_that_fits(loss):
    code, shown, _ = command("--loss", loss)
    assert code == 0
    assert f"L = {loss}(yhat, y)" in shown


def test_the_same_command_shows_the_same():
    assert command()[1] == command()[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--activation", "sigmoud"), "activation 'sigmoud' is unknown: did you mean 'sigmoid'?"),
        (("--loss", "cross-entropy"), "loss 'cross-entropy' is unknown: did you mean 'cross_entropy'?"),
        (("--output-activation", "softmx"), "did you mean 'softmax'?"),
        (("--output-activation", "tanh"), "loss 'cross_entropy' takes the logarithm of the output"),
        (("--output-activation", ""), "activation '' is unknown"),
        (("--hidden", "two"), "--hidden is 'two': use at most 4 layers of 1 to 8 units, such as 3 or 3,2"),
        (("--hidden", "0"), "--hidden is '0'"),
        (("--hidden", "9"), "--hidden is '9'"),
        (("--hidden", "2,,2"), "--hidden is '2,,2'"),
        (("--hidden", "1,1,1,1,1"), "--hidden is '1,1,1,1,1'"),
        (("--hidden", "²"), "--hidden is '²'"),
        (("--seed", "-1"), "--seed is '-1': use a whole number, at least 0"),
        (("--seed", "x"), "--seed is 'x'"),
        (("--scalar", "--seed", "x"), "--seed is 'x'"),
    ],
)
def test_a_bad_value_is_one_line_and_exit_code_2(options, said):
    code, shown, error = command(*options)
    assert code == 2
    assert shown == ""
    assert said in error
    assert len(error.strip().splitlines()) == 1


def test_a_wrong_derivative_is_pointed_out_in_the_terminal(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "wrong", wrong_activation())
    code, shown, _ = command("--activation", "wrong")
    assert code == 0
    assert "There the derivative is wrong, or the loss has a kink." in shown
    assert "There the derivative is wrong" not in command("--activation", "tanh")[1]
