"""The process of a temporary Prefect server: `python -m flows.compute.serve_prefect`, started by `TemporaryServer`.

Prints its port when it answers, and ends when its standard input does: with the command that started it, however that
ends. Ends at once, and prints nothing, if the settings name a server or want no temporary one.
"""

import socket
import sys
import threading

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings

SHUTDOWN_SECONDS = 5


class _AnnouncedServer(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets and self.started:
            sys.stdout.write(f"{sockets[0].getsockname()[1]}\n")
            sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    settings = get_current_settings()
    if settings.api.url is not None or not settings.server.ephemeral.enabled:
        return
    application = create_app(ephemeral=True, final=True)
    server = _AnnouncedServer(
        uvicorn.Config(application, log_level="error", lifespan="on", timeout_graceful_shutdown=SHUTDOWN_SECONDS)
    )

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=end_with_parent, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.run(sockets=[listening])


if __name__ == "__main__":
    main()
