"""The one directory in which everything lies that outlives `backprop up`, and the record of what it started."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from flows.errors import ServicesError

DEFAULT_STATE = ".backprop"


class StartedProcess(BaseModel):
    """A process, named so that no later one that got its number is taken for it; times in seconds since 1970."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "StartedProcess":
        """Describe a process that runs now."""
        return cls(pid=pid, started=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """Return the process if it is still there."""
        try:
            process = psutil.Process(self.pid)
            alive = abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


class UpRecord(BaseModel):
    """What a `backprop up` started: enough to say what runs, and to end what it left if it was killed.

    Attributes
    ----------
    mark : str
        What every process that it started, at whatever remove, has in its environment.
    services : dict of str to StartedProcess
        In the order they were started.
    """

    model_config = ConfigDict(frozen=True)

    mark: str
    up: StartedProcess
    since: float
    prefect_port: int
    mlflow_port: int
    services: dict[str, StartedProcess] = {}

    @property
    def prefect(self) -> str:
        """Where Prefect's pages are."""
        return f"http://127.0.0.1:{self.prefect_port}"

    @property
    def prefect_api(self) -> str:
        """What PREFECT_API_URL must say."""
        return f"{self.prefect}/api"

    @property
    def mlflow(self) -> str:
        """Where MLflow's pages are, and what MLFLOW_TRACKING_URI must say."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    def __str__(self) -> str:
        since = time.strftime("%H:%M", time.localtime(self.since))
        return f"since {since}, process {self.up.pid}: Prefect at {self.prefect}, MLflow at {self.mlflow}"


class StateDirectory:
    """The directory of one `backprop up`: databases, artifacts, datasets, logs, and the record of what runs."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self.prefect_home = self.path / "prefect"
        self.mlflow_database = self.path / "mlflow.db"
        self.artifacts = self.path / "artifacts"
        self.logs = self.path / "logs"
        self._record = self.path / "up.json"
        self._lock = self.path / "up.lock"

    def create(self) -> None:
        """Make the directory and those in it.

        Raises
        ------
        ServicesError
            It cannot be written to.
        """
        try:
            for directory in (self.prefect_home, self.artifacts, self.logs):
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ServicesError(f"{self.path}: {error.strerror}; choose another directory with --state") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the directory while the block runs; the hold ends with this process, however that ends.

        Raises
        ------
        ServicesError
            Another `backprop up` holds it; the message says what runs where.
        """
        with self._lock.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                running = self.record()
                what = f"is running already {running}" if running else "is starting"
                raise ServicesError(
                    f"backprop up {what}; its state is in {self.path}. Stop it with Ctrl-C there, or with "
                    "backprop down; another beside it needs another --state and other ports"
                ) from error
            yield

    def record(self) -> UpRecord | None:
        """Return the record of what was started last and not ended; None if there is none."""
        try:
            return UpRecord.model_validate_json(self._record.read_text())
        except (FileNotFoundError, ValidationError):
            return None

    def write_record(self, record: UpRecord) -> None:
        """Write what was started, whole or not at all."""
        new = self._record.with_suffix(".new")
        new.write_text(record.model_dump_json(indent=2))
        new.replace(self._record)

    def remove_record(self) -> None:
        """Say that nothing runs."""
        self._record.unlink(missing_ok=True)
