"""What the installed CuPy offers and how it wants to be called, read from the package itself."""

import importlib.util
import inspect
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


def from_text(text: str) -> inspect.Signature:
    """Return the signature in the first line of a docstring of Cython or a ufunc: `f(long a, b=None, \\*, c=1)`."""
    inside = text.strip().splitlines()[0].replace("\\*", "*")
    inside = inside[inside.index("(") + 1 : inside.rindex(")")]
    names = []
    for part in _split(inside):
        left, equals, _ = part.partition("=")
        # Cython's C types stand before the name, Python's annotations after a colon.
        name = left.partition(":")[0].split()[-1]
        names.append(name + ("=None" if equals else ""))
    names = [name for name in names if name != "self"]
    made: dict[str, Any] = {}
    exec(f"def f({', '.join(names)}): ...", made)  # noqa: S102 - text of an installed package
    return inspect.signature(made["f"])


def _split(inside: str) -> list[str]:
    parts, depth = [""], 0
    for character in inside:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


@cache
def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a function of CuPy, in Python or compiled."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return from_text(function.__doc__ or "")
    parameters = [parameter for parameter in found.parameters.values() if parameter.name != "self"]
    return found.replace(parameters=parameters)


@cache
def cublas_signature(name: str) -> inspect.Signature:
    """Return the signature of a function of CuPy's cuBLAS binding.

    The binding does not import where there is no cuBLAS, but the docstring Cython wrote is in the library.
    """
    root = importlib.util.find_spec("cupy_backends")
    assert root is not None
    assert root.submodule_search_locations is not None
    (library,) = Path(root.submodule_search_locations[0], "cuda", "libs").glob("cublas.*.so")
    found = re.search(rb"\x00(" + name.encode() + rb"\([^\x00]*\)[^\x00]*)\x00", library.read_bytes())
    if found is None:
        raise AttributeError(f"CuPy's cuBLAS binding has no {name}")
    return from_text(found.group(1).decode())
