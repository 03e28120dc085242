"""How much of a search is done already, asked of a store that may not be there."""

from collections.abc import Iterator, Sequence

from mlflow import MlflowClient
from pydantic import BaseModel, ConfigDict

from flows.configurations import configurations
from flows.data.catalogue import entry_of
from flows.data.digest import fold_digest
from flows.data.root import open_root
from flows.data.shape import DatasetShape, dataset_shape
from flows.data.store import DatasetReference, open_dataset
from flows.parameters import Hyperparameters, Space, TrainParameters
from flows.tracking import tags
from flows.tracking.asked_trials import asked_trials
from flows.tracking.outages import passes
from flows.tracking.search_runs import SearchRun, find_run, finished_trials, search_key
from flows.tracking.store import Tracking, existing_store
from flows.trials import plan_trial_on


class FinishedBefore(BaseModel):
    """How many of a search's trials, on all of its folds, `backprop train` would not train again.

    ``finished`` is None if the store does not answer.
    """

    model_config = ConfigDict(frozen=True)

    finished: int | None
    trials: int
    experiment: str
    uri: str


def finished_before(
    parameters: TrainParameters, space: Space, shape: DatasetShape, trials: Sequence[Hyperparameters]
) -> FinishedBefore | None:
    """Count the trials of a space that are finished on an ingested dataset; None if there is no store.

    Nothing is made: neither a store nor an experiment.
    """
    uri = existing_store()
    if uri is None:
        return None
    name = parameters.experiment_for(shape.name)
    to_come = space.optuna.count * space.seeds if space.optuna is not None else 0
    every = (len(trials) + to_come) * (space.folds or 1)
    before = FinishedBefore(finished=None, trials=every, experiment=name, uri=uri)
    try:
        experiment = MlflowClient(tracking_uri=uri).get_experiment_by_name(name)
        if experiment is None:
            return before.model_copy(update={"finished": 0})
        tracking = Tracking(uri=uri, experiment_id=experiment.experiment_id, experiment=name)
        finished = _count(tracking, parameters.datasets, space, shape, trials)
    except Exception as error:
        if not passes(error):
            raise
        return before
    return before.model_copy(update={"finished": finished})


def _count(
    tracking: Tracking, datasets: str, space: Space, shape: DatasetShape, trials: Sequence[Hyperparameters]
) -> int:
    search = _search_of(tracking, datasets, space, shape)
    if space.optuna is not None and search is not None:
        trials = [seeded for seeds in configurations(space, asked_trials(search)) for seeded in seeds]
    finished = 0
    for one in _trained_on(datasets, space, shape):
        found = finished_trials(tracking, one.digest, search)
        finished += sum(plan_trial_on(one, trial).key in found for trial in trials)
    return finished


def _search_of(tracking: Tracking, datasets: str, space: Space, shape: DatasetShape) -> SearchRun | None:
    """Return the run of the same search, if it was begun before: what it pruned counts for it alone."""
    place = open_root(datasets).place(shape.digest)
    dataset = open_dataset(DatasetReference(name=shape.name, digest=shape.digest, path=place))
    run_id = find_run(tracking, tags.SEARCH_KEY, search_key(dataset, space))
    return None if run_id is None else SearchRun(tracking=tracking, run_id=run_id)


def _trained_on(datasets: str, space: Space, shape: DatasetShape) -> Iterator[DatasetShape]:
    """Yield the dataset, or those of its folds that were written: on others nothing can be finished."""
    if space.folds is None:
        yield shape
        return
    root = open_root(datasets)
    for number in range(1, space.folds + 1):
        digest = fold_digest(shape.digest, number, space.folds)
        if root.has(digest):
            yield dataset_shape(digest, entry_of(root, digest).schema)
