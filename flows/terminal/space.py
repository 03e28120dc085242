"""`backprop space show` in the terminal: trials, stacks and their cost, as tables or as JSON."""

from collections.abc import Sequence
from itertools import chain

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backprop import select_backend
from flows.compute.devices import local_device, local_workers
from flows.compute.estimate import SearchEstimate, StackEstimate, estimate_search, one_after_another, paces_here
from flows.compute.paces import Paces
from flows.compute.probe import is_worth_it
from flows.compute.stacking import pack
from flows.configurations import configurations, rounds
from flows.data.preview import find_shape
from flows.data.shape import DatasetShape, fold_shape
from flows.durations import readable_seconds
from flows.finished_before import FinishedBefore, finished_before
from flows.parameters import OPTIMIZER_NUMBERS, Hyperparameters, OptunaTrials, Space, TrainParameters
from flows.spaces import load_space
from flows.terminal.data import print_json, readable
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
            print_json(facts(space, asked, trials))
            return
        print_space(console, space, asked, trials, show_all)
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
    compute = parameters.compute
    slots = local_workers(compute)
    device = local_device(compute)
    together = _trained_together(asked, shape)
    trained = list(chain.from_iterable(together))
    paces = paces_here(trained, trained_on, select_backend(compute.device), device.stack_trials)
    # As the search does, which asks its workers only where it is worth it.
    asks = compute.stack_seconds is not None or is_worth_it(trained, trained_on.rows["train"])
    known = paces if asks else Paces()
    packed = [pack(some, slots, device, known, most_seconds=compute.stack_seconds) for some in together]
    estimate = one_after_another(
        estimate_search(list(chain.from_iterable(packed)), trained_on, slots, paces), [len(stacks) for stacks in packed]
    )
    if as_json:
        done = {"before": None if before is None else before.model_dump(mode="json")}
        print_json(facts(space, asked, trials, planned) | done | cost_facts(shape, ingested, estimate))
        return
    print_space(console, space, asked, trials, show_all)
    print_cost(console, shape, ingested, estimate, show_all)
    if asked.optuna is not None:
        console.print(
            "What Optuna will ask for is not known: stacks, time and memory are of as many random draws from the same "
            "distributions.",
            soft_wrap=True,
            highlight=False,
        )
    if before is not None:
        print_finished(console, before)


def _trained_together(asked: Space, shape: DatasetShape) -> list[list[PlannedTrial]]:
    """Return every training that a space comes to, fold by fold, by what trains beside each other."""
    folds = [0] if asked.folds is None else range(1, asked.folds + 1)
    return [
        [
            plan_trial_on(shape, seeded).model_copy(update={"fold": fold})
            for seeds in together
            for seeded in seeds
            for fold in folds
        ]
        for together in rounds(asked)
    ]


def facts(
    space: str, asked: Space, trials: Sequence[Hyperparameters], planned: Sequence[PlannedTrial] = ()
) -> dict[str, object]:
    """Return the trials as JSON has them, with their keys where the data is known, and what is left to Optuna."""
    keys = [{"key": trial.key} for trial in planned] or [{} for _ in trials]
    listed = [
        {**key, **trial.model_dump(mode="json", exclude_none=True), **trial.optimizer_numbers}
        for key, trial in zip(keys, trials, strict=True)
    ]
    if asked.optuna is None:
        return {"space": space, "count": len(trials), "trials": listed}
    wanted = asked.optuna
    left = wanted.model_dump(mode="json", exclude_none=True)
    return {
        "space": space,
        "count": len(trials) + wanted.count * asked.seeds,
        "trials": listed,
        "optuna": {"batches": wanted.batches, "at_random": wanted.at_random, **left},
    }


def cost_facts(shape: DatasetShape, ingested: bool, estimate: SearchEstimate) -> dict[str, object]:
    """Return the stacks and the estimate as JSON has them."""
    return {
        "dataset": {**shape.model_dump(mode="json"), "ingested": ingested},
        "estimate": estimate.model_dump(mode="json"),
    }


def print_space(console: Console, space: str, asked: Space, trials: Sequence[Hyperparameters], show_all: bool) -> None:
    """Print the trials that are known, what is left to Optuna, and what makes the trainings more, or shorter."""
    if trials:
        print_trials(console, space, trials, show_all)
    if asked.optuna is not None:
        begin = "" if trials else f"Space {escape(space)}: "
        print_wanted(console, begin, asked.optuna, asked.seeds)
    print_more_than_trials(console, asked)


def print_wanted(console: Console, begin: str, wanted: OptunaTrials, seeds: int) -> None:
    """Print how many trials Optuna is asked for, and from which distributions."""
    repeated = f", each with {seeds} seeds" if seeds > 1 else ""
    console.print(
        f"{begin}Optuna asks for {counted(wanted.count, 'trial')}{repeated}, in {wanted.batches} batches of at "
        f"most {wanted.batch}: {wanted.at_random} at random, the others by what was reached before.",
        soft_wrap=True,
        highlight=False,
    )
    table = Table("", "drawn", "from")
    for name, distribution in wanted.distributions.items():
        [(how, values)] = distribution.model_dump(exclude_none=True).items()
        table.add_row(name, how, (", " if how == "choice" else " to ").join(map(_text, values)))
    console.print(table)
    fixed = {name: getattr(wanted, name) for name in Hyperparameters.model_fields if name not in wanted.distributions}
    fixed = {name: value for name, value in fixed.items() if value is not None} | {"seed": 0}
    common = ", ".join(f"{name} {_text(value)}" for name, value in fixed.items())
    console.print(f"All of them: {common}", soft_wrap=True, highlight=False)


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
    values = {**trial.model_dump(exclude={*OPTIMIZER_NUMBERS}), **trial.optimizer_numbers}
    texts = {name: _text(value) for name, value in values.items()}
    return {**dict.fromkeys(values | dict.fromkeys(OPTIMIZER_NUMBERS), ""), **texts}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return widths(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
