"""Pieces on a Dask cluster: so many at once, their answers in the order they came in, through the death of workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import dask
import pyarrow as pa
from distributed import Client, Future
from distributed.scheduler import KilledWorker

from flows.compute.clusters import slots
from flows.errors import RunFailedError
from flows.prediction import Predictor
from flows.scoring.pieces import Unfit, score_piece

Answered: TypeAlias = tuple[pa.Table, pa.Table | Unfit]
"""A piece and what was made of it."""

AHEAD = 2
"""Pieces that wait for each thread of the cluster while it works: memory is bounded, and no thread waits for rows."""

MOST_DEATHS = 3
"""Workers that may die over a piece before it is given up."""


@dataclass
class Submitted:
    """A piece that is being scored, kept until its answer is there."""

    piece: pa.Table
    answer: Future[pa.Table | Unfit]


def answers(client: Client, predictor: Predictor, pieces: Iterator[pa.Table]) -> Generator[Answered, None, None]:
    """Yield each piece with its answer, in the order of the pieces; only the features are sent to the cluster.

    Raises
    ------
    RunFailedError
        Workers died over a piece whenever it was scored.
    """
    features = list(predictor.preparation.columns)
    # A result of the cluster rather than scattered data: lost with a worker, it is made again.
    model = client.submit(_itself, predictor, pure=False)
    submitted: deque[Submitted] = deque()

    def submit(piece: pa.Table) -> Future[pa.Table | Unfit]:
        # Rows are sent with the task, and so again to another worker if the first one dies.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GiB"}):
            return client.submit(score_piece, model, piece.select(features), pure=False)

    def submit_again(piece: pa.Table) -> Future[pa.Table | Unfit]:
        nonlocal model
        # The worker may have died before it had the model itself, which then failed for all pieces.
        if model.status != "finished":
            model = client.submit(_itself, predictor, pure=False)
        return submit(piece)

    most = (1 + AHEAD) * slots(client)
    try:
        for piece in pieces:
            submitted.append(Submitted(piece, submit(piece)))
            if len(submitted) == most:
                yield _settled(submitted.popleft(), submit_again)
        while submitted:
            yield _settled(submitted.popleft(), submit_again)
    finally:
        client.cancel([waiting.answer for waiting in submitted])


def _settled(first: Submitted, submit_again: Callable[[pa.Table], Future[pa.Table | Unfit]]) -> Answered:
    """Wait for the answer of a piece; it is given to another worker if the one it was at dies."""
    for _ in range(MOST_DEATHS):
        try:
            return first.piece, first.answer.result()
        except KilledWorker:
            first.answer = submit_again(first.piece)
    first.answer.cancel()
    raise RunFailedError(
        f"{MOST_DEATHS} workers died while they scored the same {first.piece.num_rows:,} rows; give them more memory "
        "with worker_memory, or use fewer workers"
    )


def _itself(predictor: Predictor) -> Predictor:
    return predictor
