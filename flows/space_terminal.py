"""`backprop space show` in the terminal: trials, stacks and their cost, as tables or as JSON."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backprop import select_backend
from flows.compute.devices import local_device, local_workers
from flows.compute.estimate import SearchEstimate, StackEstimate, estimate_search, paces_here
from flows.compute.paces import Paces
from flows.compute.probe import is_worth_it
from flows.compute.stacking import pack
from flows.configurations import configurations
from flows.data.preview import find_shape
from flows.data.shape import DatasetShape, fold_shape
from flows.data_terminal import print_json, readable
from flows.durations import readable_seconds
from flows.finished_before import FinishedBefore, finished_before
from flows.parameters import OPTIMIZER_NUMBERS, Hyperparameters, Space, TrainParameters
from flows.spaces import load_space
from flows.trials import PlannedTrial, plan_trial_on, widths

SHOWN = 20
"""Trials in the terminal, and stacks, unless all are asked for."""

SHORT = 12
"""Digits of a digest that are shown."""


def run_show(
    console: Console, space: str, parameters: TrainParameters | None, *, as_json: bool, show_all: bool
) -> None:
    """Print what a space comes to: of no data its trials, of some also stacks, time and memory.

    Raises
    ------
    InputError
        The space is not valid, or the data cannot be read or trained on.
    """
    asked = load_space(space)
    trials = [seeded for seeds in configurations(asked) for seeded in seeds]
    if parameters is None:
        if as_json:
            print_json(facts(space, trials))
            return
        print_trials(console, space, trials, show_all)
        print_more_than_trials(console, asked)
        console.print(
            "Stacks, time and memory depend on the data: name it with --data.", soft_wrap=True, highlight=False
        )
        return
    shape, ingested = find_shape(
        parameters.data,
        parameters.targets,
        parameters.task,
        parameters.preparation,
        parameters.split,
        parameters.datasets,
    )
    before = finished_before(parameters, asked, shape, trials) if ingested else None
    planned = [plan_trial_on(shape, trial) for trial in trials]
    trained_on = shape if asked.folds is None else fold_shape(shape, asked.folds)
    trained = [
        trial.model_copy(update={"fold": fold})
        for trial in planned
        for fold in ([0] if asked.folds is None else range(1, asked.folds + 1))
    ]
    compute = parameters.compute
    slots = local_workers(compute)
    device = local_device(compute)
    paces = paces_here(trained, trained_on, select_backend(compute.device), device.stack_trials)
    # As the search does, which asks its workers only where it is worth it.
    asks = compute.stack_seconds is not None or is_worth_it(trained, trained_on.rows["train"])
    stacks = pack(trained, slots, device, paces if asks else Paces(), most_seconds=compute.stack_seconds)
    estimate = estimate_search(stacks, trained_on, slots, paces)
    if as_json:
        done = {"before": None if before is None else before.model_dump(mode="json")}
        print_json(facts(space, trials, planned) | done | cost_facts(shape, ingested, estimate))
        return
    print_trials(console, space, trials, show_all)
    print_more_than_trials(console, asked)
    print_cost(console, shape, ingested, estimate, show_all)
    if before is not None:
        print_finished(console, before)


def facts(space: str, trials: Sequence[Hyperparameters], planned: Sequence[PlannedTrial] = ()) -> dict[str, object]:
    """Return the trials as JSON has them, with their keys where the data is known."""
    keys = [{"key": trial.key} for trial in planned] or [{} for _ in trials]
    listed = [
        {**key, **trial.model_dump(mode="json", exclude_none=True), **trial.optimizer_numbers}
        for key, trial in zip(keys, trials, strict=True)
    ]
    return {"space": space, "count": len(trials), "trials": listed}


def cost_facts(shape: DatasetShape, ingested: bool, estimate: SearchEstimate) -> dict[str, object]:
    """Return the stacks and the estimate as JSON has them."""
    return {
        "dataset": {**shape.model_dump(mode="json"), "ingested": ingested},
        "estimate": estimate.model_dump(mode="json"),
    }


def print_trials(console: Console, space: str, trials: Sequence[Hyperparameters], show_all: bool) -> None:
    """Print the trials: as a table what differs among them, and below it what all have in common."""
    rows = [values_of(trial) for trial in trials]
    varying = [name for name in rows[0] if len({row[name] for row in rows}) > 1]
    common = [f"{name} {value}" for name, value in rows[0].items() if name not in varying and value]
    shown = rows if show_all else rows[:SHOWN]
    table = Table()
    for name in ("", *varying):
        table.add_column(name, justify="right", overflow="fold")
    for place, row in enumerate(shown, start=1):
        table.add_row(str(place), *(row[name] for name in varying))
    if varying:
        console.print(f"Space {escape(space)}: {counted(len(trials), 'trial')}", soft_wrap=True, highlight=False)
        console.print(table)
        print_more(console, len(rows) - len(shown), "trial")
        console.print(f"All of them: {', '.join(common)}", soft_wrap=True, highlight=False)
    else:
        console.print(f"Space {escape(space)}: one trial, {', '.join(common)}", soft_wrap=True, highlight=False)


def print_more_than_trials(console: Console, asked: Space) -> None:
    """Say what makes the trainings more than the trials, or shorter."""
    if asked.folds is not None:
        console.print(
            f"Each is trained on {asked.folds} folds, and the best once more on all training rows.", highlight=False
        )
    if asked.stop is not None:
        console.print(
            f"The stop rule {asked.stop.rule} ends some of them earlier: epochs are the most.", highlight=False
        )


def values_of(trial: Hyperparameters) -> dict[str, str]:
    """Return what a trial is made of as a person reads it; nothing for a number that its optimiser does not have."""
    values = {**trial.model_dump(exclude={"hidden", *OPTIMIZER_NUMBERS}), **trial.optimizer_numbers}
    texts = {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return {"hidden": widths(trial.hidden), **dict.fromkeys(values | dict.fromkeys(OPTIMIZER_NUMBERS), ""), **texts}


def print_cost(console: Console, shape: DatasetShape, ingested: bool, estimate: SearchEstimate, show_all: bool) -> None:
    """Print the data, the stacks as a table, and what all of them will cost."""
    known = f"as ingested, {shape.digest[:SHORT]}" if ingested else "read now: it was not ingested like this yet"
    console.print(
        f"\nOn {escape(shape.name)} ({known}): {shape.task}, {counted(shape.inputs, 'input')}, "
        f"{counted(shape.outputs, 'output')}, {shape.rows['train']:,} rows to train on and "
        f"{shape.rows['validation']:,} to validate.",
        soft_wrap=True,
        highlight=False,
    )
    stacks = estimate.stacks if show_all else estimate.stacks[:SHOWN]
    console.print(counted(len(estimate.stacks), "stack"), highlight=False)
    console.print(stacks_table(stacks))
    print_more(console, len(estimate.stacks) - len(stacks), "stack")
    console.print(
        f"Estimate: [bold]{readable_seconds(estimate.seconds)}[/bold] of training on "
        f"{counted(estimate.slots, 'worker')}, measured on a few minibatches of each kind of stack; starting and "
        f"recording the trials come on top.\n"
        f"Memory: at most {readable(estimate.memory_bytes)} for the stacks that train at a time, beside what every "
        f"worker takes to run, and {readable(estimate.samples_bytes)} of samples, mapped.",
        soft_wrap=True,
        highlight=False,
    )


def print_finished(console: Console, before: FinishedBefore) -> None:
    """Print how many trials are finished already, or that nobody could say."""
    if before.finished is None:
        said = f"Which are finished already is not known: MLflow does not answer at {escape(before.uri)}."
    elif before.finished == before.trials:
        said = f"All {before.trials:,} are finished already: `backprop train` would train nothing again."
    else:
        rest = ", which are not trained again: the estimate is of all" if before.finished else ""
        said = f"{before.finished:,} of {counted(before.trials, 'trial')} are finished already{rest}."
    console.print(f"Experiment {escape(before.experiment)}: {said}", soft_wrap=True, highlight=False)


def stacks_table(stacks: Sequence[StackEstimate]) -> Table:
    """Return stacks as a table, in the order in which they are trained."""
    table = Table(collapse_padding=True, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("network", overflow="fold", min_width=12)
    for heading in ("batch", "optimizer", "trials", "epochs", "memory", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for place, stack in enumerate(stacks, start=1):
        layers = (stack.architecture.inputs, *stack.architecture.hidden, stack.architecture.outputs)
        table.add_row(
            str(place),
            f"{widths(layers)} {stack.architecture.activation}"
            + (f" and {stack.widths - 1} narrower" if stack.widths > 1 else ""),
            str(stack.batch_size),
            stack.optimizer,
            str(stack.trials),
            str(stack.epochs),
            readable(stack.memory_bytes),
            readable_seconds(stack.seconds),
        )
    return table


def print_more(console: Console, left_out: int, noun: str) -> None:
    """Say how many were not shown, if any."""
    if left_out:
        console.print(f"{counted(left_out, noun)} more; --all shows all.", highlight=False)


def counted(count: int, noun: str) -> str:
    """Return `1 trial`, `24 trials`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
