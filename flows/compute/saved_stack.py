"""A stack in training as a file beside the datasets: what a search that was killed goes on from.

One zip file a stack, replaced as a whole: what was trained, what MLflow had not heard of it, and the weights of trials
that had ended. So training and tracking can never be of different moments. A trial trains the same in any stack, so
whoever goes on takes from the file the trials it needs.
"""

import io
import logging
import tempfile
import time
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from backprop import Checkpoint, CheckpointError, Stack, load_checkpoint, save_checkpoint
from flows.compute.pruning import SeenTrial
from flows.data.root import Root, root_of
from flows.data.store import DatasetReference
from flows.tracking.outages import disk_full_explained
from flows.tracking.search_runs import SearchRun
from flows.tracking.trial_delivery import WEIGHTS_FILE
from flows.tracking.trial_news import TrialNews
from flows.trials import PlannedTrial

CHECKPOINTS = "checkpoints"
"""Where stacks are kept, below the root of the datasets; one directory a search in it."""

_FACTS = "stack.json"
_TRAINING = "training.safetensors"

_logger = logging.getLogger(__name__)


class StackFacts(BaseModel):
    """What is known of a saved stack without its arrays.

    Attributes
    ----------
    saved_at : float
        Seconds since 1970.
    trials : tuple of PlannedTrial
        The whole stack, in its order, also where only some of it are in training.
    epoch : int
        Epochs that those in training have behind them.
    active : tuple of str
        Keys of the trials in training.
    news : tuple of TrialNews
        What MLflow had not heard of them, and of others that had ended.
    seen : dict of str to SeenTrial
        What a stop rule had seen of each trial, by key; empty without one.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    saved_at: float
    trials: tuple[PlannedTrial, ...]
    epoch: int
    active: tuple[str, ...]
    news: tuple[TrialNews, ...]
    seen: dict[str, SeenTrial] = {}

    def epochs_done(self, trial: PlannedTrial) -> int:
        """Return how many epochs of a trial need not be trained again: all of one that had ended."""
        return self.epoch if trial.key in self.active else trial.hyperparameters.epochs

    @property
    def keys(self) -> frozenset[str]:
        """The trials that training can go on with, or that only have to be delivered."""
        return frozenset(self.active) | {one.key for one in self.news if one.end is not None}


@dataclass(frozen=True)
class SavedStack:
    """A stack that was read back, with its arrays in a directory of the reader's."""

    facts: StackFacts
    directory: Path

    def checkpoint(self, stack: Stack, wanted: Collection[str]) -> Checkpoint | None:
        """Return the training of `stack`, which is made of ``facts.trials``, with only the wanted keys in training.

        None if none of them is.
        """
        path = self.directory / _TRAINING
        if not set(wanted) & set(self.facts.active):
            return None
        try:
            checkpoint = load_checkpoint(path, stack)
        except CheckpointError as error:
            _logger.warning("a checkpoint cannot be used, so its trials start again (%s)", error)
            return None
        return checkpoint.only([place for place in checkpoint.active if self.facts.trials[place].key in wanted])


class SavedStacks:
    """The files of a search's stacks on one dataset."""

    def __init__(self, dataset: DatasetReference, run: SearchRun) -> None:
        self._root: Root = root_of(dataset.path)[0]
        self._directory = f"{CHECKPOINTS}/{run.run_id}"

    def save(
        self,
        name: str,
        trials: Sequence[PlannedTrial],
        training: tuple[Stack, Checkpoint] | None,
        news: Sequence[TrialNews],
        seen: Mapping[str, SeenTrial] | None = None,
    ) -> None:
        """Write the file of a stack, or replace it; `training` is None where all have ended.

        Raises
        ------
        DiskFullError
            There is no space; what was saved before is still there.
        DatasetError
            It cannot be written for another reason.
        """
        content = io.BytesIO()
        # Stored, not deflated: weights hardly shrink.
        with zipfile.ZipFile(content, "w") as file:
            if training is not None:
                _pack_training(file, *training)
            facts = StackFacts(
                name=name,
                saved_at=time.time(),
                trials=tuple(trials),
                epoch=0 if training is None else training[1].epoch,
                active=() if training is None else tuple(trials[place].key for place in training[1].active),
                news=tuple(one for one in news if _pack_weights(file, one)),
                seen=dict(seen or {}),
            )
            file.writestr(_FACTS, facts.model_dump_json())
        with disk_full_explained(self._directory):
            self._root.write_bytes(self._file(name), content.getvalue())

    def load(self, name: str, directory: Path) -> SavedStack | None:
        """Read the file of a stack and put its arrays into a directory; None if there is none, or it is damaged."""
        content = self._root.read_bytes(self._file(name))
        facts = None if content is None else self._facts(name, content)
        if content is None or facts is None:
            return None
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            file.extractall(directory)
        return SavedStack(
            facts.model_copy(update={"news": tuple(_here(one, directory) for one in facts.news)}), directory
        )

    def all(self) -> list[StackFacts]:
        """Return what is known of every stack of the search, the newest first."""
        found = []
        for file in self._root.files(self._directory):
            content = self._root.read_bytes(f"{self._directory}/{file}")
            facts = None if content is None else self._facts(file, content)
            if facts is not None:
                found.append(facts)
        return sorted(found, key=lambda facts: facts.saved_at, reverse=True)

    def discard(self, name: str) -> None:
        """Remove the file of a stack that is done, if there is one."""
        self._root.discard(self._file(name))

    def discard_all(self) -> None:
        """Remove the files of a search that is done."""
        self._root.discard(self._directory)

    def _file(self, stack: str) -> str:
        return f"{self._directory}/{stack}.zip"

    def _facts(self, name: str, content: bytes) -> StackFacts | None:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as file:
                return StackFacts.model_validate_json(file.read(_FACTS))
        except (zipfile.BadZipFile, KeyError, ValidationError) as error:
            _logger.warning("%s/%s is damaged, so its trials start again (%s)", self._directory, name, error)
            return None


def _pack_training(file: zipfile.ZipFile, stack: Stack, checkpoint: Checkpoint) -> None:
    with tempfile.TemporaryDirectory() as directory, disk_full_explained(directory):
        path = Path(directory) / _TRAINING
        save_checkpoint(path, stack, checkpoint)
        file.write(path, _TRAINING)


def _pack_weights(file: zipfile.ZipFile, news: TrialNews) -> bool:
    """Put the weights of a trial that ended into a file; False if they are gone, because they were just delivered."""
    if news.end is None:
        return True
    try:
        content = news.end.weights.read_bytes()
    except FileNotFoundError:
        return False
    file.writestr(_weights(news), content)
    return True


def _here(news: TrialNews, directory: Path) -> TrialNews:
    """Return news whose weights lie below a directory."""
    if news.end is None:
        return news
    return news.model_copy(update={"end": news.end.model_copy(update={"weights": directory / _weights(news)})})


def _weights(news: TrialNews) -> str:
    return f"weights/{news.key}/{WEIGHTS_FILE}"
