"""What several tests of the core share: a CPU backend, and the scripts that recorded what PyTorch computes."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from double.fixtures import backend, kernels_on_double, strict_cupy

from backprop import Backend

__all__ = ["backend", "kernels_on_double", "strict_cupy"]

REFERENCES = Path(__file__).parents[1] / "references"


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
    return script
