"""The settings of a cluster, in the words of Dask, held against what Dask knows."""

import subprocess
import sys
from importlib import resources

import dask
import jsonschema
import yaml

from flows.compute.dask_settings import SETTINGS_FILE, dask_settings, settings


def test_every_setting_is_one_that_dask_knows() -> None:
    schema = yaml.safe_load((resources.files("distributed") / "distributed-schema.yaml").read_text())
    jsonschema.validate(settings(), schema)
    for place in _leaves(settings()):
        # Raises for a name that Dask has no default of.
        dask.config.get(place)


def _leaves(told: dict[str, object], above: str = "") -> list[str]:
    found = []
    for name, value in told.items():
        place = f"{above}{name}"
        found += _leaves(value, f"{place}.") if isinstance(value, dict) else [place]
    return found


def test_a_cluster_is_started_under_them_and_other_settings_stay() -> None:
    with dask.config.set({"distributed.worker.daemon": "theirs"}):
        with dask_settings():
            assert dask.config.get("distributed.scheduler.allowed-failures") == 0
            assert dask.config.get("distributed.worker.daemon") == "theirs"
        assert dask.config.get("distributed.scheduler.allowed-failures") == 3


def test_the_programs_of_dask_find_them_where_the_environment_says() -> None:
    asked = [sys.executable, "-m", "dask", "config", "get", "distributed.worker.preload"]
    answered = subprocess.run(
        asked, env={"DASK_CONFIG": str(SETTINGS_FILE)}, capture_output=True, text=True, check=True
    )
    assert "flows.compute.worker_start" in answered.stdout
