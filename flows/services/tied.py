"""Runs a program that ends with the process that started it, even with one that is killed and cannot say so.

The standard input is a pipe from that process: when it is gone, the pipe has an end. This process has to lead a group
of its own, so that what the program started ends too.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys

PULSE_SECONDS = 0.2
END_SECONDS = 10.0
"""How long the program may take to end, before it is killed."""


def main() -> int:
    """Run ``python -m`` with the arguments and return its exit code, unless nobody is left to hear it."""
    command = [sys.executable, "-P", "-m", *sys.argv[1:]]
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - what our starter asked for
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    while program.poll() is None:
        if select.select([sys.stdin], [], [], PULSE_SECONDS)[0]:
            program.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(END_SECONDS)
            os.killpg(0, signal.SIGKILL)
    return program.returncode


if __name__ == "__main__":
    sys.exit(main())
