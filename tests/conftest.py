"""What every test stands on: programs that report to nobody, and servers and stores of their own."""

import atexit
import contextlib
import gc
import os
import shutil
import tempfile

# Before anything imports Prefect or MLflow: both read their settings when they are imported, and neither
# may find the settings, the profile or the store of the person who runs the tests.
_HOME = tempfile.mkdtemp(prefix="backprop-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith(("PREFECT_", "MLFLOW_"))]:
    del os.environ[_name]
os.environ.update(
    PREFECT_HOME=_HOME,
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    DO_NOT_TRACK="1",
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_LOGGING_LEVEL="WARNING",
    # Five processes more for each MLflow server, which run jobs for language models.
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
)

from collections.abc import Iterator  # noqa: E402 - see above
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402
from uuid import uuid4  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402

if TYPE_CHECKING:
    import sqlalchemy as sa
    from playwright.sync_api import Page

# A property is judged by what it says, not by how long a busy machine takes to check it.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of slow tests: where processes share the files, none waits for a long one at last."""
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Let no collection of garbage look again through all that was imported for the tests: it stays anyway."""
    gc.collect()
    gc.freeze()


SERVER_SECONDS = 120
"""How long a Prefect server may take to answer on a busy machine."""


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """The API address of one real Prefect server, a process with a database of its own, for flows called in tests."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=SERVER_SECONDS):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def _empty_store() -> Path:
    """A migrated MLflow store with nothing in it: migrating one takes seconds, copying it none."""
    from mlflow import MlflowClient

    database = Path(_HOME) / "empty.db"
    # The store notes the working directory as the place of its default experiment's files.
    with contextlib.chdir(_HOME):
        MlflowClient(tracking_uri=f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def tracking_store(tmp_path: Path, _empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an MLflow store of the test's own, which is what the flows find; the test runs in `tmp_path`."""
    import mlflow

    database = tmp_path / "mlflow.db"
    shutil.copyfile(_empty_store, database)
    uri = f"sqlite:///{database}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    yield uri
    # The registry sets the process's store, which would outlive the test.
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator["sa.URL"]:
    """The address of a real PostgreSQL server, as its superuser."""
    from tests.postgresql import postgresql_server

    with postgresql_server() as address:
        yield address


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server of this machine that speaks S3's protocol."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket, which this process and those it starts reach as s3fs does: by what the environment says."""
    from s3fs import S3FileSystem

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # fsspec keeps the file systems it made, and with them the address of another test's server.
    S3FileSystem.clear_instance_cache()
    filesystem = S3FileSystem()
    name = f"bucket-{uuid4().hex[:12]}"
    filesystem.mkdir(name)
    yield name
    filesystem.rm(name, recursive=True)
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def page() -> "Iterator[Page]":
    """A page of Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    from tests.programs import system_program

    chromium = system_program("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield browser.new_page(viewport={"width": 1600, "height": 1000})
        browser.close()
