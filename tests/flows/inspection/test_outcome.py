"""How a trial ended, in words, whichever version of the project recorded it."""

import pytest

from flows.inspection.one_trial import outcome
from flows.tracking import tags
from flows.tracking.store import Tracking


@pytest.mark.parametrize(
    ("status", "found", "said"),
    [
        ("FINISHED", {}, "it was trained for all of its 9 epochs"),
        ("FINISHED", {tags.PRUNED: "3"}, "the stop rule ended it after epoch 3 of 9"),
        ("FINISHED", {tags.DIVERGED: "2"}, "it diverged: its loss stopped being finite in epoch 2 of 9"),
        (
            "FINISHED",
            {"trial.diverged_at_epoch": "2"},
            "it diverged: its loss stopped being finite in epoch 2 of 9",
        ),
        ("FAILED", {tags.FAILURE: "KilledWorker: x"}, "it failed before it was finished: KilledWorker: x"),
        ("KILLED", {}, "it was stopped before it was finished"),
        ("RUNNING", {}, "it is still trained"),
    ],
)
def test_how_a_trial_ended(tracking: Tracking, status: str, found: dict[str, str], said: str) -> None:
    client = tracking.client()
    run_id = client.create_run(tracking.experiment_id, tags=found).info.run_id
    client.log_param(run_id, "epochs", "9")
    if status != "RUNNING":
        client.set_terminated(run_id, status)

    assert outcome(client.get_run(run_id)) == said
