"""A real SLURM of this machine alone: its controller, one node, and munge, as a test starts them."""

import getpass
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.programs import PATIENCE, free_port, missing, system_program

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthInfo=socket={directory}/munge.socket
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SwitchType=switch/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=2
# More than the machine has: the jobs of a test are small.
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """SLURM's commands, told where this SLURM is."""

    configuration: Path

    def run(self, command: str, *arguments: str) -> str:
        environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        program = system_program(command, "slurm-client")
        return subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE
        ).stdout

    def running(self) -> list[str]:
        """Return the ids of the jobs that run."""
        return self.run("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()

    def jobs(self) -> list[str]:
        """Return the ids of the jobs that run or wait."""
        return self.run("squeue", "--noheader", "--states=RUNNING,PENDING", "--format=%i").split()


@contextmanager
def slurm_cluster() -> Iterator[Slurm]:
    """Yield a SLURM with one partition, `main`, of one node."""
    munged = system_program("munged", "munge")
    controller, node = (system_program(name, name) for name in ("slurmctld", "slurmd"))
    if os.geteuid():
        missing("a SLURM of a test runs as root, which may start jobs")
    # A socket's path may be no longer than a hundred characters, which pytest's directories may be.
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        directory = Path(name)
        # munged wants no other user to be able to change what it works with.
        directory.chmod(0o755)
        for part in ("state", "spool"):
            (directory / part).mkdir()
        key = directory / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        configuration = directory / "slurm.conf"
        configuration.write_text(
            CONFIGURATION.format(
                host=socket.gethostname().partition(".")[0],
                user=getpass.getuser(),
                controller_port=free_port(),
                node_port=free_port(),
                directory=directory,
            )
        )
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid", "log-file": "munge.log"}
        options = [f"--{option}={directory / file}" for option, file in {**files, "seed-file": "munge.seed"}.items()]
        slurm = Slurm(configuration)
        try:
            # --force: the directory above may be one that all may write to, as /tmp.
            subprocess.run([munged, "--force", *options], check=True, capture_output=True)
            subprocess.run([controller, "-f", configuration], check=True, capture_output=True)
            subprocess.run([node, "-f", configuration], check=True, capture_output=True)
            _wait_for_node(slurm, directory)
            yield slurm
        finally:
            _end(directory, ("slurmd", "slurmctld", "munge"))


def _wait_for_node(slurm: Slurm, directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if slurm.run("sinfo", "--noheader", "--format=%T").strip() == "idle":
            return
        time.sleep(0.2)
    raise TimeoutError("\n".join(log.read_text() for log in directory.glob("*.log")))


def _end(directory: Path, daemons: tuple[str, ...]) -> None:
    """End the daemons that were started, and wait until they have ended: they write to the directory."""
    found = [directory / f"{daemon}.pid" for daemon in daemons]
    processes = [psutil.Process(int(file.read_text())) for file in found if file.exists()]
    for process in processes:
        process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=30)
    for process in alive:
        process.kill()
