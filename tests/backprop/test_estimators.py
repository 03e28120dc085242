"""The estimators keep scikit-learn's contract, and behave as scikit-learn's own tests ask of its MLP."""

import inspect
import pickle
import subprocess
import sys
import warnings
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import recall_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from backprop import activations, losses, register_activation, register_loss, schedules
from backprop.estimators import MLPClassifier, MLPRegressor, documented

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])

DIGITS, DIGIT = load_digits(n_class=3, return_X_y=True)
DIGITS = MinMaxScaler().fit_transform(DIGITS[:200])
DIGIT = DIGIT[:200]
PAIR, SIDE = DIGITS[DIGIT < 2], DIGIT[DIGIT < 2]
IRIS, SPECIES = load_iris(return_X_y=True)
LABELLED, LABELS = make_multilabel_classification(n_samples=60, random_state=0)
LABELLED = StandardScaler().fit_transform(LABELLED)
NUMBERED, NUMBERS = make_regression(n_samples=120, n_features=6, n_targets=3, random_state=7)
NUMBERS /= NUMBERS.std(axis=0)


@pytest.fixture(autouse=True)
def core_tables_left_as_they_were(monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", dict(losses.LOSSES))
    monkeypatch.setattr(activations, "ACTIVATIONS", dict(activations.ACTIVATIONS))


def weights_of(model) -> np.ndarray:
    return np.concatenate([array.ravel() for array in (*model.coefs_, *model.intercepts_)])


# The contract

EXPECTED_FAILURES: dict[str, str] = {}
"""None, as with scikit-learn's own MLP in version 1.9.1 (to which its checks give other solvers for weighted samples).

Skipped, as there: `check_array_api_input` (needs SCIPY_ARRAY_API) and `..._multilabel_output_format_decision_function`
(there is no such method).
"""


@parametrize_with_checks(
    [MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)], expected_failed_checks=lambda _: EXPECTED_FAILURES
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(("own", "theirs"), [(MLPClassifier, TheirClassifier), (MLPRegressor, TheirRegressor)])
def test_every_parameter_of_scikit_learns_is_there_with_its_default_but_those_of_lbfgs(own, theirs):
    wanted = {name: value for name, value in theirs().get_params().items() if name != "max_fun"}
    given = own().get_params()
    assert {name: given[name] for name in wanted} == wanted


@BOTH
def test_every_parameter_and_fitted_attribute_is_documented(kind):
    doc = inspect.getdoc(kind)
    for field in fields(kind):
        assert field.name in doc, field.name
    model = kind(max_iter=1).fit(PAIR, SIDE)
    for name in vars(model):
        if name.endswith("_"):
            assert name in doc, name
    assert "{" not in doc.replace('{"', "")
    assert documented.PARAMETERS.splitlines()[0] in doc.splitlines()


def test_the_core_needs_no_scikit_learn():
    hidden = "import sys; sys.modules['sklearn'] = None; import backprop; print(len(backprop.__all__))"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, cwd=ROOT, check=True)
    assert int(done.stdout) < 40


def test_the_classifier_searches_a_grid_in_a_pipeline():
    model = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=30, random_state=0, solver="adam"))
    grid = {
        "mlpclassifier__activation": ["tanh", ("relu",)],
        "mlpclassifier__learning_rate_init": np.array([0.03, 1e-5]),
        "mlpclassifier__hidden_layer_sizes": [8, (np.int64(4),)],
    }
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(IRIS, SPECIES)
    assert search.best_params_["mlpclassifier__learning_rate_init"] == 0.03
    assert search.best_score_ > 0.9


def test_the_regressor_goes_through_cross_validation():
    model = MLPRegressor((16,), max_iter=150, learning_rate_init=0.02, random_state=0)
    assert cross_val_score(model, NUMBERED, NUMBERS, cv=3).min() > 0.8


@BOTH
def test_a_pickled_model_predicts_and_trains_on_in_another_process_as_here(kind, tmp_path):
    model = kind((5,), max_iter=3, random_state=0, dropout=0.2).fit(PAIR, SIDE)
    (tmp_path / "model").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "x.npy", PAIR)
    np.save(tmp_path / "y.npy", SIDE)
    program = (
        "import numpy as np, pickle, pathlib, sys; at = pathlib.Path(sys.argv[1]);"
        "model = pickle.loads((at / 'model').read_bytes()); x, y = np.load(at / 'x.npy'), np.load(at / 'y.npy');"
        "np.save(at / 'before.npy', model.predict(x)); np.save(at / 'after.npy', model.partial_fit(x, y).coefs_[0])"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=ROOT)
    np.testing.assert_allclose(np.load(tmp_path / "before.npy"), model.predict(PAIR), rtol=1e-12)
    np.testing.assert_allclose(np.load(tmp_path / "after.npy"), model.partial_fit(PAIR, SIDE).coefs_[0], rtol=1e-9)


