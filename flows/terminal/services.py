"""What a person sees of `backprop up` and `backprop down`."""

import json
import os
import re
import shlex

from rich.console import Console
from rich.text import Text

from flows.errors import ServicesError
from flows.services.down import Downed, down
from flows.services.state import StateDirectory, UpRecord
from flows.services.up import UpParameters, up

_COLOURS = {"prefect": "blue", "mlflow": "cyan", "worker": "green", "deploy": "magenta"}
_WIDTH = 8


class UpTerminal:
    """Lines of several services in one terminal, each behind the name of who said it."""

    def __init__(self, console: Console, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self._ready = False

    def said(self, service: str, line: str) -> None:
        """Print a service's line as it is; not while all start, which they announce at length."""
        if self._ready or self._verbose:
            self._print(service, Text(line), _COLOURS[service])

    def told(self, line: str) -> None:
        """Print a line of our own."""
        self._print("backprop", Text(line), "bold")

    def died(self, service: str, exit_code: int, last_lines: list[str]) -> None:
        """Print how a service ended, and what it said before."""
        how = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
        self._print("backprop", Text(f"{service} {how}; its last lines:"), "bold red")
        for line in last_lines:
            self._print(service, Text(line), "red")

    def ready(self, record: UpRecord, state: StateDirectory, deployments: list[str]) -> None:
        """Print where everything is, and what another terminal must know."""
        self._ready = True
        shown = os.path.relpath(state.path)
        lines = (
            "",
            "[bold green]Ready[/bold green]",
            f"  Prefect  {record.prefect}   runs, deployments and their schedules",
            f"  MLflow   {record.mlflow}   trials, curves and models",
            f"  deployed {', '.join(deployments)}",
            "",
            "  In another terminal, in this directory:",
            f"    export PREFECT_API_URL={record.prefect_api}",
            f"    export MLFLOW_TRACKING_URI={record.mlflow}",
            "    .venv/bin/prefect deployment run 'train/default' -p data=digits --watch",
            "",
            f"  Ctrl-C stops all of it; everything is kept in {shlex.quote(shown)}",
            "",
        )
        for line in lines:
            self._console.print(line, highlight=False, soft_wrap=True, emoji=False)

    def _print(self, who: str, line: Text, colour: str) -> None:
        self._console.print(Text.assemble((f"{who:<{_WIDTH}} │ ", colour), line), soft_wrap=True, highlight=False)


def run_up(console: Console, parameters: UpParameters, verbose: bool) -> None:
    """Run everything until somebody ends it."""
    up(parameters, UpTerminal(console, verbose))


def run_down(console: Console, state: str, as_json: bool) -> Downed:
    """End what is left, and print what that was."""
    terminal = UpTerminal(console)
    ended = down(state, (lambda _: None) if as_json else terminal.told)
    if as_json:
        console.print_json(ended.model_dump_json())
    elif not ended.processes:
        console.print(f"Nothing runs of {state}.", highlight=False)
    else:
        killed = f", {ended.killed} of them killed" if ended.killed else ""
        console.print(f"Ended {ended.processes} processes{killed}; everything is kept in {state}.", highlight=False)
    return ended


def run_notify(console: Console, url: str, as_json: bool) -> None:
    """Let Prefect's server call a URL, and print by which automations."""
    if not os.environ.get("PREFECT_API_URL"):
        raise ServicesError("PREFECT_API_URL names no server whose automations could call the URL; export it first")
    if not re.match(r"https?://[^/\s]", url):
        raise ServicesError(f"{url!r} is no address that can be called; it begins with http:// or https://")
    from flows.services.automations import notify

    names = notify(url)
    if as_json:
        console.print_json(json.dumps({"automations": names}))
    else:
        for name in names:
            console.print(f"The webhook is called by the automation {name}", highlight=False)
