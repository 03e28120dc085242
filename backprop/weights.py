"""A trial's weights on disk: safetensors, which holds numbers and text and runs no code when read."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from backprop.network import Architecture, Parameters, host_parameters


class WeightsError(ValueError):
    """A file is not a trial's weights, or they do not fit the architecture written in it."""


def save_weights(path: Path, architecture: Architecture, parameters: Parameters) -> None:
    """Write one trial's parameters, as `layers.K.weight` (fan_in, fan_out) and `layers.K.bias` (fan_out,).

    The architecture goes into the file's metadata as JSON, so the file alone makes a network.

    Raises
    ------
    ValueError
        The parameters are of more than one trial.
    """
    if len(parameters.biases[0]) != 1:
        raise ValueError(f"parameters hold {len(parameters.biases[0])} trials: select one")
    tensors = {}
    for layer, (w, b) in enumerate(zip(parameters.weights, parameters.biases, strict=True)):
        tensors[f"layers.{layer}.weight"] = np.ascontiguousarray(w[0])
        tensors[f"layers.{layer}.bias"] = np.ascontiguousarray(b[0, 0])
    save_file(tensors, path, metadata={"architecture": json.dumps(asdict(architecture))})


def load_weights(path: Path) -> tuple[Architecture, Parameters]:
    """Read an architecture and its parameters, a stack of one trial in host memory.

    Raises
    ------
    WeightsError
        The file is not safetensors, was not written by `save_weights`, or its shapes do not fit.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors ({error})") from error
    if "architecture" not in metadata:
        raise WeightsError(f"{path}: holds no architecture; write it with save_weights")
    try:
        described = json.loads(metadata["architecture"])
        architecture = Architecture(**{**described, "hidden": tuple(described["hidden"])})
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: its metadata describe no architecture ({error})") from error
    for layer, (fan_in, fan_out) in enumerate(architecture.layers):
        for name, wanted in ((f"layers.{layer}.weight", (fan_in, fan_out)), (f"layers.{layer}.bias", (fan_out,))):
            shape = tensors[name].shape if name in tensors else None
            if shape != wanted:
                raise WeightsError(f"{path}: {name} has shape {shape}, the architecture needs {wanted}")
    depth = range(len(architecture.layers))
    return architecture, host_parameters(
        [tensors[f"layers.{k}.weight"] for k in depth], [tensors[f"layers.{k}.bias"] for k in depth]
    )
