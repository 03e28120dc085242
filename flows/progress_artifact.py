"""The progress of a search on its Prefect run page."""

import contextvars
import threading
from types import TracebackType
from typing import Self, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from flows.progress import ProgressListener, SearchProgress

PUBLISH_SECONDS = 3.0
"""Least time between two updates: each is a call to the Prefect server, which also keeps the order of the runs."""


class ProgressArtifact:
    """Passes progress on to another listener, and publishes it as an artifact from a thread of its own.

    A server that does not answer costs the page its newest numbers, not the search its trials.
    """

    def __init__(self, listener: ProgressListener) -> None:
        self._listener = listener
        self._latest: SearchProgress | None = None
        self._published: SearchProgress | None = None
        self._artifact: UUID | None = None
        self._ended = threading.Event()
        self._logger = get_run_logger()
        # The artifact belongs to the flow run, which a thread only knows from the context.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=lambda: context.run(self._publish_to_end), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=10 * PUBLISH_SECONDS)

    def warned(self, text: str) -> None:
        """Pass it on."""
        self._listener.warned(text)

    def search_advanced(self, progress: SearchProgress) -> None:
        """Pass it on, and keep it to be published."""
        self._latest = progress
        self._listener.search_advanced(progress)

    def search_ended(self) -> None:
        """Pass it on."""
        self._listener.search_ended()

    def _publish_to_end(self) -> None:
        warned = False
        while True:
            last = self._ended.wait(PUBLISH_SECONDS)
            progress = self._latest
            if progress is not None and progress is not self._published:
                try:
                    self._publish(progress)
                    self._published = progress
                except Exception as error:  # noqa: BLE001 - whatever keeps a page from being updated, training goes on
                    if not warned:
                        self._logger.warning("the progress of the search cannot be published: %s", error)
                    warned = True
            if last:
                return

    def _publish(self, progress: SearchProgress) -> None:
        percent, text = 100 * progress.share, progress.describe()
        if self._artifact is None:
            # Outside of an event loop, as here, Prefect waits and returns the id itself.
            self._artifact = cast(UUID, create_progress_artifact(percent, key="search-progress", description=text))
        else:
            update_progress_artifact(self._artifact, percent, description=text)
