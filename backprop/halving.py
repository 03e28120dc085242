"""A stack that does not fit into memory, trained as its halves.

A trial trains the same in any stack, so a stack may be split wherever memory says so, and nobody sees it but the clock.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from backprop.backend import Backend, OutOfMemoryError, is_out_of_memory
from backprop.training import EpochReport, Stack

TrainStack = Callable[[Stack], Iterator[EpochReport]]


def train_in_halves(train_stack: TrainStack, stack: Stack, backend: Backend) -> Iterator[EpochReport]:
    """Train a stack; where memory runs out, train its halves one after the other, and theirs if need be.

    Reports are those of the whole stack: `trials` and `finished` name places in ``stack.trials``. Those of the
    second half follow after the last of the first, so epochs start at 1 again, but a trial's own epochs only go up:
    what was reported before memory ran out is not reported twice.

    Parameters
    ----------
    train_stack : callable
        Trains the stack it is given, from the start: `lambda part: train(part, training, validation, backend)`.

    Raises
    ------
    OutOfMemoryError
        A trial does not fit even alone.
    """
    waiting = [tuple(range(len(stack.trials)))]
    reported = dict.fromkeys(waiting[0], 0)
    finished: set[int] = set()
    while waiting:
        places = waiting.pop(0)
        fits = True
        try:
            for report in train_stack(replace(stack, trials=tuple(stack.trials[place] for place in places))):
                told = _of_whole(report, places, reported)
                finished.update(done.trial for done in told.finished)
                reported.update(dict.fromkeys(told.trials, report.epoch))
                if told.trials:
                    yield told
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(places) == 1:
                raise OutOfMemoryError(
                    f"trial {places[0]} does not fit into memory alone: lower batch_size or the widths of hidden, "
                    f"or raise the limit ({error})"
                ) from error
            fits = False
        # Only here, with the exception gone, are the arrays of its frames free.
        if not fits:
            backend.release_memory()
            left = tuple(place for place in places if place not in finished)
            middle = (len(left) + 1) // 2
            waiting[:0] = [half for half in (left[:middle], left[middle:]) if half]


def _of_whole(report: EpochReport, places: tuple[int, ...], reported: dict[int, int]) -> EpochReport:
    """Return the report with places in the whole stack, without the epochs of trials that were reported already."""
    new = [k for k, trial in enumerate(report.trials) if reported[places[trial]] < report.epoch]
    trials = tuple(places[report.trials[k]] for k in new)
    told = [replace(done, trial=places[done.trial]) for done in report.finished]
    return replace(
        report,
        trials=trials,
        metrics={name: values[new] for name, values in report.metrics.items()},
        finished=tuple(done for done in told if done.trial in trials),
    )
