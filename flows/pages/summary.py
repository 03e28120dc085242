"""What came of a search, in Markdown that leads to everything else: on MLflow's page of its run and on Prefect's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flows.durations import readable_seconds
from flows.pages.links import MlflowPages
from flows.ranking import Candidate
from flows.report.searched import Searched
from flows.search import SearchOutcome
from flows.tracking.search_runs import SearchRun

SHOWN = 10
"""Rows of the leaderboard in a summary."""

WINNER = "**Winner**"
"""What every summary has, and hardly a text that a person wrote in its place."""

COMPARED = 20
"""Of the best trials, how many the link to MLflow's compare page takes along."""

DECIDED = "**The retraining**"
"""Begins what a retraining decided about the winner."""


@dataclass(frozen=True)
class Ended:
    """A search that ended, with what this run of it did.

    Attributes
    ----------
    test : dict of str to float
        What the winner reached on the test rows.
    view : str
        Of the charts that were saved for it.
    report : str or None
        The artifact of its run that is its report, if it has one.
    """

    searched: Searched
    outcome: SearchOutcome
    test: Mapping[str, float]
    view: str
    report: str | None = None

    @property
    def run(self) -> SearchRun:
        """The run of the search."""
        return self.searched.run

    @property
    def metric(self) -> str:
        """What ranked the trials."""
        return self.searched.goal.metric


def summary(ended: Ended, pages: MlflowPages | None, prefect: str | None = None) -> str:
    """Return the summary; with no links to MLflow where nobody knows its address.

    MLflow folds all but some lines, and what it folds cannot be clicked through its shade: the links come first.
    """
    winner, version = ended.searched.winner, ended.searched.facts.registered
    score = _score(ended.searched.best, ended.metric)
    tested = ", ".join(f"{name} {value:.4g}" for name, value in ended.test.items() if name.count("/") == 1)
    registered = _link(f"{version.name} version {version.version}", None if pages is None else pages.version(version))
    lines = [
        " · ".join(_ways(ended, pages, prefect)),
        "",
        f"{WINNER}: {_run(pages, winner.name, winner.run_id)}, {score}; on the test rows "
        f"{tested}. Registered as {registered}.",
        "",
        _margin(ended),
        "",
        *_leaderboard(ended, pages),
        "",
        *_told(ended),
    ]
    return "\n".join(lines) + "\n"


def with_decision(described: str, reason: str, page: str | None) -> str:
    """Return a summary that says, right below its links, what a retraining decided, in place of an earlier decision.

    Parameters
    ----------
    page : str or None
        Address of what the decision stands on, if there is such a page.
    """
    links, *rest = [part for part in described.split("\n\n") if not part.startswith(DECIDED)]
    more = "" if page is None else f" ({_link('how it was decided', page)})"
    return "\n\n".join((links, f"{DECIDED} {_plain(reason)}{more}.", *rest))


def _ways(ended: Ended, pages: MlflowPages | None, prefect: str | None) -> Iterator[str]:
    run, goal = ended.run.run_id, ended.searched.goal
    if pages is None:
        yield f"In MLflow, of `{ended.run.tracking.uri}`: run `{run}`"
    else:
        if ended.report is not None:
            yield _link("Report", pages.artifact(run, ended.report))
        trials = pages.trials(run, goal.metric, ascending=not goal.maximise)
        best = [member.run_id for one in ended.searched.ranked for member in one.members][:COMPARED]
        yield _link("Charts of the trials", pages.view(ended.view))
        yield _link("Trials, the best first", trials)
        yield _link(f"The best {len(best)} compared", pages.compared(best))
        if pages.base:
            yield _link("The search in MLflow", pages.run(run))
    if prefect is not None:
        yield _link("Prefect's page of the run", prefect)


def _margin(ended: Ended) -> str:
    """Say by how much it won, over the next and over the middle of the field."""
    metric, ranked = ended.metric, ended.searched.ranked
    scores = [one.metrics[metric] for one in ranked if one.pruned_at is None]
    if len(scores) == 1:
        return f"No other was trained to its end: there is no {metric} to compare with."
    sign = 1 if ended.searched.goal.maximise else -1
    after, middle = (sign * (scores[0] - scores[place]) for place in (1, len(scores) // 2))
    ahead = f"{after:.4g} ahead of" if after else "level with"
    return (
        f"In {metric} it is {ahead} the next and {middle:.4g} ahead of the middle of the "
        f"{len(scores)} that were trained to their end."
    )


def _leaderboard(ended: Ended, pages: MlflowPages | None) -> Iterator[str]:
    metric, ranked = ended.metric, ended.searched.ranked
    several = len(ranked[0].members) > 1
    yield f"| rank | {'configuration' if several else 'trial'} | {metric} | val/loss |"
    yield "|---:|---|---:|---:|"
    for place, one in enumerate(ranked[:SHOWN], start=1):
        # A configuration of several trials has no page of its own; its first trial has.
        named = _run(pages, one.name, one.members[0].run_id)
        yield f"| {place} | {named} | {_value(one, metric)} | {_value(one, 'val/loss')} |"


def _told(ended: Ended) -> Iterator[str]:
    found, outcome = ended.searched, ended.outcome
    rows, facts = found.dataset.rows, found.facts
    pruned = sum(one.pruned_at is not None for one in (*found.ranked, *found.diverged))
    counts = [
        f"{outcome.trials:,} trials",
        f"{outcome.trained:,} of them trained by this run",
        *([f"{pruned:,} pruned"] if pruned else []),
        *([f"{len(found.diverged):,} diverged"] if found.diverged else []),
        *([f"{len(outcome.failed):,} failed"] if outcome.failed else []),
    ]
    yield (
        f"{', '.join(counts)}: {_plain(facts.space)} on {_plain(facts.dataset.name)}, "
        f"{rows['train']:,} rows to train on, {rows['validation']:,} to validate and {rows['test']:,} to test."
    )
    workers = len({stack.worker for stack in outcome.stacks})
    if workers:
        training = sum(stack.training_seconds for stack in outcome.stacks)
        took = readable_seconds(sum(facts.seconds.values()))
        on = f"{workers} worker{'s' * (workers > 1)}"
        yield f"Search and selection took {took}, with {training:.1f} s of training on {on}."


def _score(one: Candidate, metric: str) -> str:
    return f"{metric} {_value(one, metric)}"


def _value(one: Candidate, metric: str) -> str:
    if metric not in one.metrics:
        return ""
    deviation = f" ± {one.deviations[metric]:.2g}" if metric in one.deviations else ""
    return f"{one.metrics[metric]:.4f}{deviation}" if abs(one.metrics[metric]) < 10 else f"{one.metrics[metric]:.4g}"


def _run(pages: MlflowPages | None, name: str, run_id: str) -> str:
    return _link(name, None if pages is None else pages.run(run_id))


def _link(text: str, address: str | None) -> str:
    return _plain(text) if address is None else f"[{_plain(text)}]({address})"


def _plain(text: str) -> str:
    """Return text that Markdown leaves as it is, in a cell of a table too."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|" else sign for sign in text.replace("\n", " "))
