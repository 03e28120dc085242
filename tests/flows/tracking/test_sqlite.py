"""A SQLite store is written ahead into a log while a search trains, and is one whole file when it ends."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from sqlalchemy import create_engine, text

from flows.data.store import Dataset
from flows.parameters import Space
from flows.tracking.search_runs import search_run
from flows.tracking.sqlite import fold_log, use_write_ahead_log
from flows.tracking.store import Tracking, open_tracking

SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1]}})


def pragma(uri: str, name: str) -> object:
    """Ask on a connection as MLflow makes them."""
    engine = create_engine(uri)
    try:
        with engine.connect() as connection:
            return connection.execute(text(f"PRAGMA {name}")).scalar()
    finally:
        engine.dispose()


def test_workers_of_one_machine_share_a_log_and_commit_without_waiting_for_the_disk(tracking_store: str) -> None:
    open_tracking("tests", one_machine=True)

    assert pragma(tracking_store, "journal_mode") == "wal"
    assert pragma(tracking_store, "synchronous") == 1


def test_workers_of_several_machines_do_not(tracking_store: str) -> None:
    open_tracking("tests")

    assert pragma(tracking_store, "journal_mode") == "delete"
    assert pragma(tracking_store, "synchronous") == 2


@pytest.mark.usefixtures("tracking_store")
def test_after_a_search_the_file_alone_is_the_whole_store(wine: Dataset, tmp_path: Path) -> None:
    tracking = open_tracking("tests", one_machine=True)
    with search_run(tracking, wine, "quick", SPACE) as run:
        pass

    shutil.copy(tmp_path / "mlflow.db", tmp_path / "copy.db")
    copied = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/copy.db").get_run(run.run_id)
    assert copied.info.status == "FINISHED"


def test_a_store_that_is_in_use_stays_as_it_is(tracking: Tracking, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        use_write_ahead_log(tracking.uri, patience=0.1)
        fold_log(tracking.uri, patience=0.1)
        other.rollback()

    assert pragma(tracking.uri, "journal_mode") == "delete"


def test_a_store_that_is_no_sqlite_file_is_let_be(tmp_path: Path) -> None:
    use_write_ahead_log("http://127.0.0.1:5000")
    use_write_ahead_log(f"sqlite:///{tmp_path}/none.db")

    assert list(tmp_path.iterdir()) == []
