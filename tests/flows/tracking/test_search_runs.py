"""The parent run of a search: one for one search, ended whatever happens, and what lies under it too."""

import pytest

from flows.data.store import Dataset
from flows.parameters import Space
from flows.tracking import tags
from flows.tracking.search_runs import SearchRun, end_running_trials, finished_trials, reopen, search_key, search_run
from flows.tracking.store import Tracking, open_tracking
from flows.trials import canonical_digest

SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1]}})
OTHER_SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.2]}})


def status(tracking: Tracking, run_id: str) -> str:
    return str(tracking.client().get_run(run_id).info.status)


def start_trial(tracking: Tracking, run: SearchRun, stack: str = "stack-0", key: str = "k") -> str:
    marks = {tags.PARENT: run.run_id, tags.STACK: stack, tags.TRIAL_KEY: key, tags.DATASET_DIGEST: "d"}
    return str(tracking.client().create_run(tracking.experiment_id, tags=marks).info.run_id)


def test_a_search_that_ends_is_finished(wine: Dataset, tracking: Tracking) -> None:
    with search_run(tracking, wine, "quick", SPACE) as run:
        assert status(tracking, run.run_id) == "RUNNING"

    found = tracking.client().get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "search · quick"
    assert found.inputs.dataset_inputs[0].dataset.name == "wine"


@pytest.mark.parametrize(("error", "end"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_search_that_breaks_ends_its_run_and_what_runs_below(
    wine: Dataset, tracking: Tracking, error: type[BaseException], end: str
) -> None:
    trials = []

    def break_midway() -> None:
        with search_run(tracking, wine, "quick", SPACE) as run:
            trials.extend([run.run_id, start_trial(tracking, run)])
            raise error("because")

    with pytest.raises(error):
        break_midway()

    search, trial = trials
    assert status(tracking, search) == end
    assert status(tracking, trial) == end
    assert "because" in tracking.client().get_run(trial).data.tags[tags.FAILURE]


def test_the_same_space_on_the_same_data_is_the_same_run(wine: Dataset, tracking: Tracking) -> None:
    with search_run(tracking, wine, "quick", SPACE) as first:
        pass
    ended = tracking.client().get_run(first.run_id).info.end_time
    with search_run(tracking, wine, "quick", SPACE) as second:
        pass

    assert second.run_id == first.run_id
    assert tracking.client().get_run(first.run_id).info.end_time == ended


def test_another_space_or_other_data_is_another_run(wine: Dataset, diabetes: Dataset, tracking: Tracking) -> None:
    with (
        search_run(tracking, wine, "quick", SPACE) as first,
        search_run(tracking, wine, "quick", OTHER_SPACE) as second,
        search_run(tracking, diabetes, "quick", SPACE) as third,
    ):
        assert len({first.run_id, second.run_id, third.run_id}) == 3


def test_a_search_without_folds_and_seeds_keeps_the_key_it_had_before_there_were_any(wine: Dataset) -> None:
    before = {"grid": SPACE.grid.model_dump(mode="json", exclude_none=True)}

    assert search_key(wine, SPACE) == canonical_digest([wine.reference.digest, before, 0, "float32"])
    others = [SPACE.model_copy(update=asked) for asked in ({"folds": 3}, {"folds": 4}, {"seeds": 2})]
    assert len({search_key(wine, space) for space in (SPACE, *others)}) == 4


def test_a_failed_search_that_is_reopened_forgets_its_failure(wine: Dataset, tracking: Tracking) -> None:
    with pytest.raises(RuntimeError), search_run(tracking, wine, "quick", SPACE):
        raise RuntimeError("because")

    with search_run(tracking, wine, "quick", SPACE) as run:
        reopen(run)
        assert status(tracking, run.run_id) == "RUNNING"

    assert status(tracking, run.run_id) == "FINISHED"
    assert tags.FAILURE not in tracking.client().get_run(run.run_id).data.tags


def test_a_search_that_failed_after_its_last_trial_is_finished_with_nothing_to_train(
    wine: Dataset, tracking: Tracking
) -> None:
    with pytest.raises(RuntimeError), search_run(tracking, wine, "quick", SPACE):
        raise RuntimeError("nobody could select the winner")

    with search_run(tracking, wine, "quick", SPACE) as run:
        pass

    ended = tracking.client().get_run(run.run_id)
    assert ended.info.status == "FINISHED"
    assert tags.FAILURE not in ended.data.tags
    with search_run(tracking, wine, "quick", SPACE):
        pass
    assert tracking.client().get_run(run.run_id).info.end_time == ended.info.end_time


def test_only_the_running_trials_of_the_dead_stack_are_ended(wine: Dataset, tracking: Tracking) -> None:
    with search_run(tracking, wine, "quick", SPACE) as run:
        dead, alive, done = (start_trial(tracking, run, stack) for stack in ("dead", "alive", "dead"))
        tracking.client().set_terminated(done, status="FINISHED")

        assert end_running_trials(run, "KILLED", "its worker died", stack="dead") == 1

        assert [status(tracking, trial) for trial in (dead, alive, done)] == ["KILLED", "RUNNING", "FINISHED"]


def test_only_finished_trials_of_the_dataset_are_found(wine: Dataset, tracking: Tracking) -> None:
    with search_run(tracking, wine, "quick", SPACE) as run:
        finished, failed = start_trial(tracking, run, key="finished"), start_trial(tracking, run, key="failed")
        start_trial(tracking, run, key="running")
        tracking.client().set_terminated(finished, status="FINISHED")
        tracking.client().set_terminated(failed, status="FAILED")

        assert set(finished_trials(tracking, "d")) == {"finished"}
        assert finished_trials(tracking, "other") == {}


def test_more_trials_than_a_page_are_all_found(
    wine: Dataset, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.tracking.search_runs._PAGE", 2)
    with search_run(tracking, wine, "quick", SPACE) as run:
        for key in "abcde":
            tracking.client().set_terminated(start_trial(tracking, run, key=key), status="FINISHED")

        assert set(finished_trials(tracking, "d")) == set("abcde")


def test_a_relative_store_is_the_same_from_any_directory(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, tracking: Tracking
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")

    here = open_tracking("tests")

    assert here.uri == tracking.uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert here.experiment_id == tracking.experiment_id


def test_the_tags_of_earlier_versions_are_read_as_what_they_are_called_now() -> None:
    old = {"dataset.name": "wine", "trial.diverged_at_epoch": "3", "pruned": "2"}

    assert [tags.read(old, name) for name in (tags.DATASET, tags.DIVERGED, tags.PRUNED)] == ["wine", "3", "2"]
    assert tags.read({"dataset": "new", **old}, tags.DATASET) == "new"
    assert tags.read({}, tags.DIVERGED) is None
    assert tags.read({}, tags.STACK) is None


def test_a_trial_that_an_earlier_version_recorded_as_diverged_is_not_ranked(tracking: Tracking) -> None:
    client = tracking.client()
    marks = {tags.TRIAL_KEY: "a", tags.DATASET_DIGEST: "d", "trial.diverged_at_epoch": "3"}
    run = client.create_run(tracking.experiment_id, tags=marks)
    client.set_terminated(run.info.run_id, status="FINISHED")

    assert finished_trials(tracking, "d")["a"].diverged_at == 3
