"""The winner on the test rows: its answers, its measures with intervals, and what they show of its mistakes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from flows.data.preparation import LABEL_THRESHOLD, Preparation
from flows.data.store import raw_test_rows
from flows.evaluation.groups import wilson
from flows.evaluation.measures import Measure, PartMeasures, tally_for
from flows.evaluation.networks import outputs_on, read_network
from flows.report.leads import CONFIDENCE
from flows.report.searched import Searched

Numbers = npt.NDArray[np.float64]

CALIBRATION_BINS = 10
MOST_CURVE_POINTS = 120
"""Of a ROC or a precision-recall curve."""


@dataclass(frozen=True)
class Answered:
    """What the winner said of the test rows.

    Attributes
    ----------
    rows : pandas.DataFrame
        As they were read, targets included.
    target : (N,) or (N, C) array
        As the dataset has it.
    outputs : (N, C) array
        Probabilities or standardised values.
    measures : tuple of Measure
        Of all rows; the first is what is said first.
    parts : tuple of PartMeasures
        Of each class, label or target; the interval is of the first measure.
    """

    preparation: Preparation
    rows: pd.DataFrame
    target: npt.NDArray[np.generic]
    outputs: Numbers
    measures: tuple[Measure, ...]
    parts: tuple[PartMeasures, ...]

    @property
    def names(self) -> list[str]:
        """What the outputs are of: classes, labels or targets."""
        if self.preparation.classes is not None:
            return [str(label) for label in self.preparation.classes]
        return list(self.preparation.targets)

    @cached_property
    def is_true(self) -> npt.NDArray[np.bool_]:
        """Which class or label each row has, (N, C)."""
        if self.preparation.classes is None:
            return np.asarray(self.target, dtype=np.float64) > 0
        return np.asarray(np.asarray(self.target)[:, None] == np.arange(len(self.preparation.classes)))

    @cached_property
    def is_said(self) -> npt.NDArray[np.bool_]:
        """Which class or label each row is said to have, (N, C)."""
        if self.preparation.classes is None:
            return np.asarray(self.outputs > LABEL_THRESHOLD)
        return np.asarray(self.outputs.argmax(axis=1)[:, None] == np.arange(self.outputs.shape[1]))

    @cached_property
    def true_values(self) -> Numbers:
        """The quantities of a regression in their units, (N, targets)."""
        return self.rows[list(self.preparation.targets)].to_numpy(np.float64)

    @cached_property
    def said_values(self) -> Numbers:
        """What it predicts of the quantities, in their units, (N, targets)."""
        scale, mean = np.array(self.preparation.target_scale), np.array(self.preparation.target_mean)
        return np.asarray(self.outputs * scale + mean)


def answer_test_rows(searched: Searched) -> Answered:
    """Let the winner answer the test rows, and measure."""
    dataset = searched.dataset
    rows = raw_test_rows(dataset)
    outputs = outputs_on(read_network(searched.run, searched.winner), dataset, dataset.test)
    tally = tally_for(dataset.preparation)
    tally.add(rows[list(dataset.preparation.targets)], outputs)
    return Answered(
        preparation=dataset.preparation,
        rows=rows,
        target=np.asarray(dataset.test.target),
        outputs=outputs.astype(np.float64),
        measures=tuple(tally.measures(CONFIDENCE)),
        parts=tuple(tally.parts(CONFIDENCE)),
    )


@dataclass(frozen=True)
class ClassScore:
    """Precision and recall of one class or label, each with its interval."""

    name: str
    rows: int
    said: int
    recall: float
    recall_low: float
    recall_high: float
    precision: float
    precision_low: float
    precision_high: float


def class_scores(tested: Answered) -> list[ClassScore]:
    """Return precision and recall of every class or label with Wilson's intervals; nothing is known of no rows."""
    true, said = tested.is_true.sum(axis=0), tested.is_said.sum(axis=0)
    both = (tested.is_true & tested.is_said).sum(axis=0)
    scores = []
    for name, t, s, b in zip(tested.names, true.tolist(), said.tolist(), both.tolist(), strict=True):
        recall, precision = (b / t if t else float("nan")), (b / s if s else float("nan"))
        scores.append(ClassScore(name, t, s, recall, *wilson(b, t, CONFIDENCE), precision, *wilson(b, s, CONFIDENCE)))
    return scores


def confusion(tested: Answered) -> npt.NDArray[np.int64]:
    """Return how many rows of each class are said to be of each, (true, said)."""
    return np.asarray(tested.is_true.astype(np.int64).T @ tested.is_said.astype(np.int64))


@dataclass(frozen=True)
class Confused:
    """Rows of one class that are said to be of another."""

    true: str
    said: str
    count: int
    rows: int


