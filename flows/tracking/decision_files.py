"""A decision on the run of the search that led to it."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.entities import Metric, RunTag

from flows.retraining.decision_report import DecisionReport, as_json, page
from flows.tracking import tags
from flows.tracking.search_runs import SearchRun

DECISION_FILE = "promotion/decision.json"
DECISION_PAGE = "promotion/decision.html"
KEPT = "kept"


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


def log_kept(run: SearchRun, reason: str) -> None:
    """Log as tags that the champion itself won the search, so that there was nothing to decide."""
    decided = [RunTag(tags.PROMOTION, KEPT), RunTag(tags.PROMOTION_REASON, reason[:5000])]
    run.tracking.client().log_batch(run.run_id, tags=decided)


@dataclass(frozen=True)
class Decided:
    """The latest decision about the winner of a search.

    Attributes
    ----------
    page : str or None
        The artifact of the run that shows what it stands on, if anything was measured for it.
    """

    reason: str
    page: str | None


def read_decided(found: Mapping[str, str]) -> Decided | None:
    """Return what was decided about the winner of a search by the tags of its run, None if no retraining searched."""
    if tags.PROMOTION not in found:
        return None
    # Of an earlier decision there may be a page all the same.
    return Decided(found[tags.PROMOTION_REASON], None if found[tags.PROMOTION] == KEPT else DECISION_PAGE)
