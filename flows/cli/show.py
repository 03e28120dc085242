"""`backprop show`."""

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import AsJson, RunName, Verbose, settle_settings, wait_for_no_server

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop show 3f2a9c\n\nbackprop show 'search · quick'\n\n"
    "backprop show digits@champion --json"
)
def show(run: RunName, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Show a search: its leaderboard, its winner, what it cost. Or a trial: its params, its curves, how it ended."""
    with Exits(verbose):
        settle_settings(verbose)
        wait_for_no_server()
        from flows.terminal.show import run_show

        run_show(console, run, as_json=as_json)
