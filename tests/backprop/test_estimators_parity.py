"""Same names, same meanings: from the same weights our estimators go where scikit-learn's go, update by update."""

from typing import Any

import numpy as np
import pytest
import sklearn.neural_network as theirs
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import backprop.estimators as ours
from backprop import activations, losses

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, D, EPOCHS = 24, 4, 12


@pytest.fixture(autouse=True)
def core_tables_left_as_they_were(monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", dict(losses.LOSSES))
    monkeypatch.setattr(activations, "ACTIVATIONS", dict(activations.ACTIVATIONS))


DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(N, D))
TARGETS = {
    "binary": np.where(X[:, 0] + X[:, 1] > 0, "yes", "no"),
    "classes": np.abs(X[:, :3]).argmax(axis=1),
    "labels": (X[:, :3] > 0.2).astype(int),
    "number": np.sin(X[:, 0]) + X[:, 1],
    "numbers": X[:, :2] ** 2,
    "counts": np.floor(np.exp(X[:, 0])),
}


def trained_twins(target: str, sample_weight=None, **parameters: Any) -> tuple[Any, Any]:
    """Return scikit-learn's estimator and ours, trained alike from the weights that ours drew."""
    kind = "MLPClassifier" if target in ("binary", "classes", "labels") else "MLPRegressor"
    settings: dict[str, Any] = {
        "hidden_layer_sizes": (6, 5),
        "activation": "tanh",
        "shuffle": False,
        "warm_start": True,
        "batch_size": 8,
        "n_iter_no_change": np.inf,
        "random_state": 0,
        "max_iter": 1,
    }
    twins = [getattr(package, kind)(**(settings | parameters)) for package in (theirs, ours)]
    for twin in twins:
        twin.fit(X, TARGETS[target])
    sk, own = twins
    sk.coefs_ = [w.copy() for w in own.coefs_]
    sk.intercepts_ = [b + 0.1 for b in own.intercepts_]
    own.intercepts_ = [b + 0.1 for b in own.intercepts_]
    sk.best_loss_, sk._no_improvement_count = np.inf, 0
    for twin in twins:
        twin.t_, twin.loss_curve_ = 0, []
        twin.set_params(max_iter=EPOCHS).fit(X, TARGETS[target], sample_weight=sample_weight)
    return sk, own


