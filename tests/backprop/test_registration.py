"""A user's own activations and losses: what is accepted, what is refused and with which words."""

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backprop import Architecture, Backend, Network, check_gradients, initial_parameters
from backprop.activations import ACTIVATIONS, activation, register_activation
from backprop.local_derivatives import (
    ACTIVATION_POINTS,
    check_activation_derivative,
    check_loss_derivative,
    loss_points,
)
from backprop.losses import LOSSES, output_stage, register_loss

CPU = Backend(np)
RIGHT_CLASSES = np.eye(3)[[0, 2, 1, 1, 0]]


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch):
    monkeypatch.setattr("backprop.activations.ACTIVATIONS", dict(ACTIVATIONS))
    monkeypatch.setattr("backprop.losses.LOSSES", dict(LOSSES))


def softsign(xp, z):
    return z / (1 + xp.abs(z))


def softsign_derivative(xp, z, h):  # noqa: ARG001 - the signature of a local derivative
    return (1 - xp.abs(h)) ** 2


def log_cosh(xp, yhat, y):
    return xp.log(xp.cosh(yhat - y)).sum(axis=-1)


def log_cosh_derivative(xp, yhat, y):
    return xp.tanh(yhat - y)


# Accepted


def test_a_registered_activation_trains_as_one_of_ours():
    register_activation("softsign", softsign, softsign_derivative)
    z = np.array([[[-3.0, 0.0, 1.0]]])
    sigma = activation("softsign")
    h = sigma.value(np, z)
    assert sigma.name == "softsign"
    np.testing.assert_array_equal(h, [[[-0.75, 0, 0.5]]])
    np.testing.assert_array_equal(sigma.derivative(np, z, h), [[[0.0625, 1, 0.25]]])
    np.testing.assert_array_equal(sigma.chain(np, 2 * np.ones_like(z), z, h), [[[0.125, 2, 0.5]]])
    architecture = Architecture(3, (4,), 3, "softsign", "softsign", "mse")
    parameters = initial_parameters(architecture, [0, 1], "float64")
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert check_gradients(Network(architecture, CPU), parameters, x, RIGHT_CLASSES).worst < 1e-9


def test_a_registered_derivative_is_given_z_and_h():
    register_activation("cube", lambda _, z: z**3, lambda xp, z, h: 2 * z * z + xp.abs(h * z) ** 0.5)
    z = np.array([-2.0, 3.0])
    np.testing.assert_allclose(activation("cube").derivative(np, z, z**3), [12, 27], rtol=1e-15)


def test_a_registered_loss_trains_as_one_of_ours():
    register_loss("log_cosh", log_cosh, log_cosh_derivative)
    assert output_stage("identity", "log_cosh").criterion.name == "log_cosh"
    assert output_stage("identity", "log_cosh").loss(np, np.array([[[1.0, -1.0]]]), np.zeros((1, 2))) == pytest.approx(
        2 * np.log(np.cosh(1))
    )
    architecture = Architecture(3, (4,), 3, "tanh", "sigmoid", "log_cosh")
    parameters = initial_parameters(architecture, [0, 1], "float64")
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert check_gradients(Network(architecture, CPU), parameters, x, RIGHT_CLASSES).worst < 1e-9


def test_scaling_the_delta_of_a_registered_loss_does_not_reach_what_its_derivative_returned():
    register_loss("square", lambda _, yhat, y: 0.5 * (yhat**2 + 0 * y).sum(axis=-1), lambda _xp, yhat, _y: yhat)
    z = np.array([[[1.0, -2.0]]])
    _, delta = output_stage("identity", "square").loss_and_delta(np, z, np.zeros((1, 2)))
    delta *= 0
    np.testing.assert_array_equal(z, [[[1, -2]]])


