"""What was decided about the versions of a model, and the aliases that follow from it.

A promotion is written in an order in which a kill at any moment can be made good:

1. the decision, on the challenger's version: tags and description;
2. what is about to be done, as one tag of the model: which version becomes champion, which it replaces, for which data;
3. `@previous` moves to the champion, then `@champion` to the challenger;
4. which data it was decided on, and the tag of 2. is taken off.

Whoever finds the tag of 2. does 3. and 4., to the same end. So `@champion` is never a version that was not decided on,
and `@previous` is the champion before it, or for a moment the champion itself.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict, ValidationError

from flows.errors import InputError, RunFailedError
from flows.retraining.promotion import Decision
from flows.tracking import tags
from flows.tracking.registry import CHAMPION, PREVIOUS, RegisteredVersion, version_by_alias
from flows.tracking.store import Tracking

NOBODY = "none"
"""What stands for no champion in a tag."""


class LastDecision(BaseModel):
    """What a model was last retrained on, to a decision.

    Attributes
    ----------
    digest : str
        Of the data.
    request : str or None
        Digest of what was asked of the retraining.
    champion : int or None
        The champion that it left.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    request: str | None = None
    champion: int | None = None


class Pending(BaseModel):
    """A promotion that was decided, and perhaps not carried out to its end.

    Attributes
    ----------
    digest, request : str
        What it was decided on.
    told : dict
        What is said of it to whoever listens.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    replaces: int | None
    digest: str
    request: str
    told: dict[str, Any] = {}


class RolledBack(BaseModel):
    """What a rollback moved."""

    model_config = ConfigDict(frozen=True)

    model: str
    champion: int
    previous: int


def last_decision(tracking: Tracking, name: str) -> LastDecision | None:
    """Return what a model was last retrained on to a decision, or None if it never was."""
    model = _model(tracking.client(), name)
    digest = None if model is None else model.tags.get(tags.RETRAINED_ON)
    if model is None or digest is None:
        return None
    champion = model.tags.get(tags.RETRAIN_CHAMPION, NOBODY)
    return LastDecision(
        digest=digest,
        request=model.tags.get(tags.RETRAIN_REQUEST),
        champion=None if champion == NOBODY else int(champion),
    )


def remember(tracking: Tracking, name: str, last: LastDecision) -> None:
    """Write on a registered model what it was last retrained on; the data last, by which it is known to be over."""
    client = tracking.client()
    client.set_registered_model_tag(name, tags.RETRAIN_REQUEST, last.request or "")
    client.set_registered_model_tag(name, tags.RETRAIN_CHAMPION, str(last.champion or NOBODY))
    client.set_registered_model_tag(name, tags.RETRAINED_ON, last.digest)
    _take_off_pending(client, name)


def carry_out(
    tracking: Tracking,
    challenger: RegisteredVersion,
    champion: RegisteredVersion | None,
    decision: Decision,
    pending: Pending,
    description: str,
    tell: Callable[[], None],
) -> None:
    """Write a decision, move the aliases if it says so, tell of it, and remember the data last.

    Whatever kills the process on the way, the same retraining comes to the same end.

    Parameters
    ----------
    champion : RegisteredVersion or None
        Before it.
    pending : Pending
        What a promotion does, for whoever finds it half done.
    tell : callable
        Tells people and programs; it may be called again after a kill.
    """
    write_decision(tracking, challenger, champion, decision, description)
    if decision.promoted:
        promote(tracking, challenger, pending)
    tell()
    stands = challenger if decision.promoted else champion
    remember(
        tracking,
        challenger.name,
        LastDecision(
            digest=pending.digest, request=pending.request, champion=None if stands is None else stands.version
        ),
    )


def write_decision(
    tracking: Tracking,
    challenger: RegisteredVersion,
    champion: RegisteredVersion | None,
    decision: Decision,
    description: str,
) -> None:
    """Write a decision on the challenger's version, before anything is moved."""
    client = tracking.client()
    gain = decision.over_champion or decision.over_baseline
    written = {
        tags.PROMOTION_REASON: decision.reason,
        tags.PROMOTION_METRIC: decision.metric,
        tags.PROMOTION_GAIN: f"{gain.value:.6g}",
        tags.PROMOTION_INTERVAL: f"{gain.interval[0]:.6g} to {gain.interval[1]:.6g}",
        tags.PROMOTION_OVER: "baseline" if champion is None else str(champion.version),
        tags.PROMOTION: "promoted" if decision.promoted else "refused",
    }
    for tag, value in written.items():
        client.set_model_version_tag(challenger.name, str(challenger.version), tag, value)
    client.update_model_version(challenger.name, str(challenger.version), description)


