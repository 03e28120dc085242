"""Whether a registered version works where nothing of this project is: the check before a promotion.

A process of its own loads it as MLflow does, with no module of this checkout on its path, and answers rows as they were
read. What TFX calls infra validation: a model may win on the test rows in the process that trained it and be of no use
to anybody else, because its artifacts, its requirements or the code that travels with it are incomplete.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from flows.data.outputs import Predictions
from flows.retraining import answer_rows
from flows.retraining.answer_rows import ANSWER
from flows.tracking.registry import RegisteredVersion
from flows.tracking.store import Tracking

PATIENCE_SECONDS = 300
"""How long loading and answering may take on a busy machine."""

PROGRAM = Path(answer_rows.__file__)


class UnservableError(Exception):
    """A version cannot be loaded, or does not answer; the message says what happened."""


def check_in_clean_process(
    tracking: Tracking, version: RegisteredVersion, rows: pd.DataFrame, expected: Predictions
) -> None:
    """Load a version in a process of its own and compare what it answers with what it answered here.

    Parameters
    ----------
    rows : pandas.DataFrame
        Raw rows, as they came from the source.
    expected : array or pandas.DataFrame
        What the version said of them in this process.

    Raises
    ------
    UnservableError
        It cannot be loaded, does not answer, or answers something else.
    """
    with tempfile.TemporaryDirectory(prefix="backprop-") as directory:
        sample = Path(directory) / "rows.parquet"
        rows.to_parquet(sample)
        answered = _answer(tracking, version, sample, directory)
    wanted = expected if isinstance(expected, pd.DataFrame) else pd.DataFrame({"": expected})
    for name in wanted.columns:
        said = answered.get(str(name))
        if said is None or not _same(said, wanted[name].to_numpy()):
            raise UnservableError(f"it answers {said} where {wanted[name].tolist()} was expected")


def _answer(tracking: Tracking, version: RegisteredVersion, sample: Path, directory: str) -> dict[str, list[object]]:
    asked = {
        "tracking_uri": tracking.uri,
        "model": version.uri,
        "rows": str(sample),
        "directory": directory,
    }
    # PYTHONPATH would be a way in for what does not travel with the model; -I closes the working directory too.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        ended = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-I", str(PROGRAM)],
            input=json.dumps(asked),
            env={**kept, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnservableError(f"it gave no answer within {PATIENCE_SECONDS} s") from error
    lines = [line.removeprefix(ANSWER) for line in ended.stdout.splitlines() if line.startswith(ANSWER)]
    if ended.returncode != 0 or not lines:
        said = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        raise UnservableError(said[-1][:500] if said else f"its process ended with {ended.returncode}")
    answer: dict[str, list[object]] = json.loads(lines[-1])
    return answer


def _same(said: list[object], wanted: np.ndarray) -> bool:
    if len(said) != len(wanted):
        return False
    if wanted.dtype.kind == "f":
        return bool(np.allclose(np.array(said, np.float64), wanted, rtol=1e-5))
    return [str(value) for value in said] == [str(value) for value in wanted.tolist()]
