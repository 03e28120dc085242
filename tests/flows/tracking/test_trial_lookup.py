"""A trial's run, found by what a person has at hand."""

from itertools import count

import pytest
from mlflow.entities import Run

from flows.errors import RunError
from flows.tracking import tags
from flows.tracking.store import Tracking
from flows.tracking.trial_lookup import find_run, find_trial_run

KEY = "ab12" + 60 * "0"
_starts = count(1_700_000_000_000)


def trial(tracking: Tracking, key: str = KEY, status: str = "FINISHED", **extra: str) -> str:
    client = tracking.client()
    run = client.create_run(
        tracking.experiment_id, start_time=next(_starts), tags={tags.TRIAL_KEY: key, **extra}, run_name="lr=0.1"
    )
    client.set_terminated(run.info.run_id, status)
    return str(run.info.run_id)


def found(tracking: Tracking, wanted: str) -> Run:
    return find_trial_run(tracking.client(), wanted)


def test_a_run_is_found_by_its_id_its_key_and_the_beginning_of_either(tracking: Tracking) -> None:
    run_id = trial(tracking)
    trial(tracking, key="cd" + KEY[2:])

    assert {found(tracking, wanted).info.run_id for wanted in (run_id, run_id[:10], KEY, KEY[:6], "AB12")} == {run_id}


def test_of_several_runs_of_a_trial_the_one_that_finished_in_full_counts(tracking: Tracking) -> None:
    trial(tracking, status="FAILED")
    full = [trial(tracking), trial(tracking)]
    trial(tracking, **{tags.PRUNED: "3"})
    trial(tracking, status="KILLED")

    assert found(tracking, KEY[:8]).info.run_id == full[-1]


def test_a_trial_is_found_in_any_experiment(tracking: Tracking) -> None:
    other = tracking.model_copy(update={"experiment_id": tracking.client().create_experiment("other")})
    run_id = trial(other)

    assert found(tracking, KEY[:8]).info.run_id == run_id


def test_a_version_of_a_model_leads_to_the_run_that_made_it(tracking: Tracking) -> None:
    run_id, client = trial(tracking), tracking.client()
    client.create_registered_model("wine")
    client.create_model_version("wine", source=f"runs:/{run_id}/model", run_id=run_id)
    client.set_registered_model_alias("wine", "champion", "1")

    named = ("models:/wine/1", "models:/wine/latest", "models:/wine@champion", "wine/1", "wine@champion")
    assert {found(tracking, name).info.run_id for name in named} == {run_id}


def test_a_run_is_found_by_its_name_if_no_other_has_it(tracking: Tracking) -> None:
    run_id, client = trial(tracking), tracking.client()

    assert found(tracking, "lr=0.1").info.run_id == run_id
    # Digits that begin no id may still be a name.
    client.update_run(run_id, name="abcdef")
    assert find_run(client, "abcdef").info.run_id == run_id

    trial(tracking)
    again = trial(tracking, key="cd" + KEY[2:])
    with pytest.raises(RunError, match=f"'lr=0.1' is not one run but 2: .*{again[:12]}.* the first digits of its id"):
        found(tracking, "lr=0.1")


def test_a_search_is_a_run_too(tracking: Tracking) -> None:
    parent = tracking.client().create_run(tracking.experiment_id, tags={tags.SEARCH_KEY: "k"}, run_name="search · it's")

    for wanted in (parent.info.run_id[:10], "search · it's"):
        assert find_run(tracking.client(), wanted).info.run_id == parent.info.run_id


def test_several_that_begin_alike_are_listed(tracking: Tracking) -> None:
    runs = [trial(tracking), trial(tracking, key="ab12" + 60 * "1")]

    with pytest.raises(RunError, match="'ab12' is not one run but 2: ") as error:
        found(tracking, "ab12")

    assert all(run[:12] in str(error.value) for run in runs)


def test_a_search_is_not_a_trial_and_its_winner_is_named(tracking: Tracking) -> None:
    client, winner = tracking.client(), trial(tracking)
    parent = client.create_run(tracking.experiment_id, tags={tags.SEARCH_KEY: "k", tags.WINNER_RUN: winner})

    with pytest.raises(RunError, match=f"is a search, not a trial: .* its winner {winner}"):
        found(tracking, parent.info.run_id)

    client.delete_run(winner)
    with pytest.raises(RunError, match=r"is a search, not a trial: give one of the runs below it$"):
        found(tracking, parent.info.run_id)


def test_a_run_of_something_else_is_not_a_trial(tracking: Tracking) -> None:
    run_id = tracking.client().create_run(tracking.experiment_id).info.run_id

    with pytest.raises(RunError, match="is not a trial: `backprop train` did not make it"):
        found(tracking, run_id)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("abcd", "no run and no trial key begins with 'abcd' in sqlite:"),
        ("abc", "'abc' is no run: give"),
        ("", "'' is no run: give"),
        ("'; drop table runs", "is no run: give"),
        ("models:/wine@champion", "names no version of a model"),
        ("wine@champion", "names no version of a model"),
        ("""both ' and " quotes""", "is no run: give"),
        ("models:/wine/9", "names no version of a model"),
        ("models:/wine", "is a logged model; name a version"),
        ("models:/", "names no version of a model"),
        ("models:/wine/1/2", "names no version of a model; write NAME@ALIAS"),
    ],
)
def test_what_names_no_run_says_so(tracking: Tracking, wanted: str, said: str) -> None:
    with pytest.raises(RunError, match=said):
        found(tracking, wanted)
