"""The manifests for Kubernetes, held against its own schemas and the operator's, without a cluster.

What the operator would make of a DaskCluster is made by the operator's own code.
"""

import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from mlflow.server.security_utils import is_allowed_host_header

if TYPE_CHECKING:
    from tests.deployments.conftest import House

CHECKOUT = Path(__file__).parents[2]
KUBERNETES = CHECKOUT / "deployments" / "kubernetes"
VERSIONS = ("1.30", "1.37")
"""The oldest and the newest Kubernetes whose schemas the manifests are held against."""

CLUSTERS = ("dask.yaml", "dask-gpu.yaml")


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / name).read_text()))


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """What the specification of a DaskCluster may hold, from the operator's own package; a typing error is refused."""
    charts = resources.files("dask_kubernetes") / "operator/deployment/helm"
    file = charts / "dask-kubernetes-operator/crds/daskcluster.yaml"
    definition = yaml.load(file.read_text(), yaml.CSafeLoader)
    [version] = definition["spec"]["versions"]
    return closed(version["schema"]["openAPIV3Schema"]["properties"]["spec"])


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Make a schema refuse the fields that it does not name, which a server would drop without a word."""
    for part in parts(schema):
        if "properties" in part and "additionalProperties" not in part:
            part["additionalProperties"] = False
    return schema


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from parts(value)
    if isinstance(schema, list):
        for value in schema:
            yield from parts(value)


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_is_what_the_operator_knows(name: str, known: dict[str, Any]) -> None:
    [cluster] = documents(name)
    assert (cluster["apiVersion"], cluster["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    jsonschema.validate(cluster["spec"], known)


def test_a_cluster_with_a_typing_error_is_refused(known: dict[str, Any]) -> None:
    [cluster] = documents("dask.yaml")
    cluster["spec"]["worker"]["spec"]["containers"][0]["envfrom"] = []
    with pytest.raises(jsonschema.ValidationError, match="envfrom"):
        jsonschema.validate(cluster["spec"], known)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CLUSTERS)
def test_what_the_operator_makes_of_a_cluster_is_what_kubernetes_knows(name: str, version: str) -> None:
    from dask_kubernetes.operator.controller import controller

    [cluster] = documents(name)
    named, spec = cluster["metadata"]["name"], cluster["spec"]
    scheduler = controller.build_scheduler_deployment_spec(named, spec["scheduler"]["spec"], {}, {})
    service = controller.build_scheduler_service_spec(named, spec["scheduler"]["service"], {}, {})
    worker = controller.build_worker_deployment_spec(
        f"{named}-default", "default", named, "0123456789", spec["worker"]["spec"], {}, {}
    )
    for manifest in (scheduler, service, worker):
        kubernetes_validate.validate(manifest, version, strict=True)
    assert service["metadata"]["name"] == f"{named}-scheduler"
    pod = scheduler["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= pod.items()
    [container] = worker["spec"]["template"]["spec"]["containers"]
    # Both are used: the one by the arguments, the other by Dask itself.
    assert {"DASK_WORKER_NAME", "DASK_SCHEDULER_ADDRESS"} <= {variable["name"] for variable in container["env"]}
    assert "$(DASK_WORKER_NAME)" in container["args"]


@pytest.mark.parametrize("version", VERSIONS)
def test_mlflow_is_what_kubernetes_knows(version: str) -> None:
    deployment, service = documents("mlflow.yaml")
    for manifest in (deployment, service):
        kubernetes_validate.validate(manifest, version, strict=True)
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("name", ["mlflow:5000", "127.0.0.1:5000", "10.1.2.3:5000"])
def test_mlflow_answers_to_its_service_a_forwarded_port_and_its_probes(name: str) -> None:
    deployment, service = documents("mlflow.yaml")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    [allowed] = [given["value"] for given in container["env"] if given["name"] == "MLFLOW_SERVER_ALLOWED_HOSTS"]
    assert is_allowed_host_header(allowed.split(","), name)
    assert service["metadata"]["name"] == "mlflow"


def test_each_worker_has_a_gpu_where_the_image_is_for_one() -> None:
    [cluster] = documents("dask-gpu.yaml")
    [worker] = cluster["spec"]["worker"]["spec"]["containers"]
    assert worker["image"].endswith("-cuda")
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"


def images() -> dict[str, set[str]]:
    """Return the tags of the images in all files, by the image's name."""
    text = "\n".join(path.read_text() for path in KUBERNETES.iterdir() if path.suffix in (".yaml", ".json"))
    found: dict[str, set[str]] = {}
    for name, tag in re.findall(r"\b(backprop):(\d[\w.-]+)", text):
        found.setdefault(name, set()).add(tag)
    for tag in re.findall(r"prefectTag: (\S+)", text):
        found.setdefault("prefect", set()).add(tag)
    return found


def test_images_have_the_versions_of_this_project() -> None:
    project = re.search(r'^version = "(.+)"$', (CHECKOUT / "pyproject.toml").read_text(), re.MULTILINE)
    prefect = re.search(r"^prefect==(.+)$", (CHECKOUT / "constraints.txt").read_text(), re.MULTILINE)
    assert project
    assert prefect
    assert images() == {
        "backprop": {project[1], f"{project[1]}-cuda"},
        "prefect": {f"{prefect[1]}-python3.11", f"{prefect[1]}-python3.11-kubernetes"},
    }


def test_the_values_of_both_charts_name_what_the_other_files_do() -> None:
    [server] = documents("prefect-server.values.yaml")
    [worker] = documents("prefect-worker.values.yaml")
    [deployments] = documents("prefect.yaml")
    assert worker["worker"]["config"]["workPool"] == deployments["definitions"]["work_pool"]["name"]
    assert worker["worker"]["serverApiConfig"]["apiUrl"] == f"http://{server['fullnameOverride']}:4200/api"


@pytest.fixture(scope="module")
def deployed(house: "House") -> dict[str, Any]:
    """The work pool on a real Prefect server, after the deployments were made on it."""
    template = ["--base-job-template", "deployments/kubernetes/base-job-template.json"]
    house.prefect("work-pool", "create", "kubernetes", "--type", "kubernetes", *template)
    house.prefect("deploy", "--prefect-file", "deployments/kubernetes/prefect.yaml", "--all")
    return house.get("work_pools/kubernetes")


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["train", "retrain"])
def test_prefect_takes_the_deployments(house: "House", deployed: dict[str, Any], flow: str) -> None:
    deployment = house.deployment(f"{flow}/kubernetes")
    [cluster] = documents("dask.yaml")
    assert deployment["work_pool_name"] == deployed["name"]
    scheduler = f"tcp://{cluster['metadata']['name']}-scheduler:8786"
    assert deployment["parameters"]["compute"] == {"scheduler": scheduler}


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_the_job_of_a_flow_run_is_what_kubernetes_knows(deployed: dict[str, Any], version: str) -> None:
    from prefect.utilities.templating import apply_values

    template = deployed["base_job_template"]
    defaults = {
        name: given["default"] for name, given in template["variables"]["properties"].items() if "default" in given
    }
    chosen = {"command": ["prefect", "flow-run", "execute"], "labels": {}, "name": "run", "finished_job_ttl": 600}
    # The worker writes the environment as a list.
    job = apply_values(template["job_configuration"], {**defaults, **chosen, "env": []})["job_manifest"]
    kubernetes_validate.validate(json.loads(json.dumps(job)), version, strict=True)
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "backprop"}}]
