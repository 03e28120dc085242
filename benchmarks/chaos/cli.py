"""The command: rounds of a disturbed search, each held against one that nobody disturbed."""

import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.chaos.disturbance import TARGETS, SearchUnderTest, Size, differences

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console()


@app.command()
def chaos(
    rounds: Annotated[int, typer.Option(min=1, help="Searches to disturb.")] = 20,
    trials: Annotated[int, typer.Option(min=20, help="Trials of each; a multiple of 20.")] = 200,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each trial.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Draws what is killed, and when.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the directories, logs included.")] = False,
) -> None:
    """Kill workers, scheduler, flow process, MLflow's and Prefect's server at random; end with 1 if a search differs.

    Whatever was killed, the same command is run again until it succeeds.
    """
    directory = Path(tempfile.mkdtemp(prefix="backprop-chaos-"))
    size = Size(trials, epochs=epochs)
    wrong = 0
    try:
        undisturbed = SearchUnderTest(directory / "undisturbed", size)
        undisturbed.run()
        table = Table("round", *TARGETS, "commands", "seconds", "what differs", title=f"{trials} trials")
        total: Counter[str] = Counter()
        for number in range(1, rounds + 1):
            started = time.monotonic()
            disturbed = SearchUnderTest(directory / f"round-{number}", size)
            disturbed.run(random.Random(f"{seed}-{number}"))  # noqa: S311 - not a secret
            found = differences(disturbed, undisturbed)
            wrong += bool(found)
            total += disturbed.kills
            killed = [str(disturbed.kills[target]) for target in TARGETS]
            seconds = time.monotonic() - started
            row = [str(number), *killed, str(disturbed.attempts), f"{seconds:.0f}", "; ".join(found) or "nothing"]
            table.add_row(*row)
            console.print(" · ".join(row), highlight=False)
        console.print(table)
        console.print(f"{rounds} rounds, {total.total()} kills ({dict(total)}), {wrong} rounds with a difference")
    finally:
        if keep:
            console.print(f"Kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    raise typer.Exit(1 if wrong else 0)
