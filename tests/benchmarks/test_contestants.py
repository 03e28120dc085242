"""Every contestant, in each of its variants, trains what the project trains."""

import importlib
import importlib.util
from functools import cache

import numpy as np
import pytest

from benchmarks.contestants.limit_gemm import products
from benchmarks.entrants import Way
from benchmarks.losses import training_losses
from benchmarks.team import Team, UnavailableError

LIBRARIES = {
    "scikit_learn": "sklearn",
    "torch_eager": "torch",
    "torch_compile": "torch",
    "torch_vmap": "torch",
    "jax_scan": "jax",
    "jax_vmap": "jax",
    "pytensor": "pytensor",
}

SINGLE = [
    ("scikit_learn", "", 1),
    ("scikit_learn", "", 8),
    ("torch_eager", "by_hand", 8),
    ("jax_scan", "unroll_1", 8),
    ("jax_scan", "unroll_4", 1),
    pytest.param("pytensor", "scan", 1, marks=pytest.mark.slow),
]
"""As they race, but for what takes half a minute to compile: one way of each, and every race compares the losses."""

GRID = [
    ("scikit_learn", "", 2),
    ("torch_vmap", "", 2),
    ("jax_vmap", "unroll_4", 2),
    # Each process would compile for half a minute.
    pytest.param("torch_compile", "vmap", 1, marks=pytest.mark.slow),
]


def trained(task, directory, name, way, epochs=None):
    """Return a contestant's losses, trained in processes of its own, after a warm-up of other epochs."""
    task.save(directory / "task")
    with Team(
        name, way, directory / "task", trials=task.trials, layers=len(task.weights), caches=directory / "caches"
    ) as team:
        assert team.train(1) > 0
        assert team.train(epochs or len(task.orders), times=2) > 0
        assert team.peak_bytes() > 1e6
        return training_losses(task, team.weights())


@pytest.fixture(scope="module")
def ours(tiny, tmp_path_factory):
    """Our losses of a task, trained in a process of its own once, however many are compared with them."""

    @cache
    def losses(**of_task):
        return trained(tiny(**of_task), tmp_path_factory.mktemp("ours"), "ours", Way())

    return losses


@pytest.mark.parametrize(("name", "variant", "batch"), SINGLE)
def test_a_network_ends_where_ours_does(tiny, ours, needs, tmp_path, name, variant, batch):
    needs(LIBRARIES[name])
    losses = trained(tiny(batch=batch), tmp_path, name, Way(variant))
    np.testing.assert_allclose(losses, ours(batch=batch), rtol=1e-5)


@pytest.mark.parametrize(("name", "variant", "processes"), GRID)
def test_a_grid_parted_among_processes_ends_where_ours_does(tiny, ours, needs, tmp_path, name, variant, processes):
    needs(LIBRARIES[name])
    task = tiny(trials=5)
    losses = trained(task, tmp_path, name, Way(variant, processes=processes))
    np.testing.assert_allclose(losses, ours(trials=5), rtol=1e-5)
    assert len(set(losses)) == task.trials


def test_we_train_from_the_weights_given_and_in_the_orders_given(tiny, ours):
    """By an update written out here, of which neither we nor a peer know."""
    task = tiny()
    layers = list(
        zip([w[0].astype(float) for w in task.weights], [b[0].astype(float) for b in task.biases], strict=True)
    )
    for order in task.orders:
        for start in range(0, len(order), task.batch):
            rows = order[start : start + task.batch]
            h = [task.x[rows].astype(float)]
            for w, b in layers[:-1]:
                h.append(np.maximum(h[-1] @ w + b, 0))
            z = h[-1] @ layers[-1][0] + layers[-1][1]
            p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
            delta = (p - np.eye(3)[task.codes[rows]]) / len(rows)
            for k in reversed(range(len(layers))):
                w, b = layers[k]
                layers[k] = (w - task.rates[0] * h[k].T @ delta, b - task.rates[0] * delta.sum(axis=0))
                delta = delta @ w.T * (h[k] > 0)
    expected = training_losses(task, ([w[None] for w, _ in layers], [b[None] for _, b in layers]))
    np.testing.assert_allclose(ours(batch=task.batch), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "variant"),
    [("limit_update", ""), *(("limit_gemm", v) for v in ("apart", "fused", "apart_out_in", "fused_out_in"))],
)
def test_a_limit_is_positive_and_finite(tiny, tmp_path, name, variant):
    task = tiny(trials=3)
    task.save(tmp_path)
    with Team(name, Way(variant), tmp_path, trials=3, layers=3, caches=tmp_path) as team:
        seconds = team.train(2)
    assert 0 < seconds < np.inf


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("out_in", [False, True])
def test_the_limit_has_every_product_of_an_update_and_no_other(fused, out_in):
    trials, batch, layers = 4, 8, [(6, 5), (5, 4), (4, 3)]
    counted = 0
    for a, b, out in products(trials, batch, layers, fused=fused, out_in=out_in):
        np.matmul(a, b, out=out)
        counted += 2 * out.size * a.shape[-1]
    sizes = [fan_in * fan_out for fan_in, fan_out in layers]
    assert counted == 2 * trials * batch * (2 * sum(sizes) + sum(sizes[1:]))


def test_a_contestant_that_cannot_be_built_says_why(tiny, tmp_path):
    task = tiny()
    task.save(tmp_path)
    with pytest.raises(UnavailableError, match=r"benchmarks\.contestants\.nobody is not installed"):
        Team("nobody", Way(), tmp_path, trials=1, layers=3, caches=tmp_path)
    with pytest.raises(UnavailableError, match="invalid literal") as caught:
        Team(
            "jax_scan" if importlib.util.find_spec("jax") else "ours",
            Way("unroll_x"),
            tmp_path,
            trials=1,
            layers=3,
            caches=tmp_path,
        )
    assert not caught.value.missing
