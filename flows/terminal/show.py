"""`backprop show` in the terminal: a search with its leaderboard, or a trial with its curves; or either as JSON."""

from collections.abc import Iterator, Mapping

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from flows.durations import readable_seconds
from flows.errors import RunError
from flows.inspection.one_search import OpenedSearch, SearchDetails, read_search
from flows.inspection.one_trial import TrialDetails, read_trial_details
from flows.inspection.plots import COLOURS, Line, plot
from flows.inspection.words import SHORT, counted, lasted, number
from flows.terminal.data import print_json, readable
from flows.terminal.leaderboard import SHOWN, print_leaderboard
from flows.tracking import tags
from flows.tracking.store import answering, existing_client
from flows.tracking.trial_lookup import find_run

_LAYER = "layer/"
"""How the metrics begin that are of a layer, where they were watched."""

_WIDEST = 100
"""Characters beyond which a plot shows no more."""

_SAID = {
    tags.DATASET,
    tags.DATASET_DIGEST,
    tags.TRIAL_KEY,
    tags.WEIGHTS_DIGEST,
    tags.FAILURE,
    tags.DIVERGED,
    tags.PRUNED,
}
"""Tags that are told in words."""


def run_show(console: Console, wanted: str, *, as_json: bool) -> None:
    """Print what is recorded of a search or of a trial.

    Raises
    ------
    RunError
        There is no such run, or it is neither.
    """
    client = existing_client()
    with answering(client.tracking_uri):
        run = find_run(client, wanted)
        found: OpenedSearch | TrialDetails
        if tags.TRIAL_KEY in run.data.tags:
            found = read_trial_details(client, run)
        elif tags.SEARCH_KEY in run.data.tags:
            found = read_search(client, run)
        else:
            raise RunError(
                f"run {run.info.run_id} ({run.info.run_name}) is neither a trial nor a search; "
                "`backprop open` shows it in MLflow"
            )
    if isinstance(found, TrialDetails):
        print_json(found) if as_json else print_trial(console, found)
    else:
        print_json(found.details) if as_json else print_search(console, found)


def print_search(console: Console, found: OpenedSearch) -> None:
    """Print a search: what it is, its leaderboard, what it cost."""
    details = found.details
    console.print(facts_table(f"Search {details.run_id[:SHORT]}: {details.space}", dict(_search_facts(details))))
    if found.selection is not None:
        is_pruning = details.trials.pruned > 0
        print_leaderboard(console, found.selection, details.dataset, with_epochs=is_pruning)
        hidden = len(found.selection.ranked) - SHOWN
        if hidden > 0:
            _say(console, f"{hidden} more below these: backprop show {details.run_id[:SHORT]} --json")
    if details.elsewhere:
        _say(console, f"{details.elsewhere} trials were found finished by their key; their own searches show them.")
    if details.command is not None:
        _say(console, f"Train it again or go on: {details.command}")


def print_trial(console: Console, details: TrialDetails) -> None:
    """Print a trial: what it is, its params, how it went."""
    console.print(facts_table(f"Trial {details.run_id[:SHORT]}: {details.name}", dict(_trial_facts(details))))
    for line in curve_plots(details, min(console.width, _WIDEST)):
        console.print(line)
    if details.reproduce is not None:
        _say(console, f"Train it again, alone, and compare: {details.reproduce[: -len(details.run_id)]}{_id(details)}")
    if details.command is not None:
        _say(console, f"Train its search: {details.command}")


