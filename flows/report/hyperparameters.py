"""What each hyperparameter did to the score: by a random forest over the configurations, and value by value.

The forest learns the score from the hyperparameters. A hyperparameter matters as much as its predictions get worse when
that one is shuffled among the configurations (permutation importance: Breiman, Random forests, 2001). Every
configuration is predicted by the trees that were grown without it, so what counts is what holds for configurations that
were not seen, and an R2 says how much the forest knows at all.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from flows.parameters import HYPERPARAMETERS
from flows.ranking import Candidate, Objective

Numbers = npt.NDArray[np.float64]

NAMES = frozenset({"hidden", "activation", "optimizer"})
"""Those whose values are no numbers."""

LEAST_CONFIGURATIONS = 12
"""With fewer there is nothing for a forest to learn from."""
MOST_CONFIGURATIONS = 1000
"""Of more, so many are drawn: the forest's time grows with them, and its answer hardly changes."""
FORESTS = 3
TREES = 60
SHUFFLES = 10
MOST_VALUES = 12
"""Of a hyperparameter with more values, or whose most values come once, its range is cut into bins."""
BINS = 6
"""Of as many configurations each; a value that alone has as many stays alone, as 0 does that switches something off."""


@dataclass(frozen=True)
class Importance:
    """How much of the variance of the score a forest explains by one hyperparameter, over forests and shuffles.

    Attributes
    ----------
    value : float
        Median fall of R2; about 0 for one that does nothing, and more than 1 is possible.
    low, high : float
        The middle 90% of the repetitions: chance of the forest and of the shuffle, not of other trials.
    """

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Importances:
    """All of them, the largest first.

    Attributes
    ----------
    explained : float
        R2 of the forest on configurations that it did not see.
    configurations : int
        On which it rests.
    """

    each: tuple[Importance, ...]
    explained: float
    configurations: int


@dataclass(frozen=True)
class ValueScores:
    """The scores of all configurations that share a value, or a range of values, of a hyperparameter."""

    value: str
    count: int
    median: float
    low: float
    high: float
    diverged: int


def varying(candidates: Sequence[Candidate]) -> list[str]:
    """Return the hyperparameters that take more than one value among configurations.

    Seeds that each configuration repeats are none of them: they are members of one configuration.
    """
    return [name for name in HYPERPARAMETERS if len({value_of(one, name) for one in candidates}) > 1]


def value_of(candidate: Candidate, name: str) -> str | float:
    """Return the value that a configuration has, a number if it is one; 0 of what its optimiser does not have."""
    text = candidate.members[0].params.get(name, "0")
    return text if name in NAMES else float(text)


def measure_importances(ranked: Sequence[Candidate], goal: Objective) -> Importances | None:
    """Return the importance of every hyperparameter that varies; None where there is too little to learn from.

    Configurations that were pruned count with the score they had when they were. Those that diverged have none.
    """
    # Here and not above: half a second, which a command that makes no report should not take.
    from sklearn.inspection import permutation_importance

    names = varying(ranked)
    if len(ranked) < LEAST_CONFIGURATIONS or not names:
        return None
    drawn = list(ranked)
    if len(drawn) > MOST_CONFIGURATIONS:
        places = np.random.default_rng(0).choice(len(drawn), MOST_CONFIGURATIONS, replace=False)
        drawn = [drawn[place] for place in sorted(places)]
    scores = np.array([one.metrics[goal.metric] for one in drawn])
    if np.ptp(scores) == 0:
        return None
    codes, tables = encode(drawn, names)
    falls, explained = [], []
    for seed in range(FORESTS):
        forest = UnseenForest(tables, seed).fit(codes, scores)
        found = permutation_importance(forest, codes, scores, n_repeats=SHUFFLES, random_state=seed)
        falls.append(found.importances)
        explained.append(forest.score(codes, scores))
    all_falls = np.concatenate(falls, axis=1)
    each = [
        Importance(name, *(float(q) for q in np.quantile(fall, [0.5, 0.05, 0.95])))
        for name, fall in zip(names, all_falls, strict=True)
    ]
    return Importances(tuple(sorted(each, key=lambda one: -one.value)), float(np.median(explained)), len(drawn))


