"""The events that a retraining emits, by which a Prefect automation can tell somebody."""

import math
from typing import Any

from prefect.events import emit_event

from flows.retraining.promotion import Decision
from flows.tracking.registry import RegisteredVersion

PROMOTED = "backprop.model.promoted"
REFUSED = "backprop.model.refused"


def payload_of(decision: Decision) -> dict[str, Any]:
    """Return what an event says of a decision: the reason, and the numbers of the comparison that it is about.

    That is with the champion, or with the baseline where there is no champion.
    """
    gain = decision.over_champion or decision.over_baseline
    return {
        "reason": decision.reason,
        "metric": decision.metric,
        "challenger": _finite(gain.challenger),
        "champion": None if decision.over_champion is None else _finite(gain.other),
        "gain": _finite(gain.value),
        "interval": [_finite(end) for end in gain.interval],
    }


def emit_decision(version: RegisteredVersion, promoted: bool, payload: dict[str, Any]) -> None:
    """Emit that a version was promoted or refused.

    A retraining that was killed over its decision emits it when it is run again, so it may come twice, and never not.
    """
    emit_event(
        event=PROMOTED if promoted else REFUSED,
        resource={
            "prefect.resource.id": f"backprop.model.{version.name}",
            "prefect.resource.name": version.name,
            "backprop.version": str(version.version),
        },
        payload=payload,
    )


def _finite(value: float) -> float | None:
    """Return a number that JSON has, or None."""
    return value if math.isfinite(value) else None
