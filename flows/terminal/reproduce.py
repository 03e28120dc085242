"""`backprop reproduce` in the terminal: the verdict, what it rests on and what may explain it, or all as JSON."""

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from backprop.backend import Device
from flows.comparison import CurvesComparison, Verdict
from flows.reproduction import Reproduction, reproduce
from flows.terminal.data import print_json
from flows.tracking.trial_lookup import SHORT

_SAID: dict[Verdict, str] = {
    "identical": "[bold green]identical[/bold green]: every weight is the same to the bit",
    "equal": "[bold green]equal within tolerance[/bold green]",
    "different": "[bold red]different[/bold red]",
}


def run_reproduce(console: Console, wanted: str, datasets: str, device: Device, *, as_json: bool) -> bool:
    """Train a trial again and print what came of it; return whether it came out the same."""
    if as_json:
        found = reproduce(wanted, datasets, device)
        print_json(found.model_dump(mode="json"))
        return found.verdict != "different"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training it again, epoch", total=None)
        found = reproduce(
            wanted, datasets, device, lambda epoch, last: progress.update(bar, completed=epoch, total=last)
        )
    for line in lines_of(found):
        console.print(line, soft_wrap=True, highlight=False)
    return found.verdict != "different"


def lines_of(found: Reproduction) -> Iterator[str]:
    """Yield what a person is told."""
    yield (
        f"Trial [bold]{escape(found.name)}[/bold] on {escape(found.dataset)} (run {found.run_id[:SHORT]}, key "
        f"{found.trial_key[:SHORT]}), trained again for {_epochs(found.epochs)} on {escape(found.environment.device)}."
    )
    yield f"Its weights are {_SAID[found.verdict]}{_by_what(found)}."
    yield _curves(found.curves)
    yield from _explanations(found)


def _by_what(found: Reproduction) -> str:
    """Say what the verdict was read from, unless the weights are the same."""
    weights = found.weights
    if weights.are_identical:
        return f" (SHA-256 {weights.sha256[:SHORT]})"
    if weights.largest_difference is not None:
        return f": the largest difference is {weights.largest_difference:.2g}, the tolerance {found.tolerance:g}"
    return f", as far as the losses tell: the weights cannot be compared, {escape(str(weights.incomparable))}"


def _curves(curves: CurvesComparison) -> str:
    if not curves.epochs and not curves.recorded_epochs:
        return "It has no metrics, then as now: it diverged in its first epoch."
    if curves.first_difference is None:
        return f"Its metrics are the same numbers in {_all(curves.epochs)}."
    if curves.epochs != curves.recorded_epochs:
        lasts = f"they ended with epoch {curves.recorded_epochs} then and {curves.epochs} now"
        return f"Its metrics differ from epoch {curves.first_difference} on: {lasts}."
    name, most = max(curves.largest.items(), key=lambda each: each[1])
    beyond = f", beyond the tolerance from epoch {curves.first_beyond} on" if curves.first_beyond is not None else ""
    return f"Its metrics differ from epoch {curves.first_difference} on, by at most {most:.2g} ({name}){beyond}."


def _explanations(found: Reproduction) -> Iterator[str]:
    """Yield how the two trainings differed, whatever came of it."""
    if found.differences:
        yield "What is not as it was:"
        for each in found.differences:
            yield f"  {each.what}: {escape(each.then)} then, {escape(each.now)} now"
    else:
        yield "Versions, backend, processor and threads are as they were."
    for circumstance in found.circumstances:
        yield f"Note: {escape(circumstance)}."
    if found.verdict == "different" and not found.differences and not found.circumstances:
        yield (
            "Nothing that is recorded explains the difference: the prepared dataset may have been changed, the weights "
            "in MLflow may be of another training, or the hardware is at fault."
        )


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _all(count: int) -> str:
    return "its epoch" if count == 1 else f"all {count} epochs"
