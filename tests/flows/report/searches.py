"""Real searches without a cluster: the trials of a space, trained in this process, ranked, tested and registered."""

from dataclasses import replace

import numpy as np

from flows.compute.pruning import Pruning, deal
from flows.compute.stack_training import StackAssignment, train_assignment
from flows.data.store import Dataset
from flows.parameters import Space
from flows.planning import plan_search
from flows.ranking import Candidate, objective, rank
from flows.report.searched import Searched, SearchFacts, members_of
from flows.tracking.registry import register_winner
from flows.tracking.search_runs import finished_on, search_run
from flows.tracking.store import Tracking
from flows.trials import PlannedTrial


def searched(
    dataset: Dataset, tracking: Tracking, asked: dict[str, object], folds: tuple[Dataset, ...] = ()
) -> Searched:
    """Search a space on a dataset as `train` does, one stack for each architecture and batch size."""
    space = Space.model_validate(asked)
    goal = objective(dataset.task)
    datasets = (dataset, *folds)
    references = tuple(one.reference for one in datasets)
    plan = plan_search(space, folds or (dataset,))
    with search_run(tracking, dataset, "space", space) as run:
        outcomes = []

        def train(trials: list[PlannedTrial], name: str) -> None:
            pruning = Pruning(rule=space.stop, brackets=deal(plan.trials, space.stop)) if space.stop else None
            outcomes.append(
                train_assignment(
                    StackAssignment(
                        name=name,
                        dataset=references[trials[0].fold],
                        trials=tuple(trials),
                        varying=plan.varying,
                        run=run,
                        device="cpu",
                        execution="first",
                        pruning=pruning,
                    )
                )
            )

        stacks: dict[object, list[PlannedTrial]] = {}
        for trial in plan.trials:
            chosen = trial.hyperparameters
            stacks.setdefault((trial.architecture, chosen.batch_size, chosen.optimizer, trial.fold), []).append(trial)
        for place, trials in enumerate(stacks.values()):
            train(trials, f"stack-{place}")
        candidates = plan.candidates(finished_on(tracking, references, search=run))
        ranked = rank(candidates, goal)
        winner = rank(ranked[0].members, goal)[0]
        if folds:
            refit = plan.refit(ranked[0], dataset)
            train([refit], "stack-refit")
            winner = finished_on(tracking, references, search=run)[refit.key]
        diverged = [one for one in candidates if one.diverged_at is not None]
        facts = SearchFacts(
            space="space",
            dataset=dataset.reference,
            folds=references[1:],
            ranked=members_of(ranked),
            diverged=members_of(diverged),
            winner=winner.key,
            registered=register_winner(tracking, winner, dataset, dataset.schema.name),
            stacks=tuple(outcomes),
            seconds={"search": sum(one.seconds for one in outcomes)},
        )
        return Searched.of(run, facts, ranked, diverged, winner, None)


def again(found: Searched, **changes: object) -> Searched:
    """Return a search that differs in some of its facts."""
    return replace(found, facts=found.facts.model_copy(update=changes))


def many(found: Searched, count: int) -> Searched:
    """Return a search of many configurations, whose weights and curves are those of the few that were trained."""
    draw = np.random.default_rng(0)
    trained = [candidate.members[0] for candidate in found.ranked]
    candidates = []
    for place in range(count):
        like = trained[place % len(trained)]
        score = 0.97 - 0.3 * place / count
        params = {
            **like.params,
            "learning_rate": str(10 ** draw.uniform(-4, 0)),
            "l2": str(draw.uniform(0, 0.1)),
            "dropout": str(draw.uniform(0, 0.5)),
            "seed": str(place),
            "hidden": "-".join(str(width) for width in draw.integers(4, 400, size=draw.integers(1, 4))),
            "epochs": "6",
        }
        metrics = {**like.metrics, "val/accuracy": score, "val/loss": draw.uniform(0.1, 2)}
        pruned = 2 if place > count // 2 else None
        record = replace(like, key=f"{place:064x}", params=params, metrics=metrics, pruned_at=pruned)
        candidates.append(Candidate(f"lr={place} · {params['hidden']}", f"{place:012x}", (record,)))
    facts = found.facts.model_copy(update={"ranked": members_of(candidates)})
    return replace(found, facts=facts, ranked=tuple(candidates), winner=candidates[0].members[0])
