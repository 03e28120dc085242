"""Which page of MLflow shows what is meant, and who serves it: a server that runs, or one that is started for it."""

import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import quote
from uuid import uuid4

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from flows.errors import RunError, ServiceDiedError
from flows.services.definitions import ServiceDefinition
from flows.services.marked import MARK, marked, send, wait_while
from flows.services.service import Service, answers
from flows.services.state import StateDirectory, UpRecord
from flows.tracking import tags
from flows.tracking.outages import passes
from flows.tracking.sqlite import fold_log
from flows.tracking.store import answering, existing_client, existing_store
from flows.tracking.trial_lookup import find_run

START_SECONDS = 300.0
"""How long MLflow's server may take until it answers, on a slow and busy machine."""

END_SECONDS = 10.0
"""How long it may take to end, before it is killed."""

PULSE_SECONDS = 0.2

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Place(NamedTuple):
    """Where something is to be seen.

    Attributes
    ----------
    store : str
        The MLflow store that holds it: a server's address, or what a server can be started on.
    path : str
        What follows the server's address.
    what : str
        What is shown there, in words.
    """

    store: str
    path: str
    what: str


def find_place(wanted: str | None, up: UpRecord | None) -> Place:
    """Return where a run or a model is shown; without one, where the newest search stands among its like.

    It is looked for in the store that MLFLOW_TRACKING_URI names, or that is in this directory, and then in that of a
    `backprop up` that runs. Unless something is named, that comes first: it is served already.

    Raises
    ------
    RunError
        It is in neither, or there is no store, or one does not answer.
    """
    is_chosen = "MLFLOW_TRACKING_URI" in os.environ
    own = existing_store()
    stores = [] if own is None else [own]
    if up is not None and not is_chosen:
        stores = [*stores, up.mlflow] if wanted is not None else [up.mlflow, *stores]
    if not stores:
        existing_client()
    faults = []
    for store in stores:
        try:
            return _place_in(store, wanted)
        except RunError as error:
            faults.append(error)
    raise faults[0]


def _place_in(store: str, wanted: str | None) -> Place:
    client = MlflowClient(tracking_uri=store)
    with answering(store):
        if wanted is None:
            return _newest(client)
        if (model := _model(client, wanted)) is not None:
            return model
        return _run_page(client, find_run(client, wanted))


def _newest(client: MlflowClient) -> Place:
    experiments = {found.experiment_id: found.name for found in client.search_experiments()}
    searches = client.search_runs(
        list(experiments), f"tags.`{tags.SEARCH_KEY}` != ''", max_results=1, order_by=["attributes.start_time DESC"]
    )
    if not searches:
        return Place(client.tracking_uri, "/#/experiments", "all experiments")
    experiment = searches[0].info.experiment_id
    name = experiments[experiment]
    return Place(client.tracking_uri, f"/#/experiments/{experiment}/runs", f"experiment {name}, of the newest search")


def _model(client: MlflowClient, wanted: str) -> Place | None:
    """Return the page of a registered model, or of the version that is named; None if none is called so."""
    text = wanted.removeprefix("models:/")
    name, at, alias = text.rpartition("@")
    if not at:
        name, slash, version = text.rpartition("/")
        if not slash or not version.isdecimal():
            name, version = text, ""
    try:
        if at:
            version = str(client.get_model_version_by_alias(name, alias).version)
        elif version:
            client.get_model_version(name, version)
        else:
            client.get_registered_model(name)
    except MlflowException as error:
        if passes(error):
            raise
        return None
    path = f"/#/models/{quote(name, safe='')}" + (f"/versions/{version}" if version else "")
    return Place(client.tracking_uri, path, f"model {name}{f' version {version}' if version else ''}")


def _run_page(client: MlflowClient, run: Run) -> Place:
    info = run.info
    kind = "search" if tags.SEARCH_KEY in run.data.tags else "trial" if tags.TRIAL_KEY in run.data.tags else "run"
    path = f"/#/experiments/{info.experiment_id}/runs/{info.run_id}"
    return Place(client.tracking_uri, path, f"{kind} {info.run_name} ({info.run_id[:8]})")


def running_up(state: str) -> UpRecord | None:
    """Return what a `backprop up` of a directory started, if it runs."""
    record = StateDirectory(state).record()
    return record if record is not None and record.up.find() is not None else None


class Served(NamedTuple):
    """A server that was started, and where it answers."""

    address: str
    service: Service

    def wait(self) -> NoReturn:
        """Wait until somebody ends this.

        Raises
        ------
        KeyboardInterrupt
            Somebody did.
        ServiceDiedError
            The server ended by itself.
        """
        while self.service.exit_code is None:
            time.sleep(PULSE_SECONDS)
        raise _died(self.service)


@contextmanager
def mlflow_server(store: str) -> Iterator[Served]:
    """Serve MLflow's pages of a store to this machine while the block runs; whatever ends it, nothing is left.

    Raises
    ------
    ServiceDiedError
        The server did not start.
    """
    mark = uuid4().hex
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    definition = ServiceDefinition(
        "mlflow",
        (
            *("mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", store, "--uvicorn-opts", "--log-level warning"),
        ),
        tied=True,
    )
    environment = {**os.environ, MARK: mark, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with tempfile.TemporaryDirectory(prefix="backprop-") as logs, _interrupting():
        service = None
        try:
            service = Service(definition, environment, Path(logs))
            address = f"http://127.0.0.1:{port}"
            _until_it_answers(service, address)
            yield Served(address, service)
        finally:
            # Impatience must not leave what it wants to be rid of.
            for number in _ENDINGS:
                signal.signal(number, signal.SIG_IGN)
            _end(service, mark)
            fold_log(store)


def _until_it_answers(service: Service, address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(f"{address}/health"):
        if service.exit_code is not None:
            raise _died(service)
        if time.monotonic() > deadline:
            raise ServiceDiedError(f"MLflow's server does not answer at {address} after {START_SECONDS:.0f} seconds")
        time.sleep(PULSE_SECONDS)


def _died(service: Service) -> ServiceDiedError:
    return ServiceDiedError(f"MLflow's server ended, and said last: {' / '.join(service.last_lines()[-3:])}")


def _end(service: Service | None, mark: str) -> None:
    """End a service, which ends its workers, and then every process that was started with its mark and is left."""
    started = None if service is None else service.started.find()
    send([] if started is None else [started], signal.SIGTERM)
    wait_while(lambda: service is not None and service.exit_code is None, END_SECONDS)
    send(marked(mark), signal.SIGKILL)
    wait_while(lambda: marked(mark), END_SECONDS)
    if service is not None:
        service.wait()


@contextmanager
def _interrupting() -> Iterator[None]:
    """Let the end of the terminal, and a request to end, do what Ctrl-C does."""

    def interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - the signature of a signal handler
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
