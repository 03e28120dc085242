"""`backprop down`: end what a `backprop up` started, whether that still lives or was killed."""

import signal
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from flows.services.marked import marked, send, wait_while
from flows.services.state import StateDirectory
from flows.services.stopping import FLOW_RUN_SECONDS, SERVICE_SECONDS, stop


class Downed(BaseModel):
    """What was ended.

    Attributes
    ----------
    processes : int
        How many ran; 0 if nothing did.
    killed : int
        How many of them did not end when they were asked to.
    """

    model_config = ConfigDict(frozen=True)

    state: str
    processes: int
    killed: int


def down(path: str, tell: Callable[[str], None]) -> Downed:
    """End what the last `backprop up` of a directory started.

    If that `backprop up` still runs, it is asked to end, which it does in order. What is left by one that was killed is
    ended by what all of its processes have in their environment, so never a process that only got its number.
    """
    state = StateDirectory(path)
    record = state.record()
    if record is None:
        return Downed(state=path, processes=0, killed=0)
    count = len(marked(record.mark))
    if (upper := record.up.find()) is not None:
        count += 1
        tell(f"asking backprop up to end (process {upper.pid})")
        send([upper], signal.SIGTERM)
        wait_while(record.up.find, FLOW_RUN_SECONDS + 3 * SERVICE_SECONDS)
    # It may have started more since it was asked.
    record = state.record() or record
    killed = stop(record, tell)
    state.remove_record()
    return Downed(state=path, processes=count, killed=killed)
