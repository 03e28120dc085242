"""Labels that networks which never saw them contradict with confidence: perhaps they are wrong.

Confident learning (Northcutt, Jiang and Chuang, Confident learning: estimating uncertainty in dataset labels, 2021,
section 3): every row is predicted by networks that were not trained on it. The threshold of a class is the mean
probability that it gets in the rows that are labelled so. A row counts as one of the classes whose probability reaches
their threshold, the most probable of these; where that is not its label, the label is in doubt. So a class that is hard
to tell, and gets low probabilities everywhere, puts no label in doubt.
"""

import numpy as np

from backprop import Network, Training, select_backend
from flows.compute.core_stack import stack_of
from flows.diagnosis.finding import Evidence, Finding
from flows.diagnosis.probes import Probe, ProbedRate
from flows.diagnosis.rates import is_too_high
from flows.diagnosis.table import Table
from flows.parameters import Hyperparameters
from flows.trials import plan_trial_on

CHECK = "label noise"

FOLDS, SEEDS, MOST_ROWS = 5, 3, 3000

HINT, WARNING = 0.03, 0.08
"""Share of the labels in doubt. Of clean digits it is one in a hundred."""

LEAST_LEARNED = 0.9
"""Part of a constant answer's validation loss below which the networks must be."""

SHOWN = 10


def check_labels(table: Table, probe: Probe) -> list[Finding]:
    """Find the labels of a classification that are in doubt."""
    if table.task != "classification" or not np.isfinite(probe.best.last_loss):
        return []
    rate = _rate(probe)
    if rate.lowest_validation_loss > LEAST_LEARNED * probe.constant_validation_loss:
        what = "not looked for: no network has learned enough to contradict a label"
        return [Finding(check=CHECK, severity="ok", what=what, evidence={"network": probe.name})]
    rows = np.arange(len(table.target))[:: max(1, -(-len(table.target) // MOST_ROWS))]
    labels = table.target[rows]
    probabilities = out_of_sample(table, probe.kind, rate, rows)
    doubtful = in_doubt(probabilities, labels)
    share = float(doubtful.mean())
    order = doubtful_first(probabilities, labels, doubtful)
    evidence: Evidence = {
        "network": probe.name,
        "rows": int(doubtful.sum()),
        "share": share,
        "of_rows": len(rows),
        "source_rows": [int(table.raw.index[row]) for row in rows[order]],
    }
    if share < HINT:
        return [
            Finding(
                check=CHECK,
                severity="ok",
                what=f"{share:.1%} of the labels are contradicted by networks that did not see them",
                evidence=evidence,
            )
        ]
    classes = table.preparation.classes or ()
    examples = [
        f"{table.places(rows[[place]])[0]}: {classes[labels[place]]!s}, rather "
        f"{classes[int(probabilities[place].argmax())]!s}"
        for place in order[:SHOWN]
    ]
    return [
        Finding(
            check=CHECK,
            severity="warning" if share >= WARNING else "hint",
            what=f"{int(doubtful.sum()):,} of {len(rows):,} labels ({share:.1%}) are contradicted with confidence by "
            "networks that did not see them",
            evidence={**evidence, "first": examples},
            remedy="look at these rows first, the clearest come first; correct or remove what is wrong. If they are "
            "right, the classes overlap, and accuracy ends below 100 %",
        )
    ]


def in_doubt(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which labels are in doubt, bool (n,).

    Parameters
    ----------
    probabilities : (n, C) array
        Of networks that did not see the rows.
    labels : (n,) int array
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    thresholds = np.bincount(labels, own, minlength=classes) / counts
    confident = probabilities >= thresholds
    likeliest = np.where(confident, probabilities, -1.0).argmax(axis=1)
    # A label that is the most probable of all is in no doubt, whatever the thresholds say.
    contradicted = (likeliest != labels) & (probabilities.argmax(axis=1) != labels)
    return np.asarray(confident.any(axis=1) & contradicted)


def doubtful_first(probabilities: np.ndarray, labels: np.ndarray, doubtful: np.ndarray) -> np.ndarray:
    """Return the places of the labels in doubt, those first of which the network is surest that they are another."""
    margin = probabilities.max(axis=1) - probabilities[np.arange(len(labels)), labels]
    places = np.flatnonzero(doubtful)
    return np.asarray(places[np.argsort(-margin[places], kind="stable")])


def out_of_sample(table: Table, like: Hyperparameters, rate: ProbedRate, rows: np.ndarray) -> np.ndarray:
    """Return the probabilities of rows, (n, C), each by networks of some seeds that were trained on the other folds.

    They train for as long as the validation loss of the probe fell: later, wrong labels are learned by heart too.
    """
    epochs = int(np.nanargmin(rate.curves["val/loss"])) + 1
    kind = like.model_copy(update={"learning_rate": rate.rate, "epochs": epochs})
    trials = [
        plan_trial_on(table.shape, kind.model_copy(update={"seed": kind.seed + repeat})) for repeat in range(SEEDS)
    ]
    stack, backend = stack_of(trials, table.task), select_backend("cpu")
    network = Network(stack.architecture, backend)
    fold = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    probabilities = np.empty((len(rows), table.shape.outputs))
    for each in range(FOLDS):
        training = Training(stack, backend)
        placed = training.place(table.samples(rows[fold != each]))
        while training.active:
            report = training.epoch(placed)
        for_fold = [network.predict(done.parameters, table.inputs[rows[fold == each]])[0] for done in report.finished]
        probabilities[fold == each] = np.mean(for_fold, axis=0)
    return probabilities


def _rate(probe: Probe) -> ProbedRate:
    """Return the best rate in validation of those asked for, or of the sweep if none of those trains."""
    good = [rate for rate in probe.asked if not is_too_high(probe, rate)] or [probe.best]
    return min(good, key=lambda rate: rate.lowest_validation_loss)
