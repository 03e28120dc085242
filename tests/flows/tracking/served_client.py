"""Somebody who has nothing of this project but the address of a model: asks models for the test, as a program."""

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd


def listed(answer: Any) -> Any:
    return answer.to_dict(orient="list") if isinstance(answer, pd.DataFrame) else answer.tolist()


def over_http(model: Any, body: str) -> Any:
    """Answer a request as `mlflow models serve` does; the handler of its web server is called."""
    from mlflow.pyfunc.scoring_server import invocations

    try:
        answer = invocations(body, "application/json", model, model.metadata.get_input_schema())
    except mlflow.MlflowException as error:
        return {
            "error": str(error),
            "status": error.get_http_status_code(),
            "traceback": "stack_trace" in error.json_kwargs,
        }
    return json.loads(answer.response)["predictions"]


def ask(model: Any, rows: pd.DataFrame, missing: str) -> dict[str, Any]:
    """Return what the model says of the raw rows in several ways."""
    numbers = rows.select_dtypes("number")
    answer = {
        "as_read": listed(model.predict(rows)),
        "shuffled": listed(model.predict(rows[rows.columns[::-1]])),
        "as_floats": listed(model.predict(rows.assign(**numbers.astype("float64")))),
        "singly": [listed(model.predict(rows.iloc[[place]])) for place in range(len(rows))],
        "inputs": {spec.name: [str(spec.type), spec.required] for spec in model.metadata.get_input_schema().inputs},
        "outputs": [[spec.name, str(spec.type)] for spec in model.metadata.get_output_schema().inputs]
        if model.metadata.get_output_schema().has_input_names()
        else [],
    }
    if model.metadata.get_params_schema() is not None:
        answer["probabilities"] = listed(model.predict(rows, params={"probabilities": True}))
    try:
        model.predict(rows.drop(columns=missing))
    except Exception as error:  # noqa: BLE001 - whatever it is, the test reads it
        answer["missing"] = str(error).splitlines()[-1][-200:]
    return answer


def main() -> None:
    jobs = json.loads(Path("jobs.json").read_text())
    models = {name: mlflow.pyfunc.load_model(job["uri"]) for name, job in jobs.items()}
    answers = {
        name: ask(model, pd.read_parquet(f"{name}.parquet"), jobs[name]["missing"]) for name, model in models.items()
    }
    import backprop
    import flows

    # Before the web server's own modules are there.
    loaded = {"modules": sorted(sys.modules), "code": [backprop.__file__, flows.__file__]}
    for name, model in models.items():
        answers[name]["requests"] = {what: over_http(model, body) for what, body in jobs[name]["requests"].items()}
    Path("answers.json").write_text(json.dumps({"loaded": loaded, "models": answers}))


if __name__ == "__main__":
    main()
