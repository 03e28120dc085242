"""`backprop open` in the terminal: where a page is, and a server for it as long as it is looked at."""

import sys
import webbrowser

from rich.console import Console
from rich.markup import escape

from flows.inspection.pages import Place, find_place, mlflow_server, running_up
from flows.services.state import StateDirectory, UpRecord
from flows.terminal.data import print_json


def run_open(console: Console, wanted: str | None, state: str, *, in_browser: bool, as_json: bool) -> None:
    """Open the page of what is wanted; where no server shows it, start one and keep it until Ctrl-C.

    Raises
    ------
    RunError
        There is nothing of that name, or a server does not answer.
    ServiceDiedError
        The server that was started ended by itself.
    """
    up = running_up(state)
    place = find_place(wanted, up)
    base = _served_at(place, up, state)
    if base is not None:
        _show(console, place, base, up, in_browser=in_browser, as_json=as_json, is_ours=False)
        return
    if not as_json:
        console.print(f"Starting MLflow on {escape(place.store)}", soft_wrap=True, highlight=False)
    try:
        with mlflow_server(place.store) as served:
            _show(console, place, served.address, up, in_browser=in_browser, as_json=as_json, is_ours=True)
            served.wait()
    except KeyboardInterrupt:
        # The way to end it, and so no failure.
        if not as_json:
            console.print("Stopped.")


def _served_at(place: Place, up: UpRecord | None, state: str) -> str | None:
    """Return the address of a server that runs and shows a place; None if none does."""
    if place.store.startswith(("http://", "https://")):
        return place.store.rstrip("/")
    is_ups = place.store == f"sqlite:///{StateDirectory(state).mlflow_database}"
    return up.mlflow if up is not None and is_ups else None


def _show(
    console: Console,
    place: Place,
    base: str,
    up: UpRecord | None,
    *,
    in_browser: bool,
    as_json: bool,
    is_ours: bool,
) -> None:
    address = f"{base}{place.path}"
    if as_json:
        prefect = None if up is None else up.prefect
        print_json(
            {"address": address, "shows": place.what, "store": place.store, "started": is_ours, "prefect": prefect}
        )
    else:
        console.print(f"{place.what[0].upper()}{escape(place.what[1:])}: {address}", soft_wrap=True, highlight=False)
        if up is not None:
            console.print(f"Prefect: {up.prefect}", soft_wrap=True, highlight=False)
        if is_ours:
            console.print("Ctrl-C ends the server.", highlight=False)
    # Whoever reads it from a pipe must not wait until the server ends.
    sys.stdout.flush()
    if in_browser and not as_json and not webbrowser.open(address):
        console.print("No browser could be started: open the address yourself.", soft_wrap=True, highlight=False)
