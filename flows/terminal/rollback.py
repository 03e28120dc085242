"""What a person sees of `backprop rollback`."""

import json

from rich.console import Console
from rich.markup import escape

from flows.errors import InputError
from flows.tracking.decisions import roll_back
from flows.tracking.store import Tracking, existing_store


def run_rollback(model: str, console: Console, *, as_json: bool) -> None:
    """Swap the aliases of a model and say what was moved."""
    uri = existing_store()
    if uri is None:
        raise InputError(f"model {model!r}: no MLflow store is here; set MLFLOW_TRACKING_URI, or change directory")
    # Of an experiment a rollback asks nothing: 0 is the one that every store has.
    moved = roll_back(Tracking(uri=uri, experiment_id="0", experiment="Default"), model)
    if as_json:
        console.print_json(json.dumps(moved.model_dump()))
        return
    name = escape(moved.model)
    console.print(
        f"[bold]{name}@champion[/bold] is version [bold]{moved.champion}[/bold] again, and was {moved.previous}, which "
        f"@previous is now: `backprop rollback {name}` undoes this.",
        soft_wrap=True,
        highlight=False,
    )
