"""Prefect and MLflow on a real PostgreSQL server, artifacts and datasets in S3, as deployments/postgresql says."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from dotenv import dotenv_values
from mlflow import MlflowClient
from mlflow.entities import Run
from s3fs import S3FileSystem

from flows.data.sources import open_source
from tests.flows.commands import BACKPROP
from tests.postgresql import server_programs
from tests.programs import PATIENCE, free_port, program, running

pytestmark = pytest.mark.slow

PROFILE = Path(__file__).parents[2] / "deployments" / "postgresql"
SPACE = "grid: {hidden: [[8], [16]], learning_rate: [0.1], epochs: [3], seed: [0, 1]}\n"
SEARCHED = ("digits", "wine")
TRIALS = 4


@dataclass(frozen=True)
class House:
    """Both servers, and what they stand on."""

    directory: Path
    environment: dict[str, str]
    bucket: str
    files: S3FileSystem
    superuser: sa.URL

    def start(self, data: str) -> subprocess.Popen[str]:
        """Start a search of four trials."""
        root = f"s3://{self.bucket}/data"
        return subprocess.Popen(
            [BACKPROP, "train", "--data", data, "--space", "space.yaml", "--workers", "2", "--datasets", root],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def count(self, database: str, query: str) -> int:
        """Return what a query of one number says."""
        engine = sa.create_engine(self.superuser.set(database=database), poolclass=sa.NullPool)
        with engine.connect() as connection:
            return int(connection.exec_driver_sql(query).scalar_one())

    def runs(self, data: str) -> list[Run]:
        """Return all runs of the searches on a data set, from MLflow's server."""
        client = MlflowClient(tracking_uri=self.environment["MLFLOW_TRACKING_URI"])
        experiment = client.get_experiment_by_name(data)
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id]))


def profile(postgresql: sa.URL, s3: str, bucket: str, password: str) -> dict[str, str]:
    """Return the profile with the addresses of this test, each of which stands in it as on a machine of its own."""
    text = (PROFILE / "profile.env").read_text()
    for before, after in {
        "backprop:change-me@127.0.0.1:5432": f"backprop:{password}@127.0.0.1:{postgresql.port}",
        "http://127.0.0.1:9000": s3,
        "s3://backprop/": f"s3://{bucket}/",
        "127.0.0.1:4200": f"127.0.0.1:{free_port()}",
        "127.0.0.1:5000": f"127.0.0.1:{free_port()}",
        "change-me": "changed",
    }.items():
        assert before in text
        text = text.replace(before, after)
    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}


@pytest.fixture(scope="module")
def house(postgresql: sa.URL, s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("postgresql")
    bucket, password = f"bucket-{uuid4().hex[:12]}", uuid4().hex
    superuser = postgresql.set(drivername="postgresql").render_as_string(hide_password=False)
    psql = [server_programs() / "psql", "--quiet", "--no-psqlrc", "-d", superuser, "-f", PROFILE / "databases.sql"]
    subprocess.run(psql, env={**os.environ, "BACKPROP_PASSWORD": password}, check=True)

    given = profile(postgresql, s3_server, bucket, password)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_TRACKING"))}
    environment = {**kept, **given, "PREFECT_HOME": str(directory / "prefect"), "COLUMNS": "160"}
    files = S3FileSystem(
        key=given["AWS_ACCESS_KEY_ID"],
        secret=given["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=s3_server,
        skip_instance_cache=True,
    )
    files.mkdir(bucket)
    (directory / "space.yaml").write_text(SPACE)
    prefect, mlflow = (httpx.URL(given[name]) for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"))
    with ExitStack() as started:
        # As the page says, but for the ports, which a person leaves as they are.
        servers = {
            f"{prefect}/health": [program("prefect"), "server", "start", "--port", str(prefect.port)],
            f"{mlflow}/health": [program("mlflow"), "server", "--port", str(mlflow.port), "--workers", "2"],
        }
        for command in servers.values():
            log = directory / f"{Path(command[0]).name}.log"
            started.enter_context(running(command, directory, environment, log))
        for health in servers:
            wait_for(health, directory)
        yield House(directory, environment, bucket, files, postgresql)


def wait_for(health: str, directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if httpx.get(health).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    raise TimeoutError("\n".join(log.read_text() for log in directory.glob("*.log")))


@pytest.fixture(scope="module")
def printed(house: House) -> dict[str, str]:
    """What two searches printed that ran at once, each with two workers."""
    with ExitStack() as started:
        searches = {data: started.enter_context(house.start(data)) for data in SEARCHED}
        for search in searches.values():
            # Before it is waited for without end, however this ends.
            started.callback(search.terminate)
        printed = {data: search.communicate(timeout=PATIENCE)[0] for data, search in searches.items()}
    assert {data: search.returncode for data, search in searches.items()} == dict.fromkeys(SEARCHED, 0), printed
    return printed


@pytest.mark.usefixtures("printed")
def test_searches_that_write_at_once_leave_their_runs_in_the_databases_and_in_no_file(house: House) -> None:
    for data in SEARCHED:
        runs = house.runs(data)
        assert [run.info.status for run in runs] == ["FINISHED"] * (TRIALS + 1)
        assert len({run.data.tags["trial.key"] for run in runs if "trial.key" in run.data.tags}) == TRIALS
    assert house.count("mlflow", "SELECT count(*) FROM runs") == len(SEARCHED) * (TRIALS + 1)
    flow_runs = "SELECT count(*) FROM flow_run JOIN flow ON flow.id = flow_id WHERE flow.name = 'train'"
    assert house.count("prefect", f"{flow_runs} AND state_type = 'COMPLETED'") == len(SEARCHED)
    assert not [*house.directory.rglob("*.db"), *house.directory.rglob("mlruns"), *house.directory.rglob("data")]


@pytest.mark.usefixtures("printed")
def test_weights_models_and_datasets_are_in_the_bucket(house: House) -> None:
    kept = house.files.find(house.bucket)
    trials = [run for data in SEARCHED for run in house.runs(data) if "trial.key" in run.data.tags]
    weights = {run.info.artifact_uri.replace("mlflow-artifacts:", f"{house.bucket}/artifacts") for run in trials}
    assert {f"{place}/weights.safetensors" for place in weights} <= set(kept)
    assert sum(path.endswith("/MLmodel") for path in kept) == len(SEARCHED)
    assert sum(path.startswith(f"{house.bucket}/data/") and path.endswith("schema.json") for path in kept) == 2


@pytest.mark.usefixtures("printed")
def test_the_registered_model_is_loaded_through_the_server_by_who_has_no_key_of_the_bucket(house: House) -> None:
    program = (
        "import json, mlflow, pandas, sys\n"
        "model = mlflow.pyfunc.load_model('models:/wine@challenger')\n"
        "print(json.dumps(model.predict(pandas.read_csv(sys.argv[1])).tolist()))"
    )
    source = open_source("wine")
    rows = next(iter(source.batches())).to_pandas()
    file = house.directory / "wine.csv"
    rows.drop(columns=list(source.targets or ())).to_csv(file, index=False)
    keyless = {name: value for name, value in house.environment.items() if not name.startswith("AWS_")}
    predicted = subprocess.run(
        [sys.executable, "-c", program, file], env=keyless, capture_output=True, text=True, check=True
    )
    assert len(json.loads(predicted.stdout)) == len(rows)


@pytest.mark.usefixtures("printed")
def test_the_same_command_finds_every_trial_finished(house: House) -> None:
    with house.start("digits") as again:
        output, _ = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, output
    assert f"All {TRIALS} trials were found finished by their key; nothing was trained" in output
