"""Which artifact URIs a process writes to itself, and which only MLflow can."""

from pathlib import Path

import pytest

from flows.tracking.artifacts import local_directory


@pytest.mark.parametrize(
    ("uri", "directory"),
    [
        ("/home/me/mlruns/1/run/artifacts", "/home/me/mlruns/1/run/artifacts"),
        ("/home/me/50% #1/artifacts", "/home/me/50% #1/artifacts"),
        ("file:///home/me/two%20words/artifacts", "/home/me/two words/artifacts"),
        ("file:/home/me/artifacts", "/home/me/artifacts"),
        ("file://localhost/home/me/artifacts", "/home/me/artifacts"),
    ],
)
def test_a_local_uri_is_the_directory_that_it_names(uri: str, directory: str) -> None:
    assert local_directory(uri) == Path(directory)


@pytest.mark.parametrize(
    "uri", ["mlflow-artifacts:/1/run/artifacts", "s3://bucket/1/run/artifacts", "file://elsewhere/share/artifacts"]
)
def test_any_other_uri_is_left_to_mlflow(uri: str) -> None:
    assert local_directory(uri) is None
