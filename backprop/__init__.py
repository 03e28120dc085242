"""Multilayer perceptrons with explicit backpropagation, many trials trained at once as a stack.

The core knows NumPy and CuPy and nothing of Prefect, Dask, MLflow or pandas. `network` reads as the
derivation, `training` is the loop over a stack, `gradcheck` holds the gradients to central differences.
"""

from backprop.backend import Backend, DeviceError, select_backend
from backprop.gradcheck import GradientCheck, check_gradients
from backprop.network import Architecture, Network, Parameters, initial_parameters
from backprop.training import EpochReport, Finished, Samples, Stack, Trial, one_hot, train
from backprop.weights import WeightsError, load_weights, save_weights

__version__ = "0.1.0"

CORE_VERSION = "1"
"""Changes when the same trial would give other numbers; a part of every trial key."""

__all__ = [
    "CORE_VERSION",
    "Architecture",
    "Backend",
    "DeviceError",
    "EpochReport",
    "Finished",
    "GradientCheck",
    "Network",
    "Parameters",
    "Samples",
    "Stack",
    "Trial",
    "WeightsError",
    "check_gradients",
    "initial_parameters",
    "load_weights",
    "one_hot",
    "save_weights",
    "select_backend",
    "train",
]
