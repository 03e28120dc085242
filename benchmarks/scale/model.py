"""A model of the time of a search, fitted to what was measured here; what it says of other machines is not measured.

    time = start-up + trials x tracking / writers + samples x trials x operations / (workers x rate x efficiency)

**Efficiency.** Two workers were measured, on one machine, and what they lose may do two things. It *grows* if it is a
part s of the work that does not shrink with workers (Amdahl's law): `efficiency(w) = 1 / (1 + s (w - 1))` with
`s = 1 / efficiency(2) - 1`. It *stays* if it is the two cores' quarrel over one machine, and more workers are more
such machines: `efficiency(w) = efficiency(2)` for all w >= 2. The truth of a search lies between, as long as there are
stacks enough for all workers.

**Writers.** Workers write to one SQLite store, which lets in one at a time: however many they are, they write as fast
as two did.

**A GPU** is a roof: an update takes the longest of its operations at the peak, its memory traffic at the bandwidth,
and its launches. No program reaches it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from backprop import Architecture
from benchmarks.scale.workload import SMALL, flop

NOTE = "model, not measured"
WORKERS = (1, 2, 4, 8, 16, 32, 64)
FLOAT_BYTES = 4

Loss = Literal["grows", "stays"]
LOSSES: tuple[Loss, ...] = ("grows", "stays")
"""What two workers lose, with more of them."""


@dataclass(frozen=True)
class Gpu:
    """What a data sheet says of a GPU, and what is assumed.

    Attributes
    ----------
    peak_flop, bandwidth : float
        A second, of float32 without tensor cores, and bytes a second.
    launch_seconds : float
        Assumed: from one kernel's begin to the next one's, where they do nothing.
    launches : int
        Assumed: kernels of an update of a network with one hidden layer.
    """

    name: str
    source: str
    peak_flop: float
    bandwidth: float
    launch_seconds: float
    launches: int


H100 = Gpu(
    name="NVIDIA H100 SXM",
    source="data sheet: 67 TFLOP/s of FP32, 3.35 TB/s; 10 launches of 3 us an update are an assumption",
    peak_flop=67e12,
    bandwidth=3.35e12,
    launch_seconds=3e-6,
    launches=10,
)


@dataclass(frozen=True)
class Model:
    """The time of a search on workers of this machine's kind.

    Attributes
    ----------
    start_up : float
        Seconds until workers are ready.
    tracking : float
        Seconds of one writer for each trial.
    parallel_writers : float
        How many writers the store has work done for at a time.
    rate : float
        Floating-point operations a second of one worker.
    at_two : float
        Efficiency of two workers, from 0.5 (a second one is of no use) to 1.
    """

    start_up: float
    tracking: float
    parallel_writers: float
    rate: float
    at_two: float

    def efficiency(self, workers: int, loss: Loss) -> float:
        """Return the part of `workers` times one worker's speed that they reach."""
        if loss == "stays":
            return 1.0 if workers == 1 else self.at_two
        return 1 / (1 + (1 / self.at_two - 1) * (workers - 1))

    def training_seconds(self, operations: float, workers: int, loss: Loss) -> float:
        """Return how long workers train."""
        return operations / (workers * self.rate * self.efficiency(workers, loss))

    def tracking_seconds(self, trials: int, workers: int) -> float:
        """Return how long it takes to write all trials to the store."""
        return trials * self.tracking / min(workers, self.parallel_writers)

    def seconds(self, trials: int, operations: float, workers: int, loss: Loss) -> float:
        """Return how long a search takes."""
        training = self.training_seconds(operations, workers, loss)
        return self.start_up + self.tracking_seconds(trials, workers) + training


def fit(workers: Mapping[str, Any], tracking: Mapping[str, Any]) -> Model:
    """Return the model of what was measured of workers and of tracking."""
    return Model(
        start_up=workers["start_up_seconds"]["1"],
        tracking=tracking["seconds_per_trial"]["1"],
        parallel_writers=tracking["parallel_writers"],
        rate=workers["flop"] / workers["seconds"]["1"],
        at_two=min(1.0, max(0.5, workers["efficiency"])),
    )


def update_on_gpu(gpu: Gpu, architecture: Architecture, batch: int, trials: int) -> dict[str, Any]:
    """Return the roof of an update of a stack of trials: seconds, which of the three bounds it, and its rate.

    Parameters are read by forward, and read and written by the update. Of every sample and trial the activations and
    their deltas are written once and read once.
    """
    units = sum(fan_out for _, fan_out in architecture.layers)
    operations = flop(architecture) * batch * trials
    traffic = FLOAT_BYTES * trials * (3 * architecture.parameter_count + 4 * batch * units)
    bounds = {
        "operations": operations / gpu.peak_flop,
        "memory": traffic / gpu.bandwidth,
        "launches": gpu.launches * gpu.launch_seconds,
    }
    seconds = max(bounds.values())
    return {
        "architecture": "-".join(map(str, (architecture.inputs, *architecture.hidden, architecture.outputs))),
        "batch": batch,
        "trials": trials,
        "bound_by": max(bounds, key=lambda name: bounds[name]),
        "bounds_seconds": bounds,
        "seconds": seconds,
        "samples_trials_per_second": batch * trials / seconds,
        "gflop_per_second": operations / seconds / 1e9,
        "note": NOTE,
    }


def extrapolate(model: Model, workers: Mapping[str, Any], trials: int) -> dict[str, Any]:
    """Return the model's numbers: the measured work on up to 64 workers, a search of it, and a GPU's roofs.

    Parameters
    ----------
    trials : int
        Of the work that was measured.
    """
    operations = workers["flop"]
    lines = [
        {
            "workers": count,
            "loss": loss,
            "training_seconds": model.training_seconds(operations, count, loss),
            "tracking_seconds": model.tracking_seconds(trials, count),
            "search_seconds": model.seconds(trials, operations, count, loss),
            "efficiency": model.efficiency(count, loss),
            "measured_training_seconds": workers["seconds"].get(str(count)),
            "note": NOTE,
        }
        for loss in LOSSES
        for count in WORKERS
    ]
    wide = Architecture(784, (128,), 10)
    return {
        "note": NOTE,
        "formula": "start_up + trials * tracking / min(workers, parallel_writers)"
        " + flop / (workers * rate * efficiency(workers));"
        " efficiency(w) = 1 / (1 + (1 / at_two - 1) * (w - 1)) if the loss grows, at_two if it stays",
        "fitted": asdict(model),
        "trials": trials,
        "flop": operations,
        "workers": lines,
        "gpu": asdict(H100),
        "gpu_updates": [
            *(update_on_gpu(H100, SMALL, 32, count) for count in (1, 64, 1024, 4096, 65536)),
            *(update_on_gpu(H100, wide, 128, count) for count in (1, 64, 1024)),
        ],
    }
