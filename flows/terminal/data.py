"""`backprop data` in the terminal: the prepared datasets as tables or as JSON."""

from collections.abc import Iterator
from itertools import groupby

from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape
from rich.prompt import Confirm
from rich.table import Table

from flows.data.catalogue import SHORT, Entry, find_dataset, folds_of, list_datasets
from flows.data.plan import ColumnPlan, parse_plan
from flows.data.root import Root, open_root
from flows.errors import InputError


def run_list(console: Console, datasets: str, as_json: bool) -> None:
    """Print every dataset below a root, the folds of one together in a line below it."""
    entries = list_datasets(open_root(datasets))
    if as_json:
        print_json([entry.facts() for entry in entries])
        return
    if not entries:
        console.print(f"No datasets in {escape(datasets)}: `backprop train` writes them there.", soft_wrap=True)
        return
    table = Table(title=f"Datasets in {escape(datasets)}", title_justify="left")
    table.add_column("name", overflow="fold")
    table.add_column("digest", no_wrap=True)
    table.add_column("task")
    for heading in ("rows", "inputs", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in listed(entries):
        table.add_row(*row)
    console.print(table)


def listed(entries: list[Entry]) -> Iterator[tuple[str, ...]]:
    """Yield the row of each dataset, and one for all folds that it was cut into at a time."""
    whole = {entry.digest for entry in entries}
    for fold, group in groupby(
        entries, key=lambda entry: entry.schema.fold and (entry.schema.fold.dataset, entry.schema.fold.of)
    ):
        together = list(group)
        if fold is not None:
            dataset, of = fold
            # Somebody may have deleted the directory of the dataset alone.
            whose = "  " if dataset in whole else f"{escape(together[0].schema.name)} {dataset[:SHORT]} (gone): "
            yield (f"{whose}{of} folds", "", "", "", "", readable(sum(entry.size for entry in together)))
            continue
        for entry in together:
            schema = entry.schema
            yield (
                escape(schema.name),
                entry.digest[:SHORT],
                f"{schema.task} of {escape(', '.join(schema.targets))}",
                f"{sum(schema.rows.values()):,}",
                str(schema.inputs),
                readable(entry.size),
            )


def run_show(console: Console, datasets: str, wanted: str, as_json: bool) -> None:
    """Print all that is recorded of one dataset."""
    root = open_root(datasets)
    entry = find_dataset(root, wanted)
    if as_json:
        print_json(entry.facts())
        return
    console.print(facts_table(root, entry))
    console.print(columns_table(root, entry))


def facts_table(root: Root, entry: Entry) -> Table:
    """Return what is known of a dataset as a whole."""
    schema, split = entry.schema, entry.schema.split
    rows = {
        "digest": entry.digest,
        "from": schema.uri,
        "path": entry.place,
        "size": readable(entry.size),
        "task": schema.task,
        "targets": ", ".join(schema.targets),
        "rows": ", ".join(f"{count:,} {part}" for part, count in schema.rows.items()),
        "split": split.by if split.column is None else f"{split.by} {split.column}",
        "inputs": f"{schema.inputs} ({schema.features})",
        "outputs": str(schema.outputs),
    }
    if schema.fold is not None:
        rows["fold"] = f"{schema.fold} of {schema.fold.dataset[:SHORT]}"
    elif folds := folds_of(root, entry):
        rows["folds"] = ", ".join(f"{fold.schema.fold}: {fold.digest[:SHORT]}" for fold in folds)
    table = Table(title=escape(entry.title), title_justify="left", show_header=False)
    table.add_column("fact")
    table.add_column("value", overflow="fold")
    for name, value in rows.items():
        table.add_row(name, escape(value))
    return table


def columns_table(root: Root, entry: Entry) -> Table:
    """Return how each column is stored and prepared."""
    name = f"{entry.digest}/plan.yaml"
    plan = parse_plan(root.read(name) or "", root.place(name))
    table = Table(title="Columns", title_justify="left")
    for heading in ("column", "type", "prepared as"):
        table.add_column(heading)
    for column, kind in entry.schema.columns.items():
        if column in entry.schema.targets:
            prepared = "target"
        else:
            prepared = described(plan.columns[column]) if column in plan.columns else "pixel"
        table.add_row(escape(column), kind, escape(prepared))
    for column in plan.drop:
        table.add_row(escape(column), "", "dropped")
    return table


def described(column: ColumnPlan) -> str:
    """Say in a few words how a column is prepared: its kind, and what is not as it is by default."""
    chosen = column.model_dump(exclude={"kind"}, exclude_defaults=True)
    words = [f"{name}: {' '.join(value) if isinstance(value, tuple) else value}" for name, value in chosen.items()]
    return f"{column.kind} ({', '.join(words)})" if words else column.kind


def run_remove(console: Console, datasets: str, wanted: str, yes: bool) -> None:
    """Remove one dataset and its folds, after asking.

    Raises
    ------
    DatasetError
        If there is none, or more than one that is called so.
    InputError
        If nobody is there to be asked.
    """
    root = open_root(datasets)
    entry = find_dataset(root, wanted)
    folds = folds_of(root, entry)
    what = f"{entry.title} ({entry.digest[:SHORT]}, {readable(entry.size)})"
    if folds:
        what += f" and its {len(folds)} folds ({readable(sum(fold.size for fold in folds))})"
    if not yes:
        if not console.is_terminal:
            raise InputError(f"removing {what} is asked for in a terminal; add --yes to remove it unasked")
        if not Confirm.ask(f"Remove {escape(what)} from {escape(datasets)}?", console=console, default=False):
            console.print("Nothing was removed.")
            return
    # The folds first: of a removal that is cut short nothing is left that belongs to no dataset.
    for gone in (*folds, entry):
        root.remove(gone.digest)
    console.print(f"Removed {escape(what)}.", soft_wrap=True, highlight=False)


def print_json(content: object) -> None:
    """Print JSON for another program: no colours, no line breaks of the terminal's width, null for what is no number.

    The content is what pydantic knows to serialise: models, and what Python's own types hold.
    """
    print(to_json(content, indent=2, inf_nan_mode="null").decode())  # noqa: T201 - rich would wrap it


def readable(size: int) -> str:
    """Return a number of bytes as a person reads it."""
    amount, units = float(size), ["B", "KiB", "MiB", "GiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.0f} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"
