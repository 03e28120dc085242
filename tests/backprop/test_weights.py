import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from backprop import Architecture, Backend, Network, Parameters, WeightsError, load_weights, save_weights
from backprop import initial_parameters as initial
from backprop.activations import ACTIVATIONS

ARCHITECTURE = Architecture(4, (5, 3), 2, "tanh", "softmax", "mse")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(path, ARCHITECTURE, initial(ARCHITECTURE, [7], "float32"))
    return path


def rewritten(path: Path, change) -> None:
    """Write the file again after `change(tensors, metadata)`."""
    tensors = load_file(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    change(tensors, metadata)
    save_file(tensors, path, metadata=metadata)


@given(
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    sigma=st.sampled_from(sorted(ACTIVATIONS)),
    phi=st.sampled_from(sorted(ACTIVATIONS)),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read_back_to_the_bit(tmp_path_factory, widths, sigma, phi, dtype, seed):
    assume(widths[-1] > 1 or phi != "softmax")
    path = tmp_path_factory.mktemp("weights") / "trial.safetensors"
    architecture = Architecture(widths[0], tuple(widths[1:-1]), widths[-1], sigma, phi, "mse")
    parameters = initial(architecture, [seed], dtype)
    for bias in parameters.biases:
        bias += np.random.default_rng(seed).normal(size=bias.shape).astype(dtype)
    save_weights(path, architecture, parameters)
    read_architecture, read = load_weights(path)
    assert read_architecture == architecture
    for kept, found in zip(parameters, read, strict=True):
        assert found.dtype == kept.dtype
        assert found.shape == kept.shape
        assert found.tobytes() == kept.tobytes()


def test_numbers_that_are_not_ordinary_survive(tmp_path):
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, np.pi])
    parameters = Parameters([odd.reshape(1, 2, 3)], [odd[:3].reshape(1, 1, 3)])
    save_weights(tmp_path / "odd", Architecture(2, (), 3), parameters)
    _, read = load_weights(tmp_path / "odd")
    assert read.weights[0].tobytes() == odd.tobytes()
    assert read.biases[0].tobytes() == odd[:3].tobytes()


def test_weights_that_are_not_contiguous_are_written_as_they_read(tmp_path):
    weights = np.asfortranarray(np.arange(6.0).reshape(2, 3))[None]
    biases = np.arange(6.0)[None, None, ::2]
    save_weights(tmp_path / "strided", Architecture(2, (), 3), Parameters([weights], [biases]))
    _, read = load_weights(tmp_path / "strided")
    np.testing.assert_array_equal(read.weights[0][0], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(read.biases[0][0, 0], [0, 2, 4])


def test_the_file_alone_makes_the_network_that_was_trained(saved):
    architecture, parameters = load_weights(saved)
    x = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    cpu = Backend(np)
    expected = Network(ARCHITECTURE, cpu).predict(initial(ARCHITECTURE, [7], "float32"), x)
    np.testing.assert_array_equal(Network(architecture, cpu).predict(parameters, x), expected)


def test_any_reader_of_safetensors_finds_plain_names_shapes_and_the_architecture(saved):
    assert {name: tensor.shape for name, tensor in load_file(saved).items()} == {
        "layers.0.weight": (4, 5),
        "layers.0.bias": (5,),
        "layers.1.weight": (5, 3),
        "layers.1.bias": (3,),
        "layers.2.weight": (3, 2),
        "layers.2.bias": (2,),
    }
    with safe_open(saved, framework="numpy") as file:
        assert json.loads(file.metadata()["architecture"]) == {
            "inputs": 4,
            "hidden": [5, 3],
            "outputs": 2,
            "activation": "tanh",
            "output_activation": "softmax",
            "loss": "mse",
        }


@pytest.mark.parametrize("trials", [2, 5])
def test_a_stack_of_several_trials_is_refused_and_nothing_is_written(tmp_path, trials):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(ValueError, match=f"parameters hold {trials} trials: select one"):
        save_weights(path, ARCHITECTURE, initial(ARCHITECTURE, range(trials), "float32"))
    assert not path.exists()


def assert_refused(path: Path, why: str) -> None:
    with pytest.raises(WeightsError, match=re.escape(str(path)) + ".*" + re.escape(why)):
        load_weights(path)


def test_a_missing_file_is_refused(tmp_path):
    assert_refused(tmp_path / "none.safetensors", "cannot be read as safetensors")


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x04\x95" * 40, b"\xff" * 64])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    assert_refused(path, "cannot be read as safetensors")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    assert_refused(saved, "cannot be read as safetensors")


def test_safetensors_written_by_somebody_else_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": np.ones((2, 3))}, path)
    assert_refused(path, "holds no architecture; write it with save_weights")


@pytest.mark.parametrize(
    "described",
    [
        "not json",
        "[]",
        "null",
        "{}",
        '{"inputs": 4, "hidden": [5, 3]}',
        '{"inputs": 4, "hidden": null, "outputs": 2}',
        '{"inputs": 4, "hidden": [5, 3], "outputs": 2, "dropout": 0.5}',
        '{"inputs": 4, "hidden": [5, 3], "outputs": 2, "activation": "maxout"}',
        '{"inputs": 4, "hidden": [5, -3], "outputs": 2}',
        '{"inputs": "4", "hidden": [5, 3], "outputs": 2}',
    ],
)
def test_metadata_that_describe_no_architecture_are_refused(saved, described):
    rewritten(saved, lambda _, metadata: metadata.update(architecture=described))
    assert_refused(saved, "its metadata describe no architecture")


@pytest.mark.parametrize("name", ["layers.0.weight", "layers.1.bias", "layers.2.weight"])
def test_a_missing_tensor_is_named(saved, name):
    rewritten(saved, lambda tensors, _: tensors.pop(name))
    assert_refused(saved, f"{name} has shape None, the architecture needs")


def test_a_tensor_of_the_wrong_shape_is_named_with_both_shapes(saved):
    rewritten(saved, lambda tensors, _: tensors.update({"layers.1.weight": np.ones((3, 5), "float32")}))
    assert_refused(saved, "layers.1.weight has shape (3, 5), the architecture needs (5, 3)")
