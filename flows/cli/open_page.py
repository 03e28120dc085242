"""`backprop open`."""

from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import AsJson, State, Verbose, settle_settings, wait_for_no_server

app = typer.Typer()


@app.command(
    "open",
    epilog="[bold]Examples[/bold]\n\nbackprop open\n\nbackprop open 3f2a9c\n\nbackprop open digits@champion\n\n"
    "backprop open 3f2a9c --no-browser",
)
def open_page(
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|MODEL]",
            help="What `backprop show` takes, or a registered model: NAME, NAME@ALIAS or NAME/VERSION. The experiment "
            "of the newest search if not given.",
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or print the address.")
    ] = True,
    state: State = ".backprop",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Open the page in MLflow of a search, a trial or a model.

    Where MLFLOW_TRACKING_URI names no server and no `backprop up` runs, MLflow is started on a free port of this
    machine, until Ctrl-C.
    """
    with Exits(verbose, kept="nothing was written"):
        settle_settings(verbose)
        wait_for_no_server()
        from flows.terminal.open import run_open

        run_open(console, wanted, state, in_browser=browser, as_json=as_json)
