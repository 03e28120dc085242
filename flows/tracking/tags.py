"""The names of the tags that the pipeline sets, so that writing and searching cannot drift apart.

What a person filters by in MLflow has a name without a dot, which would have to be quoted there: `dataset`, `stack`,
`outcome`, `winner`, `pruned`, `diverged`.
"""

from collections.abc import Mapping

PARENT = "mlflow.parentRunId"
TRIAL_KEY = "trial.key"
SEARCH_KEY = "search.key"
COMMAND = "search.command"
DATASET = "dataset"
DATASET_DIGEST = "dataset.digest"
STACK = "stack"
CONFIGURATION = "configuration"
FOLD = "fold"
REFIT = "refit"
DIVERGED = "diverged"
PRUNED = "pruned"
OUTCOME = "outcome"
FAILURE = "failure"
ENVIRONMENT = "environment"
RESUMED_IN = "environment.resumed"
WEIGHTS_DIGEST = "weights.sha256"
WINNER = "winner"
WINNER_RUN = "search.winner"
WARM_START = "warm_start"
WARM_START_DIGEST = "warm_start.digest"
WARM_START_SKIPPED = "warm_start.skipped"
PROMOTION = "promotion.decision"
PROMOTION_REASON = "promotion.reason"
PROMOTION_METRIC = "promotion.metric"
PROMOTION_GAIN = "promotion.gain"
PROMOTION_INTERVAL = "promotion.interval"
PROMOTION_OVER = "promotion.over"
ROLLED_BACK = "promotion.rolled_back"
RETRAINED_ON = "retrain.digest"
RETRAIN_REQUEST = "retrain.request"
RETRAIN_CHAMPION = "retrain.champion"
RETRAIN_PENDING = "retrain.pending"
DRIFT = "drift"
DRIFT_KEY = "drift.key"
MODEL_NAME = "model.name"
MODEL_VERSION = "model.version"
EVALUATED_ON = "evaluation.data"
DESCRIPTION = "mlflow.note.content"

_FORMER = {DATASET: "dataset.name", DIVERGED: "trial.diverged_at_epoch"}
"""What tags were called by earlier versions of this project, whose runs are still read."""


def names(name: str) -> tuple[str, ...]:
    """Return the name of a tag, and the one that it had before, if any."""
    return (name, _FORMER[name]) if name in _FORMER else (name,)


def read(found: Mapping[str, str], name: str) -> str | None:
    """Return the value of a tag among those of a run, under its name or the one that it had before; None without."""
    return next((found[one] for one in names(name) if one in found), None)
