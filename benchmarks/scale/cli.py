"""The command line of the study, and the order of its parts."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from benchmarks.machine import machine
from benchmarks.scale.joined import measure_joined
from benchmarks.scale.model import extrapolate, fit
from benchmarks.scale.plots import draw
from benchmarks.scale.rows import measure_rows
from benchmarks.scale.sizes import FULL, QUICK, Sizes
from benchmarks.scale.tables import tables
from benchmarks.scale.tracking import measure_tracking
from benchmarks.scale.trials import measure_trials
from benchmarks.scale.width import measure_width, overtaken_at
from benchmarks.scale.workers import measure_workers
from flows.compute.devices import CPU_TRIALS

BAD_INPUT = 2
PARTS = ("trials", "width", "joined", "rows", "workers")
RESULTS = Path(__file__).parents[1] / "results"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(width=None if sys.stdout.isatty() else 132)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


@app.command()
def scale(
    only: Annotated[str | None, typer.Option(help=f"Parts with commas between; of {', '.join(PARTS)}.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: two minutes; all take eight.")] = False,
    out: Annotated[Path, typer.Option(help="Directory of scale.json and the plots.")] = RESULTS,
    scratch: Annotated[Path | None, typer.Option(help="Directory on a disk, for files of 3 GB for a while.")] = None,
) -> None:
    """Measure how time and memory grow with trials, width, rows and workers; say by a model what was not measured.

    The model is of workers and tracking, and there is none without the part "workers".
    """
    parts = PARTS if only is None else tuple(only.split(","))
    for part in parts:
        if part not in PARTS:
            _refuse(f"--only has {part!r}: use {', '.join(PARTS)}")
    sizes = QUICK if quick else FULL
    facts = machine()
    with console.status("starting") as status:
        result = measure(parts, sizes, scratch, status.update)
    result = {"machine": facts, "settings": {"quick": quick, "only": list(parts)}, **result}
    out.mkdir(parents=True, exist_ok=True)
    (out / "scale.json").write_text(json.dumps(result, indent=2) + "\n")
    drawn = draw(result, out)
    console.print(*tables(result), sep="\n")
    console.print(f"Written: {', '.join(map(str, [out / 'scale.json', *drawn]))}", highlight=False, soft_wrap=True)


def measure(parts: tuple[str, ...], sizes: Sizes, scratch: Path | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return what was measured of each part, how long the parts took, and the model."""
    result: dict[str, Any] = {"took_seconds": {}}
    for part in parts:
        started = time.perf_counter()
        tell(part)
        if part == "trials":
            result[part] = list(measure_trials(sizes, CPU_TRIALS))
        elif part == "width":
            result[part] = list(measure_width(sizes))
            result["blas_overtakes_at_width"] = overtaken_at(result[part])
        elif part == "joined":
            result[part] = list(measure_joined(sizes))
        elif part == "rows":
            result[part] = list(measure_rows(sizes, scratch))
        else:
            workers = result[part] = measure_workers(sizes, tell)
            tell("tracking")
            tracking = result["tracking"] = measure_tracking(sizes.tracked)
            trials = sizes.stacks * sizes.stack_trials
            result["model"] = extrapolate(fit(workers, tracking), workers, trials)
        result["took_seconds"][part] = time.perf_counter() - started
    return result


def _refuse(message: str) -> NoReturn:
    errors.print(f"[red]error:[/red] {escape(message)}")
    raise typer.Exit(BAD_INPUT)