def promote(tracking: Tracking, challenger: RegisteredVersion, pending: Pending) -> None:
    """Move `@champion` to a version, and `@previous` to the one that it replaces.

    Raises
    ------
    RunFailedError
        Somebody else moved `@champion` since the challenger was compared with it.
    """
    now = version_by_alias(tracking, challenger.name, CHAMPION)
    champion = None if now is None else now.version
    if champion != pending.replaces:
        raise RunFailedError(
            f"{challenger.name}@{CHAMPION} is {_called(champion)} and was {_called(pending.replaces)} when version "
            f"{challenger.version} was compared with it; nothing was moved, the next retraining compares again"
        )
    tracking.client().set_registered_model_tag(challenger.name, tags.RETRAIN_PENDING, pending.model_dump_json())
    _move(tracking.client(), challenger.name, pending)


def finish_pending(tracking: Tracking, name: str) -> Pending | None:
    """Carry out a promotion that was decided by a process that died over it, and return it.

    None if there is none, or `@champion` has since been moved to another version.
    """
    client = tracking.client()
    model = _model(client, name)
    text = None if model is None else model.tags.get(tags.RETRAIN_PENDING)
    if text is None:
        return None
    try:
        pending = Pending.model_validate_json(text)
    except ValidationError:
        _take_off_pending(client, name)
        return None
    now = version_by_alias(tracking, name, CHAMPION)
    champion = None if now is None else now.version
    if champion not in (pending.replaces, pending.version) or not _is_there(client, name, pending.version):
        _take_off_pending(client, name)
        return None
    _move(client, name, pending)
    return pending


def settle_previous(tracking: Tracking, name: str) -> None:
    """Let `@previous` be the champion before this one where a promotion that was broken off left it on the champion."""
    client = tracking.client()
    champion, previous = (version_by_alias(tracking, name, alias) for alias in (CHAMPION, PREVIOUS))
    if champion is None or champion != previous:
        return
    replaced = client.get_model_version(name, str(champion.version)).tags.get(tags.PROMOTION_OVER, "")
    if replaced.isdecimal() and _is_there(client, name, int(replaced)):
        client.set_registered_model_alias(name, PREVIOUS, replaced)
    else:
        client.delete_registered_model_alias(name, PREVIOUS)


def roll_back(tracking: Tracking, name: str) -> RolledBack:
    """Swap `@champion` and `@previous`, and mark the version that was taken back, which no retraining promotes again.

    Done twice, everything is as before.

    Raises
    ------
    InputError
        There is no such model, it has no champion, or none before that.
    """
    client = tracking.client()
    if _model(client, name) is None:
        raise InputError(f"model {name!r}: there is none in {tracking.uri}; name one that is registered")
    pending = finish_pending(tracking, name)
    if pending is not None:
        remember(tracking, name, LastDecision(digest=pending.digest, request=pending.request, champion=pending.version))
    settle_previous(tracking, name)
    champion, previous = (version_by_alias(tracking, name, alias) for alias in (CHAMPION, PREVIOUS))
    if champion is None:
        raise InputError(f"model {name!r} has no @{CHAMPION}: there is nothing to roll back")
    if previous is None:
        raise InputError(
            f"model {name!r} has no @{PREVIOUS}: version {champion.version} is its first champion, or the one before "
            "was deleted; set the alias to the version that you want, in MLflow"
        )
    # The mark first: a version that is on its way out must not be promoted again, whatever happens next.
    now = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(name, str(champion.version), tags.ROLLED_BACK, now)
    client.set_registered_model_alias(name, CHAMPION, str(previous.version))
    client.set_registered_model_alias(name, PREVIOUS, str(champion.version))
    if is_rolled_back(tracking, previous):
        client.delete_model_version_tag(name, str(previous.version), tags.ROLLED_BACK)
    return RolledBack(model=name, champion=previous.version, previous=champion.version)


def is_rolled_back(tracking: Tracking, version: RegisteredVersion) -> str | None:
    """Return when a version was taken back by a rollback, None if it was not."""
    found: ModelVersion = tracking.client().get_model_version(version.name, str(version.version))
    when: str | None = found.tags.get(tags.ROLLED_BACK)
    return when


def _move(client: MlflowClient, name: str, pending: Pending) -> None:
    if pending.replaces is not None and _is_there(client, name, pending.replaces):
        client.set_registered_model_alias(name, PREVIOUS, str(pending.replaces))
    client.set_registered_model_alias(name, CHAMPION, str(pending.version))


def _take_off_pending(client: MlflowClient, name: str) -> None:
    model = _model(client, name)
    if model is not None and tags.RETRAIN_PENDING in model.tags:
        client.delete_registered_model_tag(name, tags.RETRAIN_PENDING)


def _is_there(client: MlflowClient, name: str, version: int) -> bool:
    try:
        client.get_model_version(name, str(version))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


def _model(client: MlflowClient, name: str) -> RegisteredModel | None:
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _called(version: int | None) -> str:
    return "nobody" if version is None else f"version {version}"
