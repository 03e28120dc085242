"""The leaderboard of a search in the terminal: what differs among its configurations, and what they reached."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.parameters import HYPERPARAMETERS, OPTIMIZER_NUMBERS, default_numbers
from flows.ranking import Candidate, Selection

SHOWN = 10
"""Rows of the leaderboard; MLflow has all of them."""

_HEADINGS = {"learning_rate": "lr", "batch_size": "batch", "weight_decay": "decay"}
_SILENT = {"l2": "0", "dropout": "0"}
"""What need not be said of all configurations: that there is none."""

_ANY_WIDTH = 10_000


def print_leaderboard(console: Console, selection: Selection, name: str, *, with_epochs: bool = False) -> None:
    """Print the best configurations, and below them what all have in common and what the winner reached in the test.

    Where the table is wider than the console, metrics that do not rank are left out of it, and where that is not enough
    the hyperparameters share a column. What is left out is in MLflow, as is what was measured of single targets.
    """
    metrics = _validation_metrics(selection)
    tables = (
        leaderboard(selection, name, metrics, with_epochs=with_epochs),
        leaderboard(selection, name, metrics[:1], with_epochs=with_epochs),
        leaderboard(selection, name, metrics, with_epochs=with_epochs, in_a_column=True),
    )
    whole = console.options.update(width=_ANY_WIDTH)
    fitting = (table for table in tables if console.measure(table, options=whole).maximum <= console.width)
    console.print(next(fitting, tables[-1]))
    for line in (_common(selection.ranked), _members(selection.ranked[0]), _tested(selection)):
        if line:
            console.print(escape(line), soft_wrap=True, highlight=False)


def leaderboard(
    selection: Selection, name: str, metrics: Sequence[str], *, with_epochs: bool = False, in_a_column: bool = False
) -> Table:
    """Return the best configurations as a table: rank, the hyperparameters that differ, and some validation metrics.

    Where a configuration has several trials, a metric is their mean and sample standard deviation. ``with_epochs``
    adds how long each was trained, for a search that prunes, and ``in_a_column`` puts all hyperparameters into one.
    """
    table = Table(title=f"Leaderboard: {escape(name)}", title_justify="left")
    table.add_column("rank", justify="right", no_wrap=True)
    varying = _varying(selection.ranked)
    if in_a_column:
        table.add_column("configuration", overflow="fold")
    for param in () if in_a_column else varying:
        table.add_column(_HEADINGS.get(param, param), justify="right", no_wrap=True)
    for heading in (*(("trained",) if with_epochs else ()), *metrics):
        table.add_column(heading, justify="right", no_wrap=True)
    for place, candidate in enumerate(selection.ranked[:SHOWN], start=1):
        table.add_row(
            str(place),
            *map(escape, [_described(candidate, varying)] if in_a_column else _values(candidate, varying)),
            *((candidate.trained,) if with_epochs else ()),
            *(_measured(candidate, metric) for metric in metrics),
            style="bold green" if place == 1 else None,
        )
    return table


def _validation_metrics(selection: Selection) -> list[str]:
    """Return the metrics of the validation rows, the one that ranks first."""
    found = (name for name in selection.ranked[0].metrics if name.startswith("val/"))
    return [selection.metric, *sorted(name for name in found if name != selection.metric)]


def _varying(ranked: Sequence[Candidate]) -> list[str]:
    return [param for param in HYPERPARAMETERS if len({_shown(candidate, param) for candidate in ranked}) > 1]


def _common(ranked: Sequence[Candidate]) -> str:
    """Say what all configurations have in common, but for what none of them has."""
    varying = _varying(ranked)
    values = {param: _shown(ranked[0], param) for param in HYPERPARAMETERS if param not in varying}
    said = ", ".join(f"{param} {value}" for param, value in values.items() if value and value != _SILENT.get(param))
    return said and f"{'All of them' if len(ranked) > 1 else 'It has'}: {said}"


def _members(best: Candidate) -> str:
    """Say what a row is the mean of; nothing if it is one trial."""
    if len(best.members) == 1:
        return ""
    seeds = len({member.params["seed"] for member in best.members})
    folds = len(best.members) // seeds
    of = " x ".join(f"{count} {what}" for count, what in ((seeds, "seeds"), (folds, "folds")) if count > 1)
    return f"mean ± sample standard deviation (n - 1) of {len(best.members)} trials: {of}"


def _tested(selection: Selection) -> str:
    """Say what the winner reached in the test, but for its loss and what is of single targets."""
    measured = {name: value for name, value in selection.test.items() if name != "test/loss" and name.count("/") == 1}
    said = ", ".join(f"{name} {value:.4f}" for name, value in measured.items())
    return f"The winner on the test rows: {said}" if said else ""


def _values(candidate: Candidate, params: Sequence[str]) -> list[str]:
    return [_shown(candidate, param) for param in params]


def _described(candidate: Candidate, params: Sequence[str]) -> str:
    """Return some hyperparameters as a text that may be broken between them, but not within."""
    said = zip(params, _values(candidate, params), strict=True)
    return ", ".join(f"{_HEADINGS.get(param, param)}={value}" for param, value in said if value)


def _shown(candidate: Candidate, param: str) -> str:
    """Return a param of a configuration; of several seeds the first and the last, and nothing that it does not have."""
    members = candidate.members
    if param in OPTIMIZER_NUMBERS and param not in default_numbers(members[0].params["optimizer"]):
        return ""
    values = [_readable(member.params[param]) for member in members]
    return values[0] if len(set(values)) == 1 else f"{values[0]} to {values[-1]}"


def _readable(value: str) -> str:
    """Return a param as MLflow has it with four digits, if it is a number that may have more."""
    try:
        return value if value.isdigit() else f"{float(value):.4g}"
    except ValueError:
        return value


def _measured(candidate: Candidate, metric: str) -> str:
    mean = f"{candidate.metrics[metric]:.4f}"
    return f"{mean} ± {candidate.deviations[metric]:.4f}" if metric in candidate.deviations else mean
