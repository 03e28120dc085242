"""What a test sees from outside: programs in processes of their own, and limits that the system sets on this one."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]

needs_proc = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells in /proc what a process read, and how much memory it took at most"
)

# In KiB. Not ru_maxrss, which a process inherits from the one that started it: here from all the tests before.
PEAK = """
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
"""
GROWTH = """
import sys
from flows.data.sources import open_source

source = open_source(sys.argv[1])
before = peak()
print(sum(batch.num_rows for batch in source.batches()), peak() - before)
"""
WRITE = """
import sys
from pathlib import Path
from flows.data import store
from tests.flows.data.writing import write
"""
RACE = """
print("ready", flush=True)
sys.stdin.readline()
print(write(sys.argv[1], "wine").path)
"""


def environment_with(**changes: str) -> dict[str, str]:
    """Return the environment of a program that imports from this checkout, wherever the tests were started."""
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), **changes}


def printed_by(code: str, *arguments: object, **environment: str) -> str:
    """Return what a Python program prints that ends well, without the line's end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env=environment_with(**environment))
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def growth_in_reading(data: str) -> tuple[int, int]:
    """Return how many rows a source has, and by how many KiB the peak of memory rises while they are read."""
    rows, growth = printed_by(PEAK + GROWTH, data).split()
    return int(rows), int(growth)


def start(code: str, root: Path | str, **environment: str) -> subprocess.Popen[str]:
    """Start a program that may write a dataset to a root."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITE + code, str(root)],
        env=environment_with(**environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def race(root: Path | str, **environment: str) -> list[str]:
    """Let two processes write the same dataset at the same moment, and return where each says it is."""
    processes = [start(RACE, root, **environment) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = []
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        outputs.append(output.strip())
    return outputs


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let the operating system refuse to write beyond ``size`` bytes of a file, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