@BOTH
def test_a_clone_has_the_parameters_and_trains_the_same(kind):
    model = kind((5,), schedule=schedules.Cosine(), activation=["tanh"], max_iter=3, random_state=3)
    again = clone(model)
    assert again.get_params() == model.get_params()
    assert not hasattr(again, "coefs_")
    np.testing.assert_array_equal(weights_of(again.fit(PAIR, SIDE)), weights_of(model.fit(PAIR, SIDE)))


@BOTH
def test_column_names_are_kept_and_held_to_also_with_early_stopping(kind):
    frame = pd.DataFrame(PAIR, columns=[f"pixel{k}" for k in range(64)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = kind(max_iter=2, early_stopping=True).fit(frame, SIDE)
        model.score(frame, SIDE)
    assert list(model.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[frame.columns[::-1]])


@BOTH
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_samples_train_and_predict_as_dense_ones(kind, container):
    model = kind((5,), max_iter=3, random_state=0)
    dense_weights = weights_of(model.fit(PAIR, SIDE))
    np.testing.assert_array_equal(weights_of(model.fit(container(PAIR), SIDE)), dense_weights)
    np.testing.assert_array_equal(model.predict(container(PAIR)), model.predict(PAIR))


@BOTH
@pytest.mark.parametrize("method", ["predict", "score"])
def test_an_unfitted_model_says_so(kind, method):
    with pytest.raises(NotFittedError):
        getattr(kind(), method)(*([PAIR] if method == "predict" else [PAIR, SIDE]))


# Outputs


def test_two_classes_have_probabilities_of_either():
    model = MLPClassifier((5,), activation="logistic", random_state=1).fit(PAIR, SIDE)
    p = model.predict_proba(PAIR)
    assert p.shape == (len(PAIR), 2)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(PAIR), p.argmax(axis=1))
    assert roc_auc_score(SIDE, p[:, 1]) == 1
    assert (model.n_outputs_, model.out_activation_, [w.shape for w in model.coefs_]) == (
        1,
        "logistic",
        [(64, 5), (5, 1)],
    )


def test_many_classes_of_text_have_probabilities_in_their_order():
    names = np.array(["zero", "one", "two"])[DIGIT]
    model = MLPClassifier((10,), learning_rate_init=0.01, random_state=1).fit(DIGITS, names)
    p = model.predict_proba(DIGITS)
    assert list(model.classes_) == ["one", "two", "zero"]
    assert p.shape == (len(DIGITS), 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(DIGITS), model.classes_[p.argmax(axis=1)])
    assert model.score(DIGITS, names) > 0.95


def test_labels_have_probabilities_of_their_own():
    model = MLPClassifier((30,), learning_rate_init=0.02, random_state=0, alpha=0).fit(LABELLED, LABELS)
    p = model.predict_proba(LABELLED)
    np.testing.assert_array_equal(model.predict(LABELLED), p > 0.5)
    assert np.abs(p.sum(axis=1) - 1).max() > 0.1
    assert model.score(LABELLED, LABELS) > 0.9
    by_matrix = clone(model).fit(LABELLED, sparse.csr_array(LABELS))
    np.testing.assert_array_equal(weights_of(by_matrix), weights_of(model))


def test_log_probabilities_are_finite_where_probabilities_are_0():
    model = MLPClassifier((), max_iter=1).fit(np.eye(2), [0, 1])
    model.coefs_, model.intercepts_ = [np.zeros((2, 1))], [np.array([1000.0])]
    np.testing.assert_array_equal(model.predict_proba(np.eye(2)), [[0, 1], [0, 1]])
    np.testing.assert_array_equal(model.predict_log_proba(np.eye(2)), [[-1000, 0], [-1000, 0]])


def test_a_single_class_is_always_predicted():
    model = MLPClassifier(max_iter=2).fit(PAIR, np.full(len(PAIR), "only"))
    assert set(model.predict(PAIR)) == {"only"}
    np.testing.assert_array_equal(model.predict_proba(PAIR), np.ones((len(PAIR), 1)))
    np.testing.assert_array_equal(model.predict_log_proba(PAIR), np.zeros((len(PAIR), 1)))


def test_several_numbers_are_predicted_in_columns_and_one_in_none():
    model = MLPRegressor((20,), max_iter=200, learning_rate_init=0.02, random_state=1)
    assert model.fit(NUMBERED, NUMBERS).predict(NUMBERED).shape == (120, 3)
    assert model.score(NUMBERED, NUMBERS) > 0.95
    assert model.fit(NUMBERED, NUMBERS[:, 0]).predict(NUMBERED).shape == (120,)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_computes_in_the_dtype_of_the_samples_or_the_one_asked_for(kind, dtype):
    model = kind((5, 3), max_iter=5, random_state=1).fit(PAIR.astype(dtype), SIDE)
    assert {array.dtype.name for array in (*model.coefs_, *model.intercepts_)} == {dtype}
    outputs = model.predict if kind is MLPRegressor else model.predict_proba
    assert outputs(PAIR.astype(dtype)).dtype == dtype
    asked = kind((5, 3), max_iter=5, random_state=1, dtype=dtype).fit(PAIR, SIDE)
    np.testing.assert_allclose(weights_of(asked), weights_of(model), rtol=1e-3, atol=1e-6)
    assert asked.partial_fit(PAIR, SIDE).coefs_[0].dtype == dtype


def test_predictions_in_pieces_are_those_at_once(monkeypatch):
    model = MLPClassifier((5,), max_iter=2).fit(PAIR, SIDE)
    whole = model.predict_proba(PAIR)
    monkeypatch.setattr("backprop.estimators.shaping.PREDICTION_BYTES", 7 * 64 * 8)
    np.testing.assert_allclose(model.predict_proba(PAIR), whole, rtol=1e-12)


# Training


def test_a_larger_alpha_brings_weights_closer_to_zero():
    sums = [
        [np.abs(w).sum() for w in MLPClassifier(10, alpha=alpha, random_state=1).fit(PAIR, SIDE).coefs_]
        for alpha in (0, 1, 20)
    ]
    for weak, strong in pairwise(sums):
        assert all(b < a for a, b in zip(weak, strong, strict=True))


@pytest.mark.parametrize(("name", "alpha"), [("l2", 0.64), ("l2", 0.0)])
def test_l2_is_alpha_over_the_batch_size(name, alpha):
    fixed = {"batch_size": 8, "max_iter": 3, "random_state": 0}
    # 80 samples: no short last batch.
    by_alpha = MLPClassifier((5,), alpha=alpha, **fixed).fit(PAIR[:80], SIDE[:80])
    by_name = MLPClassifier((5,), alpha=0, **{name: alpha / 8}, **fixed).fit(PAIR[:80], SIDE[:80])
    np.testing.assert_allclose(weights_of(by_name), weights_of(by_alpha), rtol=1e-12)


CHANGES = {
    "l1": 0.01,
    "clip_norm": 0.01,
    "dropout": 0.3,
    "weight_decay": 0.5,
    "schedule": schedules.Exponential(0.5),
    "initializer": "orthogonal",
    "momentum": 0.5,
    "nesterovs_momentum": False,
    "beta_1": 0.5,
    "beta_2": 0.5,
    "epsilon": 0.1,
    "activation": ["tanh"],
    "batch_size": 10,
    "shuffle": False,
    "power_t": 0.1,
}
NEEDED = {
    "weight_decay": {"solver": "adamw"},
    "momentum": {"solver": "sgd"},
    "nesterovs_momentum": {"solver": "sgd"},
    "power_t": {"solver": "sgd", "learning_rate": "invscaling"},
    "shuffle": {"batch_size": 10},
}


@BOTH
@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_of_training_changes_it(kind, name):
    settings = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, **NEEDED.get(name, {})}
    plain, changed = [kind(**settings, **change).fit(PAIR, SIDE) for change in ({}, {name: CHANGES[name]})]
    assert np.abs(weights_of(changed) - weights_of(plain)).max() > 1e-6


