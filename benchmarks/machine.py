"""What a result was measured on: processor, cores, and the versions of all that raced."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("backprop", "numpy", "scipy", "numba", "scikit-learn", "torch", "jax", "jaxlib", "pytensor", "mlflow")


def machine() -> dict[str, Any]:
    """Return the facts as they go into the JSON."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": 2,
        "load_before": os.getloadavg()[0],
        "platform": platform.platform(),
        "python": platform.python_version(),
        "blas": _blas(),
        "versions": {package: _version(package) for package in PACKAGES},
    }


def cpu_model() -> str:
    """Return the name that the processor gives itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _blas() -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_info

    kept = ("internal_api", "version", "architecture", "threading_layer")
    return [{key: pool.get(key) for key in kept} for pool in threadpool_info() if pool["user_api"] == "blas"]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