@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        pytest.param(lambda xp, z: xp.clip(z, -1, 1), lambda xp, z, _: xp.abs(z) < 1, id="kinks at -1 and 1"),
        pytest.param(lambda xp, z: xp.clip(z, 0, 6), lambda _, z, __: (z > 0) & (z < 6), id="kinks at 0 and 6"),
        pytest.param(
            lambda xp, z: xp.clip(z / 6 + 0.5, 0, 1), lambda xp, z, _: (xp.abs(z) < 3) / z.dtype.type(6), id="hard"
        ),
        pytest.param(lambda _, z: z, lambda xp, z, _: xp.ones_like(z), id="the argument itself"),
        pytest.param(lambda _, z: z + 1e6, lambda xp, z, _: xp.ones_like(z), id="a slope beside a large constant"),
        pytest.param(lambda xp, z: 1e-9 * xp.sin(z), lambda xp, z, _: 1e-9 * xp.cos(z), id="tiny"),
        pytest.param(lambda xp, z: 1e9 * xp.sin(z), lambda xp, z, _: 1e9 * xp.cos(z), id="huge"),
        pytest.param(lambda xp, z: xp.zeros_like(z), lambda xp, z, _: xp.zeros_like(z), id="nothing"),
        pytest.param(lambda xp, z: xp.exp(z), lambda _xp, _z, h: h, id="a derivative that is the value"),
    ],
)
def test_a_right_pair_is_accepted(function, derivative):
    register_activation("mine", function, derivative)
    assert activation("mine").name == "mine"


@pytest.mark.parametrize("name", sorted(ACTIVATIONS.keys() - {"softmax"}))
def test_our_own_activations_pass_the_check_that_users_must(name):
    check_activation_derivative(name, activation(name).value, activation(name).derivative)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_our_own_losses_pass_the_check_that_users_must(name):
    check_loss_derivative(name, LOSSES[name].value, LOSSES[name].derivative, (0, 1), (-1, 1))


@given(a=st.floats(0.1, 3), b=st.floats(-2, 2), c=st.floats(-3, 3))
def test_a_right_derivative_is_accepted_whatever_the_function(a, b, c):
    check_activation_derivative(
        "mine",
        lambda xp, z: a * xp.tanh(b * z) + c * z * z,
        lambda xp, z, _: a * b * (1 - xp.tanh(b * z) ** 2) + 2 * c * z,
    )


# Refused


@given(factor=st.floats(-3, 3))
def test_a_wrong_factor_is_refused_whatever_it_is(factor):
    assume(abs(factor - 1) > 1e-5)
    with pytest.raises(ValueError, match="derivative is wrong"):
        check_activation_derivative("mine", softsign, lambda xp, z, h: factor * softsign_derivative(xp, z, h))
    with pytest.raises(ValueError, match="derivative is wrong"):
        check_loss_derivative("m", log_cosh, lambda *given: factor * log_cosh_derivative(*given), (-3, 3), (-3, 3))


def test_a_wrong_derivative_is_named_with_the_point_and_both_values():
    """z^2 / 2 with a sign lost: at the leftmost point, z = 0.05 - 0.3 * 20 = -5.95, the two differ most."""
    with pytest.raises(
        ValueError,
        match=re.escape(
            "activation 'mine': the derivative is wrong at z = -5.95: it returns 5.95, central differences "
            "give -5.95 (and 20 of 40 points disagree)"
        ),
    ):
        register_activation("mine", lambda _, z: z * z / 2, lambda xp, z, _: xp.where(z > -7, xp.abs(z), z))


@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        pytest.param(softsign, lambda xp, z, h: -softsign_derivative(xp, z, h), id="sign"),
        pytest.param(softsign, lambda xp, _z, h: 1 - xp.abs(h), id="square"),
        pytest.param(lambda xp, z: xp.tanh(2 * z), lambda _xp, _z, h: 1 - h * h, id="factor"),
        pytest.param(lambda xp, z: 1e-9 * xp.sin(z), lambda xp, z, _: 2e-9 * xp.cos(z), id="factor of a tiny one"),
        pytest.param(lambda xp, z: xp.maximum(z, 0), lambda xp, z, _: xp.ones_like(z), id="one side"),
        pytest.param(lambda xp, z: xp.exp(z), lambda xp, _, h: xp.where(h < 0.003, 0 * h, h), id="one tail"),
        pytest.param(lambda xp, z: xp.zeros_like(z), lambda _xp, z, _h: z * 1e-6, id="no slope"),
    ],
)
def test_a_wrong_derivative_of_an_activation_is_refused_and_nothing_is_registered(function, derivative):
    with pytest.raises(ValueError, match="activation 'mine': the derivative is wrong at z = "):
        register_activation("mine", function, derivative)
    with pytest.raises(ValueError, match="activation 'mine' is unknown"):
        activation("mine")


def test_a_kink_at_a_point_of_the_grid_is_reported_as_what_it_is():
    """|z - 0.65| bends at a grid point: its derivative from the left is -1, its central difference is 0."""
    kink = float(ACTIVATION_POINTS.ravel()[22])
    with pytest.raises(
        ValueError, match=r"wrong at z = 0\.65: it returns -1, .* give 0 \(and 1 of 40 points disagree\)"
    ):
        register_activation(
            "mine",
            lambda xp, z: xp.abs(z - kink),
            lambda xp, z, _: xp.where(z > kink, xp.ones_like(z), -1),
        )