@pytest.mark.parametrize("solver", ["sgd", "adam", "rmsprop", "adamw"])
def test_every_solver_learns_the_digits(solver):
    rate = 0.2 if solver == "sgd" else 0.01
    model = MLPClassifier((20,), solver=solver, learning_rate_init=rate, random_state=0, max_iter=60)
    assert model.fit(DIGITS, DIGIT).score(DIGITS, DIGIT) > 0.97


@BOTH
def test_random_state_decides_everything(kind):
    def trained(seed):
        model = kind((4,), max_iter=2, random_state=seed, dropout=0.3, early_stopping=True, batch_size=16)
        return weights_of(model.fit(PAIR, SIDE))

    np.testing.assert_array_equal(trained(5), trained(5))
    assert not np.array_equal(trained(5), trained(6))
    state = np.random.RandomState(5)
    first, second = trained(state), trained(state)
    np.testing.assert_array_equal(first, trained(5))
    assert not np.array_equal(first, second)


def test_weighted_samples_count_as_repeated_ones():
    counts = np.random.default_rng(0).integers(0, 4, len(PAIR))
    fixed = {"hidden_layer_sizes": (5,), "max_iter": 20, "random_state": 0, "batch_size": 1000, "alpha": 1.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        weighted = MLPClassifier(**fixed).fit(PAIR, SIDE, sample_weight=counts)
        repeated = MLPClassifier(**fixed).fit(np.repeat(PAIR, counts, axis=0), np.repeat(SIDE, counts))
    np.testing.assert_allclose(weights_of(weighted), weights_of(repeated), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)


@BOTH
def test_a_sample_of_weight_zero_is_as_if_it_were_not_there(kind):
    weights = np.where(np.arange(len(PAIR)) % 3, 2.0, 0.0)
    model = kind((5,), max_iter=3, random_state=0, batch_size=10, alpha=0, early_stopping=True)
    with_zeros = weights_of(model.fit(PAIR, SIDE, sample_weight=weights))
    np.testing.assert_allclose(weights_of(model.fit(PAIR[weights > 0], SIDE[weights > 0])), with_zeros, rtol=1e-9)


@BOTH
def test_one_weight_for_all_samples_changes_nothing_but_the_strength_of_alpha(kind):
    model = kind((5,), max_iter=3, random_state=0, alpha=0)
    plain = weights_of(model.fit(PAIR, SIDE))
    np.testing.assert_array_equal(weights_of(model.fit(PAIR, SIDE, sample_weight=2)), plain)


def test_class_weights_are_sample_weights_by_class():
    fixed = {"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0}
    by_class = MLPClassifier(class_weight={0: 1.0, 1: 5.0, 2: 2.0}, **fixed).fit(DIGITS, DIGIT)
    by_sample = MLPClassifier(**fixed).fit(DIGITS, DIGIT, sample_weight=np.array([1.0, 5.0, 2.0])[DIGIT])
    np.testing.assert_array_equal(weights_of(by_class), weights_of(by_sample))
    twice = MLPClassifier(class_weight={0: 1.0, 1: 5.0, 2: 2.0}, **fixed)
    twice.fit(DIGITS, DIGIT, sample_weight=1 / np.array([1.0, 5.0, 2.0])[DIGIT])
    np.testing.assert_array_equal(weights_of(twice), weights_of(MLPClassifier(**fixed).fit(DIGITS, DIGIT)))


def test_balanced_classes_find_a_rare_one():
    draw = np.random.default_rng(0)
    y = (np.arange(400) % 20 == 0).astype(int)
    x = draw.normal(size=(400, 2)) + y[:, None]
    fixed = {"hidden_layer_sizes": (5,), "learning_rate_init": 0.02, "random_state": 0}
    recalls = [
        recall_score(y, MLPClassifier(class_weight=weight, **fixed).fit(x, y).predict(x))
        for weight in (None, "balanced")
    ]
    assert recalls[1] > recalls[0] + 0.3


def test_smoothed_labels_make_a_classifier_less_certain():
    fixed = {"hidden_layer_sizes": (10,), "learning_rate_init": 0.02, "random_state": 0, "alpha": 0}
    certain, smoothed = [
        MLPClassifier(label_smoothing=e, **fixed).fit(DIGITS, DIGIT).predict_proba(DIGITS).max(axis=1)
        for e in (0.0, 0.3)
    ]
    assert certain.mean() > 0.98
    # Targets of (1 - e) + e/3 are the optimum.
    assert smoothed.mean() == pytest.approx(0.8, abs=0.02)


def pinball(xp, yhat, y):
    return xp.maximum(0.9 * (y - yhat), -0.1 * (y - yhat)).sum(axis=-1)


def pinball_derivative(xp, yhat, y):
    return xp.where(y > yhat, -0.9, 0.1).astype(yhat.dtype)


def test_a_registered_loss_and_activation_are_known_by_name():
    register_loss("pinball", pinball, pinball_derivative)
    register_activation("cube", lambda xp, z: z * z * z, lambda xp, z, h: 3 * z * z)  # noqa: ARG005
    y = np.random.default_rng(0).uniform(size=500)
    x = np.zeros((500, 1))
    model = MLPRegressor((), loss="pinball", learning_rate_init=0.02, random_state=0, max_iter=300)
    assert model.fit(x, y).predict(x[:1])[0] == pytest.approx(np.quantile(y, 0.9), abs=0.03)
    assert np.isfinite(MLPRegressor((3,), activation="cube", max_iter=2).fit(x, y).loss_)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_a_classifier_takes_other_losses_on_its_probabilities(loss):
    model = MLPClassifier((20,), loss=loss, learning_rate_init=0.02, random_state=0, max_iter=60).fit(DIGITS, DIGIT)
    assert model.score(DIGITS, DIGIT) > 0.95
    np.testing.assert_allclose(model.predict_proba(DIGITS).sum(axis=1), 1)


def test_a_squared_error_may_go_through_a_sigmoid():
    y = 1 / (1 + np.exp(-IRIS[:, 0] + 6))
    model = MLPRegressor(
        (),
        loss="mse",
        out_activation="logistic",
        learning_rate_init=0.05,
        random_state=0,
        max_iter=600,
        n_iter_no_change=np.inf,
    )
    model.fit(IRIS[:, :1] - 6, y)
    assert model.out_activation_ == "logistic"
    np.testing.assert_allclose(model.coefs_[0], [[1]], atol=0.05)
    assert model.predict([[100.0]])[0] == pytest.approx(1)


def test_a_poisson_network_without_hidden_layers_is_the_linear_model():
    x = np.linspace(0, 1, 100)[:, None]
    y = np.random.default_rng(0).poisson(np.exp(x[:, 0] + 1))
    model = MLPRegressor(
        (), loss="poisson", alpha=0, learning_rate_init=0.05, max_iter=1000, n_iter_no_change=np.inf, random_state=0
    )
    wanted = PoissonRegressor(alpha=0, tol=1e-9).fit(x, y).predict(x)
    np.testing.assert_allclose(model.fit(x, y).predict(x), wanted, rtol=1e-3)
    assert model.out_activation_ == "exp"


# Curves and endings


@BOTH
def test_early_stopping_keeps_the_best_weights_and_their_score(kind):
    settings = {"max_iter": 3000, "solver": "sgd", "tol": 0.2, "random_state": 0, "n_iter_no_change": 3}
    model = kind(early_stopping=True, **settings).fit(PAIR, SIDE)
    assert model.n_iter_ < 3000
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == len(model.loss_curve_) == model.n_iter_
    assert model.best_loss_ is None
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert all(score < model.best_validation_score_ + 0.2 for score in model.validation_scores_[-4:])
    for _ in range(2):  # a second fit without it forgets
        model.set_params(early_stopping=False).fit(PAIR, SIDE)
        assert model.validation_scores_ is None
        assert model.validation_loss_curve_ is None
        assert model.best_validation_score_ is None
        assert model.best_loss_ == min(model.loss_curve_)


def test_the_weights_of_early_stopping_are_those_of_the_best_epoch():
    settings = {"hidden_layer_sizes": (8,), "random_state": 0, "learning_rate_init": 0.05, "batch_size": 8}
    model = MLPRegressor(early_stopping=True, max_iter=60, **settings).fit(NUMBERED, NUMBERS)
    best = int(np.argmax(model.validation_scores_)) + 1
    assert best < model.n_iter_
    until_best = MLPRegressor(early_stopping=True, max_iter=best, **settings).fit(NUMBERED, NUMBERS)
    np.testing.assert_array_equal(weights_of(model), weights_of(until_best))


def test_validation_samples_are_spread_over_the_classes():
    y = np.repeat([0, 1, 2], [100, 50, 50])
    model = MLPClassifier(early_stopping=True, validation_fraction=0.2, random_state=0)
    model.classes_, model._labels = np.arange(3), False
    model._draw_seeds()
    training, validation = model._split(model._samples(np.arange(200.0)[:, None], y, None, first=True, partial=False))
    np.testing.assert_array_equal(validation.y.sum(axis=0), [20, 10, 10])
    assert not np.intersect1d(training.x, validation.x).size
    with pytest.raises(ValueError, match="only 1 member"):
        MLPClassifier(early_stopping=True).fit([[1], [2], [3], [4]], [0, 0, 0, 1])


def test_labels_stop_early_too():
    model = MLPClassifier(early_stopping=True, max_iter=5).fit(LABELLED, LABELS)
    assert len(model.validation_scores_) == 5


@pytest.mark.parametrize("patience", [2, 5, 20])
def test_training_waits_for_an_improvement_as_long_as_asked(patience):
    # Nothing improves by this much after the first epoch.
    model = MLPClassifier(solver="sgd", tol=1e9, max_iter=3000, n_iter_no_change=patience).fit(PAIR, SIDE)
    assert model.n_iter_ == patience + 2


@BOTH
@pytest.mark.parametrize("early_stopping", [False, True])
def test_infinite_patience_trains_to_the_last_epoch(kind, early_stopping):
    model = kind((2,), tol=1e9, max_iter=40, n_iter_no_change=np.inf, early_stopping=early_stopping)
    assert model.fit(PAIR, SIDE).n_iter_ == 40


def test_a_training_cut_short_warns_and_one_that_converged_does_not():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(3\)"):
        MLPClassifier(max_iter=3, tol=0).fit(PAIR, SIDE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPClassifier(max_iter=300, tol=0.5).fit(PAIR, SIDE)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_adaptive_rate_falls_to_its_end(early_stopping):
    model = MLPClassifier(
        solver="sgd",
        learning_rate="adaptive",
        tol=0.5,
        max_iter=3000,
        early_stopping=early_stopping,
        n_iter_no_change=2,
    ).fit(PAIR, SIDE)
    assert model.n_iter_ < 3000
    # 0.001 falls by 5 until it is at most 1e-6: five times.
    assert model._state.paces[0].rate == pytest.approx(0.001 / 5**5)


def test_learning_rate_is_of_sgd_only_and_schedule_of_all_solvers():
    fixed = {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0}
    plain, ignored = [
        weights_of(MLPClassifier(learning_rate=name, **fixed).fit(PAIR, SIDE)) for name in ("constant", "invscaling")
    ]
    np.testing.assert_array_equal(plain, ignored)
    named = MLPClassifier(schedule="exponential", **fixed).fit(PAIR, SIDE)
    given = MLPClassifier(schedule=schedules.Exponential(), **fixed).fit(PAIR, SIDE)
    np.testing.assert_array_equal(weights_of(named), weights_of(given))
    assert not np.array_equal(weights_of(named), plain)


@BOTH
def test_verbose_prints_every_epoch(kind, capsys):
    model = kind((2,), max_iter=2, verbose=True, early_stopping=True).fit(PAIR, SIDE)
    printed = capsys.readouterr().out.splitlines()
    assert printed[2:] == [
        f"Iteration 2, loss = {model.loss_curve_[1]:.8f}",
        f"Validation score: {model.validation_scores_[1]:f}",
    ]
    model.set_params(early_stopping=False).partial_fit(PAIR, SIDE)
    assert capsys.readouterr().out == f"Iteration 3, loss = {model.loss_:.8f}\n"
    model.set_params(verbose=0).fit(PAIR, SIDE)
    assert not capsys.readouterr().out


def test_an_interrupted_training_keeps_what_it_has(monkeypatch):
    original = MLPClassifier._record

    def interrupt(self, report):
        original(self, report)
        if report.epoch == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MLPClassifier, "_record", interrupt)
        with pytest.warns(UserWarning, match="interrupted"):
            model = MLPClassifier((4,), random_state=0).fit(PAIR, SIDE)
    assert model.n_iter_ == 3
    np.testing.assert_array_equal(
        weights_of(model), weights_of(MLPClassifier((4,), random_state=0, max_iter=3).fit(PAIR, SIDE))
    )


@BOTH
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_diverged_training_is_an_error_that_says_what_to_change(kind):
    model = kind((10,), activation="identity", solver="sgd", learning_rate_init=1e12, max_iter=500)
    with pytest.raises(
        ValueError, match=r"epoch \d+: scale the input data.*learning_rate_init than 1000000000000\.0.*clip_norm"
    ):
        model.fit(NUMBERED * 1e6, SIDE[:120] if kind is MLPClassifier else NUMBERS)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_diverged_training_with_early_stopping_keeps_its_best_weights():
    model = MLPRegressor(
        (100,), activation="identity", solver="sgd", learning_rate_init=0.3, early_stopping=True, random_state=0,
        schedule=schedules.Step(1, 1.0), n_iter_no_change=50,
    )  # fmt: skip
    with pytest.warns(ConvergenceWarning, match=r"stopped being finite in epoch \d+: the weights are those of epoch 1"):
        model.fit(IRIS, SPECIES)
    assert np.isfinite(weights_of(model)).all()
    assert not np.isfinite(model.validation_loss_curve_[-1])
    assert model.best_validation_score_ == model.validation_scores_[0]


# Going on


@BOTH
@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "sgd"},
        {"solver": "sgd", "momentum": 0},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 10, "n_iter_no_change": 2},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"solver": "adam", "dropout": 0.2, "batch_size": 16},
        {"solver": "rmsprop", "schedule": schedules.Cosine()},
    ],
    ids=str,
)
def test_partial_fits_are_the_epochs_of_a_fit(kind, settings):
    whole = kind((6,), max_iter=12, random_state=1, **({"tol": 0} | settings))
    parts = clone(whole)
    whole.fit(PAIR, SIDE)
    for _ in range(12):
        parts.partial_fit(PAIR, SIDE, **({"classes": [0, 1]} if kind is MLPClassifier else {}))
    np.testing.assert_array_equal(weights_of(parts), weights_of(whole))
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.t_ == whole.t_ == 12 * len(PAIR)
    assert parts.n_iter_ == 1


