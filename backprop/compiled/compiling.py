"""How functions here are compiled: as parts of others, or as entries that Python calls."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit

part = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""A function that only compiled ones call."""

inlined = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)
"""One whose call would cost more than its work: LLVM puts it in the place of the call."""

spliced = njit(error_model="numpy", inline="always")
"""One that exists to be read: Numba splices it into its caller before it compiles, which saves half of the time
that a chain of long functions takes, each optimised with all below it."""


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, without the interpreter's lock; keep it on disk, for this machine."""
    try:
        return njit(error_model="numpy", nogil=True, cache=True)(function)
    except RuntimeError:
        # Numba finds no directory that it may write to: this process compiles for itself.
        return njit(error_model="numpy", nogil=True)(function)


def sources() -> str:
    """Return a digest of the sources of this package.

    Numba takes a kept function for current if the file it is defined in has not changed, whatever became of those
    it calls, and if what it closes over is the same. So entries close over this.
    """
    digest = sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
