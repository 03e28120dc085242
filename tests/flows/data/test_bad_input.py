"""Every way a person's data can be wrong ends in one line that names the source, the place and the remedy.

The cases of the table go from the arguments of the command through the whole ingestion to its exit code, in this
process. Most go without Prefect around the ingestion, which takes a second each; one of each group goes with it.
"""

import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from prefect.logging import disable_run_logger
from s3fs import S3FileSystem
from typer.testing import CliRunner, Result

import flows.terminal.train
from flows.cli import app
from flows.data.sources.file_table import FileTable
from flows.ingest import ingest
from flows.parameters import TrainParameters
from tests.flows import commands
from tests.flows.data.bad_inputs import BAD_INPUTS, GOOD, SCHEMAS, BadInput
from tests.flows.data.writing import write

# Nothing answers there: nobody is to train.
NO_CLUSTER = ("--scheduler", "tcp://127.0.0.1:9")


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def error_line(stderr: str) -> str:
    """Return the one line that says what is wrong: the last, and the only one of its kind."""
    [line] = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert stderr.splitlines()[-1] == line
    return line.removeprefix("error: ")


def ingest_without_prefect(parameters: TrainParameters, *_: object) -> None:
    with disable_run_logger():
        ingest.fn(
            data=parameters.data,
            target=list(parameters.targets) or None,
            task=parameters.task,
            preparation=parameters.preparation,
            split=parameters.split,
            datasets=parameters.datasets,
        )


@pytest.fixture
def without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command ingest what it is told, and no more; the server that it is told of is not asked."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(flows.terminal.train, "run_train", ingest_without_prefect)


@pytest.fixture(scope="module")
def store_of_wine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds a dataset: to copy it takes no time."""
    root = tmp_path_factory.mktemp("written") / "store"
    write(root, "wine")
    return root


@pytest.fixture
def store(store_of_wine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that holds a dataset already, below the directory where the command runs."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(store_of_wine, tmp_path / "store")


def train(data: str, *options: str) -> Result:
    """Run `backprop train`; where the data is fine, it fails for want of a cluster."""
    return CliRunner().invoke(app, ["train", "--data", data, "--datasets", "store", *NO_CLUSTER, *options])


def check_refusal(case: BadInput, store: Path) -> Result:
    """Run the command on bad input; return what it did, after checking all that every refusal must be."""
    if case.write is not None:
        case.write(store.parent)
    before = contents(store)
    result = train(case.data, *case.options)
    message = error_line(result.stderr)
    assert [part for part in case.says if part not in message] == [], message
    assert result.exit_code == 2
    assert contents(store) == before
    assert not (store.parent / "unpickled").exists()
    return result


@pytest.mark.usefixtures("without_prefect")
@pytest.mark.parametrize("case", BAD_INPUTS, ids=lambda case: case.name)
def test_bad_input_is_answered_in_one_line_and_leaves_the_store_as_it_was(case: BadInput, store: Path) -> None:
    check_refusal(case, store)


@pytest.mark.slow
@pytest.mark.usefixtures("tracking_store", "server")
@pytest.mark.parametrize("case", SCHEMAS, ids=lambda case: case.name)
def test_what_breaks_the_schema_of_an_earlier_ingestion_is_listed_before_the_line(case: BadInput, store: Path) -> None:
    assert case.before is not None
    case.before(store.parent)
    ingest_without_prefect(TrainParameters(data=case.data, target="y", datasets="store"))
    shown = check_refusal(case, store).stderr
    assert ("┃ column" in shown) == (case.name != "a mistake in a schema")


def test_the_cases_are_many_and_each_has_a_name_of_its_own() -> None:
    cases = [*BAD_INPUTS, *SCHEMAS]
    assert len({case.name for case in cases}) == len(cases) >= 60


@pytest.mark.usefixtures("without_prefect")
def test_a_file_that_changes_while_it_is_read_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plants = store.parent / "plants.csv"
    staged = FileTable.source

    def growing(table: FileTable) -> object:
        source = staged(table)
        with plants.open("a") as file:
            file.write("1,2,1\n")
        return source

    monkeypatch.setattr(FileTable, "source", growing)
    says = ("plants.csv: the file changed while it was read", "begin again")
    check_refusal(BadInput("growing", "plants.csv", says, lambda _: plants.write_text(GOOD)), store)


class Closed(BaseHTTPRequestHandler):
    """A store in which nobody may read anything."""

    def do_GET(self) -> None:
        answer = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(answer)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def closed_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let s3:// mean a store that refuses everything."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Closed) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "somebody")
        S3FileSystem.clear_instance_cache()
        yield
        S3FileSystem.clear_instance_cache()
        server.shutdown()


@pytest.mark.usefixtures("without_prefect", "closed_store")
@pytest.mark.parametrize("data", ["s3://vault/plants.csv", "s3://vault/plants/", "s3://vault/*.parquet"])
def test_a_bucket_without_access_is_named(data: str, store: Path) -> None:
    check_refusal(BadInput("no access", data, (data, "access is denied", "check the credentials")), store)


@pytest.mark.usefixtures("without_prefect")
def test_a_bucket_that_is_not_there_is_named(store: Path, s3_bucket: str) -> None:
    missing = f"s3://{s3_bucket}-other/plants.csv"
    check_refusal(BadInput("no bucket", missing, (missing, "no such", "check the path")), store)


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_the_command_itself_says_so_and_ends_with_2(store: Path) -> None:
    """Of a file that is no table; of a table that cannot be trained on, the tests of the command do."""
    (store.parent / "plants.csv").write_text(f"{GOOD}1,2\n")
    before = contents(store)
    ran = commands.train(store.parent, "--data", "plants.csv", "--target", "y", "--datasets", "store", *NO_CLUSTER)
    says = "line 42 has 2 fields and the header 3; correct that line: add the missing commas"
    assert commands.error_of(ran.stderr) == f"error: plants.csv: {says}"
    assert ran.returncode == 2
    assert contents(store) == before
