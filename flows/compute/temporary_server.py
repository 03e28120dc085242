"""A Prefect server for one command, which starts while the command still imports what it needs.

Left to Prefect it would start when the first flow is called, and the command would wait for it with nothing to do.
This module must not import Prefect, which takes seconds.
"""

import atexit
import contextlib
import os
import select
import subprocess
import sys

from flows.compute.prefect_server import API_URL

STARTUP_TIMEOUT = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"


class TemporaryServer:
    """A server that begins to start now and is stopped when this process exits, after all that may report to it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            # Nothing in the working directory may be taken for a module.
            [sys.executable, "-P", "-m", "flows.compute.serve_prefect"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for the command, which still has to tell the server how its runs ended.
            start_new_session=True,
        )
        # Exit functions run in the opposite order: Prefect's, which send what is left, come first.
        atexit.register(self.stop)

    @classmethod
    def if_needed(cls) -> "TemporaryServer | None":
        """Start a server unless the environment names one; whether a profile does, the new process finds out."""
        return None if os.environ.get(API_URL) else cls()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def api_url(self) -> str | None:
        """Wait until the server answers and return its address; None if there is none, which is then up to Prefect."""
        answers = self._process.stdout
        if answers is None or not select.select([answers], [], [], float(os.environ.get(STARTUP_TIMEOUT, "180")))[0]:
            return None
        port = answers.readline().strip().decode()
        return f"http://127.0.0.1:{port}/api" if port else None

    def stop(self) -> None:
        """End the server; it has a few seconds to do so in order."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
