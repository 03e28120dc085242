"""The answers of a report in sentences: which won, by how much, how good it is, what mattered, where it fails.

They say what is not known as plainly as what is.
"""

from flows.durations import readable_seconds
from flows.evaluation.measures import Measure
from flows.report.costs import Costs
from flows.report.hyperparameters import Importances
from flows.report.leads import Lead, Leads
from flows.report.searched import Searched
from flows.report.tested import Answered, class_scores, most_confused

LEAST_EXPLAINED = 0.2
"""R2 of the forest below which it knows too little to say what matters."""


def which_won(searched: Searched) -> str:
    """Say which configuration won, and among how many."""
    goal, best = searched.goal, searched.best
    score = f"{goal.metric} {_reached(searched)}"
    version = searched.facts.registered
    count = len(searched.ranked) + len(searched.diverged)
    refit = ", trained once more on all training rows" if searched.folds else ""
    return (
        f"{best.name} won among {count:,} configurations, with {score}{refit}. It is registered as {version.name} "
        f"version {version.version}."
    )


def _reached(searched: Searched) -> str:
    best, metric = searched.best, searched.goal.metric
    if len(best.members) == 1:
        return f"{best.metrics[metric]:.4f}"
    spread = f"(mean and deviation of {len(best.members)} trials)"
    return f"{best.metrics[metric]:.4f} ± {best.deviations[metric]:.4f} {spread}"


def by_how_much(leads: Leads) -> str:
    """Say by how much the winner leads the second, and whether that is more than chance."""
    if not leads.validation:
        return "There is no second: the search has one configuration with a rank."
    second = leads.validation[0]
    said = (
        f"Over the second, {second.name}: {_difference(second)} in {leads.metric.title} on the {second.rows:,} "
        f"validation rows ({_interval(second)})"
    )
    on_test = leads.test
    if on_test is None:
        return f"{said}; {_verdict(second)}"
    return (
        f"{said}; on the {on_test.rows:,} test rows, which had no say in the ranking, {_difference(on_test)} "
        f"({_interval(on_test)}); {_verdict(on_test)}"
    )


def _verdict(lead: Lead) -> str:
    if lead.within_chance:
        return "this is within chance: the second may be as good."
    return "this is more than chance." if lead.value > 0 else "the second is better there, by more than chance."


def _difference(lead: Lead) -> str:
    return _signed(lead.value)


def _interval(lead: Lead) -> str:
    if lead.low == lead.high == 0:
        return "both are right and wrong on the same rows"
    return f"95% interval {_signed(lead.low)} to {_signed(lead.high)}"


def _signed(value: float) -> str:
    return f"{value:+.3g}" if value else "0"


def within_chance(leads: Leads) -> str:
    """Say how many of the configurations behind the winner cannot be told from it."""
    level = sum(lead.within_chance for lead in leads.validation)
    of = len(leads.validation)
    return (
        f"Of the {of} configurations that come next, {level} cannot be told from the winner on the validation rows. "
        "Positive is better. The intervals are a paired bootstrap of rows: both networks answer the same rows. They do "
        "not hold what another seed would change, nor that the validation rows chose the winner, which flatters it "
        "there."
    )


def how_good(tested: Answered) -> str:
    """Say what the winner reached on the test rows."""
    first = tested.measures[0]
    said = _measured(first)
    return f"{said[0].upper()}{said[1:]} on {len(tested.rows):,} test rows{_constant(first)}."


def _measured(one: Measure) -> str:
    interval = "" if one.low is None or one.high is None else f" (95% interval {one.low:.4g} to {one.high:.4g})"
    return f"{_title(one.name)} {one.value:.4g}{interval}"


def _constant(one: Measure) -> str:
    return "" if one.baseline is None else f"; an answer that looks at no column reaches {one.baseline:.4g}"


def _title(name: str) -> str:
    return {"rmse": "RMSE", "r2": "R²", "mae": "MAE", "f1_macro": "macro F1"}.get(name, name.replace("_", " "))


def what_mattered(found: Importances | None, names: list[str]) -> str:
    """Say which hyperparameter mattered most, if that can be said."""
    if not names:
        return "No hyperparameter varies."
    if found is None:
        return "There are too few configurations, or they all scored the same: nothing can be said."
    first = found.each[0]
    said = f"{first.name} (R² falls by {first.value:.2f} if it is shuffled, {first.low:.2f} to {first.high:.2f})"
    rest = f", then {found.each[1].name} ({found.each[1].value:.2f})" if len(found.each) > 1 else ""
    if found.explained < LEAST_EXPLAINED:
        return (
            "Nothing can be said: a forest explains "
            f"{max(found.explained, 0):.0%} of the score of configurations that it did not see."
        )
    return f"{said}{rest}; the forest explains {found.explained:.0%} of the score of configurations it did not see."


def what_it_confuses(tested: Answered) -> str:
    """Say where the winner fails most on the test rows."""
    if tested.preparation.task == "regression":
        return _farthest(tested)
    if tested.preparation.task == "multilabel":
        wrong = (tested.is_true != tested.is_said).sum(axis=0)
        if not wrong.any():
            return "Nothing: every label of every test row is right."
        place = int(wrong.argmax())
        missed = int((tested.is_true & ~tested.is_said)[:, place].sum())
        return (
            f"{tested.names[place]}: {int(wrong[place])} of {len(tested.rows):,} rows are wrong in it; {missed} of "
            "them have it and are said not to."
        )
    pairs = most_confused(tested)
    if not pairs:
        return "Nothing: every test row is right."
    first = pairs[0]
    weakest = min((one for one in class_scores(tested) if one.rows), key=lambda one: one.recall)
    return (
        f"{first.true} is said to be {first.said} in {first.count} of {first.rows:,} rows; the lowest recall is that "
        f"of {weakest.name}: {weakest.recall:.1%} (95% interval {weakest.recall_low:.1%} to {weakest.recall_high:.1%})."
    )


def _farthest(tested: Answered) -> str:
    said = []
    for place, name in enumerate(tested.names):
        true, error = tested.true_values[:, place], tested.said_values[:, place] - tested.true_values[:, place]
        order = true.argsort()
        tenth = max(1, len(order) // 10)
        low, high = error[order[:tenth]].mean(), error[order[-tenth:]].mean()
        said.append(
            f"{name}: it is off by {low:+.4g} on the mean where the truth is among the lowest tenth, and by "
            f"{high:+.4g} among the highest"
        )
    return f"{'; '.join(said[:3])}."


def what_it_cost(costs: Costs) -> str:
    """Say what was trained, and what that took."""
    ended = ", ".join(
        f"{count:,} {what}"
        for count, what in ((costs.pruned, "pruned"), (costs.diverged, "diverged"), (costs.failed, "failed"))
        if count
    )
    spared = f" of {costs.full_epochs:,}" if costs.full_epochs > costs.epochs else ""
    said = f"{costs.trials:,} trials{f' ({ended})' if ended else ''}, {costs.epochs:,}{spared} epochs"
    if not costs.stacks:
        return f"{said}; all were trained before, and their time was not measured here."
    wall = f"{readable_seconds(costs.search_seconds)} of search, " if costs.search_seconds else ""
    workers = f"{costs.workers} worker{'s' if costs.workers != 1 else ''}"
    return (
        f"{said}; {wall}{readable_seconds(costs.training_seconds)} of training on {workers}, "
        f"{costs.samples_per_second:,.0f} samples a second of training."
    )
