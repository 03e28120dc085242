"""Lets tests that were written for NumPy run on the double: host arrays are moved in, and results out, at the door.

Only at the door: what the core does behind it, it does to device arrays alone.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from typing import Any

import numpy as np

from backprop.backend import Backend


def host_facing(function: Callable[..., Any], backend_of: Callable[[Any], Backend]) -> Callable[..., Any]:
    """Wrap a function whose first argument has a backend. What it writes into host arrays is written there too."""

    @wraps(function)
    def call(first: Any, *arguments: Any, **keywords: Any) -> Any:
        backend = backend_of(first)
        pairs: dict[int, tuple[np.ndarray, Any]] = {}

        def move(host: Any) -> Any:
            if not isinstance(host, np.ndarray):
                return host
            if id(host) not in pairs:
                pairs[id(host)] = (host, backend.to_device(host))
            return pairs[id(host)][1]

        def fetch(array: Any) -> Any:
            if not isinstance(array, backend.xp.ndarray):
                return array
            # What came in goes out as the host array it came in as.
            same = [host for host, moved in pairs.values() if moved is array]
            return same[0] if same else array.get()

        result = function(first, *_each(move, arguments), **_each(move, keywords))
        if not pairs:
            return result
        for host, moved in pairs.values():
            if host.flags.writeable:
                host[...] = moved.get()
        return _each(fetch, result)

    return call


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    """Apply to every array in tuples, lists, dictionaries and dataclasses of arrays."""
    if isinstance(value, tuple | list):
        return type(value)(_each(change, each) for each in value)
    if isinstance(value, dict):
        return {name: _each(change, each) for name, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        old = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        new = {name: _each(change, each) for name, each in old.items()}
        return value if all(new[name] is old[name] for name in old) else replace(value, **new)
    return change(value)
