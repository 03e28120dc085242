"""What Optuna asked for, on the run of the search: a file a batch, written before any of its trials is trained."""

import logging
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.parameters import Hyperparameters
from flows.tracking.search_runs import SearchRun

DIRECTORY = "optuna"
"""Of the artifacts of a search's run."""

_logger = logging.getLogger(__name__)


class AskedBatch(BaseModel):
    """A batch of trials, in the order in which they were asked for.

    Attributes
    ----------
    number : int
        Counted from 0.
    optuna : str
        Version of Optuna.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    optuna: str
    trials: tuple[Hyperparameters, ...]


def record_batch(run: SearchRun, batch: AskedBatch) -> None:
    """Write a batch on the run of its search."""
    text = batch.model_dump_json(indent=2, exclude_none=True) + "\n"
    run.tracking.client().log_text(run.run_id, text, f"{DIRECTORY}/{_file(batch.number)}")


def asked_trials(run: SearchRun) -> tuple[Hyperparameters, ...]:
    """Return all trials that Optuna asked for in a search, in order; none if it was asked for none.

    A file that is damaged is of a search that was killed while it wrote it, and none of its trials was trained: its
    batch will be asked for again.
    """
    client = run.tracking.client()
    batches: list[AskedBatch] = []
    if not client.list_artifacts(run.run_id, DIRECTORY):
        return ()
    with tempfile.TemporaryDirectory() as directory:
        files = Path(client.download_artifacts(run.run_id, DIRECTORY, directory))
        while (path := files / _file(len(batches))).is_file():
            try:
                batches.append(AskedBatch.model_validate_json(path.read_bytes()))
            except ValidationError:
                _logger.warning("%s/%s of run %s is damaged: it is asked for again", DIRECTORY, path.name, run.run_id)
                break
    return tuple(trial for batch in batches for trial in batch.trials)


def _file(number: int) -> str:
    return f"batch-{number:05}.json"
