"""Servers that the tests of remote files start on free ports of this machine."""

import contextlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class Quiet(SimpleHTTPRequestHandler):
    """Serves a directory; one path is forbidden. Like many servers it does not know ranges of bytes."""

    def do_GET(self) -> None:
        self.serve(super().do_GET)

    def do_HEAD(self) -> None:
        self.serve(super().do_HEAD)

    def serve(self, answer) -> None:
        if "forbidden" in self.path:
            self.send_error(403)
        else:
            answer()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[str]:
    """Yield the address of a web server for a directory."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