@pytest.mark.parametrize(
    "derivative",
    [
        pytest.param(lambda *given: -log_cosh_derivative(*given), id="sign"),
        pytest.param(lambda *given: 0.5 * log_cosh_derivative(*given), id="factor"),
        pytest.param(lambda xp, yhat, y: xp.tanh(yhat - y) * xp.array([1, 1, 0], yhat.dtype), id="an output left out"),
        pytest.param(lambda xp, yhat, y: xp.tanh(yhat - y) * (yhat < 2.5), id="one tail"),
    ],
)
def test_a_wrong_derivative_of_a_loss_is_refused_and_nothing_is_registered(derivative):
    with pytest.raises(ValueError, match=r"loss 'mine': the derivative is wrong at yhat = \S+, y = \S+: it returns"):
        register_loss("mine", log_cosh, derivative)
    with pytest.raises(ValueError, match="loss 'mine' is unknown"):
        output_stage("identity", "mine")


def test_a_wrong_derivative_of_a_loss_is_named_with_the_point_and_both_values():
    yhat, y = loss_points((0, 1), (2, 4))
    residual = yhat - y
    worst = np.unravel_index(np.abs(residual).argmax(), residual.shape)
    message = (
        f"at yhat = {yhat[worst]:.6g}, y = {y[worst[1:]]:.6g}: it returns {residual[worst]:.8g}, central differences"
    )
    with pytest.raises(ValueError, match=re.escape(message) + rf" give {2 * residual[worst]:.8g} .*30 of 30"):
        register_loss(
            "mine", lambda _, yhat, y: ((yhat - y) ** 2).sum(axis=-1), lambda _, yhat, y: yhat - y, (0, 1), (2, 4)
        )


@pytest.mark.parametrize(
    ("function", "derivative", "message"),
    [
        (lambda _, z: z.sum(axis=-1), softsign_derivative, "function returns shape (2, 4): it must be (2, 4, 5) here"),
        (lambda *_: None, softsign_derivative, "function returns shape (): it must be (2, 4, 5) here"),
        (lambda xp, z: xp.log(z), softsign_derivative, "function is not finite for every z"),
        (
            lambda _, z: z * np.float64(2),
            softsign_derivative,
            "function makes float64 of float32: it must keep the dtype",
        ),
        (
            lambda xp, z: z - z.mean(axis=0, keepdims=True) + 0 * xp.abs(z),
            softsign_derivative,
            "function mixes units, samples or trials; it must treat every entry of z alone",
        ),
        (ACTIVATIONS["softmax"].value, softsign_derivative, "function mixes units, samples or trials"),
        (softsign, lambda *_: 1.0, "derivative returns shape (): it must be (2, 4, 5) here"),
        (softsign, lambda xp, z, _: xp.log(z), "derivative is not finite for every z"),
        (
            softsign,
            lambda xp, z, _: (1 - xp.abs(softsign(xp, z))) ** 2 * np.float64(1),
            "derivative makes float64 of float32: it must keep the dtype",
        ),
    ],
)
def test_an_activation_that_is_no_stage_is_refused(function, derivative, message):
    with pytest.raises(ValueError, match=re.escape(f"activation 'mine': {message}")):
        register_activation("mine", function, derivative)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_activation_that_mixes_along_any_axis_is_refused(axis):
    with pytest.raises(ValueError, match="mixes units, samples or trials"):
        register_activation("mine", lambda _, z: z - z.mean(axis=axis, keepdims=True), softsign_derivative)


