"""`MLPClassifier`: classes and labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from backprop import losses
from backprop.activations import activation
from backprop.backend import HostArray
from backprop.choices import choose
from backprop.estimators.base import BaseMLP
from backprop.estimators.documented import documented
from backprop.estimators.losses import HalfPoissonDeviance
from backprop.estimators.shaping import FLOATS, dense, sample_weights, without_weightless
from backprop.losses import BinaryCrossEntropy, CrossEntropy
from backprop.ranges import check_fraction
from backprop.samples import Samples, one_hot
from backprop.stack import Task

LOG_LOSS = "log_loss"
"""scikit-learn's name of the cross-entropy of classes or of labels, whichever `y` holds."""


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc] # scikit-learn is untyped
    """Multilayer perceptron that predicts a class of two or more, or any number of labels.

    Targets are N classes of any kind, or for labels an (N, C) matrix of 0 and 1. Two classes have one output through
    a logistic function, more have one each through a softmax, labels one each through logistic functions.

    Parameters
    ----------
    {parameters}
    loss : str, default="log_loss"
        Cross-entropy of whichever targets there are; or the core's ``"mse"``, ``"mae"``, ``"huber"``, or one added
        by `backprop.register_loss`, on the same outputs.
    class_weight : dict, "balanced" or None, default=None
        Weight of every class's samples by its label; for labels a list of such dicts. ``"balanced"`` lets all
        classes count alike.
    label_smoothing : float, default=0.0
        e of the targets trained on, `(1 - e) y + e/C` for classes, `(1 - e) y + e/2` for two classes and labels.

    Attributes
    ----------
    {attributes}
    classes_ : (C,) array
        In the order of the columns of `predict_proba`; for labels their numbers.

    See Also
    --------
    backprop.estimators : what differs from scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), MLPClassifier((32,), activation="gelu", dropout=0.1, random_state=0))
    >>> bool(model.fit(X, y).score(X, y) > 0.97)
    True
    """

    _task: ClassVar[Task] = "classification"

    loss: str = LOG_LOSS
    class_weight: Mapping[Any, float] | Sequence[Mapping[Any, float]] | Literal["balanced"] | None = None
    label_smoothing: float = 0.0

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train on samples for one epoch, going on from wherever training stands.

        Parameters
        ----------
        X : (N, D) array-like or sparse matrix
        y : (N,) or (N, C) array-like
        sample_weight : (N,) array-like, optional
            How much each sample counts; only the ratios within the call matter.
        classes : array-like, optional
            All classes there will ever be; needed in the first call.

        Raises
        ------
        ValueError
            As `fit`; or the first call is without `classes`, or a later one has others.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(  # noqa: TRY004 - as all others
                f"class_weight is {self.class_weight!r}, which needs all samples at once: "
                "for partial_fit use a dict of weights"
            )
        self._take_classes(classes)
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> HostArray:
        """Return the most probable class of every sample, (N,); of labels an (N, C) matrix of 0 and 1.

        Parameters
        ----------
        X : (N, D) array-like or sparse matrix
        """
        z = self._logits(X)
        if self._labels:
            return (z > 0).astype(int)
        if z.shape[1] == 1:
            return np.asarray(self.classes_[np.minimum(z[:, 0] > 0, len(self.classes_) - 1).astype(int)])
        return np.asarray(self.classes_[z.argmax(axis=1)])

    def predict_proba(self, X: Any) -> HostArray:
        """Return the probability of every class, (N, C), whose rows sum to 1, or of every label.

        Parameters
        ----------
        X : (N, D) array-like or sparse matrix
        """
        return np.asarray(np.exp(self.predict_log_proba(X)))

    def predict_log_proba(self, X: Any) -> HostArray:
        """Return the logarithm of `predict_proba`, (N, C), exact also where a probability is too small to be told.

        Parameters
        ----------
        X : (N, D) array-like or sparse matrix
        """
        z = self._both_sides(self._logits(X))
        if self._labels or len(self.classes_) == 2:
            return np.asarray(-activation("softplus").value(np, -z))
        shifted = z - z.max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))

    def _both_sides(self, z: HostArray) -> HostArray:
        """Return a logit for every class: one logit z of two classes stands for -z and z."""
        return z if self._labels or z.shape[1] > 1 else np.hstack([-z, z])[:, -len(self.classes_) :]

    # Targets

    def _samples(self, X: Any, y: Any, sample_weight: Any, *, first: bool, partial: bool) -> Samples:
        x, y = validate_data(self, X, y, accept_sparse=("csr", "csc"), multi_output=True, dtype=FLOATS, reset=first)
        check_classification_targets(y)
        x, y = dense(x), dense(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise ValueError(f"y of shape {y.shape} holds several classes a sample: use (N,), or (N, C) of 0 and 1")
        self._know_classes(y, kind == "multilabel-indicator", first=first, partial=partial)
        weights = sample_weights(sample_weight, len(x))
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, y)
            if not (by_class >= 0).all():
                raise ValueError(f"class_weight is {self.class_weight!r}: use numbers of 0 or more")
            weights = by_class if weights is None else weights * by_class
        return without_weightless(Samples(x, self._targets(y), weights))

    def _take_classes(self, classes: Any) -> None:
        """Take over the classes announced in a first partial fit; see that later ones announce the same."""
        first = not hasattr(self, "_state")
        if first and classes is None:
            raise ValueError("classes is None: the first call to partial_fit needs all classes there will be")
        if first:
            self.classes_ = unique_labels(classes)
        elif classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
            raise ValueError(f"classes is {classes!r}: use those of the previous calls, {self.classes_}")

    def _know_classes(self, y: HostArray, labels: bool, *, first: bool, partial: bool) -> None:
        """Take over the classes of a first fit; see that there are no others in a later or a partial one."""
        found = np.arange(y.shape[1]) if labels else np.unique(y)
        if first:
            self._labels = labels
            self.classes_ = self.classes_ if partial else found
        if labels != self._labels:
            raise ValueError(f"y of shape {y.shape} is of another form than in the previous call: use the same")
        if not partial and set(found) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {found}"
            )
        if len(np.setdiff1d(found, self.classes_)) or (labels and len(found) != len(self.classes_)):
            raise ValueError(f"y has the classes {found}: use those of `classes`, {self.classes_}")

    def _targets(self, y: HostArray) -> HostArray:
        """Return 0 and 1, (N, C), or (N, 1) for two classes."""
        if self._labels:
            return np.asarray(y != 0, "float32")
        codes = np.searchsorted(self.classes_, y)
        return one_hot(codes, len(self.classes_)) if len(self.classes_) > 2 else codes[:, None].astype("float32")

    def _strata(self, y: HostArray) -> HostArray | None:
        if self._labels:
            return None
        return np.asarray(self.classes_[y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0].astype(int)])

    # The core's words

    def _output(self) -> tuple[str, str]:
        softmax = not self._labels and len(self.classes_) > 2
        self.out_activation_ = "softmax" if softmax else "logistic"
        phi, log_loss = ("softmax", CrossEntropy.name) if softmax else ("sigmoid", BinaryCrossEntropy.name)
        offered = {LOG_LOSS: log_loss} | {name: name for name in losses.LOSSES if name not in WITHHELD}
        loss = choose("loss", self.loss, offered)
        if loss != log_loss and self._labels and self.early_stopping:
            raise ValueError(
                f"loss is {self.loss!r} and early_stopping is True: for labels use loss 'log_loss', or score samples "
                "of your own"
            )
        return phi, loss

    def _smoothing(self) -> float:
        check_fraction("label_smoothing", self.label_smoothing)
        if self.label_smoothing and self.loss != LOG_LOSS:
            raise ValueError(
                f"label_smoothing is {self.label_smoothing} but loss is {self.loss!r}: use 0, or loss 'log_loss'"
            )
        return self.label_smoothing

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


WITHHELD = frozenset({CrossEntropy.name, BinaryCrossEntropy.name, HalfPoissonDeviance.name})
"""Losses of the core that ``"log_loss"`` stands for, or that make no sense of classes."""
