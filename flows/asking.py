"""The plans of a search: one, or with Optuna one a batch, each made when what came before it has its results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version

from prefect.logging import get_run_logger

from flows.data.store import Dataset
from flows.optuna_sampler import ask
from flows.parameters import Space
from flows.planning import SearchPlan, plan_search
from flows.ranking import Objective
from flows.tracking.asked_trials import AskedBatch, asked_trials, record_batch
from flows.tracking.search_runs import SearchRun, TrialRecord
from flows.trials import WarmStart


def plans(
    space: Space,
    datasets: Sequence[Dataset],
    run: SearchRun,
    goal: Objective,
    finished: Callable[[], Mapping[str, TrialRecord]],
    warm_start: WarmStart | None = None,
) -> Iterator[SearchPlan]:
    """Yield plans to be trained one after another, each with all trials of those before it.

    What was asked for before the search was interrupted comes as one plan: what is left of it is trained, and the next
    batch is asked for as if nothing had happened.

    Parameters
    ----------
    finished : callable
        Returns the finished trials by key, as they are when it is called.
    warm_start : WarmStart or None
        A trial of every plan, which Optuna is told nothing of.
    """
    asked = asked_trials(run) if space.optuna is not None else ()
    plan = plan_search(space, datasets, asked, warm_start)
    if space.optuna is None or asked:
        yield plan
    while space.optuna is not None and plan.to_come:
        known = list(zip(asked, plan.reached(asked, finished()), strict=True))
        number = len(asked) // space.optuna.batch
        batch = ask(space.optuna, number, known, goal)
        # Before any of it trains: whoever goes on with the search, or ranks it, must know which trials it has.
        record_batch(run, AskedBatch(number=number, optuna=version("optuna"), trials=batch))
        get_run_logger().info(
            "Optuna asks for batch %d of %d: %d trials, %d of them new",
            number + 1,
            space.optuna.batches,
            len(batch),
            len({*batch} - {*asked}),
        )
        asked = (*asked, *batch)
        plan = plan_search(space, datasets, asked, warm_start)
        yield plan
