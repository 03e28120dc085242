"""What a retraining searches: the champion's surroundings or a space of the user's, and on from its weights."""

import tempfile
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from backprop import Architecture, Parameters, WeightsError, load_weights
from flows.compute.start_weights import weights_digest
from flows.data.preparation import Preparation
from flows.data.root import root_of
from flows.data.store import Dataset, DatasetReference, open_dataset
from flows.errors import RunError
from flows.parameters import AroundParameters, Hyperparameters, Space
from flows.retraining.around import space_around
from flows.retraining.warm_start import NoWarmStart, carried_over
from flows.spaces import load_space
from flows.tracking import tags
from flows.tracking.recorded_trial import hyperparameters_of
from flows.tracking.registry import RegisteredVersion
from flows.tracking.store import Tracking
from flows.tracking.trial_delivery import WEIGHTS_FILE
from flows.train import Candidates
from flows.trials import HEADS, WarmStart


def challengers(
    tracking: Tracking,
    dataset: Dataset,
    champion: RegisteredVersion | None,
    named: Candidates | None,
    around: AroundParameters,
    warm: bool,
) -> Candidates:
    """Return what is to be searched on new data.

    Parameters
    ----------
    named : Candidates or None
        The space that was named; without one it is around the champion's hyperparameters. Where there is no champion,
        or its hyperparameters cannot be read, it is bundled: `regression` of a regression, else `quick`.
    warm : bool
        Whether one candidate is to train on from the champion's weights.
    """
    chosen, why_not = _hyperparameters(tracking, champion)
    if named is None:
        named = _unnamed(dataset, champion, chosen, around)
    if not warm or champion is None:
        return named
    if chosen is None:
        return Candidates(named.name, named.space, skipped=why_not)
    try:
        weights = start_weights(tracking, dataset, champion, named.space)
        start = WarmStart(
            version=f"{champion.name} version {champion.version}",
            digest=weights_digest(*weights),
            hyperparameters=chosen,
        )
    except NoWarmStart as reason:
        return Candidates(named.name, named.space, skipped=str(reason))
    return Candidates(named.name, named.space, start, weights)


def start_weights(
    tracking: Tracking, dataset: Dataset, champion: RegisteredVersion, space: Space
) -> tuple[Architecture, Parameters]:
    """Return the champion's weights, carried over to the scales of a dataset.

    Raises
    ------
    NoWarmStart
        Training cannot go on from them there.
    """
    if space.folds is not None:
        raise NoWarmStart("the space has folds, whose validation rows the champion has seen")
    if space.seeds > 1:
        raise NoWarmStart(f"the space judges configurations by {space.seeds} seeds, and the champion is of one")
    _require_same_split(tracking, dataset, champion)
    with tempfile.TemporaryDirectory() as directory:
        try:
            files = Path(
                mlflow.artifacts.download_artifacts(
                    f"{champion.uri}/artifacts", dst_path=directory, tracking_uri=tracking.uri
                )
            )
            architecture, parameters = load_weights(files / WEIGHTS_FILE)
            before = Preparation.model_validate_json((files / "preparation.json").read_text())
        except (MlflowException, OSError, ValueError, WeightsError) as error:
            raise NoWarmStart(f"its weights cannot be read: {' '.join(str(error).split())}") from error
    head = HEADS[dataset.task]
    if (architecture.output_activation, architecture.loss) != (head.output_activation, head.loss):
        raise NoWarmStart(f"it ends in {architecture.output_activation} and is trained by {architecture.loss}")
    return architecture, carried_over(parameters, before, dataset.preparation)


def _require_same_split(tracking: Tracking, dataset: Dataset, champion: RegisteredVersion) -> None:
    """Raise NoWarmStart if the champion was trained on a split by which it may have seen the rows that validate now.

    What it was trained on is asked of its dataset; where that was removed from the store, the split is taken for the
    same.
    """
    version = tracking.client().get_model_version(champion.name, str(champion.version))
    digest = version.tags.get(tags.DATASET_DIGEST)
    root, _ = root_of(dataset.reference.path)
    if digest is None or not root.has(digest):
        return
    earlier = open_dataset(DatasetReference(name=dataset.reference.name, digest=digest, path=root.place(digest)))
    if earlier.schema.split != dataset.schema.split:
        raise NoWarmStart("its rows were split in another way, so it may have seen the rows that validate now")


def _unnamed(
    dataset: Dataset, champion: RegisteredVersion | None, chosen: Hyperparameters | None, around: AroundParameters
) -> Candidates:
    if champion is not None and chosen is not None:
        return Candidates(f"around {champion.name} version {champion.version}", space_around(chosen, around))
    bundled = "regression" if dataset.task == "regression" else "quick"
    return Candidates(bundled, load_space(bundled))


def _hyperparameters(tracking: Tracking, champion: RegisteredVersion | None) -> tuple[Hyperparameters | None, str]:
    """Return a champion's hyperparameters as its run has them, or None and why there are none."""
    if champion is None:
        return None, "there is no champion"
    client = tracking.client()
    try:
        run_id = client.get_model_version(champion.name, str(champion.version)).run_id
        who = f"{champion.name} version {champion.version}"
        return hyperparameters_of(client.get_run(str(run_id)).data.params, who), ""
    except (MlflowException, RunError) as error:
        return None, f"its hyperparameters cannot be read from its run: {' '.join(str(error).split())[:300]}"
