"""What the compiled backend computes by its loops, what by NumPy, with how many threads, and what it keeps on disk."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from both_ways import COMPILED, HIDDEN, OUTPUTS, PLAIN, drawn, task_of
from threadpoolctl import threadpool_info, threadpool_limits

import backprop
from backprop import Architecture, Network, Stack, Training, Trial, register_activation, register_loss, select_backend
from backprop.activations import ACTIVATIONS
from backprop.compiled.backend import CompiledBackend, compiles, thread_limit
from backprop.compiled.compiling import sources
from backprop.compiled.descent import CompiledDescent
from backprop.compiled.epoch import evaluate_rows, train_epoch
from backprop.losses import LOSSES
from backprop.optimizers import OPTIMIZERS, SGD

REPOSITORY = Path(backprop.__file__).parents[1]


def descent_of(architecture: Architecture, trial: Trial | None = None) -> CompiledDescent | None:
    stack = Stack(architecture, 8, (trial or Trial(0.1, 1),), task_of(architecture.loss))
    parameters = Training(stack, PLAIN).parameters()
    return COMPILED.faster_descent(Network(architecture, COMPILED), stack, stack.trials, parameters, {}, plain=False)


def test_the_cpu_is_compiled():
    assert type(select_backend("cpu")) is CompiledBackend
    assert select_backend("cpu") == COMPILED
    assert select_backend("cpu").name == "numpy"


def test_all_that_is_ours_is_compiled_but_softmax_where_it_is_no_cross_entropys():
    for sigma, (phi, loss) in product(HIDDEN, OUTPUTS):
        assert compiles(Architecture(4, (5,), 3, sigma, phi, loss))
    for kind in OPTIMIZERS.values():
        assert isinstance(descent_of(Architecture(4, (5,), 3), Trial(0.1, 1, optimizer=kind())), CompiledDescent)


# What is computed plainly


@dataclass(frozen=True)
class SignedSGD(SGD):
    """`p := p - mu sign(g)`: a rule of a user's own under a name that is ours."""

    name: ClassVar[str] = "sgd"

    @staticmethod
    def update(xp, p, g, memory, c, scratch) -> None:  # noqa: ARG004 - one signature
        p -= c["rate"] * xp.sign(g)


@pytest.fixture
def users_own() -> Iterator[None]:
    """An activation and a loss that a user has registered, until the test ends."""
    register_activation("cubic", lambda _, z: z + z**3, lambda _xp, z, _h: 1 + 3 * z * z)
    register_loss("quartic", lambda _, yhat, y: ((yhat - y) ** 4).sum(axis=-1), lambda _, yhat, y: 4 * (yhat - y) ** 3)
    yield
    del ACTIVATIONS["cubic"], LOSSES["quartic"]


NOT_COMPILED = {
    "a user's activation": (("cubic",), "identity", "mse", SGD()),
    "a user's activation of the output": (("tanh",), "cubic", "mse", SGD()),
    "a user's loss": (("tanh",), "identity", "quartic", SGD()),
    "a softmax in a hidden layer": (("softmax",), "identity", "mse", SGD()),
    "a softmax under a squared error": (("tanh",), "softmax", "mse", SGD()),
    "a user's optimiser": (("tanh",), "identity", "mse", SignedSGD()),
}


