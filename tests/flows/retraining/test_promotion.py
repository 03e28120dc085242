from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from flows.data.preparation import Preparation, Task
from flows.errors import TableError
from flows.evaluation.paired_metrics import METRICS, Answers, PairedMetric, check_answers
from flows.parameters import PromotionParameters
from flows.retraining.promotion import Comparison, Decision, Gain, baseline_answers, measure_gain
from flows.retraining.promotion import decide as decide_between

ROWS = 200
DEFAULT = PromotionParameters()

BY_TASK: dict[Task, Preparation] = {
    "classification": Preparation(task="classification", targets=("kind",), classes=("no", "yes")),
    "multilabel": Preparation(task="multilabel", targets=("sport", "art")),
    "regression": Preparation(task="regression", targets=("price",), target_mean=(0.0,), target_scale=(1.0,)),
}


def decide(
    task: Task,
    challenger: np.ndarray,
    baseline: np.ndarray,
    champion: np.ndarray | None,
    promotion: PromotionParameters,
) -> Decision:
    """Decide between models of which it is known how right each of their answers is."""
    return decide_between(compared(task, challenger, baseline, champion), promotion)


def compared(
    task: Task,
    challenger: np.ndarray,
    baseline: np.ndarray,
    champion: np.ndarray | None,
    features: pd.DataFrame | None = None,
) -> Comparison:
    preparation = BY_TASK[task]
    truth = {"classification": "yes", "multilabel": 1, "regression": 0.0}[task]
    target = pd.DataFrame(dict.fromkeys(preparation.targets, [truth] * len(challenger)))
    return Comparison(
        preparation=preparation,
        features=pd.DataFrame(index=target.index) if features is None else features,
        target=target,
        challenger=answers(task, challenger),
        baseline=answers(task, baseline),
        champion=None if champion is None else answers(task, champion),
    )


def answers(task: Task, scores: np.ndarray) -> Answers:
    """Return answers that are as right as the scores say; of a regression, as wrong as their roots."""
    if task == "classification":
        sure = pd.DataFrame({"no": 0.8 - 0.6 * scores, "yes": 0.2 + 0.6 * scores})
        return Answers(np.where(scores == 1, "yes", "no").astype(object), sure)
    if task == "multilabel":
        return Answers(pd.DataFrame(dict.fromkeys(("sport", "art"), scores.astype(int))))
    return Answers(np.sqrt(scores))


def gain_of(task: Task, ours: np.ndarray, theirs: np.ndarray, confidence: float) -> Gain:
    metric: PairedMetric = METRICS["rmse" if task == "regression" else "accuracy"]
    return measure_gain(metric, *(np.column_stack([np.ones(len(rows)), rows]) for rows in (ours, theirs)), confidence)


def right(share: float, rows: int = ROWS) -> np.ndarray:
    """Row scores of a classifier that is right on the first `share` of the rows, so the better one is right wherever
    the worse one is."""
    return (np.arange(rows) < round(share * rows)).astype(float)


def errors(rmse: float, rows: int = ROWS) -> np.ndarray:
    """Row scores of a regression whose errors are `rmse` times the same standard normal draws."""
    squares = np.random.default_rng(5).normal(size=rows) ** 2
    return squares / squares.mean() * rmse**2


@pytest.mark.parametrize(
    ("task", "challenger", "baseline", "champion", "promoted"),
    [
        pytest.param("classification", right(0.9), right(0.3), right(0.7), True, id="classes-better"),
        pytest.param("classification", right(0.7), right(0.3), right(0.7), False, id="classes-equal"),
        pytest.param("classification", right(0.7), right(0.3), right(0.9), False, id="classes-worse"),
        pytest.param("classification", right(0.7), right(0.3), None, True, id="classes-first-champion"),
        pytest.param("classification", right(0.3), right(0.3), None, False, id="classes-first-learnt-nothing"),
        pytest.param("classification", right(0.3), right(0.3), right(0.1), False, id="classes-learnt-nothing"),
        pytest.param("multilabel", right(0.9), right(0.3), right(0.7), True, id="labels-better"),
        pytest.param("multilabel", right(0.7), right(0.3), right(0.9), False, id="labels-worse"),
        pytest.param("regression", errors(1.0), errors(3.0), errors(2.0), True, id="quantity-better"),
        pytest.param("regression", errors(2.0), errors(3.0), errors(2.0), False, id="quantity-equal"),
        pytest.param("regression", errors(2.0), errors(3.0), errors(1.0), False, id="quantity-worse"),
        pytest.param("regression", errors(2.0), errors(3.0), None, True, id="quantity-first-champion"),
        pytest.param("regression", errors(3.0), errors(3.0), None, False, id="quantity-first-learnt-nothing"),
        pytest.param("regression", errors(3.0), errors(3.0), errors(4.0), False, id="quantity-learnt-nothing"),
    ],
)
def test_only_a_challenger_that_beats_baseline_and_champion_is_promoted(
    task: Task, challenger: np.ndarray, baseline: np.ndarray, champion: np.ndarray | None, promoted: bool
) -> None:
    decision = decide(task, challenger, baseline, champion, DEFAULT)

    assert decision.promoted is promoted
    assert decision.reason.startswith("promoted: " if promoted else "refused: ")


