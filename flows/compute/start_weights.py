"""The weights that a warm start begins with, as a file beside the checkpoints, where every worker can read it."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from backprop import Architecture, Parameters, load_weights, save_weights
from flows.compute.saved_stack import CHECKPOINTS
from flows.data.root import Root, root_of
from flows.data.store import DatasetReference
from flows.errors import DatasetError
from flows.tracking.recorded_trial import START_FILE
from flows.tracking.search_runs import SearchRun
from flows.trials import PlannedTrial

_FILE = START_FILE.rpartition("/")[2]


def weights_digest(architecture: Architecture, parameters: Parameters) -> str:
    """Return the SHA-256 of a trial's weights, 64 hexadecimal digits; not of a file, whose bytes may differ."""
    content = hashlib.sha256(json.dumps(asdict(architecture), sort_keys=True).encode())
    for array in parameters:
        content.update(np.ascontiguousarray(array, dtype="<f4").data)
    return content.hexdigest()


class StartWeights:
    """The files of a search's warm starts, which go with its checkpoints when it is done."""

    def __init__(self, dataset: DatasetReference, run: SearchRun) -> None:
        self._run = run
        self._root: Root = root_of(dataset.path)[0]
        self._directory = f"{CHECKPOINTS}/{run.run_id}/start"

    def save(self, digest: str, architecture: Architecture, parameters: Parameters) -> None:
        """Write weights under their digest, and on the run of the search, where they stay.

        Raises
        ------
        DatasetError
            They cannot be written.
        """
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / _FILE
            save_weights(path, architecture, parameters)
            self._root.write_bytes(self._name(digest), path.read_bytes())
            self._run.tracking.client().log_artifact(self._run.run_id, str(path), START_FILE.rpartition("/")[0])

    def load(self, trials: Sequence[PlannedTrial], directory: Path) -> dict[str, Parameters]:
        """Return what the trials begin with, by trial key; nothing of those whose weights are drawn.

        Raises
        ------
        DatasetError
            A file is not there.
        """
        return {trial.key: self._load(trial.start.digest, directory) for trial in trials if trial.start is not None}

    def _load(self, digest: str, directory: Path) -> Parameters:
        content = self._root.read_bytes(self._name(digest))
        if content is None:
            raise DatasetError(
                f"{self._name(digest)}: the weights of a warm start are gone; run the same command again"
            )
        path = directory / f"start-{digest}.safetensors"
        path.write_bytes(content)
        return load_weights(path)[1]

    def _name(self, digest: str) -> str:
        return f"{self._directory}/{digest}.safetensors"
