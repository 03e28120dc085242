"""The programs that a search needs, each of which can be killed and started again at the same address."""

import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

START_SECONDS = 180.0
"""How long a program may take to answer on a busy machine."""


class ServiceError(RuntimeError):
    """A program did not start."""


class Service(ABC):
    """A program in a session of its own, so that it ends with all that it started.

    Parameters
    ----------
    directory : Path
        Where it runs, and writes what it prints to ``NAME.log``.
    """

    name = "service"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @abstractmethod
    def command(self) -> list[str]:
        """Return how the program is started; it listens on `port`, if on any."""

    @abstractmethod
    def answers(self) -> bool:
        """Return whether the program is ready."""

    def start(self) -> None:
        """Start the program and wait until it is ready."""
        with (self._directory / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                self.command(),
                cwd=self._directory,
                env={
                    **os.environ,
                    "PREFECT_HOME": str(self._directory / "prefect"),
                    # Five processes more for each MLflow server, which run jobs for language models.
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: self.answers() or not self.is_running, f"{self.name} does not answer")
        if not self.is_running:
            raise ServiceError(f"{self.name} ended at its start; see {self._directory / self.name}.log")

    @property
    def is_running(self) -> bool:
        """Whether the program runs."""
        return self._process is not None and self._process.poll() is None

    def processes(self) -> list[psutil.Process]:
        """Return the program and all that it started."""
        if self._process is None or not self.is_running:
            return []
        own = psutil.Process(self._process.pid)
        return [own, *own.children(recursive=True)]

    def kill(self) -> None:
        """End the program and all that it started with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask the program to end, and wait until it has."""
        self._end(signal.SIGTERM)

    def _end(self, sent: signal.Signals) -> None:
        if self._process is None:
            return
        left = self.processes()
        if self.is_running:
            os.killpg(self._process.pid, sent)
        _, alive = psutil.wait_procs(left, timeout=30)
        for process in alive:
            process.kill()
        self._process.wait()
        self._process = None


class MlflowServer(Service):
    """MLflow's own server of ``mlflow.db`` in a directory, started as its documentation says."""

    name = "mlflow"

    def command(self) -> list[str]:
        """Return how the program is started."""
        server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", "sqlite:///mlflow.db"]
        return [*server, "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]

    def answers(self) -> bool:
        """Return whether its health page does."""
        return _is_found(f"{self.address}/health")

    @property
    def address(self) -> str:
        """What ``MLFLOW_TRACKING_URI`` is set to."""
        return f"http://127.0.0.1:{self.port}"


class PrefectServer(Service):
    """A Prefect server with a database of its own, named by ``PREFECT_HOME``."""

    name = "prefect"

    def command(self) -> list[str]:
        """Return how the program is started."""
        return [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]

    def answers(self) -> bool:
        """Return whether its health page does."""
        return _is_found(f"{self.address}/health")

    @property
    def address(self) -> str:
        """What ``PREFECT_API_URL`` is set to."""
        return f"http://127.0.0.1:{self.port}/api"


class DaskScheduler(Service):
    """A scheduler without workers."""

    name = "scheduler"

    def command(self) -> list[str]:
        """Return how the program is started."""
        scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
        return [*scheduler, "--port", str(self.port), "--no-dashboard"]

    def answers(self) -> bool:
        """Return whether somebody listens."""
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def address(self) -> str:
        """What ``--scheduler`` is set to."""
        return f"tcp://127.0.0.1:{self.port}"


class DaskWorkers(Service):
    """Two workers with a thread each; one that is killed is started again by its nanny."""

    name = "workers"

    def __init__(self, directory: Path, scheduler: DaskScheduler) -> None:
        super().__init__(directory)
        self._scheduler = scheduler

    def command(self) -> list[str]:
        """Return how the program is started."""
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", self._scheduler.address]
        return [*worker, "--nworkers", "2", "--nthreads", "1", "--no-dashboard", "--local-directory", "workers"]

    def answers(self) -> bool:
        """Return whether the workers' processes are there."""
        return len(self.workers()) == 2

    def workers(self) -> list[psutil.Process]:
        """Return the processes that train."""
        return [process for process in self.processes() if "spawn_main" in " ".join(_command_line(process))]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait for a condition; a ServiceError that says what did not come true if it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceError(f"{what} within {seconds:.0f} s")
        time.sleep(0.1)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _is_found(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).is_success
    except httpx.TransportError:
        return False


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
