"""Puts the summary of a search, and the ways from it, on MLflow's page of its run and on Prefect's."""

from collections.abc import Mapping

from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.pages.links import from_elsewhere, prefect_page, within_mlflow
from flows.pages.summary import WINNER, Ended, summary, with_decision
from flows.pages.trial_charts import axes, save_view, view_key
from flows.report.logged import REPORT_FILE
from flows.report.searched import Searched
from flows.search import SearchOutcome
from flows.tracking import tags
from flows.tracking.decision_files import read_decided
from flows.tracking.search_runs import SearchRun


def publish_search(searched: Searched, outcome: SearchOutcome, test: Mapping[str, float], *, has_report: bool) -> None:
    """Describe a search on the run that is its own in MLflow, and on the page of the flow run that this is part of."""
    run = searched.run
    save_view(run, axes(searched.goal, [trial.params for trial in searched.trials]))
    ended = Ended(searched, outcome, test, view_key(run), REPORT_FILE if has_report else None)
    found = _tags(run)
    described = found.get(tags.DESCRIPTION, "")
    # One that a person wrote is not replaced.
    if not described or WINNER in described:
        _describe(run, found, summary(ended, within_mlflow(run), prefect_page()))
    _on_prefects_page(ended)


def publish_decision(run: SearchRun) -> None:
    """Say in the description of a search what the retraining decided that searched."""
    found = _tags(run)
    described = found.get(tags.DESCRIPTION, "")
    # One that a person wrote stays as it is.
    if WINNER in described:
        _describe(run, found, described)


def _describe(run: SearchRun, found: Mapping[str, str], text: str) -> None:
    """Give a search a description, with what a retraining decided, if the tags of its run tell of one."""
    decided = read_decided(found)
    if decided is not None:
        page = None if decided.page is None else within_mlflow(run).artifact(run.run_id, decided.page)
        text = with_decision(text, decided.reason, page)
    run.tracking.client().set_tag(run.run_id, tags.DESCRIPTION, text)


def _tags(run: SearchRun) -> Mapping[str, str]:
    found: Mapping[str, str] = run.tracking.client().get_run(run.run_id).data.tags
    return found


def _on_prefects_page(ended: Ended) -> None:
    pages = from_elsewhere(ended.run)
    winner, facts = ended.searched.winner, ended.searched.facts
    name, version = facts.dataset.name, facts.registered
    create_markdown_artifact(
        key="summary", markdown=f"# {name}\n\n{summary(ended, pages)}", description=f"What came of the search on {name}"
    )
    if pages is None:
        return
    links = {
        "mlflow-run": ("The search in MLflow", pages.run(ended.run.run_id)),
        "mlflow-charts": ("Charts of its trials", pages.view(ended.view)),
        "winner": (f"The winner, {winner.name}", pages.run(winner.run_id)),
        "model-version": (f"{version.name} version {version.version}", pages.version(version)),
    }
    for key, (text, address) in links.items():
        create_link_artifact(key=key, link=address, link_text=text, description=f"{text}, on MLflow's pages")