@BOTH
def test_a_partial_fit_goes_on_where_a_fit_ended(kind):
    settings = {"hidden_layer_sizes": (6,), "random_state": 1, "tol": 0}
    begun = kind(max_iter=5, **settings).fit(PAIR, SIDE)
    for _ in range(3):
        begun.partial_fit(PAIR, SIDE)
    np.testing.assert_array_equal(weights_of(begun), weights_of(kind(max_iter=8, **settings).fit(PAIR, SIDE)))
    assert len(begun.loss_curve_) == 8


def test_partial_fits_learn_new_targets_of_a_trained_model():
    model = MLPRegressor((42,), learning_rate_init=0.01, random_state=42).fit([[2]], [4])
    for _ in range(200):
        model.partial_fit([[2]], [1])
    np.testing.assert_allclose(model.predict([[2]]), 1, rtol=1e-3)


def test_partial_fit_learns_a_class_that_comes_later():
    model = MLPClassifier(random_state=0, learning_rate_init=0.05)
    model.partial_fit([[1], [2], [3]], ["a", "b", "c"], classes=["d", "c", "b", "a"])
    for _ in range(50):
        model.partial_fit([[40]], ["d"])
    assert list(model.classes_) == ["a", "b", "c", "d"]
    assert model.predict([[40]]) == ["d"]


