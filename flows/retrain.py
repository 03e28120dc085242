"""The `retrain` flow: on a schedule, train again if the data changed, and promote only what is better."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed
from pydantic import BaseModel, ConfigDict

from flows.data.drift import DriftParameters
from flows.data.root import open_root
from flows.data.sources import open_source
from flows.data.splitting import SplitParameters
from flows.data.store import Dataset, open_dataset
from flows.drift_check import drift_since
from flows.errors import RetrainingRunningError
from flows.form import DataAddress, TargetColumns, choice_or_text
from flows.pages.publish import publish_decision
from flows.parameters import (
    AUTO,
    AroundParameters,
    ComputeParameters,
    PromotionParameters,
    TaskChoice,
    TrainParameters,
)
from flows.retraining.challengers import challengers
from flows.retraining.decision_report import DecisionReport, description, markdown
from flows.retraining.judgement import check_promotion, judge
from flows.retraining.one_at_a_time import OneAtATime
from flows.retraining.promotion import Decision
from flows.retraining.promotion_events import emit_decision, payload_of
from flows.spaces import bundled_spaces
from flows.tracking.data_reports import record_stop
from flows.tracking.decision_files import log_decision, log_kept
from flows.tracking.decisions import (
    LastDecision,
    Pending,
    carry_out,
    finish_pending,
    last_decision,
    remember,
    settle_previous,
)
from flows.tracking.registry import CHAMPION, PREVIOUS, RegisteredVersion, check_model_name, version_by_alias
from flows.tracking.store import Tracking, open_tracking
from flows.train import Candidates, TrainReport, candidates_of, ingest_for, train_on
from flows.trials import canonical_digest

End = Literal["Unchanged", "Drifted", "Promoted", "Refused"]

SpaceOfRetraining = Annotated[str, choice_or_text([AUTO, *bundled_spaces()], "file")]
"""`AUTO`, a bundled name or the path of a YAML file, as the flow's parameter."""


