"""The report of a search made another time, by hand: on its run, or into a file."""

from pathlib import Path

from flows.data.sources.files import first_line
from flows.errors import DestinationError, RunError
from flows.report.logged import log_onto, report_link
from flows.report.made import make_report
from flows.report.searched import read_search
from flows.tracking import tags
from flows.tracking.search_runs import SearchRun
from flows.tracking.store import Tracking, answering, existing_client, tracking_uri
from flows.tracking.trial_lookup import find_run


def report_again(wanted: str, file: Path | None) -> str:
    """Make the report of a search again; write it to a file, or log it where it was; return where it is.

    Raises
    ------
    RunError
        There is no such run, it is no search, or what the report is made of is gone.
    DestinationError
        The file cannot be written.
    """
    run = find_search(wanted)
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


def find_search(wanted: str) -> SearchRun:
    """Return the run of a search, found by what `find_run` takes: of the search, or of one of its trials."""
    client, uri = existing_client(), tracking_uri()
    with answering(uri):
        run = find_run(client, wanted)
        if tags.PARENT in run.data.tags:
            run = client.get_run(run.data.tags[tags.PARENT])
        experiment = client.get_experiment(run.info.experiment_id)
    if tags.SEARCH_KEY not in run.data.tags:
        raise RunError(f"run {run.info.run_id} ({run.info.run_name}) is no search: give one, or a trial below it")
    tracking = Tracking(uri=uri, experiment_id=run.info.experiment_id, experiment=experiment.name)
    return SearchRun(tracking=tracking, run_id=run.info.run_id)
