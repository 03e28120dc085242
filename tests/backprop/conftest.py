"""What several tests of the core share: a CPU backend, and the script that recorded what PyTorch computes."""

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
    """The recording script. Where CI runs, torch may not be missing: the oracle would fall silent."""
    if importlib.util.find_spec("torch") is None:
        reason = "PyTorch is not installed: `pip install 'backprop[bench]'` to hold the records to it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    spec = importlib.util.spec_from_file_location("record_gradients", REFERENCES / "record_gradients.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script
