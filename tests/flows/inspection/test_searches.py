"""The list of searches: which, in which order, and what is read for it."""

from collections import Counter
from itertools import count
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from flows.errors import RunError
from flows.inspection.searches import TrialCounts, Wanted, list_searches
from flows.tracking import tags
from flows.tracking.store import Tracking
from tests.flows.inspection.conftest import Looked

_starts = count(1_700_000_000_000)


class Counting(MlflowClient):
    """A client that counts what it is asked."""

    def __init__(self, uri: str) -> None:
        super().__init__(tracking_uri=uri)
        self.calls: Counter[str] = Counter()

    def search_runs(self, *arguments: Any, **named: Any) -> Any:
        self.calls["search_runs"] += 1
        return super().search_runs(*arguments, **named)

    def get_run(self, *arguments: Any, **named: Any) -> Any:
        self.calls["get_run"] += 1
        return super().get_run(*arguments, **named)

    def get_metric_history(self, *arguments: Any, **named: Any) -> Any:
        self.calls["get_metric_history"] += 1
        return super().get_metric_history(*arguments, **named)


def search(tracking: Tracking, name: str, dataset: str = "wine", status: str = "RUNNING", **metrics: float) -> str:
    client = tracking.client()
    found = {tags.SEARCH_KEY: name, tags.DATASET: dataset, tags.DATASET_DIGEST: "d"}
    run = client.create_run(tracking.experiment_id, next(_starts), tags=found, run_name=f"search · {name}")
    for metric, value in metrics.items():
        client.log_metric(run.info.run_id, metric, value)
    if status != "RUNNING":
        client.set_terminated(run.info.run_id, status)
    return str(run.info.run_id)


def trial(tracking: Tracking, parent: str, status: str = "FINISHED", accuracy: float = 0.5, **extra: str) -> None:
    client = tracking.client()
    found = {tags.PARENT: parent, tags.TRIAL_KEY: f"{next(_starts):064d}", **extra}
    run = client.create_run(tracking.experiment_id, tags=found)
    params = {"loss": "cross_entropy", "output_activation": "softmax", "epochs": "4", "seed": "0"}
    metrics = {"val/accuracy": accuracy, "val/loss": 1.0}
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, value, 0, 4) for name, value in metrics.items()],
        params=[Param(name, value) for name, value in params.items()],
    )
    if status != "RUNNING":
        client.set_terminated(run.info.run_id, status)


def test_the_newest_come_first_and_only_as_many_as_are_wanted(tracking: Tracking) -> None:
    made = [search(tracking, name) for name in ("a", "b", "c")]

    listed = list_searches(tracking.client(), Wanted(limit=2))

    assert [(each.run_id, each.space) for each in listed] == [(made[2], "c"), (made[1], "b")]


def test_they_are_found_by_experiment_dataset_and_status(tracking: Tracking) -> None:
    other = tracking.model_copy(update={"experiment_id": tracking.client().create_experiment("other")})
    failed = search(tracking, "a", status="FAILED")
    elsewhere = search(other, "b", dataset="o'clock")
    client = tracking.client()

    def found(**wanted: object) -> list[str]:
        return [each.run_id for each in list_searches(client, Wanted.model_validate(wanted))]

    assert found(experiment="other") == found(dataset="o'clock") == found(status="RUNNING") == [elsewhere]
    assert found(experiment="tests") == found(status="FAILED") == [failed]
    with pytest.raises(RunError, match=r"has no experiment 'othr'; did you mean other\?"):
        found(experiment="othr")


def test_a_dataset_is_found_under_the_name_of_its_tag_in_earlier_versions(tracking: Tracking) -> None:
    former, both, now = (search(tracking, name) for name in ("a", "b", "c"))
    for run_id in (former, both):
        tracking.client().set_tag(run_id, "dataset.name", "wine")
    tracking.client().delete_tag(former, tags.DATASET)

    found = list_searches(tracking.client(), Wanted(dataset="wine"))

    assert [each.run_id for each in found] == [now, both, former]
    assert [each.run_id for each in list_searches(tracking.client(), Wanted(dataset="wine", limit=1))] == [now]


def test_a_trial_or_a_run_of_something_else_is_not_listed(looked: Looked) -> None:
    listed = list_searches(looked.client, Wanted())

    assert {each.run_id for each in listed} == {looked.search, looked.unfinished, looked.diabetes}


def test_a_search_that_finished_tells_what_became_of_it_and_what_won(looked: Looked) -> None:
    [found] = [each for each in list_searches(looked.client, Wanted()) if each.run_id == looked.search]

    assert found.trials == TrialCounts(finished=4, pruned=0, diverged=1, failed=0)
    assert (found.metric, found.best) == ("val/accuracy", looked.winner.metrics["val/accuracy"])
    assert (found.winner, found.winner_name) == (looked.winner.run_id, looked.winner.name)
    assert found.tested == found.test["test/accuracy"]
    assert [str(model) for model in found.models] == ["wine 1 @challenger"]
    assert (found.status, found.experiment, found.dataset, found.failure) == ("FINISHED", "wines", "wine", None)


def test_it_is_read_in_as_many_calls_however_many_trials_it_had(looked: Looked) -> None:
    client = Counting(looked.tracking.uri)

    list_searches(client, Wanted(experiment="diabetes"))

    # The searches, and the winners of all of them.
    assert client.calls == {"search_runs": 2}


def test_of_a_search_that_runs_the_trials_are_counted_and_the_best_so_far_is_told(tracking: Tracking) -> None:
    parent = search(tracking, "a", **{"trials/finished": 9.0})
    for accuracy in (0.5, 0.75, 0.25):
        trial(tracking, parent, accuracy=accuracy)
    trial(tracking, parent, accuracy=0.9, **{tags.PRUNED: "2"})
    trial(tracking, parent, accuracy=0.9, **{tags.DIVERGED: "2"})
    trial(tracking, parent, status="FAILED")
    trial(tracking, parent, status="RUNNING", accuracy=0.9)
    client = Counting(tracking.uri)

    [found] = list_searches(client, Wanted())

    assert found.trials == TrialCounts(finished=5, pruned=1, diverged=1, failed=1, running=1)
    assert (found.metric, found.best, found.winner) == ("val/accuracy", 0.75, None)
    assert client.calls == {"search_runs": 2}
