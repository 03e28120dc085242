"""A real PostgreSQL server, which the tests start on a free port of this machine."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from tests.programs import free_port, missing

PASSWORD = "s3cret word"  # noqa: S105 - of a server that lives as long as the test


def server_programs() -> Path:
    """Where Debian's package puts initdb and postgres, or wherever they are found."""
    for found in (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), shutil.which("initdb")):
        if found is not None and (Path(found) / "initdb").exists():
            return Path(found)
        if found is not None and Path(found).name == "initdb":
            return Path(found).parent
    return missing("no PostgreSQL server is installed (Debian package postgresql)")


def as_nobody() -> list[str]:
    """What to put before a command that refuses to run as root."""
    user = str(pwd.getpwnam("nobody").pw_uid)
    return ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"] if os.geteuid() == 0 else []


@contextmanager
def postgresql_server() -> Iterator[sa.URL]:
    """Yield the address of a server that lets its superuser in by password alone."""
    programs = server_programs()
    # Not below pytest's own directory, which is closed to other users.
    directory = Path(tempfile.mkdtemp(prefix="backprop-postgresql-"))
    if os.geteuid() == 0:
        shutil.chown(directory, "nobody")
    password = directory / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    data = directory / "data"
    port = free_port()
    run = as_nobody()
    initialise = [programs / "initdb", "-D", data, "-U", "gardener", "--pwfile", password, "-A", "scram-sha-256", "-N"]
    subprocess.run([*run, *initialise, "-E", "UTF8", "--locale", "C"], check=True, capture_output=True, cwd=directory)
    options = f"-h 127.0.0.1 -p {port} -k {directory} -F"
    control = [*run, programs / "pg_ctl", "-D", data, "-w", "-l", directory / "log"]
    subprocess.run([*control, "-o", options, "start"], check=True, capture_output=True, cwd=directory)
    try:
        yield sa.URL.create("postgresql+psycopg", "gardener", PASSWORD, "127.0.0.1", port, "postgres")
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=directory)
        shutil.rmtree(directory)
