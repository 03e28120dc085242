"""Losses and gradients of whole networks against what PyTorch's autograd gave, in float64."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from backprop import Architecture, Backend, Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.losses import LOSSES, output_stage

CPU = Backend(np)

with np.load(Path(__file__).parents[1] / "references" / "gradients.npz") as archive:
    RECORD = dict(archive)
CASES = sorted(name.removesuffix("/loss") for name in RECORD if name.endswith("/loss"))


def case(name: str) -> tuple[Network, Parameters, np.ndarray, np.ndarray]:
    """The network, parameters, inputs and targets of one recorded combination."""
    depth, sigma, phi, loss, batch = name.split("/")
    weights, biases = [
        [RECORD[f"{depth}/{kind}{k}"] for k in range(int(depth.removeprefix("depth")) + 1)]
        for kind in ("weight", "bias")
    ]
    x, y = RECORD[f"x/{batch}"], RECORD[f"y/{loss}/{batch}"]
    architecture = Architecture(x.shape[1], tuple(w.shape[2] for w in weights[:-1]), y.shape[1], sigma, phi, loss)
    return Network(architecture, CPU), Parameters(weights, biases), x, y


def flat(gradients: Parameters) -> np.ndarray:
    return np.concatenate([g.reshape(len(g), -1) for g in gradients], axis=1)


def offered(phi: str, loss: str) -> bool:
    try:
        output_stage(phi, loss)
    except ValueError:
        return False
    return True


OFFERED = [(phi, loss) for phi, loss in product(ACTIVATIONS, LOSSES) if offered(phi, loss)]


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_pytorch(name):
    network, parameters, x, y = case(name)
    loss, gradients = network.gradients(parameters, x, y)
    wanted = RECORD[f"{name}/gradient"]
    np.testing.assert_allclose(loss, RECORD[f"{name}/loss"], rtol=1e-12)
    assert (np.abs(flat(gradients) - wanted) <= 1e-9 * np.maximum(1, np.abs(wanted))).all()


def test_every_hidden_activation_is_recorded_with_every_output_activation_and_loss_the_core_offers():
    wanted = {f"depth2/{sigma}/{phi}/{loss}/7" for sigma, (phi, loss) in product(ACTIVATIONS, OFFERED)}
    assert {name for name in CASES if name.startswith("depth2/") and name.endswith("/7")} == wanted


@pytest.mark.parametrize(("depth", "batch"), list(product((1, 2, 3), (1, 7))))
def test_every_activation_and_every_output_is_recorded_at_every_depth_and_batch_size(depth, batch):
    recorded = {
        tuple(name.split("/")[1:4])
        for name in CASES
        if name.startswith(f"depth{depth}/") and name.endswith(f"/{batch}")
    }
    assert {sigma for sigma, _, _ in recorded} == set(ACTIVATIONS)
    assert {(phi, loss) for _, phi, loss in recorded} == set(OFFERED)


@pytest.mark.parametrize("batch", [1, 7])
def test_every_output_is_recorded_of_a_linear_model(batch):
    assert {name for name in CASES if name.startswith("depth0/") and name.endswith(f"/{batch}")} == {
        f"depth0/identity/{phi}/{loss}/{batch}" for phi, loss in OFFERED
    }


def test_no_recorded_gradient_is_of_a_network_with_dead_relus_that_would_prove_nothing():
    for name in CASES:
        network, *_ = case(name)
        (fan_in, fan_out), *_ = network.architecture.layers
        first_layer = RECORD[f"{name}/gradient"][:, : fan_in * fan_out]
        assert np.abs(first_layer).max() > 1e-3, name


def test_pytorch_still_computes_what_was_recorded(recording):
    computed = recording.gradients()
    assert computed.keys() == RECORD.keys()
    for name, wanted in RECORD.items():
        assert (np.abs(computed[name] - wanted) <= 1e-12 * np.maximum(1, np.abs(wanted))).all(), name