def most_confused(tested: Answered) -> list[Confused]:
    """Return the pairs of classes that are taken for one another, the most often first."""
    counts, names = confusion(tested), tested.names
    rows = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    pairs = sorted(zip(*np.nonzero(counts), strict=True), key=lambda pair: -counts[pair])
    return [Confused(names[i], names[j], int(counts[i, j]), int(rows[i])) for i, j in pairs]


@dataclass(frozen=True)
class Threshold:
    """The curves of one class or label as its threshold falls: false and true positives, recall and precision."""

    name: str
    false_positive: Numbers
    true_positive: Numbers
    area: float
    recall: Numbers
    precision: Numbers
    average_precision: float
    share: float


def thresholds(tested: Answered) -> list[Threshold]:
    """Return the curves of each class against the others, or of each label; of two classes those of the second.

    Classes that no test row has, or every one, have none.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    found = []
    binary = tested.preparation.classes is not None and len(tested.names) == 2
    for place, name in enumerate(tested.names):
        true, likely = tested.is_true[:, place], tested.outputs[:, place]
        if (binary and place == 0) or not true.any() or true.all():
            continue
        wrong, right, _ = roc_curve(true, likely)
        precision, recall, _ = precision_recall_curve(true, likely)
        found.append(
            Threshold(
                name,
                *_thinned(wrong, right),
                float(roc_auc_score(true, likely)),
                *_thinned(recall, precision),
                float(average_precision_score(true, likely)),
                float(true.mean()),
            )
        )
    return found


def _thinned(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    places = np.unique(np.linspace(0, len(x) - 1, MOST_CURVE_POINTS).astype(int))
    return x[places], y[places]


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions of about the same probability: what it was on the mean, and how many were right."""

    likely: float
    right: float
    low: float
    high: float
    count: int


def calibration(tested: Answered) -> list[CalibrationBin]:
    """Return how often predictions come true, by the probability that they had, in bins of equal width.

    Of a classification the prediction is the likeliest class, of two classes the second; of labels it is each label.
    """
    likely, right = _told(tested)
    place = np.minimum((likely * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    found = []
    for each in range(CALIBRATION_BINS):
        here = place == each
        if count := int(here.sum()):
            low, high = wilson(float(right[here].sum()), count, CONFIDENCE)
            found.append(CalibrationBin(float(likely[here].mean()), float(right[here].mean()), low, high, count))
    return found


def calibration_error(bins: list[CalibrationBin]) -> float:
    """Return the mean distance of what was said from what came true, weighted by rows (expected calibration error)."""
    return sum(each.count * abs(each.likely - each.right) for each in bins) / sum(each.count for each in bins)


def _told(tested: Answered) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    if tested.preparation.classes is None:
        return tested.outputs.ravel(), tested.is_true.ravel()
    if len(tested.names) == 2:
        return tested.outputs[:, 1], tested.is_true[:, 1]
    return np.asarray(tested.outputs.max(axis=1)), np.asarray((tested.is_true & tested.is_said).any(axis=1))


@dataclass(frozen=True)
class Mistake:
    """A row that was answered wrongly: what was true, what was said, and how sure or how far off."""

    row: int
    true: str
    said: str
    how: str


def mistakes(tested: Answered) -> Iterator[Mistake]:
    """Yield wrong answers, the worst first: the surest of classes and labels, the farthest off of quantities."""
    task, names = tested.preparation.task, tested.names
    if task == "classification":
        said = tested.outputs.argmax(axis=1)
        wrong = np.flatnonzero(said != tested.target)
        sure = tested.outputs[wrong, said[wrong]]
        for row in wrong[np.argsort(-sure, kind="stable")]:
            true = int(tested.target[row])
            yield Mistake(int(row), names[true], names[said[row]], f"{tested.outputs[row, said[row]]:.1%} sure")
    elif task == "multilabel":
        for row, place in _surest_labels(tested):
            likely = tested.outputs[row, place]
            is_true = bool(tested.is_true[row, place])
            yield Mistake(
                row, f"{names[place]}: {'yes' if is_true else 'no'}", "no" if is_true else "yes", f"{likely:.1%} likely"
            )
    else:
        error = (tested.said_values - tested.true_values) / np.array(tested.preparation.target_scale)
        for row in np.argsort(-np.abs(error).max(axis=1), kind="stable"):
            place = int(np.abs(error[row]).argmax())
            yield Mistake(
                int(row),
                f"{names[place] if len(names) > 1 else ''} {tested.true_values[row, place]:.5g}".strip(),
                f"{tested.said_values[row, place]:.5g}",
                f"{tested.said_values[row, place] - tested.true_values[row, place]:+.4g}",
            )


def _surest_labels(tested: Answered) -> Iterator[tuple[int, int]]:
    rows, places = np.nonzero(tested.is_true != tested.is_said)
    sure = np.abs(tested.outputs[rows, places] - LABEL_THRESHOLD)
    for each in np.argsort(-sure, kind="stable"):
        yield int(rows[each]), int(places[each])
