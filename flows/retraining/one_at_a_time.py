"""One retraining of a model at a time, wherever they are started: whoever comes second is told who is at it.

A retraining keeps a small file below the root of the datasets and renews it while it lives. Of two that begin at the
same moment, none having seen the other, the earlier goes on: a claim is written before the others' are read, and
confirmed and read once more before anything is done.
"""

import time
from types import TracebackType
from typing import Self
from urllib.parse import quote
from uuid import uuid4

from pydantic import ValidationError

from flows.compute.lease import Heartbeat, LeaseFacts
from flows.data.root import Root
from flows.errors import RetrainingRunningError


class Claim(LeaseFacts):
    """What a retraining writes of itself; ``held`` once it has found nobody before it."""

    model: str
    held: bool = False

    @property
    def order(self) -> tuple[float, str]:
        """The earlier goes first; the name of the execution decides between equals."""
        return self.since, self.execution


class OneAtATime:
    """The only retraining of a model while the block runs.

    Parameters
    ----------
    root : Root
        Of the datasets; retrainings that share it are kept apart.
    model : str

    Raises
    ------
    RetrainingRunningError
        Another one runs; the message says since when, and where.
    """

    def __init__(self, root: Root, model: str) -> None:
        self._root = root
        self._directory = f"retraining/{quote(model, safe='')}"
        self._claim = Claim.of_this_process(uuid4().hex[:8], "retraining", model=model)
        self._heartbeat = Heartbeat(self._renew, "the claim on a model")

    def __enter__(self) -> Self:
        self._write()
        try:
            # Who holds it was there before; who only claims it goes first if it came first.
            self._give_way([other for other in self._others() if other.held])
            self._claim = self._claim.model_copy(update={"held": True})
            self._write()
            self._give_way([other for other in self._others() if other.order < self._claim.order])
        except BaseException:
            self._remove()
            raise
        self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._heartbeat.stop()
        self._remove()

    def _give_way(self, others: list[Claim]) -> None:
        for other in others:
            since = time.strftime("%H:%M", time.localtime(other.since))
            raise RetrainingRunningError(
                f"{other.model!r} is being retrained already: since {since}, by process {other.pid} on {other.host}"
            )

    def _others(self) -> list[Claim]:
        found = []
        for name in self._root.files(self._directory):
            text = self._root.read(f"{self._directory}/{name}")
            try:
                claim = None if text is None else Claim.model_validate_json(text)
            except ValidationError:
                # Of another version of this project, which cannot be asked whether it lives.
                continue
            if claim is None or claim.execution == self._claim.execution:
                continue
            if claim.is_alive:
                found.append(claim)
            else:
                self._root.discard(f"{self._directory}/{name}")
        return found

    def _renew(self) -> None:
        self._claim = self._claim.renewed_now()
        self._write()

    def _write(self) -> None:
        self._root.write(f"{self._directory}/{self._claim.execution}.json", self._claim.model_dump_json())

    def _remove(self) -> None:
        self._root.discard(f"{self._directory}/{self._claim.execution}.json")
