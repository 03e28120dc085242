"""Multilayer perceptrons with explicit backpropagation, many trials trained at once as a stack.

The core knows NumPy and CuPy and nothing of Prefect, Dask, MLflow or pandas. `network` reads as the
derivation, `training` is the loop over a stack, `gradcheck` holds the gradients to central differences.
What a trial may be given is in `backprop.optimizers` and `backprop.schedules`.
"""

from backprop.activations import register_activation
from backprop.backend import Backend, DeviceError, select_backend
from backprop.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from backprop.early_stopping import EarlyStopping
from backprop.gradcheck import GradientCheck, check_gradients
from backprop.layers import LayerWatch
from backprop.losses import register_loss
from backprop.network import Architecture, Network, Parameters, initial_parameters
from backprop.reports import EpochReport, Finished
from backprop.samples import Samples, class_weights, one_hot
from backprop.stack import Stack, Trial
from backprop.training import Training, initial_weights, train
from backprop.weights import WeightsError, load_weights, save_weights

__version__ = "0.1.0"

CORE_VERSION = "1"
"""Changes when the same trial would give other numbers; a part of every trial key."""

__all__ = [
    "CORE_VERSION",
    "Architecture",
    "Backend",
    "Checkpoint",
    "CheckpointError",
    "DeviceError",
    "EarlyStopping",
    "EpochReport",
    "Finished",
    "GradientCheck",
    "LayerWatch",
    "Network",
    "Parameters",
    "Samples",
    "Stack",
    "Training",
    "Trial",
    "WeightsError",
    "check_gradients",
    "class_weights",
    "initial_parameters",
    "initial_weights",
    "load_checkpoint",
    "load_weights",
    "one_hot",
    "register_activation",
    "register_loss",
    "save_checkpoint",
    "save_weights",
    "select_backend",
    "train",
]
