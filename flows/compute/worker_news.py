"""What a worker announces of a stack while it trains. This module must not import Prefect: workers import it early."""

from pydantic import BaseModel, ConfigDict


class WorkerNews(BaseModel):
    """What a worker announces of a stack, no more than a few times a second.

    Attributes
    ----------
    work : float
        Done since it last announced, in the unit of the search's `Paces`.
    finished, diverged, pruned : tuple of str
        Keys of trials that finished since, and which of them diverged or were ended by a stop rule.
    """

    model_config = ConfigDict(frozen=True)

    work: float = 0.0
    finished: tuple[str, ...] = ()
    diverged: tuple[str, ...] = ()
    pruned: tuple[str, ...] = ()
    best: float | None = None
