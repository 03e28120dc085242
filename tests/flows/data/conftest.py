import os
from pathlib import Path

import pytest

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="session")
def fashion_mnist() -> str:
    if not FASHION_MNIST.is_dir():
        reason = f"{FASHION_MNIST} is not there (Debian package dataset-fashion-mnist)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return f"idx:{FASHION_MNIST}"
