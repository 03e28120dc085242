"""What is measured of the layers is what the weights say, at the epochs it is due, and training never notices."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from everything import samples, stack_of_everything, trained

from backprop import Architecture, Backend, LayerWatch, Network, Parameters, Samples, Stack, Training, Trial, train
from backprop.checkpoint import load_checkpoint, save_checkpoint
from backprop.layers import measure_layers, watched_epochs
from backprop.training import histories, initial_weights

CPU = Backend(np)
WATCH = LayerWatch(gradients=True, rows=16)
VALIDATION = samples(20, seed=1)


def measured(
    stack: Stack, parameters: Parameters, watch: LayerWatch = WATCH, validation: Samples = VALIDATION
) -> dict[str, np.ndarray]:
    """Return the numbers of a stack's layers with these weights, in host memory."""
    training = Training(stack, CPU, initial=parameters)
    placed = training.place(samples()), training.place(validation)
    widths = [trial.hidden or stack.architecture.hidden for trial in stack.trials]
    return measure_layers(training.network, parameters.to_device(CPU), widths, *placed, watch)


def stack_of(activation: str, *widths: tuple[int, ...]) -> Stack:
    widest = tuple(int(most) for most in np.max(widths, axis=0))
    trials = tuple(Trial(0.1, 3, seed, hidden=own) for seed, own in enumerate(widths))
    return Stack(Architecture(6, widest, 3, activation), 7, trials, dtype="float64")


@pytest.mark.parametrize(
    ("planned", "most", "epochs"),
    [
        (1, 10, {1}),
        (3, 10, {1, 2, 3}),
        (20, 10, {1, 3, 5, 7, 9, 11, 13, 15, 17, 20}),
        (1000, 3, {1, 500, 1000}),
        (5, 1, {5}),
    ],
)
def test_ten_epochs_of_a_trial_are_watched_the_first_and_the_last_among_them(
    planned: int, most: int, epochs: set[int]
) -> None:
    assert watched_epochs(planned, most) == epochs


def test_a_watch_of_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="rows"):
        LayerWatch(rows=0)


def test_norms_are_those_of_the_weights_and_of_the_networks_own_gradients() -> None:
    stack = stack_of("tanh", (5, 4), (5, 4))
    parameters = initial_weights(stack)
    everything = samples()
    # Three rows and the first of the rest: 50 // 16 rows apart, 16 of them.
    rows = slice(0, 48, 3)
    total = everything.weights / everything.weights.mean()
    _, gradients = Network(stack.architecture, CPU).gradients(
        parameters, everything.x[rows], everything.y[rows], weights=total[rows]
    )

    found = measured(stack, parameters)

    for k, (w, g) in enumerate(zip(parameters.weights, gradients.weights, strict=True), start=1):
        np.testing.assert_allclose(found[f"layer/{k}/weight_norm"], np.linalg.norm(w, axis=(1, 2)), rtol=1e-12)
        np.testing.assert_allclose(found[f"layer/{k}/gradient_norm"], np.linalg.norm(g, axis=(1, 2)), rtol=1e-9)
    assert set(found) == {
        *(f"layer/{k}/{name}" for k in (1, 2, 3) for name in ("weight_norm", "gradient_norm")),
        *(f"layer/{k}/dead_share" for k in (1, 2)),
    }


@pytest.mark.parametrize(
    ("activation", "share"),
    [
        ("relu", 0.5),
        ("gelu", 0.5),
        ("softplus", 0.5),
        ("elu", 0.5),
        ("tanh", 1.0),
        ("sigmoid", 1.0),
        ("leaky_relu", 0.0),
        ("identity", 0.0),
    ],
)
def test_a_unit_that_lets_no_gradient_through_on_any_row_is_dead(activation: str, share: float) -> None:
    """Two of four units are far below 0 on all rows, two far above: which of them are dead, the activation decides."""
    stack = stack_of(activation, (4,))
    drawn = initial_weights(stack)
    drawn.biases[0][0, 0] = (-50, -50, 50, 50)

    assert measured(stack, drawn)["layer/1/dead_share"].tolist() == [share]


