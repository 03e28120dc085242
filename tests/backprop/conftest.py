"""What several tests of the core share: their backends, and the scripts that recorded what PyTorch computes."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import everything
import numpy as np
import pytest
from double.fixtures import backend, kernels_on_double, strict_cupy
from double.host_facing import host_facing

from backprop import Backend, Network, training
from backprop.compiled.backend import CompiledBackend
from backprop.optimizers import StackOptimizer

__all__ = ["backend", "kernels_on_double", "strict_cupy"]

REFERENCES = Path(__file__).parents[1] / "references"


ON_THE_DOUBLE = {
    "test_against_pytorch",
    "test_checkpoint",
    "test_dropout",
    "test_early_stopping",
    "test_gradcheck",
    "test_layers",
    "test_network",
    "test_optimizers",
    "test_padding",
    "test_stack_members",
    "test_standardised_samples",
    "test_training",
    "test_trajectories",
}
"""Tests of the core that run on NumPy, and again on the strict double of CuPy with our kernels."""

NUMPY_ONLY = {
    "test_an_update_with_all_that_may_change_a_gradient_allocates_no_array_of_a_parameters_size": (
        "counts host memory, which the double's kernels take in place of a device's"
    ),
    "test_a_kernel_is_given_the_gradient_as_clipped_and_penalised_and_the_trials_numbers_in_float64": (
        "has a backend of its own"
    ),
    "test_a_rule_the_backend_has_no_kernel_for_is_computed_as_written": "has a backend of its own",
    "test_backward_is_linear_in_delta_so_the_learning_rate_may_be_folded_in": "allocates for NumPy itself",
    "test_a_neighbour_that_is_not_there_changes_no_bit_of_the_others": "takes too long on a double",
    "test_a_training_broken_off_after_any_epoch_goes_on_to_the_same_reports": "takes too long on a double",
    "test_digits_are_learned": "takes too long on a double",
}


COMPILED = {
    "test_checkpoint",
    "test_dropout",
    "test_early_stopping",
    "test_halving",
    "test_layers",
    "test_padding",
    "test_samples",
    "test_stack",
    "test_stack_members",
    "test_standardised_samples",
    "test_training",
    "test_trajectories",
}
"""Tests in which the core trains or measures: they run once more on the compiled loops."""

NOT_COMPILED = {
    "test_metrics_do_not_depend_on_how_many_rows_are_evaluated_at_once": "compiled loops have a number of their own",
}

ON_NO_BACKEND = {
    "test_pytorch_still_computes_what_was_recorded",
    "test_pytorch_still_takes_the_recorded_trajectories",
}
"""Tests in which PyTorch alone computes: on another backend they would do the same again."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module, test = metafunc.module.__name__.rpartition(".")[2], metafunc.function.__name__
    if not hasattr(metafunc.module, "CPU") or test in ON_NO_BACKEND:
        return
    ways = ["numpy"]
    if module in ON_THE_DOUBLE and test not in NUMPY_ONLY:
        ways.append("double")
    if module in COMPILED and test not in NOT_COMPILED:
        ways.append("compiled")
    if len(ways) > 1:
        metafunc.parametrize("core_runs_on", ways, indirect=True)


@pytest.fixture(autouse=True)
def core_runs_on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put another backend in the place of a test module's ``CPU``; host arrays are moved to the double at the door."""
    way = getattr(request, "param", "numpy")
    if way == "numpy":
        return
    for module in (request.module, everything):
        monkeypatch.setattr(
            module, "CPU", CompiledBackend(np) if way == "compiled" else request.getfixturevalue("kernels_on_double")
        )
    if way == "compiled":
        return
    for name in ("forward", "backward", "descend", "predict", "gradients"):
        monkeypatch.setattr(Network, name, host_facing(getattr(Network, name), lambda network: network.backend))
    for module, name in ((training, "evaluate"), (request.module, "evaluate"), (request.module, "check_gradients")):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, host_facing(getattr(module, name), lambda network: network.backend))
    monkeypatch.setattr(StackOptimizer, "step", host_facing(StackOptimizer.step, lambda rule: rule._backend))
    for name in ("clip_to_norm", "add_penalties"):
        if hasattr(request.module, name):
            monkeypatch.setattr(request.module, name, host_facing(getattr(request.module, name), Backend))


@pytest.fixture(scope="session")
def cpu() -> Backend:
    return Backend(np)


@pytest.fixture(scope="session")
def recording() -> ModuleType:
    """The script that recorded gradients and trajectories of plain SGD."""
    return recording_script("record_gradients")


@pytest.fixture(scope="session")
def training_recording() -> ModuleType:
    """The script that recorded optimisers and schedules."""
    return recording_script("record_training")


def recording_script(name: str) -> ModuleType:
    """A recording script. Where CI runs, torch may not be missing: the oracle would fall silent."""
    if importlib.util.find_spec("torch") is None:
        reason = "PyTorch is not installed: `pip install 'backprop[bench]'` to hold the records to it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    spec = importlib.util.spec_from_file_location(name, REFERENCES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    # A loss of eight samples is over before a second thread has heard of it.
    script.torch.set_num_threads(1)
    return script