class RetrainReport(BaseModel):
    """What a run of `retrain` led to.

    Attributes
    ----------
    state : str
        What it ended as.
    reason : str
        Why, in one sentence.
    challenger : RegisteredVersion or None
        The winner of the search, if there was one.
    champion, previous : RegisteredVersion or None
        What the aliases point at now.
    train : TrainReport or None
        The search, if there was one.
    decision : Decision or None
        How challenger and champion compare, if they were compared.
    warm_start : str or None
        The version whose weights one of the trials began with.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    state: End
    reason: str
    challenger: RegisteredVersion | None = None
    champion: RegisteredVersion | None = None
    previous: RegisteredVersion | None = None
    train: TrainReport | None = None
    decision: Decision | None = None
    warm_start: str | None = None


class Request(BaseModel):
    """What a retraining was asked for besides its data: when it changes, the same data is retrained on."""

    model_config = ConfigDict(frozen=True)

    space: dict[str, Any]
    warm_start: bool
    promotion: PromotionParameters

    @property
    def digest(self) -> str:
        """What is the same for the same request, 64 hexadecimal digits."""
        return canonical_digest(self.model_dump(mode="json"))


@flow(name="retrain", flow_run_name="retrain {data} on {space}", persist_result=False)
def retrain(
    data: DataAddress = "digits",
    target: TargetColumns = None,
    space: SpaceOfRetraining = AUTO,
    task: TaskChoice = "auto",
    preparation: str | None = None,
    experiment: str | None = None,
    model: str | None = None,
    split: SplitParameters = SplitParameters(),  # noqa: B008 - immutable
    compute: ComputeParameters = ComputeParameters(),  # noqa: B008 - immutable
    promotion: PromotionParameters = PromotionParameters(),  # noqa: B008 - immutable
    drift: DriftParameters = DriftParameters(),  # noqa: B008 - immutable
    datasets: str = "datasets",
    around: AroundParameters = AroundParameters(),  # noqa: B008 - immutable
    warm_start: bool = True,
) -> State[Any]:
    """Train again if the data changed since the last time, and move @champion if the challenger is better.

    Ends in one of five named states: Unchanged, Drifted, Promoted, Refused or Busy. Drifted says that the data moved so
    far from what the model was last retrained on that a person should look before anything is trained; Busy, that
    another retraining of the same model runs. In both the champion stays.

    Args:
        data: A built-in data set, a file, a directory, or what docs/sources lists
        target: Target column, or a list of them; none where the source brings its own
        space: auto (around the champion's hyperparameters), a bundled search space or a YAML file
        task: What to predict; auto decides by the target's values
        preparation: YAML file of the preparation; written if there is none, and followed if there is
        experiment: MLflow experiment; the dataset's name if empty
        model: Name of the registered model; the experiment's name if empty
        split: How rows are split into training, validation and test
        compute: Where stacks of trials are trained
        promotion: When a challenger replaces the champion
        drift: How far the data may move before a retraining stops
        datasets: Where the prepared datasets are: a directory, or a URL such as s3://bucket/datasets
        around: Which hyperparameters are tried around those of the champion, where the space is auto
        warm_start: Whether one of the trials goes on from the champion's weights
    """
    named = None if space == AUTO else candidates_of(space)
    parameters = TrainParameters(
        data=data,
        target=target,
        task=task,
        preparation=preparation,
        space=space,
        experiment=experiment,
        model=model,
        split=split,
        compute=compute,
        datasets=datasets,
    )
    request = Request(
        space=around.model_dump(mode="json") if named is None else named.space.asked(),
        warm_start=warm_start,
        promotion=promotion,
    )
    source = open_source(data).name
    name = parameters.model_for(source)
    check_model_name(name)
    tracking = open_tracking(parameters.experiment_for(source))
    model_retraining = _Retraining(tracking, name, request.digest)
    try:
        with OneAtATime(open_root(datasets), name):
            model_retraining.finish_what_was_decided()
            ingested = ingest_for(parameters, None if named is None else named.space.folds)
            dataset = open_dataset(ingested.dataset)
            check_promotion(promotion, dataset)
            ended_early = model_retraining.is_decided(dataset.reference.digest)
            if ended_early is not None:
                return ended_early

            last, champion = last_decision(tracking, name), version_by_alias(tracking, name, CHAMPION)
            moved = drift_since(None if last is None else last.digest, dataset.reference, drift)
            if moved is not None and moved.drifted and drift.stop:
                record_stop(tracking, dataset, moved)
                get_run_logger().warning("Stops: %s", moved.summary)
                return model_retraining.end(
                    "Drifted", f"{moved.summary}; if that is right, retrain once with drift.stop off"
                )

            candidates = challengers(tracking, dataset, champion, named, around, warm_start)
            _tell(candidates)
            found = train_on(ingested, parameters, candidates, moved)
            if champion == found.registered:
                # The data went back to what the champion was trained on: there is nothing to judge.
                return model_retraining.keep_champion(dataset.reference.digest, found)
            decision = judge(tracking, dataset.reference, found.registered, champion, promotion)
            return model_retraining.carry_out(decision, champion, dataset, candidates, found)
    except RetrainingRunningError as busy:
        get_run_logger().warning("Does not start: %s", busy)
        return Cancelled(name="Busy", message=str(busy))


def _tell(candidates: Candidates) -> None:
    start, skipped = candidates.warm_start, candidates.skipped
    begins = f"; one trial goes on from {start.version}" if start else f"; no warm start: {skipped}" if skipped else ""
    get_run_logger().info("Searches %s%s", candidates.name, begins)


@dataclass
class _Retraining:
    """A retraining of a model, at whose every end the registry says what was decided and on what."""

    tracking: Tracking
    name: str
    request: str
    _finished: Pending | None = None

    def finish_what_was_decided(self) -> None:
        """Carry out a promotion over which an earlier retraining died."""
        pending = finish_pending(self.tracking, self.name)
        if pending is not None:
            get_run_logger().warning("Finishes the promotion of version %d, which was broken off", pending.version)
            emit_decision(RegisteredVersion(name=self.name, version=pending.version), True, pending.told)
            self._remember(pending.digest, pending.version, pending.request)
            self._finished = pending
        settle_previous(self.tracking, self.name)

    def is_decided(self, digest: str) -> State[Any] | None:
        """Return the end of a retraining on data that was decided on; None if there is something to do."""
        champion = version_by_alias(self.tracking, self.name, CHAMPION)
        if self._finished is not None and (self._finished.digest, self._finished.request) == (digest, self.request):
            reason = str(self._finished.told.get("reason", "promoted"))
            challenger = RegisteredVersion(name=self.name, version=self._finished.version)
            return self.end("Promoted", reason, challenger=challenger)
        last = last_decision(self.tracking, self.name)
        if last is None or last.digest != digest:
            return None
        if last.request != self.request:
            get_run_logger().info("The data is unchanged, and what is asked for is not: it is retrained on again")
            return None
        if champion is None and last.champion is not None:
            get_run_logger().info("The data is unchanged, and its champion is gone: it is retrained on again")
            return None
        moved = "" if champion is None else self._moved_since(champion, last)
        message = f"the data is unchanged since the last retraining of {self.name!r} (digest {digest[:12]}){moved}"
        get_run_logger().info("Ends early: %s", message)
        return self.end("Unchanged", message)

    def _moved_since(self, champion: RegisteredVersion, last: LastDecision) -> str:
        """Say that a person has moved the champion since; that is how it stays until there is other data."""
        if champion.version == last.champion:
            return ""
        decided = "none" if last.champion is None else f"version {last.champion}"
        return f"; the champion, version {champion.version}, was set by hand and stays: the retraining left {decided}"

    def keep_champion(self, digest: str, found: TrainReport) -> State[Any]:
        """End with the champion as it is, because it is the best of the search itself."""
        reason = "the winner of the search is the champion itself, which stands"
        log_kept(found.run, f"kept: {reason}")
        publish_decision(found.run)
        nothing = dict.fromkeys(("metric", "challenger", "champion", "gain", "interval"))
        emit_decision(found.registered, False, {"reason": reason, **nothing})
        self._remember(digest, found.registered.version)
        return self.end("Refused", reason, challenger=found.registered, train=found)

    def carry_out(
        self,
        decision: Decision,
        champion: RegisteredVersion | None,
        dataset: Dataset,
        candidates: Candidates,
        found: TrainReport,
    ) -> State[Any]:
        """Write a decision where people look for it, move the aliases if it says so, and remember the data last."""
        challenger, digest = found.registered, dataset.reference.digest
        report = DecisionReport(
            decision=decision,
            challenger=challenger,
            champion=champion,
            data=f"{dataset.uri} (digest {digest[:12]}, {dataset.rows['test']:,} test rows)",
            search=_searched(candidates, found),
        )
        log_decision(found.run, report)
        publish_decision(found.run)
        told = payload_of(decision)

        def tell() -> None:
            _publish(report)
            emit_decision(challenger, decision.promoted, told)

        pending = Pending(
            version=challenger.version,
            replaces=None if champion is None else champion.version,
            digest=digest,
            request=self.request,
            told=told,
        )
        carry_out(self.tracking, challenger, champion, decision, pending, description(report), tell)
        return self.end(
            "Promoted" if decision.promoted else "Refused",
            decision.reason,
            challenger=challenger,
            train=found,
            decision=decision,
            warm_start=candidates.warm_start.version if candidates.warm_start else None,
        )

    def end(self, state: End, reason: str, **more: Any) -> State[Any]:
        """Return a named state with the report of the retraining."""
        champion, previous = (version_by_alias(self.tracking, self.name, alias) for alias in (CHAMPION, PREVIOUS))
        report = RetrainReport(
            model=self.name, state=state, reason=reason, champion=champion, previous=previous, **more
        )
        return Completed(name=state, message=reason, data=report)

    def _remember(self, digest: str, champion: int | None, request: str | None = None) -> None:
        last = LastDecision(digest=digest, request=request or self.request, champion=champion)
        remember(self.tracking, self.name, last)


def _searched(candidates: Candidates, found: TrainReport) -> str:
    """Say what was searched, what it began with, and what won."""
    start, skipped = candidates.warm_start, candidates.skipped
    begins = f", one of them on from {start.version}" if start else f", no warm start: {skipped}" if skipped else ""
    return f"{candidates.name}: {found.outcome.trials} trials{begins}; the winner is {found.selection.winner.name}"


def _publish(report: DecisionReport) -> None:
    """Put the decision on the Prefect run page."""
    create_markdown_artifact(
        key="promotion",
        description=f"Whether the challenger of {report.challenger.name} was promoted",
        markdown=markdown(report),
    )
