"""What a trial's numbers depend on besides the trial: versions, the backend, its device, and how many threads."""

import platform
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
from pydantic import BaseModel, ConfigDict
from threadpoolctl import threadpool_info

from backprop import CORE_VERSION, __version__
from backprop.backend import Backend
from backprop.compiled.backend import thread_limit


class Environment(BaseModel):
    """Where a trial was trained, as its run holds it.

    Attributes
    ----------
    backprop, python, numpy, numba, llvmlite, safetensors : str
        Versions. Numba and llvmlite make the loops of the CPU core.
    core : str
        ``CORE_VERSION``, which changes when the same trial would give other numbers.
    blas : str
        Name and version of NumPy's BLAS, and the processor whose kernels it chose.
    cupy, cuda : str or None
        Versions of CuPy, and of the CUDA runtime and driver; None on a CPU.
    backend : str
        ``"numpy"`` or ``"cupy"``.
    device : str
        The GPU, or the CPU.
    cpu : str
        The processor that compiled loops are made for, as LLVM names it, and the levels that NumPy dispatches to.
    threads : int
        Threads that a training on a CPU may use: where a minibatch's rows are shared out, they order its sums.
    system : str
        Kernel, machine and C library, whose mathematical functions may be called.
    """

    model_config = ConfigDict(frozen=True)

    backprop: str
    core: str
    python: str
    numpy: str
    numba: str
    llvmlite: str
    safetensors: str
    blas: str
    cupy: str | None = None
    cuda: str | None = None
    backend: str
    device: str
    cpu: str
    threads: int
    system: str

    def differences(self, other: "Environment") -> Iterator[tuple[str, str, str]]:
        """Yield what is not the same in another environment: the name, the value here and the value there."""
        for name in type(self).model_fields:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                yield name, str(mine or "none"), str(theirs or "none")


def environment_of(backend: Backend) -> Environment:
    """Return the environment of a training in this process, with the threads that it may use now."""
    on_gpu = backend.name == "cupy"
    return _host().model_copy(
        update={
            "backend": backend.name,
            "threads": thread_limit(),
            **({"cupy": backend.xp.__version__, "cuda": _cuda(backend), "device": _gpu(backend)} if on_gpu else {}),
        }
    )


@cache
def _host() -> Environment:
    """Return what does not change while a process runs, for a training on its CPU."""
    return Environment(
        backprop=__version__,
        core=CORE_VERSION,
        python=platform.python_version(),
        numpy=np.__version__,
        numba=_installed("numba"),
        llvmlite=_installed("llvmlite"),
        safetensors=_installed("safetensors"),
        blas=_blas(),
        cupy=None,
        cuda=None,
        backend="numpy",
        device=_cpu_model(),
        cpu=_cpu_features(),
        threads=1,
        system=f"{platform.system()} {platform.machine()} {'-'.join(platform.libc_ver())}".strip(" -"),
    )


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _blas() -> str:
    """Return NumPy's own BLAS: SciPy brings another, which no training calls."""
    numpys = Path(np.__file__).parent.parent
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    mine = [library for library in libraries if Path(library["filepath"]).is_relative_to(numpys / "numpy.libs")]
    for library in mine or libraries:
        facts = (library["internal_api"], library["version"], library.get("architecture"))
        return " ".join(str(fact) for fact in facts if fact)
    return str(np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"])


def _cpu_model() -> str:
    """Return what the processor calls itself."""
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    return platform.processor() or platform.machine()


def _cpu_features() -> str:
    found = np.show_config(mode="dicts")["SIMD Extensions"]
    return " ".join([llvm.get_host_cpu_name(), *found["baseline"], *found["found"]])


def _cuda(backend: Backend) -> str:
    runtime = backend.xp.cuda.runtime
    return f"runtime {runtime.runtimeGetVersion()}, driver {runtime.driverGetVersion()}"


def _gpu(backend: Backend) -> str:
    properties = backend.xp.cuda.runtime.getDeviceProperties(backend.xp.cuda.Device().id)
    name, major, minor = properties["name"], properties["major"], properties["minor"]
    return f"{name.decode() if isinstance(name, bytes) else name} (compute capability {major}.{minor})"
