"""`MLPClassifier` and `MLPRegressor` for people who come from scikit-learn.

Parameters have scikit-learn's names where they mean the same; what it has no name for has the core's. The
estimators go through `Pipeline`, `GridSearchCV`, `cross_val_score`, `clone` and pickle. Each trains a stack of one
trial with the core's `Training`: nothing is trained here that is not trained there.

Only this package needs scikit-learn, so import it by its name: `from backprop.estimators import MLPClassifier`.

What differs from scikit-learn 1.9:

* No `lbfgs`: every solver here trains by minibatches. There are `rmsprop` and `adamw` instead.
* Biases start at 0, and weights before a relu and its like are drawn by `he_uniform` (see `initializer`).
* `loss_curve_` holds the mean loss without penalties, weighted by sample over the whole epoch; of a squared error it
  is the sum over outputs that the gradient belongs to, where scikit-learn reports their mean.
* A short last minibatch is penalised by `alpha / batch_size` as all others.
* `momentum` keeps the learning rate outside its memory, and `epsilon` of `adam` is added after the correction for
  the memories' start at 0, both as PyTorch does. A `momentum` of 1 is refused.
* A sample of weight 0 is left out; with `early_stopping` classes are spread evenly over the split for more than
  two classes too.
* A warm start counts its patience anew, and goes on with the decay of `invscaling` where the last fit ended.
* `partial_fit` n times is `fit` of n epochs, bit for bit: epochs are shuffled by their number.
* `predict_log_proba` is computed from the logits, so it stays finite where a probability is 0.
* Sparse input is accepted, and made dense.
"""

from backprop.estimators.classifier import MLPClassifier
from backprop.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
