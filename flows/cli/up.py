"""`backprop up` and `backprop down`: servers, worker and deployments on this machine."""

from typing import Annotated

import typer
from pydantic import ValidationError

from flows.cli.exits import Exits, console
from flows.cli.options import AsJson, State
from flows.errors import InputError
from flows.parameters import describe_validation_error

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop up\n\nbackprop up --prefect-port 4300 --mlflow-port 5300\n\n"
    "backprop up --webhook https://example.com/hooks/retrain"
)
def up(
    state: State = ".backprop",
    prefect_port: Annotated[int, typer.Option(help="Port of Prefect's server; 0 takes a free one.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of MLflow's server; 0 takes a free one.")] = 5000,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Told of failed and of promoted retrainings, by POST.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show what the servers say while they start, and tracebacks of failures.")
    ] = False,
) -> None:
    """Run Prefect's server, MLflow's server, a worker and the deployments, until Ctrl-C.

    Both servers listen to this machine only. Whatever they keep lies in one directory, so that the same command
    goes on where it was ended, after a reboot too. A service that dies is started again.
    """
    with Exits(verbose):
        from flows.services.up import UpParameters
        from flows.terminal.services import run_up

        try:
            parameters = UpParameters(
                state=state, prefect_port=prefect_port, mlflow_port=mlflow_port, webhook=webhook or None
            )
        except ValidationError as error:
            raise InputError(describe_validation_error(list(error.errors()))) from error
        run_up(console, parameters, verbose)


@app.command()
def down(state: State = ".backprop", as_json: AsJson = False) -> None:
    """End what `backprop up` started: the command itself if it runs, and what is left of one that was killed."""
    with Exits(verbose=False):
        from flows.terminal.services import run_down

        run_down(console, state, as_json)


@app.command(epilog="[bold]Examples[/bold]\n\nbackprop notify https://example.com/hooks/retrain")
def notify(
    url: Annotated[str, typer.Argument(metavar="URL", help="Called by POST with a JSON body.")],
    as_json: AsJson = False,
) -> None:
    """Let the Prefect server of PREFECT_API_URL call a webhook after retrainings that failed or were promoted.

    Two automations are created if they are not there; called again it changes the URL.
    """
    with Exits(verbose=False):
        from flows.terminal.services import run_notify

        run_notify(console, url, as_json)