def test_the_reason_tells_both_scores_and_the_gain() -> None:
    decision = decide("classification", right(0.9), right(0.3), right(0.7), DEFAULT)

    assert "accuracy 0.9 against the champion's 0.7, a gain of 0.2" in decision.reason
    assert decision.over_champion is not None
    assert decision.over_champion.value == pytest.approx(0.2)
    assert decision.over_baseline.value == pytest.approx(0.6)


def test_an_rmse_is_in_the_unit_of_the_target_and_a_smaller_one_is_a_gain() -> None:
    gain = gain_of("regression", errors(1.5), errors(2.0), confidence=0.95)

    assert gain.challenger == pytest.approx(1.5)
    assert gain.other == pytest.approx(2.0)
    assert gain.value == pytest.approx(0.5)
    assert 0 < gain.at_least < gain.value


def test_a_gain_that_luck_explains_is_refused() -> None:
    """Two rows of two hundred: better on paper, and gone in every twentieth draw of the rows."""
    ours, theirs = right(0.80), right(0.80)
    ours[[190, 191, 192, 193, 194]] = 1
    theirs[[195, 196, 197]] = 1

    decision = decide("classification", ours, right(0.3), theirs, DEFAULT)

    assert decision.over_champion is not None
    assert decision.over_champion.value > 0
    assert not decision.promoted


def test_the_bound_of_the_gain_must_exceed_min_gain() -> None:
    bound = gain_of("classification", right(0.9), right(0.7), DEFAULT.confidence).at_least

    def promoted(min_gain: float) -> bool:
        asked = PromotionParameters(min_gain=min_gain)
        return decide("classification", right(0.9), right(0.3), right(0.7), asked).promoted

    assert promoted(bound - 1e-9)
    assert not promoted(bound)
    assert not promoted(0.5)


@pytest.mark.parametrize(
    ("task", "ours", "theirs"),
    [("classification", right(0.9), right(0.7)), ("regression", errors(1.0), errors(2.0))],
)
def test_more_confidence_leaves_a_smaller_bound(task: Task, ours: np.ndarray, theirs: np.ndarray) -> None:
    bounds = [gain_of(task, ours, theirs, confidence).at_least for confidence in (0.6, 0.8, 0.95, 0.99)]

    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[-1]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_bound_is_that_of_a_plain_paired_bootstrap(task: Task) -> None:
    rng = np.random.default_rng(1)
    if task == "classification":
        ours, theirs = (rng.random((2, ROWS)) < [[0.85], [0.75]]).astype(float)
    else:
        ours, theirs = rng.normal(size=(2, ROWS)) ** 2 * [[1.0], [4.0]]

    gains = []
    for _ in range(20_000):
        rows = rng.integers(0, ROWS, ROWS)
        mine, other = ours[rows].mean(), theirs[rows].mean()
        gains.append(mine - other if task == "classification" else np.sqrt(other) - np.sqrt(mine))

    bound = gain_of(task, ours, theirs, confidence=0.9).at_least
    # The bound of 2,000 draws scatters by about 4 % of the gain's standard error.
    assert bound == pytest.approx(np.quantile(gains, 0.1), abs=0.15 * np.std(gains))


def test_pairs_stay_together() -> None:
    """The champion is wrong in one row more: as pairs a small gain, as two independent samples lost in the noise."""
    theirs = (np.arange(1000) % 2).astype(float)
    ours = theirs.copy()
    ours[:200] = 1

    assert gain_of("classification", ours, theirs, confidence=0.95).at_least == pytest.approx(0.085, abs=0.01)


def test_a_decision_is_the_same_every_time() -> None:
    decisions = {decide("regression", errors(1.9), errors(3.0), errors(2.0), DEFAULT) for _ in range(3)}

    assert len(decisions) == 1


def test_how_much_is_drawn_at_once_does_not_change_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gain_of("classification", right(0.9), right(0.7), confidence=0.95)
    monkeypatch.setattr("flows.retraining.promotion.ROWS_AT_ONCE", 7 * ROWS)

    assert gain_of("classification", right(0.9), right(0.7), confidence=0.95) == whole


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_single_test_row_promotes_nobody(task: Task) -> None:
    perfect, wrong = (np.ones(1), np.zeros(1)) if task == "classification" else (np.zeros(1), np.ones(1))

    assert not decide(task, perfect, wrong, None, DEFAULT).promoted


