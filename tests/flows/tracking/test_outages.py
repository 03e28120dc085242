"""Which failures of MLflow are waited for, and what is said of them."""

import errno

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE

from flows.errors import DiskFullError
from flows.tracking.outages import LONGEST_PAUSE, Outage, disk_full_explained, passes


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("(sqlite3.OperationalError) database is locked", TEMPORARILY_UNAVAILABLE),
        MlflowException("API request to http://127.0.0.1:5000 failed with exception"),
        requests.ConnectionError("refused"),
        TimeoutError(),
    ],
)
def test_a_server_that_is_away_and_a_database_that_is_locked_pass(error: Exception) -> None:
    assert passes(error)


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("no such run", RESOURCE_DOES_NOT_EXIST),
        MlflowException("bad name", INVALID_PARAMETER_VALUE),
        NotADirectoryError(),
        DiskFullError("full"),
    ],
)
def test_what_will_fail_again_does_not_pass(error: Exception) -> None:
    assert not passes(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        MlflowException("(sqlite3.OperationalError) database or disk is full", TEMPORARILY_UNAVAILABLE),
    ],
)
def test_a_full_disk_is_said_to_be_one_and_is_not_waited_for(error: Exception) -> None:
    with (
        pytest.raises(DiskFullError, match=r"mlflow\.db: no space is left to write .* free space and run the same"),
        disk_full_explained("mlflow.db"),
    ):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(PermissionError), disk_full_explained("mlflow.db"):
        raise PermissionError


def test_the_pauses_of_an_outage_grow_to_a_limit_and_begin_anew_after_it() -> None:
    outage = Outage("http://there")

    pauses = [outage.begin(TimeoutError()) for _ in range(10)]

    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1] == LONGEST_PAUSE
    assert outage.seconds > 0
    outage.end()
    assert outage.seconds == 0
    assert outage.begin(TimeoutError()) == pauses[0]
