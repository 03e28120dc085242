"""A training on disk, to go on from: safetensors for the arrays, JSON for the rest, and nothing that runs.

A file is written under a temporary name and renamed: at its path is a whole checkpoint or none.
"""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from backprop.backend import HostArray
from backprop.early_stopping import Watch
from backprop.network import Parameters
from backprop.schedules import Pace
from backprop.stack import Stack

FORMAT = "backprop checkpoint 1"


class CheckpointError(ValueError):
    """A file is not a checkpoint, or one of another stack."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a training needs to go on as if it had never stopped.

    Attributes
    ----------
    epoch : int
        Epochs done.
    updates : int
        Minibatches done, all epochs together.
    samples : int
        Samples seen, each as often as it was seen.
    active : tuple of int
        Places in ``Stack.trials`` of the trials still in training; whatever follows has one entry for each.
    parameters : Parameters
        In host memory.
    memories : dict of str to Parameters
        What the optimiser remembers.
    best : Parameters or None
        The best weights yet, where a trial stops early.
    paces : tuple of Pace
        What the schedules remember.
    watches : tuple of Watch
        What early stopping remembers.
    """

    epoch: int
    updates: int
    samples: int
    active: tuple[int, ...]
    parameters: Parameters
    memories: dict[str, Parameters]
    best: Parameters | None
    paces: tuple[Pace, ...]
    watches: tuple[Watch, ...]

    def only(self, trials: Collection[int]) -> "Checkpoint":
        """Return the state of the same stack with no more than these of its places in training, bit for bit.

        Raises
        ------
        ValueError
            A trial is not in training any more.
        """
        gone = sorted(set(trials) - set(self.active))
        if gone:
            raise ValueError(f"trials has {gone[0]}, which is not in training: use places of {self.active}")
        rows = [k for k, place in enumerate(self.active) if place in trials]
        return replace(
            self,
            active=tuple(self.active[k] for k in rows),
            parameters=self.parameters.select(rows),
            memories={name: memory.select(rows) for name, memory in self.memories.items()},
            best=None if self.best is None else self.best.select(rows),
            paces=tuple(self.paces[k] for k in rows),
            watches=tuple(self.watches[k] for k in rows),
        )


def save_checkpoint(path: Path, stack: Stack, checkpoint: Checkpoint) -> None:
    """Write a checkpoint of a stack's training, replacing the one at `path` in a single step.

    Raises
    ------
    OSError
        It cannot be written; what was at `path` is still there.
    """
    groups = {"parameters": checkpoint.parameters, **{f"memory.{n}": m for n, m in checkpoint.memories.items()}}
    if checkpoint.best is not None:
        groups["best"] = checkpoint.best
    progress = {
        "epoch": checkpoint.epoch,
        "updates": checkpoint.updates,
        "samples": checkpoint.samples,
        "active": checkpoint.active,
        "paces": [asdict(pace) for pace in checkpoint.paces],
        "watches": [asdict(watch) for watch in checkpoint.watches],
    }
    metadata = {"format": FORMAT, "stack": _json(described(stack)), "progress": _json(progress)}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(_tensors(groups), temporary, metadata=metadata)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, stack: Stack) -> Checkpoint:
    """Read the checkpoint of a stack's training.

    Raises
    ------
    CheckpointError
        The file cannot be read, was not written by `save_checkpoint`, or is of a stack that differs: the message
        names the first difference.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors ({error})") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: is no checkpoint; write it with save_checkpoint")
    written, wanted = json.loads(metadata["stack"]), json.loads(_json(described(stack)))
    difference = _difference(written, wanted, "stack")
    if difference:
        raise CheckpointError(f"{path}: is of another stack: {difference}")
    return _checkpoint(json.loads(metadata["progress"]), _groups(tensors))


def described(value: Any) -> Any:
    """Return settings as JSON can hold them: every dataclass as its fields, with the name of its kind."""
    if is_dataclass(value):
        return {"kind": type(value).__name__} | {f.name: described(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [described(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _difference(written: Any, wanted: Any, place: str) -> str | None:
    """Return the first place at which two settings differ, in words."""
    if isinstance(written, dict) and isinstance(wanted, dict) and written.keys() == wanted.keys():
        parts = ((f"{place}.{name}", written[name], wanted[name]) for name in written)
    elif isinstance(written, list) and isinstance(wanted, list) and len(written) == len(wanted):
        parts = ((f"{place}[{k}]", one, other) for k, (one, other) in enumerate(zip(written, wanted, strict=True)))
    else:
        return None if written == wanted else f"{place} is {wanted} but was {written}"
    return next(filter(None, (_difference(one, other, at) for at, one, other in parts)), None)


def _tensors(groups: Mapping[str, Parameters]) -> dict[str, HostArray]:
    return {
        f"{group}.{kind}.{k}": np.ascontiguousarray(array)
        for group, parameters in groups.items()
        for kind, arrays in (("weight", parameters.weights), ("bias", parameters.biases))
        for k, array in enumerate(arrays)
    }


def _groups(tensors: Mapping[str, HostArray]) -> dict[str, Parameters]:
    """Put the arrays of `_tensors` together again."""
    layers = range(sum(name.startswith("parameters.weight.") for name in tensors))
    names = {name.rpartition(".weight.")[0] for name in tensors if ".weight." in name}
    return {
        name: Parameters([tensors[f"{name}.weight.{k}"] for k in layers], [tensors[f"{name}.bias.{k}"] for k in layers])
        for name in sorted(names)
    }


def _checkpoint(progress: dict[str, Any], groups: dict[str, Parameters]) -> Checkpoint:
    return Checkpoint(
        epoch=progress["epoch"],
        updates=progress["updates"],
        samples=progress["samples"],
        active=tuple(progress["active"]),
        parameters=groups["parameters"],
        memories={n.removeprefix("memory."): m for n, m in groups.items() if n.startswith("memory.")},
        best=groups.get("best"),
        paces=tuple(Pace(**pace) for pace in progress["paces"]),
        watches=tuple(Watch(**watch) for watch in progress["watches"]),
    )
