"""The command line of the comparison."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.ingestion.table import COLUMNS, TARGET, write_csv
from benchmarks.machine import machine

RESULTS = Path(__file__).parents[1] / "results"
MOST_SLOWER = 1.3
"""Times as long as the plain way that ingestion may take, which also checks, hashes and records."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(width=None if sys.stdout.isatty() else 132)


@app.command()
def ingestion(
    rows: Annotated[int, typer.Option(min=1000, help="Rows of the table.")] = 1_000_000,
    repeats: Annotated[int, typer.Option(min=1, help="How often each way is measured, in turn.")] = 3,
    out: Annotated[Path, typer.Option(help="Directory of ingestion.json.")] = RESULTS,
    scratch: Annotated[Path | None, typer.Option(help="Directory on a disk, for a gigabyte for a while.")] = None,
) -> None:
    """Ingest one CSV file with pandas and scikit-learn, and with the ingest flow, each in processes of its own.

    Ends with 1 if ingestion takes more than 1.3 times the time or more memory at its peak.
    """
    facts = machine()
    with tempfile.TemporaryDirectory(dir=scratch) as directory, console.status("writing the table") as status:
        table = Path(directory) / "visits.csv"
        write_csv(table, rows)
        size = table.stat().st_size
        measured: dict[str, list[dict[str, float]]] = {"plain": [], "ours": []}
        for repeat in range(repeats):
            for way, runs in measured.items():
                status.update(f"{way}, {repeat + 1} of {repeats}")
                runs.append(measure(way, table, Path(directory) / way))
    result = {"machine": facts, "rows": rows, "columns": len(COLUMNS), "csv_bytes": size, **measured}
    out.mkdir(parents=True, exist_ok=True)
    (out / "ingestion.json").write_text(json.dumps(result, indent=2) + "\n")
    ratio, less_memory = verdict(measured)
    console.print(shown(result))
    console.print(f"ours / plain: {ratio:.2f} of the time, {less_memory:.2f} of the memory", highlight=False)
    raise typer.Exit(int(ratio > MOST_SLOWER or less_memory > 1))


def measure(way: str, table: Path, directory: Path) -> dict[str, float]:
    """Run one way in a process of its own into a directory that is empty before and gone after."""
    directory.mkdir()
    command = [sys.executable, "-m", f"benchmarks.ingestion.{way}", str(table), str(directory), TARGET]
    environment = {**os.environ, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found
    finally:
        shutil.rmtree(directory)


def verdict(measured: dict[str, list[dict[str, float]]]) -> tuple[float, float]:
    """Return time and peak memory of ours as a part of the plain way's, of the medians."""
    time, memory = (
        median(run[fact] for run in measured["ours"]) / median(run[fact] for run in measured["plain"])
        for fact in ("seconds", "peak_bytes")
    )
    return time, memory


def shown(result: dict[str, Any]) -> Table:
    """Return what was measured as a table."""
    size = result["csv_bytes"] / 2**20
    title = f"{result['rows']:,} rows of {result['columns']} columns, {size:,.0f} MiB of CSV"
    table = Table("way", "seconds", "peak MiB", title=title, title_justify="left")
    for way, name in (("plain", "pandas.read_csv + ColumnTransformer + np.save"), ("ours", "ingest")):
        runs = result[way]
        table.add_row(
            name,
            ", ".join(f"{run['seconds']:.2f}" for run in runs),
            ", ".join(f"{run['peak_bytes'] / 2**20:,.0f}" for run in runs),
        )
    return table
