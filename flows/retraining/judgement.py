"""Challenger, champion and baseline on the same raw test rows: what each says of them, and what is decided."""

from dataclasses import replace

import numpy as np
import pandas as pd
from prefect import task

from flows.data.outputs import Predictions, by_class
from flows.data.preparation import Preparation
from flows.data.store import Dataset, DatasetReference, open_dataset, raw_test_rows, raw_train_sample
from flows.errors import RunFailedError, TableError
from flows.evaluation.paired_metrics import Answers, check_answers
from flows.parameters import PromotionParameters
from flows.retraining.clean_process import UnservableError, check_in_clean_process
from flows.retraining.promotion import (
    Comparison,
    Decision,
    baseline_answers,
    check_metrics,
    decide,
    needs_probabilities,
)
from flows.retraining.slices import check_slices
from flows.tracking.decisions import is_rolled_back
from flows.tracking.registry import CHAMPION, RegisteredVersion, load_registered
from flows.tracking.store import Tracking

SAMPLE_ROWS = 5
"""Rows that a challenger must answer in a clean process: those that its signature was made of."""


def check_promotion(promotion: PromotionParameters, dataset: Dataset) -> None:
    """Raise an InputError if a metric or a column asked for is none of the data, before anything is trained."""
    check_metrics(promotion, dataset.preparation)
    check_slices(promotion.guards.slices, [*dataset.preparation.columns, *dataset.preparation.targets])


@task(
    name="judge-challenger",
    task_run_name="judge {challenger.name} version {challenger.version}",
    persist_result=False,
)
def judge(
    tracking: Tracking,
    dataset: DatasetReference,
    challenger: RegisteredVersion,
    champion: RegisteredVersion | None,
    promotion: PromotionParameters,
) -> Decision:
    """Measure challenger, champion and baseline on the same raw test rows, and decide.

    One that would be promoted must load in a clean process and answer there as it does here.

    Raises
    ------
    RunFailedError
        A version cannot be measured on this data.
    """
    opened = open_dataset(dataset)
    preparation = opened.preparation
    rows = raw_test_rows(opened)
    target, features = rows[list(preparation.targets)], rows.drop(columns=list(preparation.targets))
    with_probabilities = needs_probabilities(promotion) and preparation.task != "regression"

    def answers(version: RegisteredVersion) -> Answers:
        return answers_of(tracking, version, features, preparation, with_probabilities)

    comparison = Comparison(
        preparation=preparation,
        features=features,
        target=target,
        challenger=answers(challenger),
        baseline=baseline_answers(preparation, np.asarray(opened.train.target), len(rows)),
        champion=None if champion is None else answers(champion),
    )
    decision = decide(comparison, promotion)
    return checked(tracking, opened, challenger, decision, promotion) if decision.promoted else decision


def answers_of(
    tracking: Tracking,
    version: RegisteredVersion,
    features: pd.DataFrame,
    preparation: Preparation,
    with_probabilities: bool,
) -> Answers:
    """Return what a version says of raw rows.

    Raises
    ------
    RunFailedError
        It cannot read them, or predicts something else than the targets.
    """
    model = load_registered(tracking, version)
    try:
        answers = Answers(
            model.predict(None, features),
            _probabilities(model.predict(None, features, {"probabilities": True})) if with_probabilities else None,
        )
        check_answers(preparation, answers)
    except TableError as error:
        raise RunFailedError(
            f"{version.name} version {version.version} cannot be measured on this data: {error}; "
            f"train under another model name, or take the alias {CHAMPION} off that version"
        ) from error
    return answers


def _probabilities(answered: Predictions) -> pd.DataFrame:
    if not isinstance(answered, pd.DataFrame) or (said := by_class(answered)).empty:
        raise TableError("it gives no probabilities")
    return said


def checked(
    tracking: Tracking,
    dataset: Dataset,
    challenger: RegisteredVersion,
    decision: Decision,
    promotion: PromotionParameters,
) -> Decision:
    """Return a decision to promote, or its opposite where the challenger may not be, or is of no use elsewhere."""
    taken_back = is_rolled_back(tracking, challenger)
    if taken_back is not None:
        return refused(
            decision, f"version {challenger.version} was taken back by a rollback at {taken_back}; promote it by hand"
        )
    if not promotion.clean_process:
        return decision
    sample = raw_train_sample(dataset).drop(columns=list(dataset.preparation.targets)).head(SAMPLE_ROWS)
    expected = load_registered(tracking, challenger).predict(None, sample)
    try:
        check_in_clean_process(tracking, challenger, sample, expected)
    except UnservableError as error:
        return refused(decision, f"version {challenger.version} is of no use in a clean process: {error}")
    return decision


def refused(decision: Decision, why: str) -> Decision:
    """Return a decision to promote as one to refuse, for another reason than its numbers."""
    reason = f"refused: {why}. On its numbers it would have been {decision.reason}"
    return replace(decision, promoted=False, reason=reason)
