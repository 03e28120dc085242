"""`backprop runs` in the terminal: the searches of a store as a table, or as JSON."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.inspection.searches import ListedSearch, Wanted, list_searches
from flows.inspection.words import SHORT, counted, local, number
from flows.terminal.data import print_json
from flows.tracking.store import answering, existing_client

_STATUS = {"FINISHED": "green", "RUNNING": "cyan", "FAILED": "red", "KILLED": "yellow"}


def run_runs(console: Console, wanted: Wanted, *, as_json: bool) -> None:
    """Print the searches of the store, newest first."""
    client = existing_client()
    with answering(client.tracking_uri):
        searches = list_searches(client, wanted)
    if as_json:
        print_json(searches)
        return
    if not searches:
        console.print(f"No such search in {escape(client.tracking_uri)}.", soft_wrap=True, highlight=False)
        return
    console.print(searches_table(searches))
    # What limits the list is said where it may have.
    more = f"The newest {wanted.limit}; --limit shows more. " if len(searches) == wanted.limit else ""
    console.print(
        f"{more}Of one of them: backprop show {searches[0].run_id[:SHORT]}",
        soft_wrap=True,
        highlight=False,
        style="dim",
    )


def searches_table(searches: Sequence[ListedSearch]) -> Table:
    """Return searches as a table of 80 columns, a few lines each."""
    table = Table(title="Searches", title_justify="left", show_lines=True)
    table.add_column("run", no_wrap=True)
    table.add_column("search", overflow="fold")
    table.add_column("trials", no_wrap=True)
    table.add_column("best validation", overflow="fold")
    table.add_column("model", overflow="fold")
    for search in searches:
        colour = _STATUS.get(search.status, "")
        when = f"{local(search.started)[2:]}"
        table.add_row(
            f"{search.run_id[:SHORT]}\n"
            + (f"[{colour}]{search.status.lower()}[/]" if colour else search.status.lower()),
            "\n".join(map(escape, [*_what(search), when])),
            "\n".join(counted(search.trials)),
            "\n".join(_reached(search)),
            "\n".join(map(escape, _models(search))),
        )
    return table


def _what(search: ListedSearch) -> Iterable[str]:
    yield f"{search.space} on {search.dataset}"
    if search.experiment != search.dataset:
        yield f"in {search.experiment}"


def _reached(search: ListedSearch) -> Iterable[str]:
    if search.metric is None or search.best is None:
        return
    deviation = f" ± {number(search.best_deviation)}" if search.best_deviation is not None else ""
    yield f"{search.metric.removeprefix('val/')} {number(search.best)}{deviation}"
    if search.tested is not None:
        yield f"test {number(search.tested)}"


def _models(search: ListedSearch) -> Iterable[str]:
    for model in search.models:
        yield f"{model.name} {model.version}"
        yield from (f"@{alias}" for alias in model.aliases)