def assert_alike(sk, own, tolerance: float = 1e-9) -> None:
    for a, b in zip([*own.coefs_, *own.intercepts_], [*sk.coefs_, *sk.intercepts_], strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert own.t_ == sk.t_
    assert own.n_iter_ == sk.n_iter_
    assert own.n_outputs_ == sk.n_outputs_
    assert own.n_layers_ == sk.n_layers_
    assert own.out_activation_ == sk.out_activation_


SGD = {"solver": "sgd", "learning_rate_init": 0.05}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_gradient_descent_follows_scikit_learn(target, activation):
    loss = {"loss": "poisson"} if target == "counts" else {}
    sk, own = trained_twins(target, alpha=0, activation=activation, momentum=0, **SGD, **loss)
    assert_alike(sk, own)
    # Of several numbers scikit-learn reports the mean but descends along the sum.
    outputs = 2 if target == "numbers" else 1
    np.testing.assert_allclose(own.loss_curve_, np.multiply(outputs, sk.loss_curve_), rtol=1e-9)
    assert own.loss_ == own.loss_curve_[-1]
    predicted = [getattr(twin, "predict_proba", twin.predict)(X) for twin in (own, sk)]
    np.testing.assert_allclose(*predicted, rtol=1e-8)


@pytest.mark.parametrize("target", ["binary", "classes", "labels"])
def test_probabilities_are_scikit_learns(target):
    sk, own = trained_twins(target, **SGD)
    np.testing.assert_allclose(own.predict_proba(X), sk.predict_proba(X), rtol=1e-9)
    np.testing.assert_allclose(own.predict_log_proba(X), sk.predict_log_proba(X), rtol=1e-7)
    np.testing.assert_array_equal(own.predict(X), sk.predict(X))
    np.testing.assert_array_equal(own.classes_, sk.classes_)
    assert own.predict(X).dtype == sk.predict(X).dtype
    assert own.score(X, TARGETS[target]) == sk.score(X, TARGETS[target])


@pytest.mark.parametrize("nesterovs_momentum", [True, False])
def test_momentum_is_scikit_learns(nesterovs_momentum):
    assert_alike(*trained_twins("classes", momentum=0.8, nesterovs_momentum=nesterovs_momentum, **SGD))


@pytest.mark.parametrize("batch_size", [4, 8, "auto"])
def test_alpha_is_divided_by_the_batch_size_as_in_scikit_learn(batch_size):
    sk, own = trained_twins("number", alpha=3.0, batch_size=batch_size, **SGD)
    assert_alike(sk, own)
    unpenalised = trained_twins("number", alpha=0.0, batch_size=batch_size, **SGD)[1]
    assert np.abs(own.coefs_[0] - unpenalised.coefs_[0]).max() > 1e-3


def test_adam_is_scikit_learns_but_for_where_epsilon_is_added():
    assert_alike(*trained_twins("classes", beta_1=0.8, beta_2=0.9, epsilon=1e-30, learning_rate_init=0.01), 1e-8)


@pytest.mark.parametrize("target", ["binary", "classes", "numbers"])
def test_sample_weights_mean_what_they_mean_in_scikit_learn(target):
    weights = np.random.default_rng(1).uniform(0.1, 5, N)
    sk, own = trained_twins(target, weights, batch_size=N, alpha=1.0, **SGD)
    assert_alike(sk, own)


def test_inverse_scaling_is_scikit_learns():
    assert_alike(*trained_twins("classes", learning_rate="invscaling", power_t=0.3, momentum=0, **SGD))


def test_the_adaptive_rate_falls_when_scikit_learns_does():
    rule = {"learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 1, "alpha": 0, "momentum": 0}
    sk, own = trained_twins("classes", **rule, **SGD)
    assert sk._optimizer.learning_rate < 0.02
    assert_alike(sk, own)
    assert own._state.paces[0].rate == pytest.approx(sk._optimizer.learning_rate, rel=1e-12)


@pytest.mark.parametrize("tol", [0.02, 0.005])
@pytest.mark.parametrize("patience", [1, 3])
def test_training_ends_in_the_epoch_it_ends_in_scikit_learn(tol, patience):
    sk, own = trained_twins("classes", tol=tol, n_iter_no_change=patience, alpha=0, **SGD)
    assert_alike(sk, own)
    assert own.best_loss_ == pytest.approx(sk.best_loss_, rel=1e-9)


def test_an_overconfident_mistake_costs_what_it_costs():
    """Logits (40, -40, 0) of class 1: the cross-entropy is 80, where scikit-learn clips it to 36."""
    y = np.array([0, 1, 2])
    own = ours.MLPClassifier((), alpha=0, max_iter=1, solver="sgd", learning_rate_init=1e-9).fit(np.eye(3), y)
    own.coefs_, own.intercepts_ = [np.zeros((3, 3))], [np.array([40.0, -40.0, 0.0])]
    assert own.predict_log_proba(np.eye(3))[0, 1] == -80
    own.set_params(warm_start=True).fit(np.eye(3), y)
    assert own.loss_ == pytest.approx((0 + 80 + 40) / 3)


@pytest.mark.parametrize(
    ("load", "kind", "rate", "epochs", "margin"),
    [
        (load_digits, "MLPClassifier", 0.003, 60, 0.015),
        (load_breast_cancer, "MLPClassifier", 0.003, 60, 0.015),
        (load_diabetes, "MLPRegressor", 0.01, 150, 0.04),
    ],
)
def test_models_are_as_good_as_scikit_learns(load, kind, rate, epochs, margin):
    features, y = load(return_X_y=True)
    settings = {"hidden_layer_sizes": (32,), "learning_rate_init": rate, "max_iter": epochs, "random_state": 0}
    scores = [
        cross_val_score(make_pipeline(StandardScaler(), getattr(package, kind)(**settings)), features, y, cv=3).mean()
        for package in (theirs, ours)
    ]
    assert abs(scores[1] - scores[0]) < margin, scores
