"""The direction of every metric: an accuracy is better when larger, an error when smaller."""

from dataclasses import replace

from flows.ranking import objective, rank
from flows.tracking.search_runs import TrialRecord


def record(name: str, diverged_at: int | None = None, **metrics: float) -> TrialRecord:
    values = {f"val/{metric}": value for metric, value in metrics.items()}
    return TrialRecord(name, name, name, {}, values, diverged_at)


def names(records: list[TrialRecord]) -> list[str]:
    return [ranked.name for ranked in records]


def test_classification_ranks_the_highest_accuracy_first() -> None:
    records = [record("low", accuracy=0.5, loss=0.1), record("high", accuracy=0.9, loss=0.9)]

    assert names(rank(records, objective("classification"))) == ["high", "low"]


def test_regression_ranks_the_lowest_error_first() -> None:
    records = [record("far", rmse=9.0, r2=0.1, loss=2.0), record("near", rmse=1.0, r2=0.9, loss=1.0)]

    assert names(rank(records, objective("regression"))) == ["near", "far"]


def test_several_labels_rank_the_lowest_loss_first_however_many_rows_have_all_labels_right() -> None:
    records = [record("lucky", accuracy=0.5, loss=2.0), record("sure", accuracy=0.4, loss=1.0)]

    assert names(rank(records, objective("multilabel"))) == ["sure", "lucky"]


def test_the_lower_validation_loss_decides_between_equals() -> None:
    records = [record("unsure", accuracy=0.9, loss=0.8), record("sure", accuracy=0.9, loss=0.2)]

    assert names(rank(records, objective("classification"))) == ["sure", "unsure"]


def test_a_diverged_trial_has_no_rank_however_good_its_last_number() -> None:
    records = [record("diverged", diverged_at=3, accuracy=0.99, loss=0.1), record("sound", accuracy=0.2, loss=2.0)]

    assert names(rank(records, objective("classification"))) == ["sound"]


def test_a_pruned_trial_ranks_after_all_that_were_not_however_good_its_last_number() -> None:
    pruned = [
        replace(record(name, accuracy=score, loss=0.1), pruned_at=1) for name, score in (("low", 0.8), ("high", 0.99))
    ]

    ranked = rank([*pruned, record("full", accuracy=0.2, loss=2.0)], objective("classification"))

    assert names(ranked) == ["full", "high", "low"]


def test_better_is_strict_in_both_directions() -> None:
    assert objective("classification").better(0.9, 0.8)
    assert not objective("classification").better(0.8, 0.8)
    assert objective("regression").better(1.0, 2.0)
    assert not objective("regression").better(2.0, 1.0)
