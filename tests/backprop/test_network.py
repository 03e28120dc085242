import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Architecture, Backend, Network, Parameters, initial_parameters

CPU = Backend(np)


def flat(gradients: Parameters) -> np.ndarray:
    return np.concatenate([g.reshape(len(g), -1) for g in gradients], axis=1)


def random_stack(
    architecture: Architecture, trials: int, batch: int, seed: int = 0
) -> tuple[Parameters, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    weights = [draw.normal(size=(trials, *layer)) for layer in architecture.layers]
    biases = [draw.normal(size=(trials, 1, fan_out)) for _, fan_out in architecture.layers]
    y = np.eye(architecture.outputs)[draw.integers(architecture.outputs, size=batch)]
    return Parameters(weights, biases), draw.normal(size=(batch, architecture.inputs)), y


# Against the complex step: exact to the last digits where every stage is smooth

SMOOTH = ["identity", "sigmoid", "tanh", "softplus", "gelu", "silu", "softmax"]
SMOOTH_OUTPUTS = [
    *((phi, "mse") for phi in SMOOTH),
    ("softmax", "cross_entropy"),
    ("sigmoid", "cross_entropy"),
    ("sigmoid", "binary_cross_entropy"),
]


@pytest.mark.parametrize(("phi", "loss"), SMOOTH_OUTPUTS)
@pytest.mark.parametrize("sigma", SMOOTH)
def test_gradients_equal_complex_steps_to_the_last_digits(sigma, phi, loss):
    architecture = Architecture(3, (4, 3), 3, sigma, phi, loss)
    network = Network(architecture, CPU)
    parameters, x, y = random_stack(architecture, trials=2, batch=5)
    _, gradients = network.gradients(parameters, x, y)
    step = 1e-30
    moved = Parameters([w.astype(complex) for w in parameters.weights], [b.astype(complex) for b in parameters.biases])
    for parameter, gradient in zip(moved, gradients, strict=True):
        for entry in np.ndindex(*parameter.shape[1:]):
            place = (slice(None), *entry)
            parameter[place] += step * 1j
            logits = network.forward(moved, x).logits
            slope = network.output_stage.loss(np, logits, y).mean(axis=1).imag / step
            parameter[place] -= step * 1j
            np.testing.assert_allclose(gradient[place], slope, rtol=1e-13, atol=1e-14)


# What a stack is


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_a_stack_computes_what_its_networks_compute_one_by_one(hidden):
    architecture = Architecture(4, hidden, 3, "tanh")
    network = Network(architecture, CPU)
    parameters, x, y = random_stack(architecture, trials=4, batch=6)
    loss, gradients = network.gradients(parameters, x, y)
    yhat = network.predict(parameters, x)
    for trial in range(4):
        alone = parameters.select([trial])
        alone_loss, alone_gradients = network.gradients(alone, x, y)
        np.testing.assert_allclose(alone_loss, loss[[trial]], rtol=1e-13)
        np.testing.assert_allclose(network.predict(alone, x), yhat[[trial]], rtol=1e-13)
        np.testing.assert_allclose(flat(alone_gradients), flat(gradients)[[trial]], rtol=1e-12, atol=1e-15)


def test_forward_reads_as_on_paper():
    architecture = Architecture(2, (2,), 2, "tanh", "identity", "mse")
    w1, w2 = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([[2.0, 1.0], [-1.0, 0.25]])
    b1, b2 = np.array([0.1, -0.2]), np.array([1.0, 2.0])
    x = np.array([[0.3, -0.7], [1.0, 2.0]])
    parameters = Parameters([w1[None], w2[None]], [b1[None, None], b2[None, None]])
    np.testing.assert_allclose(
        Network(architecture, CPU).predict(parameters, x), [np.tanh(x @ w1 + b1) @ w2 + b2], rtol=1e-15
    )


@given(scale=st.floats(-100, 100))
@settings(max_examples=25)
def test_backward_is_linear_in_delta_so_the_learning_rate_may_be_folded_in(scale):
    architecture = Architecture(4, (5, 4), 3, "sigmoid")
    network = Network(architecture, CPU)
    parameters, x, y = random_stack(architecture, trials=2, batch=6)
    trace = network.forward(parameters, x)
    _, delta = network.output_stage.loss_and_delta(np, trace.logits, y)
    plain = network.backward(parameters, trace, delta, out=parameters.empty_like(CPU))
    scaled = network.backward(parameters, trace, scale * delta, out=parameters.empty_like(CPU))
    np.testing.assert_allclose(flat(scaled), scale * flat(plain), rtol=1e-11, atol=1e-11)


def test_the_gradient_of_a_batch_is_the_mean_of_its_samples_gradients():
    architecture = Architecture(4, (5,), 3)
    network = Network(architecture, CPU)
    parameters, x, y = random_stack(architecture, trials=3, batch=7)
    loss, gradients = network.gradients(parameters, x, y)
    each = [network.gradients(parameters, x[[b]], y[[b]]) for b in range(7)]
    np.testing.assert_allclose(np.mean([one for one, _ in each], axis=0), loss, rtol=1e-13)
    np.testing.assert_allclose(np.mean([flat(g) for _, g in each], axis=0), flat(gradients), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("sigma", "phi", "loss"), [("identity", "identity", "mse"), ("relu", "softmax", "mse")])
def test_gradients_leave_parameters_inputs_and_targets_as_they_were(sigma, phi, loss):
    architecture = Architecture(4, (5, 5), 3, sigma, phi, loss)
    parameters, x, y = random_stack(architecture, trials=2, batch=6)
    given_arrays = [*parameters, x, y]
    kept = [array.copy() for array in given_arrays]
    Network(architecture, CPU).gradients(parameters, x, y)
    for array, copy in zip(given_arrays, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_float32_parameters_give_float32_outputs_and_gradients():
    architecture = Architecture(4, (5,), 3)
    parameters = initial_parameters(architecture, [0, 1], "float32")
    _, x, y = random_stack(architecture, trials=1, batch=6)
    network = Network(architecture, CPU)
    _, gradients = network.gradients(parameters, x.astype("float32"), y.astype("float32"))
    assert {array.dtype.name for array in gradients} == {"float32"}
    assert network.predict(parameters, x.astype("float32")).dtype == np.float32


@pytest.mark.parametrize("trials", [[2, 0], [1], [0, 1, 2, 3], []])
def test_select_copies_the_trials_asked_for_in_the_order_asked_for(trials):
    parameters, *_ = random_stack(Architecture(4, (5,), 3), trials=4, batch=1)
    for whole, part in zip(parameters, parameters.select(trials), strict=True):
        assert part.shape == (len(trials), *whole.shape[1:])
        for place, trial in enumerate(trials):
            np.testing.assert_array_equal(part[place], whole[trial])
        assert not np.shares_memory(part, whole)


# The architecture


def test_layers_and_parameter_count_are_those_of_the_widths():
    architecture = Architecture(64, (32, 16), 10)
    assert architecture.layers == ((64, 32), (32, 16), (16, 10))
    assert architecture.parameter_count == 64 * 32 + 32 + 32 * 16 + 16 + 16 * 10 + 10
    parameters = initial_parameters(architecture, [0], "float32")
    assert architecture.parameter_count == sum(parameter.size for parameter in parameters)


def test_no_hidden_layer_is_a_linear_model():
    architecture = Architecture(3, (), 2, output_activation="identity", loss="mse")
    parameters, x, _ = random_stack(architecture, trials=2, batch=5)
    (w,), (b,) = parameters.weights, parameters.biases
    np.testing.assert_allclose(Network(architecture, CPU).predict(parameters, x), x @ w + b, rtol=1e-15)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"inputs": 0}, "inputs has a layer of 0 units: use a whole number, at least 1"),
        ({"outputs": -1}, "outputs has a layer of -1 units: use a whole number, at least 1"),
        ({"outputs": 1}, "outputs is 1 and output_activation 'softmax', which is 1 for any input: use 2 outputs for"),
        ({"hidden": (8, 0)}, "hidden has a layer of 0 units: use a whole number, at least 1"),
        ({"hidden": (8.5,)}, "hidden has a layer of 8.5 units: use a whole number, at least 1"),
        ({"activation": "rleu"}, "activation 'rleu' is unknown: did you mean 'relu'? use one of identity, sigmoid"),
        ({"output_activation": "softmx"}, "activation 'softmx' is unknown: did you mean 'softmax'? use one of"),
        ({"loss": "cross-entropy"}, "loss 'cross-entropy' is unknown: did you mean 'cross_entropy'? use one of"),
        (
            {"output_activation": "tanh"},
            "loss 'cross_entropy' takes the logarithm of the output, which output_activation 'tanh' can make zero "
            "or negative: use output_activation 'softmax' or 'sigmoid', or loss 'mse'",
        ),
    ],
)
def test_an_impossible_architecture_says_what_is_wrong_and_what_to_use(wrong, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Architecture(**{"inputs": 4, "hidden": (8,), "outputs": 3, **wrong})
