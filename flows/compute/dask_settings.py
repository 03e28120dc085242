"""How Dask runs a search: the settings of every cluster that `backprop` starts, and of those a person starts.

This module must not import Prefect: the cluster of a command starts before Prefect is there.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dask
import yaml

SETTINGS_FILE = Path(__file__).with_name("dask.yaml")


def settings() -> dict[str, Any]:
    """Return the settings as nested mappings, in the words of Dask's configuration."""
    return dict(yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8")))


def dask_settings() -> AbstractContextManager[Any]:
    """Let Dask have the settings meanwhile; whatever else it was told stays."""
    [(section, told)] = settings().items()
    return dask.config.set({section: dask.config.merge(dask.config.get(section), told)})
