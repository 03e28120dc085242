"""What an evaluation leaves in MLflow: a run that is linked to the model it measured."""

import math
import time
from collections.abc import Sequence

import pandas as pd
from mlflow.entities import LoggedModelInput, Metric
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from flows.evaluation.measures import Measure, PartMeasures
from flows.tracking import tags
from flows.tracking.opened_model import OpenedModel, existing_store

PREFIX = "evaluation/"


def record_evaluation(
    model: OpenedModel,
    data: str,
    rows: int,
    measures: Sequence[Measure],
    parts: Sequence[PartMeasures],
    experiment: str | None,
) -> str:
    """Write a run with every measure, its interval and its baseline, and return its id.

    It is made when all is measured, so none is left unfinished. The measures are the model's too: MLflow shows them on
    its page.
    """
    client = existing_store()
    if experiment is None:
        experiment_id = client.get_run(model.run_id).info.experiment_id
    else:
        found = client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else client.create_experiment(experiment)
    now = int(time.time() * 1000)
    values = {
        name: value
        for measure in measures
        for name, value in (
            (measure.name, measure.value),
            (f"{measure.name}_low", measure.low),
            (f"{measure.name}_high", measure.high),
            (f"{measure.name}_baseline", measure.baseline),
        )
        if value is not None and math.isfinite(value)
    }
    run = client.create_run(
        experiment_id,
        tags={
            MLFLOW_RUN_NAME: f"evaluate {model.title}",
            tags.MODEL_NAME: model.name,
            tags.MODEL_VERSION: str(model.version),
            tags.EVALUATED_ON: data,
        },
    )
    run_id = str(run.info.run_id)
    if model.model_id is not None:
        client.log_inputs(run_id, models=[LoggedModelInput(model.model_id)])
    client.log_batch(
        run_id,
        metrics=[
            *(Metric(PREFIX + name, value, now, 0, model_id=model.model_id) for name, value in values.items()),
            Metric(PREFIX + "rows", float(rows), now, 0),
        ],
    )
    if parts:
        table = pd.DataFrame(
            [
                {"name": part.name, "rows": part.rows, **part.measures, "low": part.low, "high": part.high}
                for part in parts
            ]
        )
        client.log_text(run_id, table.to_csv(index=False), "parts.csv")
    client.set_terminated(run_id)
    return run_id
