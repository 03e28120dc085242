"""What a person sees while `backprop retrain` runs, and at its end."""

import json
import sys
from typing import Any

from prefect.client.schemas.objects import State
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.compute.local_cluster import cluster_ahead
from flows.compute.temporary_server import TemporaryServer
from flows.data.drift import DriftParameters
from flows.errors import RetrainingRunningError
from flows.parameters import AroundParameters, PromotionParameters, TrainParameters
from flows.progress import listening
from flows.retrain import RetrainReport, retrain
from flows.retraining.decision_report import as_finite, cells, rows_of
from flows.retraining.promotion import Decision
from flows.terminal.train import TrialsBar, open_mlflow, reported, reporting_to

STYLES = {"Promoted": "bold green", "Refused": "bold", "Unchanged": "bold", "Drifted": "bold yellow"}


def run_retrain(
    parameters: TrainParameters,
    promotion: PromotionParameters,
    drift: DriftParameters,
    around: AroundParameters,
    console: Console,
    server: TemporaryServer | None = None,
    *,
    warm_start: bool,
    as_json: bool,
) -> None:
    """Run the `retrain` flow with a progress bar and print what came of it.

    Raises
    ------
    RetrainingRunningError
        Another retraining of the same model runs.
    """
    # What is printed to be read by a program stands alone on standard output.
    progress = Console(stderr=True) if as_json else console
    with cluster_ahead(parameters.compute), TrialsBar(progress) as bar, reporting_to(server), listening(bar):
        state: State[Any] = retrain(
            **parameters.arguments(),
            promotion=promotion,
            drift=drift,
            around=around,
            warm_start=warm_start,
            return_state=True,
        )
        if state.is_cancelled():
            raise RetrainingRunningError(f"{state.message}; wait for it")
        report: RetrainReport = state.result(raise_on_failure=True)
    if as_json:
        sys.stdout.write(json.dumps(summary(report), indent=2) + "\n")
        return
    style = STYLES[report.state]
    name = escape(report.model)
    console.print(f"[{style}]{report.state}[/{style}] {name}: {escape(report.reason)}", soft_wrap=True, highlight=False)
    if report.decision is not None:
        console.print(comparison(report.decision))
    for alias, version in (("champion", report.champion), ("previous", report.previous)):
        if version is not None:
            console.print(f"models:/{name}@{alias} is version {version.version}", soft_wrap=True, highlight=False)
    if report.train is not None:
        console.print(reported(report.train), soft_wrap=True, highlight=False)
        console.print(open_mlflow(report.train.run.tracking.uri), soft_wrap=True, highlight=False)


def summary(report: RetrainReport) -> dict[str, Any]:
    """Return what a program needs to know of a retraining."""
    versions = {name: getattr(report, name) for name in ("challenger", "champion", "previous")}
    return {
        "model": report.model,
        "state": report.state,
        "reason": report.reason,
        **{name: None if version is None else version.version for name, version in versions.items()},
        "warm_start": report.warm_start,
        "trials": None if report.train is None else report.train.outcome.trials,
        "run": None if report.train is None else report.train.run.run_id,
        "decision": None if report.decision is None else as_finite(report.decision),
    }


def comparison(decision: Decision) -> Table:
    """Return the gains of a decision as a table."""
    table = Table(title="Challenger", title_justify="left")
    heads = ("", "test rows", "challenger", "other", "gain", f"{decision.confidence:.0%} interval", "asked for", "")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if 0 < place < len(heads) - 2 else "left")
    for row in rows_of(decision):
        table.add_row(*(escape(cell) for cell in cells(row)), style="red" if row.verdict == "worse" else None)
    return table