def test_a_unit_that_is_saturated_on_some_rows_only_is_alive() -> None:
    stack = stack_of("tanh", (1,))
    drawn = initial_weights(stack)
    drawn.weights[0][...] = 0
    drawn.weights[0][0, 0] = 1000
    drawn.biases[0][...] = -1000 * VALIDATION.x[0, 0]

    assert measured(stack, drawn)["layer/1/dead_share"].tolist() == [0.0]
    # All but the first row are far from its 0.
    rest = Samples(VALIDATION.x[1:], VALIDATION.y[1:])
    assert measured(stack, drawn, validation=rest)["layer/1/dead_share"].tolist() == [1.0]


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "softplus"])
def test_padded_units_change_no_number_of_a_trial(activation: str) -> None:
    widths = ((7, 5), (3, 4), (2, 1))
    stack = stack_of(activation, *widths)
    together = measured(stack, initial_weights(stack))

    for place, own in enumerate(widths):
        trial = replace(stack.trials[place], hidden=None)
        alone = Stack(Architecture(6, own, 3, activation), 7, (trial,), dtype="float64")
        for name, [value] in measured(alone, initial_weights(alone)).items():
            np.testing.assert_allclose(together[name][place], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_stack_in_pieces_is_measured_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = stack_of("relu", (7, 5), (3, 4), (2, 1))
    whole = measured(stack, initial_weights(stack))
    monkeypatch.setattr("backprop.layers.PIECE_BYTES", 1)
    pieces = measured(stack, initial_weights(stack))

    for name, values in whole.items():
        np.testing.assert_allclose(pieces[name], values, rtol=1e-12, atol=1e-15, err_msg=name)


def test_of_a_network_that_diverged_nothing_is_said() -> None:
    stack = Stack(Architecture(6, (4,), 3), 7, (Trial(0.1, 3),), dtype="float64")
    drawn = initial_weights(stack)
    drawn.weights[0][...] = np.nan

    found = measured(stack, drawn)

    assert np.isnan(found["layer/1/dead_share"]).all()
    assert np.isnan(found["layer/1/weight_norm"]).all()


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_watching_changes_no_bit_of_curves_and_weights(kind: str) -> None:
    """With trials that leave the stack early, which is then compacted, and a caller that ends one."""
    stack = stack_of_everything(kind)

    def end_last(report: object) -> tuple[int, ...]:
        return (3,) if report.epoch == 4 else ()

    unwatched, ends = trained(stack, on_epoch=end_last)
    watched, watched_ends = trained(stack, on_epoch=end_last, layers=WATCH)

    curves = histories(watched, len(stack.trials))
    for place, wanted in enumerate(histories(unwatched, len(stack.trials))):
        for name, values in wanted.items():
            assert curves[place][name] == values
        for mine, theirs in zip(watched_ends[place].parameters, ends[place].parameters, strict=True):
            assert np.array_equal(mine, theirs)


def test_a_trial_has_its_numbers_at_its_own_epochs_and_at_its_last_however_it_ends() -> None:
    stack = stack_of_everything("sgd")
    watch = replace(WATCH, epochs=3)
    reports, _ = trained(stack, layers=watch, on_epoch=lambda report: (3,) if report.epoch == 4 else ())

    for place, trial in enumerate(stack.trials):
        mine = [report for report in reports if place in report.trials]
        seen = {
            report.epoch
            for report in mine
            if np.isfinite(report.metrics.get("layer/1/weight_norm", np.full(4, np.nan))[report.trials.index(place)])
        }
        trained_for = len(mine)
        assert seen == {epoch for epoch in watched_epochs(trial.epochs, 3) if epoch <= trained_for} | {trained_for}


def test_a_training_that_goes_on_from_a_checkpoint_is_watched_at_the_same_epochs(tmp_path: Path) -> None:
    stack = stack_of_everything("sgd", epochs=9)
    wanted = histories(list(train(stack, samples(), VALIDATION, CPU, layers=WATCH)), len(stack.trials))
    training = Training(stack, CPU, layers=WATCH)
    placed = training.place(samples()), training.place(VALIDATION)
    reports = [training.epoch(*placed) for _ in range(3)]
    save_checkpoint(tmp_path / "stack.safetensors", stack, training.checkpoint())

    resumed = Training(stack, CPU, checkpoint=load_checkpoint(tmp_path / "stack.safetensors", stack), layers=WATCH)
    while resumed.active:
        reports.append(resumed.epoch(*placed))

    for mine, theirs in zip(histories(reports, len(stack.trials)), wanted, strict=True):
        assert mine.keys() == theirs.keys()
        for name, values in theirs.items():
            np.testing.assert_array_equal(mine[name], values, err_msg=name)
