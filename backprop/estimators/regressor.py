"""`MLPRegressor`: one number or several."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.validation import validate_data

from backprop import losses
from backprop.activations import activation
from backprop.backend import HostArray
from backprop.choices import choose
from backprop.estimators.base import BaseMLP
from backprop.estimators.documented import documented
from backprop.estimators.losses import HalfPoissonDeviance, HalfSquaredError
from backprop.estimators.settings import core_activation
from backprop.estimators.shaping import FLOATS, dense, sample_weights, without_weightless
from backprop.samples import Samples
from backprop.stack import Task

LOSS_NAMES = {"squared_error": HalfSquaredError.name, "poisson": HalfPoissonDeviance.name}
"""The core's names of scikit-learn's losses."""

OWN_OUTPUT = {"poisson": "exp"}
"""Output activation of losses whose outputs must be positive; for others it is the identity."""


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc] # scikit-learn is untyped
    """Multilayer perceptron that predicts a number, or C of them.

    Parameters
    ----------
    {parameters}
    loss : str, default="squared_error"
        ``"squared_error"`` and ``"poisson"`` are scikit-learn's, half the squared error and half the Poisson
        deviance; ``"mse"`` (without the half: twice the gradient), ``"mae"``, ``"huber"`` and those added by
        `backprop.register_loss` are the core's. All are sums over outputs.
    out_activation : str, default="auto"
        ``"auto"`` is ``"exp"`` for ``"poisson"``, and otherwise ``"identity"``; any of those for hidden layers will do.

    Attributes
    ----------
    {attributes}

    See Also
    --------
    backprop.estimators : what differs from scikit-learn.
    """

    _task: ClassVar[Task] = "regression"

    loss: str = "squared_error"
    out_activation: str = "auto"

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on samples for one epoch, going on from wherever training stands.

        Parameters
        ----------
        X : (N, D) array-like or sparse matrix
        y : (N,) or (N, C) array-like
        sample_weight : (N,) array-like, optional
            How much each sample counts; only the ratios within the call matter.

        Raises
        ------
        ValueError
            As `fit`.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> HostArray:
        """Return the outputs of every sample, (N,), or (N, C) of several, in the dtype of the weights.

        Parameters
        ----------
        X : (N, D) array-like or sparse matrix
        """
        z = self._logits(X)
        y = np.asarray(activation(self._architecture.output_activation).value(np, z))
        return y[:, 0] if y.shape[1] == 1 else y

    def _samples(self, X: Any, y: Any, sample_weight: Any, *, first: bool, partial: bool) -> Samples:  # noqa: ARG002 - one signature for both
        x, y = validate_data(
            self,
            X,
            y,
            accept_sparse=("csr", "csc"),
            multi_output=True,
            y_numeric=True,
            dtype=FLOATS,
            reset=first,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and np.min(y) < 0:
            raise ValueError(f"y has a minimum of {np.min(y)}: loss 'poisson' takes numbers of 0 or more")
        return without_weightless(Samples(dense(x), y.reshape(len(y), -1), sample_weights(sample_weight, len(y))))

    def _output(self) -> tuple[str, str]:
        offered = LOSS_NAMES | {name: name for name in losses.LOSSES if name not in LOSS_NAMES.values()}
        loss = choose("loss", self.loss, offered)
        auto = OWN_OUTPUT.get(self.loss, "identity")
        self.out_activation_ = auto if self.out_activation == "auto" else self.out_activation
        return core_activation("out_activation", self.out_activation_), loss

    def _strata(self, y: HostArray) -> HostArray | None:  # noqa: ARG002 - one signature for both
        return None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
