"""What a check found: in words, in numbers, and what to do about it."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

Severity = Literal["problem", "warning", "hint", "ok"]
"""``problem``: training cannot lead anywhere like this; ``warning``: it will suffer; ``hint``: worth a look."""

SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "hint", "ok")
"""The worst first."""

Evidence = dict[str, float | int | str | list[str] | list[int] | list[float]]


class Finding(BaseModel):
    """One finding of a check.

    Attributes
    ----------
    check : str
        Name of the check.
    what : str
        What was found, one sentence.
    evidence : dict
        The numbers that say so.
    remedy : str
        What to do: the option or the line of YAML to change; empty where all is well.
    """

    model_config = ConfigDict(frozen=True)

    check: str
    severity: Severity
    what: str
    evidence: Evidence = {}
    remedy: str = ""

    @field_validator("evidence")
    @classmethod
    def _is_json(cls, evidence: Evidence) -> Evidence:
        """Say in words what is no number of JSON: the loss of a training that diverged."""
        return {
            name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in evidence.items()
        }