def test_partial_fit_of_labels():
    model = MLPClassifier(
        solver="sgd", hidden_layer_sizes=50, activation="logistic", learning_rate_init=0.2, random_state=0
    )
    for _ in range(100):
        model.partial_fit(LABELLED, LABELS, classes=range(5))
    assert model.score(LABELLED, LABELS) > 0.9


def test_another_solver_goes_on_from_the_weights_with_empty_memories():
    model = MLPRegressor((6,), solver="adam", max_iter=3, random_state=0).fit(PAIR, SIDE)
    before = weights_of(model)
    model.set_params(solver="sgd", learning_rate_init=1e-9).partial_fit(PAIR, SIDE)
    np.testing.assert_allclose(weights_of(model), before, atol=1e-6)


@BOTH
def test_a_warm_start_begins_with_the_last_weights(kind):
    model = kind((6,), max_iter=3, warm_start=True, random_state=0, learning_rate_init=1e-12, tol=0).fit(PAIR, SIDE)
    before = weights_of(model)
    model.set_params(max_iter=2, random_state=7).fit(PAIR, SIDE)
    np.testing.assert_allclose(weights_of(model), before, atol=1e-9)
    assert model.n_iter_ == 2
    assert len(model.loss_curve_) == 5
    assert model.t_ == 5 * len(PAIR)
    cold = clone(model).set_params(warm_start=False).fit(PAIR, SIDE)
    assert np.abs(weights_of(cold) - before).max() > 1e-3