class UnseenForest:
    """A random forest that predicts each of the rows it was fitted on with the trees that did not see it.

    Rows are codes of values, (N, hyperparameters), and the tables say what a code stands for. Scikit-learn's inspection
    asks it as any regressor.
    """

    def __init__(self, tables: Sequence[Numbers], seed: int) -> None:
        from sklearn.ensemble import RandomForestRegressor

        self._tables = tables
        self._forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=seed)
        self._unseen = np.empty((0, 0), dtype=bool)

    def fit(self, codes: npt.NDArray[np.int64], scores: Numbers) -> "UnseenForest":
        """Grow the trees."""
        self._forest.fit(self._inputs(codes), scores)
        self._unseen = np.ones((TREES, len(codes)), dtype=bool)
        for unseen, sampled in zip(self._unseen, self._forest.estimators_samples_, strict=True):
            unseen[sampled] = False
        return self

    def predict(self, codes: npt.NDArray[np.int64]) -> Numbers:
        """Return the mean of the trees that did not see a row; of all of them if every one did."""
        inputs = self._inputs(codes)
        each = np.stack([tree.tree_.predict(inputs)[:, 0] for tree in self._forest.estimators_])
        seen_by_all = ~self._unseen.any(axis=0)
        return np.asarray(np.average(each, axis=0, weights=self._unseen | seen_by_all))

    def score(self, codes: npt.NDArray[np.int64], scores: Numbers) -> float:
        """Return R2."""
        return float(1 - ((scores - self.predict(codes)) ** 2).sum() / ((scores - scores.mean()) ** 2).sum())

    def _inputs(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        columns = [table[code] for table, code in zip(self._tables, np.asarray(codes).T, strict=True)]
        return np.hstack(columns).astype(np.float32)


def encode(candidates: Sequence[Candidate], names: Sequence[str]) -> tuple[npt.NDArray[np.int64], list[Numbers]]:
    """Return a code for each value of each hyperparameter, (N, names), and what the codes stand for.

    A table has a row a code: numbers stand for themselves, names for a column each, and hidden widths for the number of
    layers and the width of each. So a hyperparameter is shuffled as a whole.
    """
    codes, tables = [], []
    for name in names:
        chosen = [value_of(one, name) for one in candidates]
        values = sorted(set(chosen), key=str)
        places = {value: place for place, value in enumerate(values)}
        codes.append([places[value] for value in chosen])
        if name == "hidden":
            tables.append(_widths([str(value) for value in values]))
        elif name in NAMES:
            tables.append(np.eye(len(values)))
        else:
            tables.append(np.array([[cast(float, value)] for value in values]))
    return np.array(codes, dtype=np.int64).T, tables


def _widths(values: Sequence[str]) -> Numbers:
    layers = [[] if value == "linear" else [float(width) for width in value.split("-")] for value in values]
    deepest = max(map(len, layers), default=0)
    return np.array([[len(widths), *widths, *[0.0] * (deepest - len(widths))] for widths in layers])


def scores_by_value(
    ranked: Sequence[Candidate], diverged: Sequence[Candidate], name: str, goal: Objective
) -> list[ValueScores]:
    """Return the median score and its quartiles for each value of a hyperparameter, in order of the values."""
    group, order = _groups([*ranked, *diverged], name)
    found = []
    for label in order:
        scores = [one.metrics[goal.metric] for one in ranked if group(one) == label]
        lost = sum(group(one) == label for one in diverged)
        low, median, high = np.quantile(scores, [0.25, 0.5, 0.75]) if scores else (np.nan,) * 3
        found.append(ValueScores(label, len(scores), float(median), float(low), float(high), lost))
    return found


def _groups(candidates: Sequence[Candidate], name: str) -> tuple[Callable[[Candidate], str], list[str]]:
    """Return what a configuration counts as, and all there is, in order."""
    counts = Counter(value_of(one, name) for one in candidates)
    values: list[Any] = sorted(counts)
    scattered = len(values) > MOST_VALUES or (len(values) > BINS and median(counts.values()) < 2)
    if name in NAMES or not scattered:
        if name == "hidden":
            values.sort(key=lambda text: [] if text == "linear" else [int(width) for width in text.split("-")])
        if len(values) > 2 * MOST_VALUES:
            return _by_layers(candidates)
        return (lambda one: shown(value_of(one, name))), [shown(value) for value in values]
    return _binned(candidates, name, [value for value in values if counts[value] * BINS > len(candidates)])


def _binned(
    candidates: Sequence[Candidate], name: str, alone: Sequence[float]
) -> tuple[Callable[[Candidate], str], list[str]]:
    every = np.array([cast(float, value_of(one, name)) for one in candidates])
    edges = np.unique(np.quantile(every[~np.isin(every, alone)], np.linspace(0, 1, BINS + 1)))
    bins = [(low, f"{low:.3g} to {high:.3g}") for low, high in pairwise(edges)]

    def bin_of(one: Candidate) -> str:
        value = cast(float, value_of(one, name))
        if value in alone:
            return shown(value)
        return bins[min(int(np.searchsorted(edges, value, side="right")) - 1, len(bins) - 1)][1]

    return bin_of, [label for _, label in sorted([*bins, *((value, shown(value)) for value in alone)])]


def _by_layers(candidates: Sequence[Candidate]) -> tuple[Callable[[Candidate], str], list[str]]:
    def layers(one: Candidate) -> str:
        count = one.members[0].params["n_layers"]
        return f"{count} hidden layer{'' if count == '1' else 's'}"

    return layers, sorted({layers(one) for one in candidates})


def shown(value: str | float) -> str:
    """Return a value as a chart has it."""
    return value if isinstance(value, str) else f"{value:.4g}"
