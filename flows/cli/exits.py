"""How a command ends: one line about what went wrong, and an exit code."""

import signal
import sys
import traceback
from typing import NoReturn

import typer
from rich.console import Console

from flows.errors import InputError

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130

console = Console()
errors = Console(stderr=True, soft_wrap=True, highlight=False)


class Exits:
    """Turns what a command raises into one line and an exit code; ``kept`` says what an interruption leaves."""

    def __init__(
        self, verbose: bool, kept: str = "what was finished is kept, and the same command goes on from there"
    ) -> None:
        self._verbose = verbose
        self._kept = kept

    def __enter__(self) -> None:
        # A terminated search ends its runs like an interrupted one.
        self._before = signal.signal(signal.SIGTERM, _interrupt)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        signal.signal(signal.SIGTERM, self._before)
        if error is None or isinstance(error, typer.Exit | SystemExit):
            return
        if self._verbose:
            traceback.print_exception(error)
        if isinstance(error, KeyboardInterrupt):
            self._exit(f"interrupted: {self._kept}", INTERRUPTED)
        if isinstance(error, InputError):
            _show_violations(error)
            self._exit(str(error), BAD_INPUT)
        if _is_of_prefects_server(error):
            self._exit(f"Prefect's server does not answer any more ({error}); {self._kept}", FAILED)
        hint = "" if self._verbose else " (--verbose shows where)"
        self._exit(f"{type(error).__name__}: {' '.join(str(error).split())}{hint}", FAILED)

    def _exit(self, message: str, code: int) -> NoReturn:
        # A column may well be called a:b:y, which is no emoji.
        errors.print(f"[red]error:[/red] {_escaped(message)}", emoji=False)
        sys.stdout.flush()
        raise typer.Exit(code)


def _is_of_prefects_server(error: BaseException) -> bool:
    """Tell whether a connection failed of the library by which Prefect speaks to its server, and nothing else here."""
    httpx = sys.modules.get("httpx")
    return httpx is not None and isinstance(error, httpx.TransportError)


def _show_violations(error: InputError) -> None:
    """Print all that is wrong with a table before the one line that says the first of it."""
    from flows.data.violations import SchemaViolationError

    if isinstance(error, SchemaViolationError):
        from flows.terminal.violations import print_violations

        print_violations(errors, error)


def _escaped(message: str) -> str:
    from rich.markup import escape

    return escape(" ".join(message.split()))


def _interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - the signature of a signal handler
    raise KeyboardInterrupt
