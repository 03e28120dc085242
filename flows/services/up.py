"""`backprop up`: both servers, a worker and the deployments, until somebody ends it."""

import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn, Protocol
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from flows.errors import ServiceDiedError, ServicesError
from flows.services.definitions import ServiceDefinition, definitions, environment
from flows.services.marked import marked
from flows.services.service import Service, answers
from flows.services.state import DEFAULT_STATE, StartedProcess, StateDirectory, UpRecord
from flows.services.stopping import stop

START_SECONDS = 300.0
"""How long a service may take until it answers, on a slow and busy machine."""

MOST_DEATHS, DEATHS_SECONDS = 3, 600.0
"""A service that dies is started again, unless that was the third death of any of them in ten minutes."""

PULSE_SECONDS = 0.2


WebhookAddress = Annotated[str, Field(pattern=r"^https?://[^/\s]+\S*$")]


class UpParameters(BaseModel):
    """What `backprop up` is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: str = Field(default=DEFAULT_STATE, min_length=1, description="Directory of everything that is kept")
    prefect_port: int = Field(default=4200, ge=0, le=65535, description="Port of Prefect's server; 0 takes a free one")
    mlflow_port: int = Field(default=5000, ge=0, le=65535, description="Port of MLflow's server; 0 takes a free one")
    webhook: WebhookAddress | None = Field(
        default=None, description="URL that is told of failed and of promoted retrainings"
    )


class Listener(Protocol):
    """Whoever shows a person what happens."""

    def said(self, service: str, line: str) -> None:
        """Show a line that a service has written."""

    def told(self, line: str) -> None:
        """Show a line of `backprop up` itself."""

    def ready(self, record: UpRecord, state: StateDirectory, deployments: list[str]) -> None:
        """Say that all of it runs, and where."""

    def died(self, service: str, exit_code: int, last_lines: list[str]) -> None:
        """Say that a service has ended by itself."""


class _AskedToEnd(Exception):  # noqa: N818 - no error
    """Somebody asked for the end."""


class Interrupts:
    """Counts the requests to end: Ctrl-C, the end of the terminal, `backprop down`. The second is impatience."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._one_more)

    def _one_more(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature of a signal handler
        self.count += 1


def up(parameters: UpParameters, listener: Listener) -> None:
    """Start everything, say when it is ready, and keep it running until somebody asks for the end.

    Raises
    ------
    ServicesError
        It runs already, something of an earlier one is left, a port is taken, or there is no prefect.yaml here.
    ServiceDiedError
        Something did not start, or died too often. By then all of it has been ended.
    """
    if not Path("prefect.yaml").is_file():
        raise ServicesError(f"there is no prefect.yaml in {Path.cwd()}; run it in the directory of the checkout")
    state = StateDirectory(parameters.state)
    state.create()
    with state.held():
        _refuse_what_is_left(state)
        _Up(parameters, state, listener).run()


def _refuse_what_is_left(state: StateDirectory) -> None:
    record = state.record()
    if record is None:
        return
    if left := marked(record.mark):
        raise ServicesError(
            f"a backprop up that was killed has left {len(left)} processes running ({record}); "
            f"end them with backprop down --state {state.path}"
        )
    state.remove_record()


class _Up:
    """One `backprop up`, from its start to its end."""

    def __init__(self, parameters: UpParameters, state: StateDirectory, listener: Listener) -> None:
        self._parameters = parameters
        self._state = state
        self._listener = listener
        self._interrupts = Interrupts()
        self._services: dict[str, Service] = {}
        self._deaths: deque[float] = deque()
        prefect_port = _free("prefect", parameters.prefect_port)
        self._record = UpRecord(
            mark=uuid4().hex,
            up=StartedProcess.of(os.getpid()),
            since=time.time(),
            prefect_port=prefect_port,
            mlflow_port=_free("mlflow", parameters.mlflow_port),
        )
        self._environment = environment(state, self._record)

    def run(self) -> None:
        self._state.write_record(self._record)
        try:
            self._start_all()
            while True:
                self._pulse()
                self._restart_the_dead()
        except _AskedToEnd:
            self._listener.told("stopping; once more to kill")
        finally:
            self._stop()

    def _start_all(self) -> None:
        self._listener.told(f"starting Prefect at {self._record.prefect} and MLflow at {self._record.mlflow}")
        prefect, mlflow, worker = definitions(self._state, self._record)
        for server in (prefect, mlflow):
            self._start(server)
        # Prefect reads its settings when it is imported, which takes seconds, while its server takes more.
        os.environ.update(self._environment)
        from flows.services import prefect_runs

        self._settle()
        self._deploy()
        if self._parameters.webhook is not None:
            from flows.services.automations import notify

            for name in notify(self._parameters.webhook):
                self._listener.told(f"the webhook is called by the automation {name!r}")
        self._listener.told("starting a worker")
        before = datetime.now(UTC)
        self._start(worker)
        self._until("mlflow", lambda: answers(f"{self._record.mlflow}/health"))
        self._until("worker", lambda: prefect_runs.worker_is_online(before))
        self._listener.ready(self._record, self._state, prefect_runs.deployments())

    def _start(self, definition: ServiceDefinition) -> None:
        service = Service(definition, self._environment, self._state.logs)
        self._services[service.name] = service
        started = {**self._record.services, service.name: service.started}
        self._record = self._record.model_copy(update={"services": started})
        self._state.write_record(self._record)

    def _settle(self) -> None:
        """End the flow runs that no process runs any more, as soon as Prefect answers, and say which they were."""
        from flows.services import prefect_runs

        self._until("prefect", lambda: answers(f"{self._record.prefect_api}/health"))
        for name in prefect_runs.settle():
            self._listener.told(f"flow run {name} was abandoned, and is marked as crashed")

    def _deploy(self) -> None:
        """Deploy what prefect.yaml says, by the command, whose output is shown if it fails."""
        self._listener.told("deploying what prefect.yaml says")
        deploying = Service(
            ServiceDefinition("deploy", ("prefect", "--no-prompt", "deploy", "--all")),
            self._environment,
            self._state.logs,
        )
        while deploying.exit_code is None:
            self._pulse()
        deploying.wait()
        if deploying.exit_code:
            self._fail(deploying, "prefect deploy --all failed; its output is above")

    def _until(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            self._pulse()
            service = self._services[name]
            if service.exit_code is not None:
                self._fail(service, f"{name} did not start; its last lines are above")
            if time.monotonic() > deadline:
                raise ServiceDiedError(f"{name} does not answer after {START_SECONDS:.0f} seconds; see {service.log}")

    def _fail(self, service: Service, message: str) -> NoReturn:
        self._listener.died(service.name, service.exit_code or 0, service.last_lines())
        raise ServiceDiedError(f"{message}; all of them are in {service.log}")

    def _pulse(self) -> None:
        """Show what the services say, and see whether somebody asked for the end."""
        for service in self._services.values():
            for line in service.new_lines():
                self._listener.said(service.name, line)
        if self._interrupts.count:
            raise _AskedToEnd
        time.sleep(PULSE_SECONDS)

    def _restart_the_dead(self) -> None:
        for service in [service for service in self._services.values() if service.exit_code is not None]:
            now = time.monotonic()
            self._deaths.append(now)
            while now - self._deaths[0] > DEATHS_SECONDS:
                self._deaths.popleft()
            if len(self._deaths) >= MOST_DEATHS:
                self._fail(service, f"{service.name} died, the third death in ten minutes: all of it ends")
            self._listener.died(service.name, service.exit_code or 0, service.last_lines())
            self._listener.told(f"starting {service.name} again")
            service.wait()
            if service.name == "worker":
                # What died with it would keep its slot of a concurrency limit, and the next would never start.
                self._settle()
            self._start(service.definition)

    def _stop(self) -> None:
        killed = stop(self._record, self._listener.told, impatient=lambda: self._interrupts.count > 1)
        for service in self._services.values():
            for line in service.new_lines():
                self._listener.said(service.name, line)
            service.wait()
        self._state.remove_record()
        if killed:
            self._listener.told(f"killed {killed} processes that did not end")
        self._listener.told(f"stopped; everything is kept in {self._parameters.state}")


def _free(service: str, port: int) -> int:
    """Return the port if nothing listens there, or a free one for 0.

    Raises
    ------
    ServicesError
        The port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServicesError(
                f"port {port} for {service} cannot be had ({error.strerror}): choose another with "
                f"--{service}-port, or make up {service.upper()}_PORT={port + 1}"
            ) from error
        return int(probe.getsockname()[1])