@pytest.mark.usefixtures("users_own")
@pytest.mark.parametrize("what", NOT_COMPILED)
def test_what_is_not_compiled_is_trained_and_measured_plainly(what):
    sigma, phi, loss, rule = NOT_COMPILED[what]
    architecture = Architecture(4, (5,), 3, sigma, phi, loss)
    assert descent_of(architecture, Trial(0.1, 1, optimizer=rule)) is None
    assert compiles(architecture) == (what == "a user's optimiser")

    stack = Stack(architecture, 8, (Trial(0.01, 3, 1, rule), Trial(0.02, 2, 2, rule)), "regression", dtype="float64")
    samples = drawn(replace(architecture, loss="mse"), 30)
    found, wanted = [list(backprop.train(stack, samples, samples, on)) for on in (COMPILED, PLAIN)]
    tolerance = 1e-12 if what == "a user's optimiser" else 0
    for report, other in zip(found, wanted, strict=True):
        assert report.metrics.keys() == other.metrics.keys()
        for name, values in other.metrics.items():
            np.testing.assert_allclose(report.metrics[name], values, rtol=tolerance)
        for done, same in zip(report.finished, other.finished, strict=True):
            for a, b in zip(done.parameters, same.parameters, strict=True):
                np.testing.assert_array_equal(a, b)
    assert found[-1].metrics["train/loss"][0] < found[0].metrics["train/loss"][0]


# Threads


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_as_many_threads_as_the_blas_is_limited_to(threads):
    def blas() -> int:
        return max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")

    before = blas()
    with threadpool_limits(threads, user_api="blas"):
        assert thread_limit() == blas() <= threads
    assert thread_limit() == before


def test_without_a_blas_that_can_be_asked_there_is_one_thread(monkeypatch):
    class Nothing:
        lib_controllers = ()

    monkeypatch.setattr("backprop.compiled.backend._blas", Nothing)
    assert thread_limit() == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stack_is_trained_by_no_more_threads_than_that(threads, monkeypatch):
    monkeypatch.setattr("backprop.compiled.backend.thread_limit", lambda: threads)
    made = []
    monkeypatch.setattr(
        "backprop.compiled.teams.ThreadPoolExecutor",
        lambda workers: made.append(workers) or ThreadPoolExecutor(workers),
    )
    stack = Stack(Architecture(4, (5,), 3), 8, (Trial(0.1, 1),) * 3)
    samples = drawn(stack.architecture, 30)
    list(backprop.train(stack, samples, samples, COMPILED))
    # The thread that calls is one of them. The evaluation of so few samples is not worth a second.
    assert made == ([] if threads == 1 else [1])


# Processes


def python(code: str, root: Path, **environment: str) -> str:
    """Run a program that imports the package from a directory."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    ).stdout


def test_numba_is_imported_with_the_first_backend_of_a_cpu_and_not_before():
    code = """
import sys, backprop
print("numba" in sys.modules)
backprop.select_backend("cpu")
print("numba" in sys.modules)
"""
    assert python(code, REPOSITORY).split() == ["False", "True"]


@pytest.mark.parametrize("function", [train_epoch, evaluate_rows])
def test_what_python_calls_closes_over_a_digest_of_all_sources(function):
    assert sources() in [cell.cell_contents for cell in function.py_func.__closure__]


PART = """
from tiny.compiling import part

@part
def grown(x):
    return x + 1
"""

ENTRY = """
import json
from tiny.compiling import entry, sources
from tiny.part import grown

def _entries(sources):
    @entry
    def called(x):
        sources
        return grown(x)

    return called

called = _entries(sources())
result = called(1.0)
print(json.dumps([*(sum(count.values()) for count in called.stats[1:]), result]))
"""


def test_what_is_compiled_is_kept_until_any_source_of_its_package_changes(tmp_path):
    """On a package of three modules, one of them the real `compiling.py`: the loops would take a minute."""
    package = tmp_path / "tiny"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(REPOSITORY / "backprop" / "compiled" / "compiling.py", package)
    (package / "part.py").write_text(PART, encoding="utf-8")
    (package / "entry.py").write_text(ENTRY, encoding="utf-8")

    def hits_misses_result() -> list[float]:
        return json.loads(python("import tiny.entry", tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "kept")))

    assert hits_misses_result() == [0, 1, 2.0]
    assert hits_misses_result() == [1, 0, 2.0]
    (package / "part.py").write_text(PART.replace("x + 1", "x + 10"), encoding="utf-8")
    assert hits_misses_result() == [0, 1, 11.0]
    assert hits_misses_result() == [1, 0, 11.0]
