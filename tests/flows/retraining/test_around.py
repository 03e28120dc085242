from flows.parameters import AroundParameters, Hyperparameters
from flows.retraining.around import space_around
from flows.spaces import expand
from flows.trials import widths

CHAMPION = Hyperparameters(hidden=(64, 32), learning_rate=0.1, optimizer="nesterov", momentum=0.8, seed=3, l2=1e-4)


def around(champion: Hyperparameters = CHAMPION, **changes: object) -> list[Hyperparameters]:
    return expand(space_around(champion, AroundParameters.model_validate(changes)))


def test_the_champions_own_and_its_seeds_come_first_then_its_neighbours_the_nearest_first() -> None:
    found = [(trial.learning_rate, widths(trial.hidden), trial.seed) for trial in around()]

    assert found == [
        (0.1, "64-32", 3),
        (0.1, "64-32", 4),
        (0.1, "128-64", 3),
        (0.1, "32-16", 3),
        (0.3, "64-32", 3),
        (0.0333333, "64-32", 3),
        (0.3, "128-64", 3),
        (0.3, "32-16", 3),
        (0.0333333, "128-64", 3),
        (0.0333333, "32-16", 3),
    ]


def test_all_else_is_the_champions() -> None:
    kept = {"activation", "optimizer", "momentum", "batch_size", "epochs", "l2", "dropout"}

    assert {tuple(getattr(trial, name) for name in sorted(kept)) for trial in around()} == {
        tuple(getattr(CHAMPION, name) for name in sorted(kept))
    }


def test_the_number_of_trials_is_bounded() -> None:
    assert len(around(trials=3)) == 3
    assert around(trials=1) == [CHAMPION]


def test_a_linear_champion_and_one_of_one_unit_have_no_narrower_neighbours() -> None:
    linear = Hyperparameters(hidden=(), learning_rate=0.1)
    thin = Hyperparameters(hidden=(1,), learning_rate=0.1)

    assert {trial.hidden for trial in around(linear)} == {()}
    assert {trial.hidden for trial in around(thin)} == {(1,), (2,)}
    assert len(around(linear)) == len(set(around(linear))) == 4


def test_there_and_back_is_the_same_rate() -> None:
    higher = next(trial for trial in around() if trial.learning_rate == 0.3)

    assert 0.1 in {trial.learning_rate for trial in around(higher)}
