"""The networks of finished trials, and what they say of the rows of a dataset's part."""

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from backprop import Architecture, Network, Parameters, load_weights, select_backend
from flows.data.outputs import predictions, probabilities
from flows.data.preparation import Preparation
from flows.data.store import Dataset, SplitArrays
from flows.evaluation.paired_metrics import Answers
from flows.prediction import outputs_of
from flows.tracking.search_runs import SearchRun, TrialRecord
from flows.tracking.trial_delivery import WEIGHTS_FILE

Outputs = npt.NDArray[np.float32]


def read_network(run: SearchRun, trial: TrialRecord) -> tuple[Architecture, Parameters]:
    """Return the network of a finished trial, from the weights on its run."""
    with tempfile.TemporaryDirectory(prefix="backprop-") as directory:
        return load_weights(Path(run.tracking.client().download_artifacts(trial.run_id, WEIGHTS_FILE, directory)))


def outputs_on(network: tuple[Architecture, Parameters], dataset: Dataset, part: SplitArrays) -> Outputs:
    """Return what a network says of a part of a dataset, (N, C): probabilities or standardised quantities."""
    # It imports Dask, which a comparison that cannot be made has no need of.
    from flows.compute.stack_training import samples_of

    architecture, parameters = network
    return outputs_of(Network(architecture, select_backend("cpu")), parameters, samples_of(part, dataset))


def answers_on(network: tuple[Architecture, Parameters], dataset: Dataset, part: SplitArrays) -> Answers:
    """Return what a network says of a part of a dataset, in the words of the data."""
    preparation, outputs = dataset.preparation, outputs_on(network, dataset, part)
    likely = None if preparation.task == "regression" else probabilities(preparation, outputs)
    return Answers(predictions(preparation, outputs), likely)


def raw_target(preparation: Preparation, target: npt.NDArray[np.generic]) -> pd.DataFrame:
    """Return targets as a dataset has them in the words of the data: labels, quantities in their units, 0 and 1."""
    restored = preparation.restore_target(np.asarray(target))
    if isinstance(restored, pd.DataFrame):
        return restored
    return pd.DataFrame(np.asarray(restored).reshape(len(target), -1), columns=list(preparation.targets))
