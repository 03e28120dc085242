"""What a source would be as a dataset, told without writing one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from flows.data.catalogue import Entry, list_datasets
from flows.data.declarations import Declarations, read_declarations, read_own_plan, without_split_column
from flows.data.digest import dataset_digest
from flows.data.fitting import fit_preparation
from flows.data.inference import infer_plan
from flows.data.plan import PreparationPlan, RequestedTask, parse_plan
from flows.data.preparation import Preparation
from flows.data.root import Root, open_root
from flows.data.shape import DatasetShape, dataset_shape
from flows.data.sources import Source, open_source, require_targets
from flows.data.splitting import PARTS, TRAIN, SplitParameters, feature_hashes, require_split_column, split_rows
from flows.data.staging import Staged, stage
from flows.data.store import raw_pixels
from flows.data.validation import check_trainable


def find_shape(
    data: str,
    targets: tuple[str, ...],
    task: RequestedTask,
    preparation: str | None,
    split: SplitParameters,
    datasets: str,
) -> tuple[DatasetShape, bool]:
    """Return the shape that the dataset of a source has or would have, and whether it was ingested before.

    Where the source was ingested with this preparation and split, the dataset tells, as it was then. Else the source
    is read and its preparation is fitted, as an ingestion does, and nothing is written.

    Raises
    ------
    InputError
        The source cannot be read or trained on.
    """
    source, targets, root, declared = _declared(data, targets, task, preparation, split, datasets)
    entries = [
        entry
        for entry in list_datasets(root)
        if task in ("auto", entry.schema.task) and _is_of(entry, root, source, targets, declared, split)
    ]
    # A source that grew has several, of which nothing says which one it is now.
    if len(entries) == 1:
        return dataset_shape(entries[0].digest, entries[0].schema), True
    return _read_shape(root, source, targets, task, declared, split), False


def _is_of(
    entry: Entry, root: Root, source: Source, targets: tuple[str, ...], declared: Declarations, split: SplitParameters
) -> bool:
    """Tell whether a dataset is of a source, prepared and split as it would be now."""
    schema = entry.schema
    if (schema.uri, schema.targets, schema.split) != (source.uri, targets, split):
        return False
    name = f"{entry.digest}/plan.yaml"
    return declared.plan == parse_plan(root.read(name) or "", root.place(name))


@dataclass(frozen=True)
class Preview:
    """A source as an ingestion has it before it writes.

    Attributes
    ----------
    staged
        The rows as they were read.
    plan
        How the columns are prepared.
    notes
        What is suspicious about the table, a line each.
    hashes
        Of every row's features: rows that are equal have the same.
    parts
        The part of every row, as `flows.data.splitting` counts them.
    preparation
        Fitted on the training rows.
    """

    staged: Staged
    plan: PreparationPlan
    notes: tuple[str, ...]
    hashes: np.ndarray
    parts: np.ndarray
    preparation: Preparation


@contextmanager
def preview(
    data: str,
    targets: tuple[str, ...],
    task: RequestedTask,
    preparation: str | None,
    split: SplitParameters,
    datasets: str,
) -> Iterator[Preview]:
    """Read a source, check it, split it and fit its preparation, as an ingestion does; nothing is written.

    Raises
    ------
    InputError
        The source cannot be read or trained on.
    """
    source, targets, root, declared = _declared(data, targets, task, preparation, split, datasets)
    with _previewed(root, source, targets, task, declared, split) as found:
        yield found


def _declared(
    data: str,
    targets: tuple[str, ...],
    task: RequestedTask,
    preparation: str | None,
    split: SplitParameters,
    datasets: str,
) -> tuple[Source, tuple[str, ...], Root, Declarations]:
    """Return a source, its targets, where its dataset is or would be, and what was declared of it."""
    source = open_source(data)
    own_plan = read_own_plan(preparation)
    targets = require_targets(source, targets or (own_plan.target if own_plan else ()))
    require_split_column(source, targets, split)
    root = open_root(datasets)
    return source, targets, root, read_declarations(root, source, targets, task, preparation)


@contextmanager
def _previewed(
    root: Root,
    source: Source,
    targets: tuple[str, ...],
    task: RequestedTask,
    declared: Declarations,
    split: SplitParameters,
) -> Iterator[Preview]:
    with root.scratch() as scratch, stage(source, scratch) as staged:
        plan = infer_plan(staged, targets, task, without_split_column(declared.plan, split))
        notes = check_trainable(staged, plan, split)
        hashes = feature_hashes(staged, plan, split.seed)
        parts = split_rows(staged, plan, split, hashes)
        yield Preview(staged, plan, notes, hashes, parts, fit_preparation(staged, plan, parts == TRAIN))


def _read_shape(
    root: Root,
    source: Source,
    targets: tuple[str, ...],
    task: RequestedTask,
    declared: Declarations,
    split: SplitParameters,
) -> DatasetShape:
    with _previewed(root, source, targets, task, declared, split) as found:
        return preview_shape(found, dataset_digest(found.staged, found.plan, split))


def preview_shape(found: Preview, digest: str) -> DatasetShape:
    """Return the shape that the dataset would have, under this digest."""
    preparation = found.preparation
    return DatasetShape(
        name=found.staged.source.name,
        digest=digest,
        task=preparation.task,
        inputs=preparation.inputs,
        outputs=preparation.outputs,
        item_bytes=1 if raw_pixels(found.staged, preparation) else 4,
        rows={name: int((found.parts == place).sum()) for place, name in enumerate(PARTS)},
    )
