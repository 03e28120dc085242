"""The three services, as commands and environments."""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from flows.services.marked import MARK
from flows.services.state import StateDirectory, UpRecord

POOL = "backprop"
"""The work pool of prefect.yaml."""

_ANOTHER_SERVERS = ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_HOME", "MLFLOW_TRACKING_URI")


@dataclass(frozen=True)
class ServiceDefinition:
    """A program that runs until it is ended.

    Attributes
    ----------
    arguments : tuple of str
        What follows ``python -m``, with this interpreter.
    tied : bool
        Whether it ends with the process that started it, however that ends.
    """

    name: str
    arguments: tuple[str, ...]
    tied: bool = False

    @property
    def command(self) -> list[str]:
        """The command line. Nothing in the working directory may be taken for a module of the program."""
        tied = ("flows.services.tied",) if self.tied else ()
        return [sys.executable, "-P", "-m", *tied, *self.arguments]


def definitions(state: StateDirectory, record: UpRecord) -> tuple[ServiceDefinition, ...]:
    """Return the services in the order they are started: a worker needs Prefect's server, its runs need MLflow's."""
    database = os.environ.get("MLFLOW_BACKEND_STORE_URI") or f"sqlite:///{state.mlflow_database}"
    artifacts = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION") or str(state.artifacts)
    local = ("--host", "127.0.0.1", "--port")
    stores = ("--backend-store-uri", database, "--artifacts-destination", artifacts)
    # Of every request a line would be printed.
    quiet = ("--uvicorn-opts", "--log-level warning")
    return (
        ServiceDefinition("prefect", ("prefect", "server", "start", *local, str(record.prefect_port))),
        ServiceDefinition(
            "mlflow",
            ("mlflow", "server", *local, str(record.mlflow_port), "--workers", "2", *stores, *quiet),
        ),
        ServiceDefinition(
            "worker",
            # By its name a worker that was restarted is the same one in Prefect's pages.
            ("prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", socket.gethostname()),
        ),
    )


def environment(state: StateDirectory, record: UpRecord, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what the services and all that they start find in their environment; the user's other settings stay."""
    kept = {name: value for name, value in base.items() if name not in _ANOTHER_SERVERS}
    defaults = {
        # Slots of concurrency limits must not outlive their holders because the server was restarted.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # Whoever presses Run waits for the worker to ask; Prefect lets it ask every ten seconds.
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        # A schedule that is switched on begins at once, not up to a minute later.
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "10",
        # Nothing here is a job of MLflow's, whose runners are four more processes.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # Not a terminal, so Prefect would break its lines at 80 columns.
        "COLUMNS": "200",
    }
    return {
        **defaults,
        **kept,
        MARK: record.mark,
        "BACKPROP_HOME": str(state.path),
        "PREFECT_HOME": str(state.prefect_home),
        "PREFECT_API_URL": record.prefect_api,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(record.prefect_port),
        "MLFLOW_TRACKING_URI": record.mlflow,
        "PYTHONUNBUFFERED": "1",
    }
