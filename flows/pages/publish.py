"""Puts the summary of a search, and the ways from it, on MLflow's page of its run and on Prefect's."""

from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.data.store import Dataset
from flows.pages.links import from_elsewhere, prefect_page, within_mlflow
from flows.pages.summary import WINNER, Ended, summary
from flows.pages.trial_charts import axes, save_view, view_key
from flows.ranking import Selection, objective
from flows.report.logged import REPORT_FILE
from flows.search import SearchOutcome
from flows.tracking import tags
from flows.tracking.registry import RegisteredVersion
from flows.tracking.search_runs import SearchRun


def publish_search(
    run: SearchRun,
    dataset: Dataset,
    space: str,
    outcome: SearchOutcome,
    selection: Selection,
    registered: RegisteredVersion,
    seconds: dict[str, float],
    *,
    has_report: bool,
) -> None:
    """Describe a search on the run that is its own in MLflow, and on the page of the flow run that this is part of."""
    goal = objective(dataset.task)
    client = run.tracking.client()
    trials = [member for one in (*selection.ranked, *selection.diverged) for member in one.members]
    save_view(run, axes(goal, [trial.params for trial in trials]))
    ended = Ended(
        run=run,
        dataset=dataset,
        space=space,
        outcome=outcome,
        selection=selection,
        registered=registered,
        seconds=seconds,
        goal_maximised=goal.maximise,
        view=view_key(run),
        report=REPORT_FILE if has_report else None,
    )
    # One that a person wrote is not replaced.
    found = client.get_run(run.run_id).data.tags.get(tags.DESCRIPTION, "")
    if not found or WINNER in found:
        client.set_tag(run.run_id, tags.DESCRIPTION, summary(ended, within_mlflow(run), prefect_page()))
    _on_prefects_page(ended)


def _on_prefects_page(ended: Ended) -> None:
    pages = from_elsewhere(ended.run)
    name = ended.dataset.reference.name
    create_markdown_artifact(
        key="summary", markdown=f"# {name}\n\n{summary(ended, pages)}", description=f"What came of the search on {name}"
    )
    if pages is None:
        return
    version = ended.registered
    links = {
        "mlflow-run": ("The search in MLflow", pages.run(ended.run.run_id)),
        "mlflow-charts": ("Charts of its trials", pages.view(ended.view)),
        "winner": (f"The winner, {ended.selection.winner.name}", pages.run(ended.selection.winner.run_id)),
        "model-version": (f"{version.name} version {version.version}", pages.version(version)),
    }
    for key, (text, address) in links.items():
        create_link_artifact(key=key, link=address, link_text=text, description=f"{text}, on MLflow's pages")