def facts_table(title: str, facts: Mapping[str, str]) -> Table:
    """Return what is known as a table of two columns."""
    # Without lines: a digest has 64 digits, and a terminal 80 columns.
    table = Table(title=escape(title), title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column("fact", no_wrap=True, style="dim")
    table.add_column("value", overflow="fold")
    for name, value in facts.items():
        table.add_row(name, escape(value))
    return table


def curve_plots(details: TrialDetails, width: int) -> Iterator[RenderableType]:
    """Yield the curves of a trial: what was measured in training and in validation by one name in one plot."""
    by_name: dict[str, list[Line]] = {}
    full = {}
    for whole, points in details.curves.items():
        part, _, name = whole.partition("/")
        colour = COLOURS[0] if part == "train" else COLOURS[1]
        by_name.setdefault(name, []).append(Line(part[0].upper(), points, colour))
        full[name] = whole
    half = (width - 2) // 2
    plots = [
        plot(name if len(by_name[name]) > 1 else full[name], by_name[name], half)
        for name in sorted(by_name, key=lambda name: (name != "loss", name))
    ]
    if any(len(lines) > 1 for lines in by_name.values()):
        yield "T training, V validation"
    for place in range(0, len(plots), 2):
        beside = Table.grid(padding=(0, 2, 0, 0))
        beside.add_row(*plots[place : place + 2])
        yield beside


def _search_facts(details: SearchDetails) -> Iterator[tuple[str, str]]:
    yield "run", details.run_id
    yield "experiment", details.experiment
    yield "dataset", f"{details.dataset} {details.dataset_digest[:12]}"
    yield "status", details.status.lower() + (f": {details.failure}" if details.failure else "")
    yield "when", lasted(details.started, details.ended)
    yield "trials", ", ".join(counted(details.trials))
    if details.metric is not None and details.best is not None:
        deviation = "" if details.best_deviation is None else f" ± {number(details.best_deviation)}"
        yield "best", f"{details.metric} {number(details.best)}{deviation}"
    if details.winner is not None:
        yield "winner", f"{details.winner_name} (run {details.winner[:12]})"
    if details.test:
        yield "on test", ", ".join(f"{name} {number(value)}" for name, value in details.test.items())
    if details.models:
        yield "model", ", ".join(map(str, details.models))
    if cost := _cost(details.cost):
        yield "cost", cost


def _cost(cost: Mapping[str, float]) -> str:
    """Return what a search cost, of its last run."""
    parts = [
        f"{name.removeprefix('time/').removesuffix('_seconds')} {readable_seconds(value)}"
        for name, value in cost.items()
        if name.startswith("time/")
    ]
    if (peak := cost.get("memory/worker_peak_bytes")) is not None:
        parts.append(f"a worker's memory {readable(int(peak))}")
    if "epochs/trained" in cost and "epochs/full" in cost:
        parts.append(f"{cost['epochs/trained']:,.0f} of {cost['epochs/full']:,.0f} epochs")
    return ", ".join(parts)


def _trial_facts(details: TrialDetails) -> Iterator[tuple[str, str]]:
    yield "run", details.run_id
    yield "key", details.trial_key
    if details.search is not None:
        yield "search", f"{details.search_name} (run {details.search[:12]})"
    yield "experiment", details.experiment
    yield "dataset", f"{details.dataset} {details.dataset_digest[:12]}"
    yield "when", lasted(details.started, details.ended)
    yield "ended", details.outcome
    if details.models:
        yield "model", ", ".join(map(str, details.models))
    yield "params", ", ".join(f"{name} {value}" for name, value in details.params.items())
    layers = {name: value for name, value in details.metrics.items() if name.startswith(_LAYER)}
    for what, those in (("metrics", details.metrics.keys() - layers.keys()), ("layers", layers.keys())):
        if those:
            yield what, ", ".join(f"{name} {number(details.metrics[name])}" for name in sorted(those))
    if rest := {name: value for name, value in details.tags.items() if name not in _SAID}:
        yield "tags", ", ".join(f"{name}={value}" for name, value in rest.items())
    if details.environment is not None:
        found = details.environment
        yield "trained on", f"{found.get('device')}, {found.get('backend')}, {found.get('threads')} threads"
    yield "weights", details.weights_sha256 or "none"


def _id(details: TrialDetails) -> str:
    return details.run_id[:12]


def _say(console: Console, line: str) -> None:
    console.print(escape(line), soft_wrap=True, highlight=False)