def test_a_warm_start_goes_on_with_inverse_scaling():
    settings = {"hidden_layer_sizes": (4,), "solver": "sgd", "learning_rate": "invscaling", "momentum": 0, "alpha": 0}
    model = MLPRegressor(max_iter=1, warm_start=True, shuffle=False, random_state=0, **settings)
    x, y = PAIR[:4], SIDE[:4]
    model.fit(x, y)
    weights, biases = [w.copy() for w in model.coefs_], [b.copy() for b in model.intercepts_]
    step = weights[1] - model.fit(x, y).coefs_[1]
    # Told that it has seen no samples, the same network takes a step of the whole rate, not of 1/sqrt(1 + 4) of it.
    model.coefs_, model.intercepts_, model.t_ = [w.copy() for w in weights], biases, 0
    np.testing.assert_allclose(weights[1] - model.fit(x, y).coefs_[1], step * np.sqrt(5), rtol=1e-9)


@BOTH
def test_a_warm_start_with_early_stopping_adds_to_its_curves(kind):
    model = kind((4,), max_iter=4, random_state=0, warm_start=True, early_stopping=True).fit(PAIR, SIDE)
    model.set_params(max_iter=6).fit(PAIR, SIDE)
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == 10
    assert model.best_validation_score_ == max(model.validation_scores_[4:])


