"""How large a run of the study is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes
    ----------
    trials : tuple of int
    stack_most : int
        Up to how many trials one stack of all is measured too.
    seconds : float
        Least time that a training of trials or of a width is repeated for.
    repeats : int
        Most repeats of such a training.
    widths : tuple of int
    width_flop : float
        Floating-point operations of an epoch of a width, if `width_rows` are enough for it.
    width_rows : int
        Most rows for a width.
    joined_widths : tuple of str
        Names in `joined.WIDTHS`.
    joined_trials : tuple of int
        Trials of each width.
    rows : tuple of int
    memory_limit : int
        Bytes that Dask lets the worker have that trains on rows.
    stacks, stack_trials : int
        What the workers share.
    worker_seconds : float
        About how long one worker trains them.
    worker_repeats : int
    tracked : int
        Trials that are written to MLflow by each writer.
    """

    trials: tuple[int, ...]
    stack_most: int
    seconds: float
    repeats: int
    widths: tuple[int, ...]
    width_flop: float
    width_rows: int
    joined_widths: tuple[str, ...]
    joined_trials: tuple[int, ...]
    rows: tuple[int, ...]
    memory_limit: int
    stacks: int
    stack_trials: int
    worker_seconds: float
    worker_repeats: int
    tracked: int


FULL = Sizes(
    trials=tuple(2**k for k in range(13)),
    stack_most=4096,
    seconds=0.6,
    repeats=15,
    widths=(16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
    width_flop=8e9,
    width_rows=4096,
    joined_widths=("24 to 32", "8 to 64", "16 to 256"),
    joined_trials=(1, 2, 4, 16),
    rows=(10_000, 100_000, 1_000_000, 3_000_000, 10_000_000),
    memory_limit=2**30,
    stacks=8,
    stack_trials=64,
    worker_seconds=15,
    worker_repeats=3,
    tracked=100,
)

QUICK = Sizes(
    trials=(1, 8, 64, 512),
    stack_most=512,
    seconds=0.2,
    repeats=3,
    widths=(16, 128, 1024),
    width_flop=2e9,
    width_rows=2048,
    joined_widths=("8 to 64",),
    joined_trials=(1, 4),
    rows=(10_000, 300_000),
    memory_limit=2**30,
    stacks=8,
    stack_trials=16,
    worker_seconds=2,
    worker_repeats=1,
    tracked=20,
)
