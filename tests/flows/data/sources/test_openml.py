"""OpenML by number, against a server on this machine that answers as its interface does.

What is not tested here is the real service: only that scikit-learn's client, which knows it, gets along with us.
"""

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from sklearn.datasets import _openml

from flows.data.sources import open_source, require_targets
from flows.errors import SourceError, TableError
from tests.flows.data.sources.reading import read, types

ARFF = b"""@RELATION trees
@ATTRIBUTE number INTEGER
@ATTRIBUTE height REAL
@ATTRIBUTE kind {oak, 'sweet chestnut'}
@ATTRIBUTE price REAL
@ATTRIBUTE remark STRING
@DATA
1,2.5,oak,10.5,'old, and tall'
2,?,'sweet chestnut',?,young
3,4.5,?,11,?
"""
COLUMNS = ("number", "height", "kind", "price", "remark")
KINDS = ("numeric", "numeric", "nominal", "numeric", "string")


def answers(address: str) -> dict[str, bytes]:
    """What OpenML answers of data set 61, which has targets with gaps, and of 62, which has none."""
    found = {"/data/v1/download/7/trees.arff": ARFF}
    for number, targets in (("61", ("kind", "price")), ("62", ())):
        description = {
            "id": number,
            "name": "trees",
            "version": "1",
            "description": "Trees.",
            "format": "ARFF",
            "status": "active",
            "url": f"{address}/data/v1/download/7/trees.arff",
            "file_id": "7",
            "md5_checksum": hashlib.md5(ARFF).hexdigest(),  # noqa: S324 - OpenML's checksum
        }
        if targets:
            description["default_target_attribute"] = ",".join(targets)
        features = [
            {
                "index": str(index),
                "name": name,
                "data_type": kind,
                "is_target": str(name in targets).lower(),
                "is_ignore": "false",
                "is_row_identifier": str(name == "number").lower(),
                "number_of_missing_values": "1",
            }
            for index, (name, kind) in enumerate(zip(COLUMNS, KINDS, strict=True))
        ]
        qualities = [{"name": "NumberOfInstances", "value": "3"}]
        for path, content in (
            (number, {"data_set_description": description}),
            (f"features/{number}", {"data_features": {"feature": features}}),
            (f"qualities/{number}", {"data_qualities": {"quality": qualities}}),
        ):
            found[f"/api/v1/json/data/{path}"] = json.dumps(content).encode()
    return found


@pytest.fixture
def openml(monkeypatch, tmp_path) -> Iterator[list[str]]:
    """A server in OpenML's place; yields the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = answers(address).get(self.path)
            # OpenML's code for all that it does not have.
            self.send_response(412 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    for name in ("_DATA_INFO", "_DATA_FEATURES", "_DATA_QUALITIES"):
        path = getattr(_openml, name).removeprefix("https://www.openml.org")
        monkeypatch.setattr(_openml, name, address + path)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.usefixtures("openml")
def test_a_data_set_comes_with_its_targets_and_their_gaps_and_without_row_numbers():
    source, table = read("openml:61")
    assert (source.name, source.uri, source.targets) == ("trees", "openml:61", ("kind", "price"))
    assert types(table) == {"height": "double", "remark": "string", "kind": "string", "price": "double"}
    assert table.to_pydict() == {
        "height": [2.5, None, 4.5],
        "remark": ["old, and tall", "young", None],
        "kind": ["oak", "sweet chestnut", None],
        "price": [10.5, None, 11.0],
    }


@pytest.mark.usefixtures("openml")
def test_the_target_of_a_data_set_that_names_none_is_asked_for():
    trees = open_source("openml:62")
    assert trees.targets is None
    with pytest.raises(TableError, match=r"^openml:62: which column is the target\? "):
        require_targets(trees, ())
    assert require_targets(trees, ("price",)) == ("price",)


def test_what_was_fetched_once_is_kept(openml):
    read("openml:61")
    fetched = len(openml)
    read("openml:61")
    assert len(openml) == fetched == 4


@pytest.mark.usefixtures("openml")
def test_a_number_that_there_is_not_is_refused():
    with pytest.raises(SourceError, match=r"^openml:63: Dataset with data_id 63 not found") as raised:
        open_source("openml:63")
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("error")
def test_openml_out_of_reach_is_said_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(_openml, "_DATA_INFO", "http://127.0.0.1:1/{}")
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    with pytest.raises(SourceError, match=r"^openml:61: OpenML cannot be reached: .*refused.*; try again later$"):
        open_source("openml:61")


@pytest.mark.parametrize("data", ["openml:", "openml:trees", "openml:-1"])
def test_what_is_no_number_is_refused(data):
    with pytest.raises(SourceError, match="is no number of a data set"):
        open_source(data)
