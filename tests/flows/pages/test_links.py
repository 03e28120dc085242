import pytest
from prefect import flow

from flows.pages.links import MLFLOW_PAGES, from_elsewhere, passing_server, prefect_page, within_mlflow
from flows.tracking.registry import RegisteredVersion
from flows.tracking.search_runs import SearchRun
from flows.tracking.store import Tracking


def run_in(uri: str) -> SearchRun:
    return SearchRun(tracking=Tracking(uri=uri, experiment_id="7", experiment="wine"), run_id="abc")


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/#/experiments/7/runs/abc"),
        ("https://host/mlflow/", "https://host/mlflow/#/experiments/7/runs/abc"),
        ("https://someone:secret@host", "https://host/#/experiments/7/runs/abc"),
    ],
)
def test_a_server_is_led_to_without_its_password(uri: str, page: str) -> None:
    pages = from_elsewhere(run_in(uri))

    assert pages is not None
    assert pages.run("abc") == page


def test_a_store_in_a_file_has_an_address_only_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_in("sqlite:////somewhere/mlflow.db")
    assert from_elsewhere(run) is None

    monkeypatch.setenv(MLFLOW_PAGES, "http://localhost:5000")

    pages = from_elsewhere(run)
    assert pages is not None
    assert pages.artifact("abc", "report/report.html").startswith("http://localhost:5000/#/experiments/7/runs/abc/")


def test_on_mlflows_own_pages_an_address_names_no_server() -> None:
    pages = within_mlflow(run_in("http://mlflow:5000"))

    assert pages.version(RegisteredVersion(name="a b&c", version=2)) == "#/models/a%20b%26c/versions/2"
    assert pages.trials("abc", "val/rmse", ascending=True) == (
        "#/experiments/7/runs?searchFilter=tags.%60mlflow.parentRunId%60%20%3D%20%27abc%27"
        "&orderByKey=metrics.%60val%2Frmse%60&orderByAsc=true"
    )
    assert "%22a%22%2C%20%22b%22" in pages.compared(["a", "b"])


@pytest.mark.usefixtures("prefect_server")
def test_nothing_leads_to_a_server_that_ends_with_the_command() -> None:
    @flow
    def asking() -> str | None:
        return prefect_page()

    assert prefect_page() is None
    assert "/runs/flow-run/" in str(asking())
    with passing_server():
        assert asking() is None