# Bad input

WRONG = {
    "hidden_layer_sizes": [(4, 0), -1, (2.5,)],
    "activation": ["rellu", ["relu", "tanh"], [None], 3],
    "solver": ["lbfgs", None],
    "alpha": [-1, np.nan, "1"],
    "l1": [-0.1],
    "l2": [np.inf],
    "batch_size": [0, "aut", 2.5],
    "learning_rate": ["adaptve"],
    "learning_rate_init": [0, -1, np.inf],
    "power_t": [-1],
    "max_iter": [0, 1.5, True],
    "shuffle": [1, "yes"],
    "warm_start": [None],
    "early_stopping": ["no"],
    "nesterovs_momentum": [0],
    "tol": [-1e-9],
    "momentum": [1, -0.1],
    "validation_fraction": [0, 1, -0.1],
    "beta_1": [1],
    "beta_2": [1],
    "epsilon": [0],
    "n_iter_no_change": [0, 2.5],
    "verbose": [-1, "loud"],
    "clip_norm": [0],
    "dropout": [1, -0.1],
    "weight_decay": [-1],
    "schedule": ["cosin", 3],
    "initializer": ["he"],
    "dtype": ["float16", np.float32],
    "device": ["cuda"],
    "loss": ["log_los", 3],
}


@BOTH
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_parameter_is_named_with_its_value_before_training(kind, name, value, monkeypatch):
    monkeypatch.setattr("backprop.estimators.base.Training", None)
    shown = value[0] if isinstance(value, list) and len(value) == 1 else value
    if name == "hidden_layer_sizes" and isinstance(value, tuple):
        shown = value[-1]
    with pytest.raises(ValueError, match=rf"{name}\b.*") as raised:
        kind(**{name: value}).fit(PAIR, SIDE)
    assert repr(shown) in str(raised.value)
    assert "use" in str(raised.value)