def test_a_challenger_whose_predictions_overflow_is_refused() -> None:
    decision = decide("regression", np.full(ROWS, np.nan), errors(3.0), None, DEFAULT)

    assert not decision.promoted


CLASSES = Preparation(task="classification", targets=("kind",), classes=("a", "b", "c"))
QUANTITY = Preparation(task="regression", targets=("price",), target_mean=(3.0,), target_scale=(7.0,))
QUANTITIES = Preparation(
    task="regression", targets=("price", "rooms"), target_mean=(300.0, 3.0), target_scale=(100.0, 2.0)
)
LABELS = Preparation(task="multilabel", targets=("sport", "art", "money", "news"))


def scores(preparation: Preparation, target: pd.DataFrame, predicted: np.ndarray | pd.DataFrame) -> list[float]:
    """Return what each row counts in the metric that decides unless another is asked for."""
    metric = METRICS["rmse" if preparation.task == "regression" else "accuracy"]
    return metric.statistics(preparation, target, Answers(predicted))[:, 1].tolist()


def test_a_right_label_scores_one_and_a_wrong_one_none() -> None:
    target = pd.DataFrame({"kind": ["a", "b", "b"]})

    assert scores(CLASSES, target, np.array(["a", "a", "b"], dtype=object)) == [1, 0, 1]


def test_a_quantity_scores_its_squared_error_in_its_own_unit() -> None:
    target = pd.DataFrame({"price": [1, 2, 3]})

    assert scores(QUANTITY, target, np.array([1.0, 0.0, 6.0])) == [0, 4, 9]


def test_several_quantities_score_the_mean_of_their_squared_errors_in_standard_deviations() -> None:
    target = pd.DataFrame({"rooms": [3, 3], "price": [300.0, 500.0]})
    predicted = pd.DataFrame({"price": [400.0, 500.0], "rooms": [3.0, 7.0]})

    assert scores(QUANTITIES, target, predicted) == [0.5, 2.0]


def test_several_labels_score_the_part_of_them_that_is_right() -> None:
    target = pd.DataFrame({"sport": [True, False], "art": [1, 0], "money": [0, 0], "news": ["true", "false"]})
    predicted = pd.DataFrame({name: [1, 0] for name in reversed(LABELS.targets)})

    assert scores(LABELS, target, predicted) == [0.75, 1.0]


@pytest.mark.parametrize(
    ("preparation", "predicted", "message"),
    [
        (QUANTITIES, np.zeros(2), "it predicts one target, and these are 2"),
        (LABELS, np.zeros(2), "it predicts one target, and these are 4"),
        (
            QUANTITY,
            pd.DataFrame({"price": [1.0], "rooms": [1.0]}),
            "it predicts price, rooms, and the targets are price",
        ),
        (QUANTITIES, pd.DataFrame({"price": [1.0], "cost": [1.0]}), "it predicts price, cost, and the targets are"),
        (QUANTITY, np.array(["a", "b"], object), "it predicts labels, and price holds numbers"),
    ],
)
def test_a_model_of_other_targets_cannot_be_judged(
    preparation: Preparation, predicted: np.ndarray | pd.DataFrame, message: str
) -> None:
    with pytest.raises(TableError, match=message):
        check_answers(preparation, Answers(predicted))


@pytest.mark.parametrize(
    ("preparation", "trained_on", "expected"),
    [
        (CLASSES, np.array([1, 0, 1]), ["b", "b"]),
        (CLASSES, np.array([2, 0, 2, 0]), ["a", "a"]),
        (QUANTITY, np.array([[0.0], [1.0], [5.0]]), [17.0, 17.0]),
        (QUANTITIES, np.array([[0.0, -1.0], [1.0, 2.0]]), {"price": [350.0, 350.0], "rooms": [4.0, 4.0]}),
        (
            LABELS,
            np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 0, 1, 1]]),
            {"sport": [1, 1], "art": [0, 0], "money": [1, 1], "news": [1, 1]},
        ),
    ],
    ids=["class", "class-of-a-tie", "quantity", "quantities", "labels"],
)
def test_the_baseline_is_the_commonest_label_or_the_mean_of_each_target(
    preparation: Preparation, trained_on: np.ndarray, expected: object
) -> None:
    answer = baseline_answers(preparation, trained_on, rows=2).predicted

    found = answer.to_dict(orient="list") if isinstance(answer, pd.DataFrame) else answer.tolist()
    assert found == expected


def test_a_baseline_is_scored_as_a_model_is() -> None:
    target = pd.DataFrame({"price": [200.0, 400.0, 300.0], "rooms": [3, 3, 5]})

    baseline = baseline_answers(QUANTITIES, np.zeros((9, 2), "float32"), rows=3)

    assert scores(QUANTITIES, target, baseline.predicted) == [0.5, 0.5, 0.5]