@pytest.mark.parametrize(
    ("value", "derivative", "message"),
    [
        (
            lambda _, yhat, y: (yhat - y) ** 2,
            log_cosh_derivative,
            "value returns shape (2, 5, 3): it must be (2, 5) here",
        ),
        (
            lambda xp, yhat, y: -(y * xp.log(yhat)).sum(axis=-1),
            lambda _, yhat, y: -y / yhat,
            "value is not finite for every yhat; if it is defined on fewer outputs or targets, name their range",
        ),
        (
            log_cosh,
            lambda xp, yhat, y: xp.log(yhat - y),
            "derivative is not finite for every yhat; if it is defined on fewer outputs or targets, name their range",
        ),
        (
            lambda xp, yhat, y: log_cosh(xp, yhat, y) * np.float64(1),
            log_cosh_derivative,
            "value makes float64 of float32: it must keep the dtype",
        ),
        (
            log_cosh,
            lambda xp, yhat, y: log_cosh_derivative(xp, yhat, y) * np.float64(1),
            "derivative makes float64 of float32: it must keep the dtype",
        ),
        (log_cosh, log_cosh, "derivative returns shape (2, 5): it must be (2, 5, 3) here"),
    ],
)
def test_a_loss_that_is_no_stage_is_refused(value, derivative, message):
    with pytest.raises(ValueError, match=re.escape(f"loss 'mine': {message}")):
        register_loss("mine", value, derivative)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_loss_that_mixes_samples_or_trials_is_refused(axis):
    def mixed(xp, yhat, y):
        losses = log_cosh(xp, yhat, y)
        return losses - losses.mean(axis=axis, keepdims=True)

    with pytest.raises(ValueError, match="value mixes samples or trials; the loss of a sample must depend on that"):
        register_loss("mine", mixed, log_cosh_derivative)


def test_a_loss_of_probabilities_is_checked_on_probabilities():
    def value(xp, yhat, y):
        return -(y * xp.log(yhat)).sum(axis=-1)

    register_loss("mine", value, lambda _, yhat, y: -y / yhat, outputs=(0, 1), targets=(0, 1))
    loss = output_stage("softmax", "mine").loss(np, np.array([[[0.0, 0.0]]]), np.array([[1.0, 0.0]]))
    assert loss == pytest.approx(np.log(2))


@pytest.mark.parametrize("wrong", [(1, 0), (2, 2), (0, np.inf), (-np.inf, 0), (np.nan, 1)])
@pytest.mark.parametrize("argument", ["outputs", "targets"])
def test_an_empty_range_is_refused(argument, wrong):
    with pytest.raises(ValueError, match=rf"{argument} is \({wrong[0]}, {wrong[1]}\): use a finite range"):
        register_loss("mine", log_cosh, log_cosh_derivative, **{argument: wrong})


def test_a_taken_name_is_refused_also_when_a_user_took_it():
    with pytest.raises(ValueError, match="activation 'relu' is taken: use a name other than identity, sigmoid"):
        register_activation("relu", softsign, softsign_derivative)
    with pytest.raises(ValueError, match="loss 'mse' is taken: use a name other than mse, mae"):
        register_loss("mse", log_cosh, log_cosh_derivative)
    register_activation("mine", softsign, softsign_derivative)
    with pytest.raises(ValueError, match="activation 'mine' is taken"):
        register_activation("mine", softsign, softsign_derivative)


@pytest.mark.parametrize("name", ["", "two words", "3d", None, 7])
def test_a_name_nobody_could_write_is_refused(name):
    message = re.escape(f"{name!r} cannot be registered: use a name of letters, digits and underscores")
    with pytest.raises(ValueError, match="activation " + message):
        register_activation(name, softsign, softsign_derivative)
    with pytest.raises(ValueError, match="loss " + message):
        register_loss(name, log_cosh, log_cosh_derivative)


# Where it looks


def test_the_points_of_an_activation_stay_clear_of_whole_and_half_numbers_and_reach_far_enough():
    assert ACTIVATION_POINTS.min() == pytest.approx(-5.95)
    assert ACTIVATION_POINTS.max() == pytest.approx(5.75)
    assert ACTIVATION_POINTS.size == 40
    assert np.abs(2 * ACTIVATION_POINTS - np.round(2 * ACTIVATION_POINTS)).min() > 0.09


@given(low=st.floats(-10, 10), width=st.floats(0.01, 10))
def test_the_points_of_a_loss_fill_the_inside_of_their_ranges(low, width):
    yhat, y = loss_points((low, low + width), (-low, width - low))
    assert (yhat.shape, y.shape) == ((2, 5, 3), (5, 3))
    for found, start in ((yhat, low), (y, -low)):
        place = (found - start) / width
        assert 0.01 < place.min() < 0.15
        assert 0.85 < place.max() < 0.99
        assert len(np.unique(found)) == found.size


def test_no_residual_of_the_default_points_is_at_the_kink_of_a_known_loss():
    yhat, y = loss_points((-3, 3), (-3, 3))
    assert min(np.abs(np.abs(yhat - y) - kink).min() for kink in (0, 0.5, 1, 2)) > 1e-3