@pytest.mark.parametrize(("kind", "name"), [(MLPClassifier, "log_loss"), (MLPRegressor, "squared_error")])
def test_the_nearest_name_is_suggested(kind, name):
    with pytest.raises(ValueError, match=f"did you mean '{name}'"):
        kind(loss=f"{name}s").fit(PAIR, SIDE)
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        kind(solver="adm").fit(PAIR, SIDE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0: use at least 0"),
        ({"label_smoothing": 0.1, "loss": "mse"}, "label_smoothing is 0.1 but loss is 'mse'"),
        ({"loss": "cross_entropy"}, "loss 'cross_entropy' is unknown.*log_loss"),
        ({"schedule": "reduce_on_plateau"}, "watches 'val/loss' but early_stopping is False"),
        ({"class_weight": "even"}, "class_weight"),
        ({"class_weight": {0: -1, 1: 1}}, r"class_weight is \{0: -1, 1: 1\}: use numbers of 0 or more"),
        ({"class_weight": {0: 0, 1: 0}}, "zero"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**settings).fit(PAIR, SIDE)


@BOTH
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"sample_weight has shape \(3,\)"),
        (np.full(len(PAIR), -1.0), r"sample_weight\[0\] is -1.0"),
        (np.full(len(PAIR), np.nan), r"sample_weight\[0\] is nan"),
        (np.zeros(len(PAIR)), "sample_weight.*zero"),
    ],
)
def test_wrong_weights_are_refused(kind, weights, message):
    with pytest.raises(ValueError, match=message):
        kind().fit(PAIR, SIDE, sample_weight=weights)


def test_targets_that_are_no_classes_are_refused():
    with pytest.raises(ValueError, match="Unknown label type"):
        MLPClassifier().fit(PAIR, PAIR[:, 10] + 0.5)
    with pytest.raises(ValueError, match=r"y of shape \(4, 2\) holds several classes"):
        MLPClassifier().fit(np.eye(4), [[0, 1], [1, 2], [2, 0], [1, 1]])
    with pytest.raises(ValueError, match=r"y has a minimum of -1\.0: loss 'poisson'"):
        MLPRegressor(loss="poisson").fit(np.eye(2), [1.0, -1.0])


def test_labels_stop_early_only_by_their_log_loss():
    with pytest.raises(ValueError, match="loss is 'mse' and early_stopping is True"):
        MLPClassifier(loss="mse", early_stopping=True).fit(LABELLED, LABELS)


def test_partial_fit_refuses_what_it_cannot_know():
    with pytest.raises(ValueError, match="classes is None"):
        MLPClassifier().partial_fit(PAIR, SIDE)
    with pytest.raises(ValueError, match=r"y has the classes \[0 1\]: use those of `classes`, \[2\]"):
        MLPClassifier().partial_fit(PAIR, SIDE, classes=[2])
    with pytest.raises(ValueError, match="class_weight is 'balanced'"):
        MLPClassifier(class_weight="balanced").partial_fit(PAIR, SIDE, classes=[0, 1])
    model = MLPClassifier().partial_fit(PAIR, SIDE, classes=[0, 1])
    with pytest.raises(ValueError, match=r"classes is \[1, 2\]: use those of the previous calls, \[0 1\]"):
        model.partial_fit(PAIR, SIDE, classes=[1, 2])
    with pytest.raises(ValueError, match="of another form"):
        model.partial_fit(LABELLED[:, :1].repeat(64, axis=1), LABELS)


@BOTH
def test_partial_fit_refuses_early_stopping(kind):
    model = kind(early_stopping=True, max_iter=2).fit(PAIR, SIDE)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        model.partial_fit(PAIR, SIDE)


@BOTH
def test_a_warm_start_refuses_another_network(kind):
    model = kind((4,), max_iter=1, warm_start=True).fit(PAIR, SIDE)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes is \(5,\).*\[\(64, 4\), \(4, 1\)\]"):
        model.set_params(hidden_layer_sizes=(5,)).fit(PAIR, SIDE)
    with pytest.raises(ValueError, match="expecting 64 features"):
        model.fit(PAIR[:, :5], SIDE)


@pytest.mark.parametrize("y", [SPECIES > 0, SPECIES + 1, np.arange(150) % 4])
def test_a_warm_start_refuses_other_classes(y):
    model = MLPClassifier((2,), max_iter=1, warm_start=True).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match=r"the same classes as in the previous call to fit. Previously got \[0 1 2\]"):
        model.fit(IRIS, y)


@BOTH
def test_too_few_validation_samples_are_refused(kind):
    with pytest.raises(ValueError, match=r"sets 1 of 4 samples aside.*too small"):
        kind(early_stopping=True).fit(np.eye(4), [1, 1, 1, 1])


@BOTH
def test_a_batch_larger_than_the_samples_is_cut_with_a_warning(kind):
    with pytest.warns(UserWarning, match=f"batch_size is 1000 but there are {len(PAIR)} samples"):
        kind(batch_size=1000, max_iter=1).fit(PAIR, SIDE)


@BOTH
def test_a_failed_first_fit_leaves_nothing_to_go_on_from(kind):
    model = kind(early_stopping=True)
    with pytest.raises(ValueError, match="too small"):
        model.fit(np.eye(4), [1, 1, 1, 1])
    model.set_params(early_stopping=False, warm_start=True, max_iter=2).fit(PAIR, SIDE)
    assert model.n_features_in_ == 64