def test_the_baseline_is_as_sure_of_a_class_as_it_is_common() -> None:
    said = baseline_answers(CLASSES, np.array([1, 0, 1, 1]), rows=2).probabilities

    assert said is not None
    assert said.to_dict(orient="list") == {"a": [0.25, 0.25], "b": [0.75, 0.75], "c": [0.0, 0.0]}


HALVES = pd.DataFrame({"region": ["north", "south"] * (ROWS // 2), "age": np.arange(ROWS) // 2})


def guarded(challenger: np.ndarray, champion: np.ndarray, **guards: object) -> Decision:
    comparison = compared("classification", challenger, right(0.3), champion, HALVES)
    return decide_between(comparison, PromotionParameters.model_validate({"guards": guards}))


def better_in_the_north_alone() -> tuple[np.ndarray, np.ndarray]:
    """Return a challenger that is right on all rows of the north, and on fewer of the south than the champion."""
    north = np.arange(ROWS) % 2 == 0
    champion = (np.arange(ROWS) % 10 < 6).astype(float)
    return np.where(north, 1.0, champion * (np.arange(ROWS) % 10 < 5)), champion


def test_a_challenger_that_is_worse_on_a_guarded_slice_is_refused_and_the_slice_named() -> None:
    challenger, champion = better_in_the_north_alone()
    assert guarded(challenger, champion).promoted

    decision = guarded(challenger, champion, slices=[{"column": "region"}])

    assert not decision.promoted
    assert decision.reason.startswith("refused: worse where region = south: accuracy 0.4 against 0.6 on 100 rows. On ")
    assert [(guard.name, guard.rows, guard.verdict) for guard in decision.guarded] == [
        ("region = north", 100, "holds"),
        ("region = south", 100, "worse"),
    ]


def test_a_loss_within_its_tolerance_is_let_pass() -> None:
    challenger, champion = better_in_the_north_alone()

    assert guarded(challenger, champion, slices=[{"column": "region", "tolerance": 0.2}]).promoted
    assert not guarded(challenger, champion, slices=[{"column": "region", "tolerance": 0.02}]).promoted


def test_a_slice_of_too_few_rows_is_shown_and_not_judged() -> None:
    challenger, champion = better_in_the_north_alone()

    decision = guarded(challenger, champion, slices=[{"column": "region", "least_rows": 101}])

    assert decision.promoted
    assert {guard.verdict for guard in decision.guarded} == {"too few rows"}
    assert {guard.gain for guard in decision.guarded} == {None}


def test_a_loss_that_luck_explains_is_let_pass_unless_any_loss_is_to_refuse() -> None:
    champion = right(0.7)
    challenger = np.where(np.arange(ROWS) % 2 == 0, 1.0, champion)
    # One row of the south that the champion has right.
    challenger[1] = 0.0

    assert guarded(challenger, champion, slices=[{"column": "region"}]).promoted
    assert not guarded(challenger, champion, slices=[{"column": "region"}], proof="estimate").promoted


def test_a_number_is_guarded_by_its_quantiles() -> None:
    champion = right(0.7)
    challenger = np.where(np.arange(ROWS) < ROWS // 4, 0.0, 1.0)

    decision = guarded(challenger, champion, slices=[{"column": "age", "bins": 4}])

    assert not decision.promoted
    assert [guard.verdict for guard in decision.guarded] == ["worse", "holds", "holds", "holds"]


def test_a_further_metric_that_gets_worse_refuses() -> None:
    """Right more often, and wrong with such conviction that the log loss is worse."""
    comparison = compared("classification", right(0.9), right(0.3), right(0.7))
    wrong = right(0.9) == 0
    sure = pd.DataFrame({"no": np.where(wrong, 1.0, 0.45), "yes": np.where(wrong, 0.0, 0.55)})
    comparison = replace(comparison, challenger=replace(comparison.challenger, probabilities=sure))
    asked = PromotionParameters.model_validate({"guards": {"metrics": [{"metric": "log_loss"}]}})

    decision = decide_between(comparison, asked)

    assert decide_between(comparison, DEFAULT).promoted
    assert not decision.promoted
    assert decision.reason.startswith("refused: worse in log loss: log loss 2.1")


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1_macro", "log_loss"])
def test_another_metric_may_decide(metric: str) -> None:
    asked = PromotionParameters.model_validate({"metric": metric})

    decision = decide("classification", right(0.9), right(0.3), right(0.7), asked)

    assert decision.promoted
    assert decision.metric == METRICS[metric].title
    assert METRICS[metric].title in decision.reason


def test_the_interval_has_two_sides_and_holds_the_gain() -> None:
    gain = gain_of("classification", right(0.9), right(0.7), 0.95)

    assert gain.interval[0] < gain.at_least < gain.value < gain.at_most < gain.interval[1]
