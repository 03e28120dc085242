"""The report of a search made another time, by hand: on its run, or into a file."""

from pathlib import Path

from mlflow.exceptions import MlflowException

from flows.data.sources.files import first_line
from flows.errors import DestinationError, RunError
from flows.report.logged import log_onto, report_link
from flows.report.made import make_report
from flows.report.searched import read_search
from flows.tracking import tags
from flows.tracking.search_runs import SearchRun
from flows.tracking.store import Tracking, existing_store, tracking_uri


def report_again(run_id: str, file: Path | None) -> str:
    """Make the report of a search again; write it to a file, or log it where it was; return where it is.

    Raises
    ------
    RunError
        There is no such run, it is no search, or what the report is made of is gone.
    DestinationError
        The file cannot be written.
    """
    run = find_search(run_id)
    searched = read_search(run)
    if file is None:
        log_onto(searched)
        return report_link(run)
    try:
        file.write_text(make_report(searched), encoding="utf-8")
    except OSError as error:
        raise DestinationError(
            f"{file}: the report cannot be written ({first_line(error)}); name another file"
        ) from error
    return str(file)


def find_search(run_id: str) -> SearchRun:
    """Return the run of a search, by its own id or by that of one of its trials."""
    uri = existing_store()
    if uri is None:
        raise RunError(f"no run was recorded at {tracking_uri()}; go to where it was, or set MLFLOW_TRACKING_URI")
    client = Tracking(uri=uri, experiment_id="", experiment="").client()
    try:
        run = client.get_run(run_id)
        if tags.PARENT in run.data.tags:
            run = client.get_run(run.data.tags[tags.PARENT])
        experiment = client.get_experiment(run.info.experiment_id)
    except MlflowException as error:
        raise RunError(f"run {run_id}: {uri} has no such run; copy the id of a search from MLflow") from error
    if tags.SEARCH_KEY not in run.data.tags:
        raise RunError(f"run {run_id} ({run.info.run_name}) is no search: give the id of one, or of a trial below it")
    tracking = Tracking(uri=uri, experiment_id=run.info.experiment_id, experiment=experiment.name)
    return SearchRun(tracking=tracking, run_id=run.info.run_id)
