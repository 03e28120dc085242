"""The way from a source to a dataset without Prefect, as a test goes it."""

from pathlib import Path

from flows.data.inference import infer_plan
from flows.data.plan import PreparationPlan
from flows.data.root import open_root
from flows.data.sources import Source, open_source, require_targets
from flows.data.splitting import SplitParameters
from flows.data.staging import stage
from flows.data.store import DatasetReference, write_datasets
from flows.data.validation import check_trainable


def write(
    root: Path | str,
    source: Source | str,
    targets: tuple[str, ...] = (),
    *,
    task: str = "auto",
    split: SplitParameters = SplitParameters(),  # noqa: B008 - immutable
    declared: PreparationPlan | None = None,
) -> DatasetReference:
    """Stage a source, infer what is not declared, check it, and write the dataset."""
    (dataset,) = write_with_folds(root, source, targets, task=task, split=split, declared=declared)
    return dataset


def write_with_folds(
    root: Path | str,
    source: Source | str,
    targets: tuple[str, ...] = (),
    *,
    folds: int = 0,
    task: str = "auto",
    split: SplitParameters = SplitParameters(),  # noqa: B008 - immutable
    declared: PreparationPlan | None = None,
) -> tuple[DatasetReference, ...]:
    """Do the same for the dataset and so many folds of it."""
    source = open_source(source) if isinstance(source, str) else source
    place = open_root(root)
    with place.scratch() as scratch, stage(source, scratch) as staged:
        plan = infer_plan(staged, require_targets(source, targets), task, declared)
        check_trainable(staged, plan, split)
        return write_datasets(place, staged, plan, split, folds)
