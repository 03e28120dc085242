import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backprop import Architecture, Backend, GradientCheck, Network, Parameters, check_gradients
from backprop.activations import ACTIVATIONS, Relu, Sigmoid, Softmax, Tanh
from backprop.dropout import Dropout
from backprop.losses import MeanSquaredError, SoftmaxCrossEntropy, Staged

CPU = Backend(np)
TOLERANCE = 1e-7
KINK = 1e-3
"""Logits and residuals stay this far from a bend, much farther than a central difference moves them."""
BENT_AT_ZERO = {"relu", "leaky_relu", "elu"}
BENDS_OF_A_RESIDUAL = {"mae": (0,), "huber": (-1, 1)}

PAIRS = [
    *((phi, loss) for phi in ACTIVATIONS for loss in ("mse", "mae", "huber")),
    ("softmax", "cross_entropy"),
    ("sigmoid", "cross_entropy"),
    ("sigmoid", "binary_cross_entropy"),
]


def random_case(
    architecture: Architecture, trials: int, batch: int, seed: int
) -> tuple[Parameters, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    weights = [draw.uniform(-1, 1, (trials, *layer)) for layer in architecture.layers]
    biases = [draw.uniform(-1, 1, (trials, 1, fan_out)) for _, fan_out in architecture.layers]
    if architecture.loss in ("mse", "mae", "huber"):
        y = draw.uniform(-1, 1, (batch, architecture.outputs))
    else:
        y = np.eye(architecture.outputs)[draw.integers(architecture.outputs, size=batch)]
    return Parameters(weights, biases), draw.uniform(-1, 1, (batch, architecture.inputs)), y


def beside_a_kink(network: Network, parameters: Parameters, x: np.ndarray, y: np.ndarray, masks: list | None) -> bool:
    trace = network.forward(parameters, x, masks)
    sigmas = (*network.architecture.activations, network.architecture.output_activation)
    bent = [z for sigma, z in zip(sigmas, trace.z, strict=True) if sigma in BENT_AT_ZERO]
    residual = network.output_stage.outputs(np, trace.logits) - y
    bent += [residual - bend for bend in BENDS_OF_A_RESIDUAL.get(network.architecture.loss, ())]
    return any(np.abs(z).min() < KINK for z in bent)


@given(
    widths=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    sigmas=st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=3, max_size=3),
    pair=st.sampled_from(PAIRS),
    batch=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    rates=st.lists(st.sampled_from([0.0, 0.3, 0.8]), min_size=1, max_size=3),
    weighted=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_explicit_gradients_equal_central_differences(widths, sigmas, pair, batch, seed, rates, weighted):
    """Over depths, widths, an activation for every layer, losses, dropout for every trial, sample weights, batches."""
    assume(widths[-1] > 1 or pair[0] != "softmax")
    hidden = tuple(widths[1:-1])
    network = Network(Architecture(widths[0], hidden, widths[-1], tuple(sigmas[: len(hidden)]), *pair), CPU)
    parameters, x, y = random_case(network.architecture, len(rates), batch, seed)
    weights = np.random.default_rng(seed).uniform(0, 3, batch) if weighted else None
    masks = Dropout(CPU, rates, range(len(rates)), hidden, "float64").masks(seed, batch) if any(rates) else None
    assume(not beside_a_kink(network, parameters, x, y, masks))
    assert check_gradients(network, parameters, x, y, weights=weights, masks=masks).worst < TOLERANCE


class TanhWithoutTheSquare(Tanh):
    def derivative(self, xp, z, h):  # noqa: ARG002 - the signature of the class above
        return 1 - h


class SigmoidOffByAPercent(Sigmoid):
    def derivative(self, xp, z, h):
        return 1.01 * super().derivative(xp, z, h)


class ReluOfTheOtherSide(Relu):
    def derivative(self, xp, z, h):  # noqa: ARG002 - the signature of the class above
        return z < 0


class SoftmaxTakenForElementwise(Softmax):
    def chain(self, xp, delta, z, h):  # noqa: ARG002 - the signature of the class above
        return delta * h * (1 - h)


class HalfMeanSquaredError(MeanSquaredError):
    def derivative(self, xp, yhat, y):  # noqa: ARG002 - the signature of the class above
        return yhat - y


class CrossEntropyOfTheWrongSign(SoftmaxCrossEntropy):
    def loss_and_delta(self, xp, z, y):
        loss, delta = super().loss_and_delta(xp, z, y)
        return loss, -delta


@pytest.mark.parametrize(
    "broken", [TanhWithoutTheSquare, SigmoidOffByAPercent, ReluOfTheOtherSide, SoftmaxTakenForElementwise]
)
def test_a_wrong_derivative_of_a_hidden_activation_is_noticed(broken):
    architecture = Architecture(3, (4,), 3, broken.name, "identity", "mse")
    network = Network(architecture, CPU)
    case = random_case(architecture, trials=2, batch=5, seed=0)
    assert check_gradients(network, *case).worst < TOLERANCE
    network.sigmas = [broken()]
    assert check_gradients(network, *case).worst > 1e-4


@pytest.mark.parametrize(
    ("loss", "broken"),
    [("mse", Staged(Softmax(), HalfMeanSquaredError())), ("cross_entropy", CrossEntropyOfTheWrongSign())],
)
def test_a_wrong_derivative_of_a_loss_is_noticed(loss, broken):
    architecture = Architecture(3, (4,), 3, "tanh", "softmax", loss)
    network = Network(architecture, CPU)
    case = random_case(architecture, trials=2, batch=5, seed=0)
    assert check_gradients(network, *case).worst < TOLERANCE
    network.output_stage = broken
    assert check_gradients(network, *case).worst > 1e-3


@pytest.mark.parametrize("trial", [0, 2])
@pytest.mark.parametrize("layer", [0, 1])
def test_one_wrong_entry_of_one_trial_is_noticed(trial, layer):
    class OneWrongBias(Network):
        def backward(self, parameters, trace, delta, out):
            super().backward(parameters, trace, delta, out)
            out.biases[layer][trial, 0, -1] += 1e-3
            return out

    architecture = Architecture(3, (4,), 3, "tanh")
    worst = check_gradients(
        OneWrongBias(architecture, CPU), *random_case(architecture, trials=3, batch=5, seed=0)
    ).worst
    assert worst == pytest.approx(1e-3, rel=1e-3)


def test_numerical_gradients_are_those_of_the_mean_loss_known_in_closed_form():
    """One weight, one sample: L = (y - w x - b)^2, dL/dw = -2 x (y - w x - b), dL/db = -2 (y - w x - b)."""
    architecture = Architecture(1, (), 1, output_activation="identity", loss="mse")
    parameters = Parameters([np.array([[[0.5]], [[-1.0]]])], [np.array([[[0.25]], [[2.0]]])])
    check = check_gradients(Network(architecture, CPU), parameters, np.array([[3.0]]), np.array([[1.0]]))
    residual = np.array([1 - 0.5 * 3 - 0.25, 1 + 3.0 - 2.0])
    np.testing.assert_allclose(check.numerical.weights[0].ravel(), -2 * 3 * residual, rtol=1e-8)
    np.testing.assert_allclose(check.numerical.biases[0].ravel(), -2 * residual, rtol=1e-8)


def test_parameters_are_left_as_they_were_to_the_bit():
    architecture = Architecture(3, (4,), 3, "tanh")
    parameters, x, y = random_case(architecture, trials=2, batch=5, seed=0)
    kept = [parameter.copy() for parameter in parameters]
    check_gradients(Network(architecture, CPU), parameters, x, y)
    for parameter, copy in zip(parameters, kept, strict=True):
        np.testing.assert_array_equal(parameter, copy)


def test_worst_is_relative_to_large_gradients_and_absolute_for_small_ones():
    def one(weight: float, bias: float) -> Parameters:
        return Parameters([np.array([[[weight]]])], [np.array([[[bias]]])])

    assert GradientCheck(one(1000, 0), one(1001, 0)).worst == pytest.approx(1e-3)
    assert GradientCheck(one(0, 1e-3), one(0, 3e-3)).worst == pytest.approx(2e-3)


@pytest.mark.parametrize("where", ["weight", "bias"])
def test_a_nan_is_never_within_a_tolerance(where):
    weight, bias = np.zeros((2, 3, 1)), np.zeros((2, 1, 1))
    right = Parameters([weight], [bias])
    wrong = Parameters(
        [np.full_like(weight, np.nan if where == "weight" else 0)], [bias + (np.nan * (where == "bias"))]
    )
    assert not GradientCheck(wrong, right).worst < np.inf


@pytest.mark.parametrize("single", ["weights", "biases"])
def test_float32_is_refused_because_its_differences_say_nothing(single):
    architecture = Architecture(3, (4,), 3)
    parameters, x, y = random_case(architecture, trials=2, batch=5, seed=0)
    parts = {"weights": parameters.weights, "biases": parameters.biases}
    parts[single] = [array.astype("float32") for array in parts[single]]
    with pytest.raises(ValueError, match=r"parameters are not float64: .* use dtype 'float64'"):
        check_gradients(Network(architecture, CPU), Parameters(**parts), x, y)
