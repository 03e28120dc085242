"""What keeps a network from learning is found in short trainings of it, and of one that learns nothing is said."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from backprop import Training
from flows.diagnosis.finding import Finding
from flows.diagnosis.gradients import check_gradients_of
from flows.diagnosis.labels import check_labels, in_doubt
from flows.diagnosis.learning import check_baseline, check_gap
from flows.diagnosis.one_batch import check_one_batch
from flows.diagnosis.probes import kinds_of, probe
from flows.diagnosis.rates import check_rates
from flows.diagnosis.table import Table
from flows.diagnosis.units import check_units
from flows.parameters import Space
from tests.flows.diagnosis.conftest import Read, cancer_frame, digits_frame, probed


def only(findings: list[Finding]) -> Finding:
    [finding] = findings
    return finding


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(y=np.random.default_rng(0).permutation(frame["y"].to_numpy()))


def test_a_rate_of_100_is_too_high_and_better_ones_are_named(digits: Table) -> None:
    finding = only(check_rates(probed(digits, learning_rate=[100.0])))

    assert finding.severity == "problem"
    assert finding.evidence["too_high"] == [100.0]
    assert 0.1 <= finding.evidence["best_of_the_sweep"] <= 1.0
    assert finding.remedy.startswith("learning_rate: [0.")


def test_a_rate_that_is_too_high_beside_good_ones_is_a_hint(digits: Table) -> None:
    finding = only(check_rates(probed(digits, learning_rate=[0.1, 0.3, 100.0])))

    assert (finding.severity, finding.evidence["too_high"]) == ("hint", [100.0])


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 1e-4), ("adam", 1e-6)])
def test_a_rate_at_which_little_is_learned_is_too_low(digits: Table, optimizer: str, rate: float) -> None:
    finding = only(check_rates(probed(digits, optimizer=[optimizer], learning_rate=[rate])))

    assert (finding.severity, finding.evidence["too_low"]) == ("problem", [rate])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_rates_found_to_be_best_are_well(digits: Table, optimizer: str) -> None:
    best = probed(digits, optimizer=[optimizer]).best.rate

    assert only(check_rates(probed(digits, optimizer=[optimizer], learning_rate=[best]))).severity == "ok"


def test_a_low_rate_is_well_where_the_rows_that_were_not_looked_at_make_up_for_it(read: Read) -> None:
    """The probe makes a twentieth of the updates of a training on all rows."""
    few = read(cancer_frame())
    rate = 2e-4

    assert only(check_rates(probed(few, learning_rate=[rate]))).evidence["too_low"] == [rate]
    many = read(pd.concat([cancer_frame()] * 200, ignore_index=True))
    assert only(check_rates(probed(many, learning_rate=[rate]))).severity == "ok"


def test_a_rate_that_kills_relus_leaves_them_dead(digits: Table) -> None:
    finding = only(check_units(probed(digits, learning_rate=[10.0], hidden=[[64, 32]])))

    assert finding.check == "dead units"
    assert finding.severity == "problem"
    assert finding.evidence["share"] > 0.9


def test_relus_that_die_at_one_rate_live_at_another_which_is_named(digits: Table) -> None:
    finding = only(check_units(probed(digits, learning_rate=[0.1, 10.0], hidden=[[64, 32]])))

    assert finding.severity == "hint"
    assert finding.remedy == "learning_rate: [0.1] in the space, where they live"


def test_sigmoids_on_inputs_in_their_own_unit_are_saturated(read: Read) -> None:
    plan = "columns:\n" + "".join(f"  {name}: {{kind: numeric, scale: none}}\n" for name in cancer_frame().columns[:-1])
    finding = only(check_units(probed(read(cancer_frame(), plan), activation=["tanh"], learning_rate=[0.1])))

    assert finding.check == "saturated units"
    assert finding.severity in ("warning", "problem")


def test_gradients_vanish_behind_many_sigmoids_and_not_behind_relus(digits: Table) -> None:
    deep = [[16] * 8]

    finding = only(check_gradients_of(digits, probed(digits, hidden=deep, activation=["sigmoid"])))
    assert (finding.severity, finding.evidence["ratio"] < 1e-3) == ("problem", True)
    assert only(check_gradients_of(digits, probed(digits, hidden=deep, activation=["relu"]))).severity == "ok"


def test_gradients_explode_on_inputs_in_their_own_unit(read: Read) -> None:
    plan = "columns:\n" + "".join(f"  {name}: {{kind: numeric, scale: none}}\n" for name in cancer_frame().columns[:-1])
    table = read(cancer_frame(), plan)

    assert only(check_gradients_of(table, probed(table))).severity == "problem"
    well = read(cancer_frame())
    assert only(check_gradients_of(well, probed(well))).severity == "ok"


def test_shuffled_labels_are_learned_no_better_than_by_a_constant_answer(read: Read) -> None:
    table = read(shuffled(digits_frame()))
    found = probed(table)

    finding = only(check_baseline([found]))
    assert finding.severity == "problem"
    assert finding.evidence["validation_loss"] > 0.98 * finding.evidence["constant_validation_loss"]
    assert only(check_labels(table, found)).what.startswith("not looked for")
    # They can be learned by heart all the same.
    assert only(check_one_batch(table, found)).severity == "ok"


def test_a_quantity_that_has_nothing_to_do_with_its_columns_is_told(read: Read) -> None:
    frame = cancer_frame().drop(columns="y").rename(columns={"worst area": "y"})

    assert only(check_baseline([probed(read(frame), learning_rate=[0.01])])).severity == "ok"
    assert only(check_baseline([probed(read(shuffled(frame)), learning_rate=[0.01])])).severity == "problem"


def test_a_network_that_cannot_bend_does_not_learn_a_minibatch_by_heart(read: Read) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(400, 3)), columns=["a", "b", "c"])
    frame["y"] = draw.normal(size=400)
    table = read(frame)

    finding = only(check_one_batch(table, probed(table, hidden=[[]], learning_rate=[0.01])))
    assert (finding.severity, "hidden" in finding.remedy) == ("hint", True)
    finding = only(check_one_batch(table, probed(table, hidden=[[1]], learning_rate=[0.01])))
    assert finding.severity == "problem"


def test_a_network_whose_validation_loss_rises_again_overfits_unless_few_of_the_rows_were_looked_at(
    read: Read,
) -> None:
    table = read("breast_cancer")
    found = probed(table, hidden=[[64, 32]], activation=["tanh"], learning_rate=[0.3])

    finding = only(check_gap(table, [found]))

    assert finding.severity == "hint"
    assert finding.evidence["validation_loss"] > 2 * finding.evidence["lowest_validation_loss"]
    assert f"epochs: [{finding.evidence['in_epoch']}]" in finding.remedy
    larger = table.shape.model_copy(update={"rows": {**table.shape.rows, "train": 10_000}})
    finding = only(check_gap(replace(table, shape=larger), [found]))
    assert (finding.severity, finding.what) == ("ok", "not looked for: 398 of 10,000 training rows do not tell")


def test_labels_that_were_flipped_are_found(read: Read) -> None:
    """Of 1,797 images every tenth has another label; those that train or validate are looked at."""
    frame = digits_frame()
    draw = np.random.default_rng(1)
    flipped = draw.permutation(len(frame))[:180]
    old = frame["y"].str.removeprefix("digit ").astype(int).to_numpy()
    new = old.copy()
    new[flipped] = (old[flipped] + draw.integers(1, 10, len(flipped))) % 10
    table = read(frame.assign(y=[f"digit {label}" for label in new]))

    finding = only(check_labels(table, probed(table, hidden=[[64]])))

    assert finding.severity == "warning"
    found, there = set(finding.evidence["source_rows"]), set(flipped) & set(table.raw.index)
    precision, recall = len(found & there) / len(found), len(found & there) / len(there)
    assert (precision > 0.9, recall > 0.7) == (True, True), (precision, recall)
    # The clearest come first, with what they are and what they rather are.
    assert len(set(finding.evidence["source_rows"][:40]) & there) >= 38
    first = finding.evidence["source_rows"][0]
    assert finding.evidence["first"][0] == f"row {first + 1}: digit {new[first]}, rather digit {old[first]}"


def test_of_classes_that_are_hard_to_tell_the_less_probable_is_in_no_doubt() -> None:
    """The thresholds are the mean self-confidence of a class: 0.6 of the first, and 0.9 of the second."""
    probabilities = np.array([[0.55, 0.45], [0.65, 0.35], [0.1, 0.9], [0.1, 0.9], [0.45, 0.55], [0.9, 0.1]])
    labels = np.array([0, 0, 1, 1, 0, 1])

    # The fifth row is more probably of the second class, but far from as probable as that class is elsewhere.
    assert in_doubt(probabilities, labels).tolist() == [False, False, False, False, False, True]


@pytest.mark.parametrize("data", ["digits", "wine"])
def test_a_network_that_learns_is_well(request: pytest.FixtureRequest, data: str) -> None:
    table: Table = request.getfixturevalue(data)
    found = probed(table, hidden=[[32, 16]], learning_rate=[0.1, 0.3])

    checks = [
        *check_rates(found),
        *check_units(found),
        *check_gradients_of(table, found),
        *check_one_batch(table, found),
        *check_baseline([found]),
        *check_gap(table, [found]),
        *check_labels(table, found),
    ]

    assert [finding.severity for finding in checks] == ["ok"] * 7, checks


def test_a_probe_is_of_what_a_space_asks_for_and_of_few_of_many() -> None:
    asked = {
        "hidden": [[8], [16], [32], [64]],
        "optimizer": ["sgd", "adam"],
        "learning_rate": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    }
    kinds = kinds_of(Space.model_validate({"grid": asked}))

    assert [(kind.hidden, kind.optimizer) for kind, _ in kinds] == [((8,), "sgd"), ((32,), "sgd"), ((64,), "adam")]
    assert {rates for _, rates in kinds} == {(0.1, 0.3, 0.5, 0.7, 0.9)}


def test_the_probe_of_a_large_network_is_cut_short(wine: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.diagnosis.probes.MOST_FLOPS", 1e7)
    rows: list[int] = []
    epoch = Training.epoch

    def counted(self: Training, training: object, *given: object) -> object:
        rows.append(len(training))  # type: ignore[arg-type]
        return epoch(self, training, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Training, "epoch", counted)
    [(kind, rates)] = kinds_of(Space.model_validate({"grid": {"hidden": [[64]], "learning_rate": [0.1]}}))

    found = probe(wine, kind, rates)

    assert (found.epochs, len(rows)) == (5, 5)
    assert set(rows) == {int(wine.trains.sum())}
    assert found.planned_updates == 4 * found.updates
