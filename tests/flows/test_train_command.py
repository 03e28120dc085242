"""The command that trains a search, written from its parameters."""

import importlib
import shlex

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.errors import InputError
from flows.parameters import TrainParameters
from flows.train_command import train_command


def read_back(monkeypatch: pytest.MonkeyPatch, command: str) -> TrainParameters:
    """Return the parameters that the command line makes of a command; nothing starts."""
    seen: list[TrainParameters] = []

    def stop(parameters: TrainParameters) -> None:
        seen.append(parameters)
        raise InputError("that is all")

    monkeypatch.setattr(importlib.import_module("flows.cli.train"), "check_early", stop)
    program, *arguments = shlex.split(command)
    assert program == "backprop"
    assert CliRunner().invoke(app, arguments).exit_code == 2
    [parameters] = seen
    return parameters


def test_what_is_as_it_is_anyway_is_left_out() -> None:
    parameters = TrainParameters(data="wine", space="quick", compute={"workers": 2})

    assert train_command(parameters, "sklearn:wine") == "backprop train --data wine --space quick"


def test_the_command_line_reads_back_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = TrainParameters(
        data="my table's.csv",
        target=("a b", "c"),
        space="spaces/own.yaml",
        task="regression",
        preparation="plan.yaml",
        experiment="an experiment",
        model="m",
        datasets="other sets",
        split={"by": "time", "column": "day of sale", "validation": 0.2, "test": 0.1, "seed": 3},
    )

    assert read_back(monkeypatch, train_command(parameters, parameters.data)) == parameters


def test_no_password_is_in_it() -> None:
    parameters = TrainParameters(data="sql:postgresql://me:secret@host/sales?table=visits", target="sold")

    command = train_command(parameters, "sql:postgresql://me@host/sales?table=visits")

    assert "secret" not in command
    assert "'sql:postgresql://me@host/sales?table=visits' --target sold" in command
