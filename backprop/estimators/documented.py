"""Documentation that both estimators share, put where `help` and notebooks look for it."""

from inspect import cleandoc
from textwrap import indent
from typing import TypeVar

Class = TypeVar("Class", bound=type)

PARAMETERS = """
hidden_layer_sizes : int or sequence of int, default=(100,)
    Units of each hidden layer; ``()`` is a linear model.
activation : str or sequence of str, default="relu"
    Of the hidden layers, one name for all or one each: ``"identity"``, ``"logistic"`` (or ``"sigmoid"``),
    ``"tanh"``, ``"relu"``, ``"leaky_relu"``, ``"elu"``, ``"softplus"``, ``"gelu"``, ``"silu"``, ``"softmax"``, or
    one added by `backprop.register_activation`.
solver : {"sgd", "adam", "rmsprop", "adamw"}, default="adam"
alpha : float, default=0.0001
    Strength of the L2 penalty, as in scikit-learn: `alpha/2 sum W^2`, divided by the batch size (or the weight of
    its samples), is added to the mean loss of a minibatch. Biases are exempt.
batch_size : int or "auto", default="auto"
    Samples per update; ``"auto"`` is the smaller of 200 and their number.
learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
    Schedule of ``solver="sgd"``, as in scikit-learn; `schedule` is for all solvers and has more.
learning_rate_init : float, default=0.001
power_t : float, default=0.5
    Exponent of ``"invscaling"``.
max_iter : int, default=200
    Most epochs of a call to `fit`.
shuffle : bool, default=True
    Whether every epoch has an order of its own.
random_state : int, RandomState or None, default=None
    Draws weights, orders, dropout and the validation samples.
tol : float, default=0.0001
    What counts as an improvement of the training loss, or with `early_stopping` of the validation score.
verbose : bool or int, default=False
    Whether to print every epoch.
warm_start : bool, default=False
    Whether `fit` starts from the weights of the last one.
momentum : float, default=0.9
    In [0, 1), of ``solver="sgd"``.
nesterovs_momentum : bool, default=True
early_stopping : bool, default=False
    Whether to set samples aside, end when their score no longer improves, and keep the weights of the best epoch.
    Without it the training loss decides, and the weights are the last.
validation_fraction : float, default=0.1
    Part of the samples set aside, between 0 and 1.
beta_1 : float, default=0.9
    Of ``"adam"`` and ``"adamw"``.
beta_2 : float, default=0.999
    Of ``"adam"`` and ``"adamw"``; the decay of ``"rmsprop"``.
epsilon : float, default=1e-8
    Of ``"adam"``, ``"adamw"`` and ``"rmsprop"``.
n_iter_no_change : int or inf, default=10
    Training ends after more than so many epochs in a row without an improvement by `tol`.
weight_decay : float, default=0.01
    Decoupled weight decay of ``"adamw"``.
l2, l1 : float, default=0.0
    Penalties `l2/2 sum W^2` and `l1 sum |W|` on the mean loss that, unlike `alpha`, mean the same at any batch size.
clip_norm : float or None, default=None
    Longest gradient, over all weights and biases.
dropout : float, default=0.0
    Probability to leave out a hidden unit in training, in [0, 1).
schedule : str, Schedule or None, default=None
    One of `backprop.schedules`, or its name; takes the place of `learning_rate`, for any solver.
initializer : str or None, default=None
    One of `backprop.initializers` for all layers; None chooses by activation.
dtype : {"float32", "float64"} or None, default=None
    What to compute in; None takes that of `X`, float64 unless it is float32.
device : {"auto", "cpu", "gpu"}, default="auto"
""".strip()

ATTRIBUTES = """
coefs_ : list of (fan_in, fan_out) arrays
    Weights of every layer.
intercepts_ : list of (fan_out,) arrays
loss_ : float
    Mean training loss of the last epoch.
loss_curve_ : list of float
    Mean training loss of every epoch, warm starts and partial fits included, each sample measured before the update
    it led to; without penalties.
best_loss_ : float or None
    Lowest of `loss_curve_`; None with `early_stopping`.
validation_scores_, validation_loss_curve_ : list of float, or None
    Score and mean loss of the validation samples after every epoch; None without `early_stopping`.
best_validation_score_ : float or None
    Best score of the last fit, that of the weights.
n_iter_ : int
    Epochs of the last fit.
t_ : int
    Samples trained on, each as often as it was.
n_features_in_, n_outputs_, n_layers_ : int
feature_names_in_ : (D,) array
    Where `X` is a data frame whose columns have text for names.
out_activation_ : str
""".strip()


def documented(kind: Class) -> Class:
    """Fill in the parts of a class's docstring that are the same for all estimators."""
    text = cleandoc(kind.__doc__ or "")
    for mark, shared in (("{parameters}", PARAMETERS), ("{attributes}", ATTRIBUTES)):
        text = text.replace(mark, shared)
    kind.__doc__ = indent(text, "    ").strip()
    return kind
