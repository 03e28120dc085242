"""What a source would be as a dataset, told without writing one."""

from flows.data.catalogue import Entry, list_datasets
from flows.data.declarations import Declarations, read_declarations, read_own_plan, without_split_column
from flows.data.digest import dataset_digest
from flows.data.fitting import fit_preparation
from flows.data.inference import infer_plan
from flows.data.plan import RequestedTask, parse_plan
from flows.data.root import Root, open_root
from flows.data.shape import DatasetShape, dataset_shape
from flows.data.sources import Source, open_source, require_targets
from flows.data.splitting import PARTS, TRAIN, SplitParameters, feature_hashes, require_split_column, split_rows
from flows.data.staging import stage
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
    source = open_source(data)
    own_plan = read_own_plan(preparation)
    targets = require_targets(source, targets or (own_plan.target if own_plan else ()))
    require_split_column(source, targets, split)
    root = open_root(datasets)
    declared = read_declarations(root, source, targets, task, preparation)
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


def _read_shape(
    root: Root,
    source: Source,
    targets: tuple[str, ...],
    task: RequestedTask,
    declared: Declarations,
    split: SplitParameters,
) -> DatasetShape:
    with root.scratch() as scratch, stage(source, scratch) as staged:
        plan = infer_plan(staged, targets, task, without_split_column(declared.plan, split))
        check_trainable(staged, plan, split)
        parts = split_rows(staged, plan, split, feature_hashes(staged, plan, split.seed))
        preparation = fit_preparation(staged, plan, parts == TRAIN)
        return DatasetShape(
            name=source.name,
            digest=dataset_digest(staged, plan, split),
            task=preparation.task,
            inputs=preparation.inputs,
            outputs=preparation.outputs,
            item_bytes=1 if raw_pixels(staged, preparation) else 4,
            rows={name: int((parts == place).sum()) for place, name in enumerate(PARTS)},
        )
