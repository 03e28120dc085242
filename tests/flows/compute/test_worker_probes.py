"""Workers are asked how long trials take, and a search goes on whatever becomes of the question."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cloudpickle
import pytest
from distributed import Client, WorkerPlugin

from flows.compute import worker_probes
from flows.compute.clusters import start_local_cluster
from flows.compute.devices import DeviceFacts, smallest_device
from flows.compute.estimate import makespan
from flows.compute.paces import Paces, kind_of
from flows.compute.stacking import pack
from flows.compute.worker_probes import Probe, WorkerPaces
from flows.data.store import Dataset
from flows.parameters import ComputeParameters
from flows.tracking import tags
from flows.trials import PlannedTrial, common_architecture
from tests.flows.commands import Store, train
from tests.flows.conftest import planned

pytestmark = pytest.mark.slow

CPU = ComputeParameters(device="cpu")
FACTS = DeviceFacts(stack_bytes=2**28, stack_trials=64, in_turn=True)
DEADLY = 9
"""Width that kills its worker."""


class Poison(WorkerPlugin):
    """Kills a worker as soon as it trains a network of a certain width."""

    def setup(self, worker: object) -> None:  # noqa: ARG002 - distributed's signature
        import backprop

        epoch = backprop.Training.epoch

        def dying(training: backprop.Training, *given: object, **named: object) -> object:
            if training.stack.architecture.hidden == (9,):
                os.kill(os.getpid(), signal.SIGKILL)
            return epoch(training, *given, **named)  # type: ignore[arg-type]

        backprop.Training.epoch = dying  # type: ignore[method-assign, assignment]


@pytest.fixture(scope="module")
def poisoned(prefect_server: str) -> Iterator[str]:
    """The address of a cluster whose worker dies of a width."""
    import tests.flows.compute.test_worker_probes as here

    assert prefect_server
    cloudpickle.register_pickle_by_value(here)
    with start_local_cluster(workers=1) as started, Client(started) as client:
        client.register_plugin(Poison())
        yield started.scheduler_address
    cloudpickle.unregister_pickle_by_value(here)


@pytest.fixture
def client(cluster: str) -> Iterator[Client]:
    with Client(cluster) as connected:
        yield connected


def refuse(text: str) -> None:
    raise AssertionError(text)


def test_kinds_that_cost_differently_for_a_multiplication_are_shared_out_evenly(wine: Dataset, client: Client) -> None:
    # One sample at a time through a tiny network; large minibatches through one a thousand times as large.
    online = [planned(wine, hidden=[4], batch_size=1, epochs=400, seed=seed) for seed in range(30)]
    wide = [planned(wine, hidden=[256, 256], batch_size=64, epochs=75, seed=seed) for seed in range(2)]
    trials = [*online, *wide]

    paces = WorkerPaces([wine.reference], CPU, refuse).of(trials, client, 2, smallest_device(client, "cpu"))

    multiplications = Paces()
    assert {kind for kind, _ in paces.measured} == {kind_of(online[0]), kind_of(wide[0])}
    slower = paces.epoch(online[0]) / paces.epoch(wide[0])
    assert slower > 3 * multiplications.epoch(online[0]) / multiplications.epoch(wide[0])

    def taken(packed_by: Paces) -> float:
        return makespan([sum(map(paces.work, stack)) for stack in pack(trials, 2, FACTS, packed_by)], 2)

    ideal = sum(map(paces.work, trials)) / 2
    assert taken(paces) < 1.2 * ideal
    assert taken(multiplications) > 1.4 * ideal


def test_nothing_is_measured_where_it_would_not_pay(wine: Dataset, client: Client) -> None:
    one_kind = [planned(wine, seed=seed, epochs=1000) for seed in range(5)]
    short = [planned(wine, hidden=[width], epochs=1) for width in (4, 8)]
    workers = WorkerPaces([wine.reference], CPU, refuse)

    assert not workers.of([], client, 1, FACTS).are_seconds
    assert not workers.of(one_kind, client, 1, FACTS).are_seconds
    assert not workers.of(short, client, 1, FACTS).are_seconds


def test_one_kind_is_measured_if_stacks_are_to_be_of_some_seconds_and_only_once(wine: Dataset, client: Client) -> None:
    trials = [planned(wine, seed=seed) for seed in range(3)]
    workers = WorkerPaces([wine.reference], ComputeParameters(device="cpu", stack_seconds=5), refuse)

    first = workers.of(trials, client, 1, FACTS)
    again = workers.of([*trials, planned(wine, hidden=[16])], client, 1, FACTS)

    assert [kind for kind, _ in first.measured] == [kind_of(trials[0])]
    assert again.measured[0] == first.measured[0]
    assert len(again.measured) == 2


def test_a_search_whose_probe_kills_its_worker_is_packed_by_multiplications(wine: Dataset, poisoned: str) -> None:
    warnings: list[str] = []
    trials = [planned(wine, hidden=[width], epochs=400) for width in (8, DEADLY)]

    with Client(poisoned) as client:
        paces = WorkerPaces([wine.reference], CPU, warnings.append).of(trials, client, 1, FACTS)

    assert not paces.are_seconds
    [said] = warnings
    assert said.startswith("how long trials take could not be measured (KilledWorker: ")
    assert said.endswith("stacks are packed by their multiplications")


@pytest.mark.usefixtures("server")
def test_a_trial_that_kills_the_worker_that_probes_it_fails_alone(poisoned: str, tmp_path: Path) -> None:
    (tmp_path / "poison.yaml").write_text(
        "trials:\n"
        "  - {hidden: [8], learning_rate: 0.1, epochs: 400, batch_size: 64}\n"
        f"  - {{hidden: [{DEADLY}], learning_rate: 0.1, epochs: 400, batch_size: 32}}\n"
    )

    ran = train(tmp_path, "--data", "wine", "--space", "poison.yaml", "--scheduler", poisoned)

    assert ran.returncode == 0, ran.stderr
    assert "could not be measured (KilledWorker" in " ".join((ran.stdout + ran.stderr).split())
    store = Store(tmp_path)
    assert store.statuses() == {"FINISHED": 1, "FAILED": 1}
    [failed] = [child for child in store.children() if child.info.status == "FAILED"]
    assert failed.data.params["width"] == str(DEADLY)
    assert "its worker died each of the 2 times" in failed.data.tags[tags.FAILURE]


@pytest.mark.parametrize(
    ("seconds_of", "pays"),
    [
        (lambda _trials: 1.0, True),  # launches are all that costs
        (lambda trials: len(trials) * float(common_architecture(trials).parameter_count), False),  # multiplications are
    ],
    ids=["launches", "multiplications"],
)
def test_a_gpu_pads_a_family_of_widths_if_its_own_probe_says_that_it_pays(
    wine: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    seconds_of: Callable[[Sequence[PlannedTrial]], float],
    pays: bool,
) -> None:
    gpu = DeviceFacts(stack_bytes=2**30, stack_trials=512, in_turn=False)
    trials = [planned(wine, hidden=[width], epochs=400, seed=seed) for width in (8, 64) for seed in range(3)]
    asked: list[int] = []

    def answers(_client: object, probes: list[Probe]) -> list[float]:
        asked.extend(len(probe.trials) for probe in probes)
        return [seconds_of(probe.trials) / len(probe.trials) for probe in probes]

    monkeypatch.setattr(worker_probes, "_answers", answers)
    paces = WorkerPaces([wine.reference], CPU, refuse).of(trials, None, 1, gpu)  # type: ignore[arg-type]

    assert asked == [3, 3, 6]
    assert len(pack(trials, 1, gpu, paces)) == (1 if pays else 2)
