"""A decision on the run of the search that led to it."""

from mlflow.entities import Metric, RunTag

from flows.retraining.decision_report import DecisionReport, as_json, page
from flows.tracking import tags
from flows.tracking.search_runs import SearchRun

DECISION_FILE = "promotion/decision.json"
DECISION_PAGE = "promotion/decision.html"


def log_decision(run: SearchRun, report: DecisionReport) -> None:
    """Log a decision as JSON and as a page with a plot, its numbers as metrics and its reason as a tag."""
    client = run.tracking.client()
    client.log_dict(run.run_id, as_json(report), DECISION_FILE)
    client.log_text(run.run_id, page(report), DECISION_PAGE)
    gain = report.decision.over_champion or report.decision.over_baseline
    measured = {
        "promotion/challenger": gain.challenger,
        "promotion/other": gain.other,
        "promotion/gain": gain.value,
        "promotion/gain_at_least": gain.at_least,
    }
    client.log_batch(
        run.run_id,
        # Infinity would be stored as 1.8e308.
        metrics=[Metric(name, value, 0, 0) for name, value in measured.items() if abs(value) < float("inf")],
        tags=[
            RunTag(tags.PROMOTION, "promoted" if report.decision.promoted else "refused"),
            RunTag(tags.PROMOTION_REASON, report.decision.reason[:5000]),
        ],
    )
