"""Who races in which row, and how: variant, processes and threads."""

import os
from dataclasses import dataclass

from benchmarks.rows import Row

OURS = "ours"
GRID_SEARCH = "grid_search"
GEMM_LIMIT, UPDATE_LIMIT = "limit_gemm", "limit_update"


@dataclass(frozen=True)
class Way:
    """A way for a contestant to run: a variant of its module, in some processes of some threads each."""

    variant: str = ""
    processes: int = 1
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.variant or 'as is'}, {self.processes} x {self.threads}"


LABELS = {
    OURS: "backprop",
    "scikit_learn": "scikit-learn",
    "torch_eager": "PyTorch eager",
    "torch_compile": "torch.compile",
    "torch_vmap": "torch.func.vmap",
    "jax_scan": "JAX scan",
    "jax_vmap": "JAX vmap",
    "pytensor": "PyTensor",
    GRID_SEARCH: "GridSearchCV",
    GEMM_LIMIT: "limit",
    UPDATE_LIMIT: "limit",
}

SINGLE = ("scikit_learn", "torch_eager", "torch_compile", "jax_scan", "pytensor")
GRID = ("scikit_learn", "torch_compile", "torch_vmap", "jax_vmap")
QUICK_SINGLE = ("scikit_learn", "jax_scan")
QUICK_GRID = ("scikit_learn", "jax_vmap")


def peers(row: Row, *, every: bool = True) -> tuple[str, ...]:
    """Return who races against us in a row; if not every one, those that matter: the fastest, and scikit-learn."""
    if row.kind == "grid":
        return GRID if every else QUICK_GRID
    # What standardised columns are for is to see what zeros are worth to us: two peers will do.
    return SINGLE if every and not row.dense else QUICK_SINGLE


def limit(row: Row) -> str:
    """Return what limits a row."""
    return UPDATE_LIMIT if row.kind == "online" else GEMM_LIMIT


def ways(name: str, row: Row) -> list[Way]:
    """Return the ways worth a try in a row; the race goes on with the fastest.

    Two threads pay where the products are large; below, their start costs more than they save. What has never been the
    faster way is not tried again in every run: PyTensor's two threads (157,000 for 190,000 samples/s, 784-128-10 at
    512), PyTorch's two threads for a grid (231,000 for 312,000 compiled and 161,000 for 188,000 not, 8 trials).
    """
    if row.kind == "grid":
        layouts = [(2, 1), (1, 2)] if name in (OURS, "jax_vmap", GEMM_LIMIT) else [(2, 1)]
    elif row.kind == "online" or row.data == "digits" or name == "pytensor":
        layouts = [(1, 1)]
    else:
        layouts = [(1, 2)] if name.startswith("torch") else [(1, 1), (1, 2)]
    return [Way(variant, *layout) for variant in _variants(name, row) for layout in layouts]


def _variants(name: str, row: Row) -> tuple[str, ...]:
    small = row.kind == "online" or row.data == "digits"
    if name in ("jax_scan", "jax_vmap"):
        return ("unroll_4",) if small else ("unroll_1",)
    if name == "torch_compile":
        return ("vmap",) if row.kind == "grid" else ("by_hand",)
    if name == "torch_eager":
        return ("by_hand",)
    if name == GEMM_LIMIT:
        return ("apart", "fused", "apart_out_in", "fused_out_in") if row.kind == "grid" else ("apart", "apart_out_in")
    if name == "pytensor":
        return ("scan",) if row.kind == "online" and row.data == "digits" else ("update",)
    return ("",)


def environment(name: str, way: Way, caches: str) -> dict[str, str]:
    """Return the environment of a contestant's process: its threads, and caches of compiled code of this run only.

    Ours are those of the installation, where its loops were compiled.
    """
    threads = str(way.threads)
    settings = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), threads
    )
    if name.startswith("jax"):
        settings["JAX_PLATFORMS"] = "cpu"
        if way.threads == 1:
            settings["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    settings["TORCHINDUCTOR_CACHE_DIR"] = f"{caches}/torch"
    if name == "pytensor":
        settings["NUMBA_CACHE_DIR"] = f"{caches}/numba"
    settings["PYTENSOR_FLAGS"] = f"floatX=float32,base_compiledir={caches}/pytensor"
    return {**os.environ, **settings}


def core(name: str, way: Way, process: int) -> int | None:
    """Return the core a process is kept on, None for any."""
    if not name.startswith("jax") or way.threads > 1:
        return None
    cores = sorted(os.sched_getaffinity(0))
    return cores[process % len(cores)]
