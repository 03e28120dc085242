"""Tells Dask workers which Prefect server the flow reports to.

The flow may run on an ephemeral server, whose address is in no setting: a worker that is not told would
start a second one, and report to it. This module must not import Prefect, which reads its settings
when it is imported; the plugin sets them before.
"""

import os

from distributed import Worker, WorkerPlugin

API_URL = "PREFECT_API_URL"


class PrefectServer(WorkerPlugin):
    """Sets ``PREFECT_API_URL`` on every worker, now and later; a worker's own setting stays."""

    name = "backprop-prefect-server"

    def __init__(self, api_url: str) -> None:
        self.api_url = api_url

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 - distributed's signature
        """Run once on each worker, before its first task."""
        os.environ.setdefault(API_URL, self.api_url)
