"""The images and the compose file, as far as they can be checked without an engine that builds and runs them."""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from mlflow.server.security_utils import is_allowed_host_header

from tests.programs import program, system_program

CHECKOUT = Path(__file__).parents[2]
DOCKER = CHECKOUT / "deployments" / "docker"
IMAGES = ("Dockerfile", "Dockerfile.cuda")


def lines(image: str) -> list[str]:
    """Return the instructions of an image, each on one line."""
    text = (DOCKER / image).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("image", IMAGES)
def test_hadolint_finds_nothing(image: str) -> None:
    checked = subprocess.run([program("hadolint"), DOCKER / image], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_user_who_is_not_root(image: str) -> None:
    users = [line.split()[1] for line in lines(image) if line.startswith("USER")]
    assert users[-1] == "10001:10001"


@pytest.mark.parametrize("image", IMAGES)
def test_every_installation_takes_the_versions_that_were_tested(image: str) -> None:
    installs = [line for line in lines(image) if "pip install" in line]
    assert installs
    assert all("-c constraints.txt" in line for line in installs)


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_copies_is_in_the_checkout_and_reaches_the_builder(image: str) -> None:
    let_in = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [line.split()[1:-1] for line in lines(image) if line.startswith("COPY") and "--from" not in line]
    for source in (source for copy in copies for source in copy):
        assert (CHECKOUT / source).exists()
        assert Path(source).parts[0] in let_in


@pytest.mark.parametrize("files", [("compose.yaml",), ("compose.yaml", "compose.cuda.yaml")])
def test_compose_reads_its_files(files: tuple[str, ...]) -> None:
    composed = compose(files, {"BACKPROP_PASSWORD": "secret"})
    assert composed.returncode == 0, composed.stderr
    services = yaml.safe_load(composed.stdout)["services"]
    assert {"postgresql", "prefect", "mlflow", "scheduler", "worker", "flows"} == set(services)
    own = {service["image"] for name, service in services.items() if name not in ("postgresql", "worker")}
    assert own == {f"backprop:{version()}"}
    assert services["worker"]["image"] == f"backprop:{version()}" + ("-cuda" if len(files) > 1 else "")
    # Whoever opens a dataset by its path finds it there.
    assert services["worker"]["volumes"] == services["flows"]["volumes"]


def test_mlflow_answers_to_the_name_that_the_others_call_it_by() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    called = urlsplit(services["flows"]["environment"]["MLFLOW_TRACKING_URI"])
    allowed = services["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert is_allowed_host_header(allowed, called.netloc)
    assert is_allowed_host_header(allowed, "127.0.0.1:5000")
    assert not is_allowed_host_header(allowed, "elsewhere:5000")


def test_compose_asks_for_the_password() -> None:
    refused = compose(("compose.yaml",), {})
    assert refused.returncode != 0
    assert "set a password for the databases" in refused.stderr


def compose(files: tuple[str, ...], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    options = [option for file in files for option in ("--file", str(DOCKER / file))]
    return subprocess.run(
        [system_program("docker-compose", "docker-compose"), *options, "config"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_second_image_is_made_of_the_first() -> None:
    [base] = [line for line in lines("Dockerfile.cuda") if line.startswith("FROM")]
    assert base == f"FROM backprop:{version()}"


def version() -> str:
    found = re.search(r'^version = "(.+)"$', (CHECKOUT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found
    return found[1]
