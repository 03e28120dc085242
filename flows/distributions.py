"""What a hyperparameter of a random search is drawn from.

A draw is a function of one number u of [0, 1): the value below which lies the part u of the distribution. So the
numbers that NumPy draws are all that chance decides, and they are the same on every machine.
"""

import math
from abc import ABC, abstractmethod
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

Value = TypeVar("Value")
Number = TypeVar("Number", bound=float)
WholeNumber = TypeVar("WholeNumber", bound=int)

SIGNIFICANT_DIGITS = 6
"""Of a number that is drawn: what a person reads of it is what was trained, and the last bits of a logarithm, in which
machines differ, are none of it."""

FIXED, DRAWN = Tag("value"), Tag("distribution")


def _kind(given: object) -> str:
    return "distribution" if isinstance(given, dict | Distribution) else "value"


EITHER = Discriminator(_kind)
"""Tells a value, tagged `FIXED`, from what it is drawn from, tagged `DRAWN`: a mapping."""


class Distribution(BaseModel, ABC):
    """One of several ways to draw a value, named by the one field that is given."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"minProperties": 1, "maxProperties": 1})

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"{len(given)} distributions are given; give one: {', '.join(type(self).model_fields)}")
        return self

    @abstractmethod
    def at(self, u: float) -> Any:
        """Return the value below which lies the part u of the distribution, u in [0, 1)."""

    def ends(self) -> tuple[Any, ...]:
        """Return every value that is named: the ends of a range, or all choices."""
        return tuple(value for name in type(self).model_fields for value in getattr(self, name) or ())


class ChoiceDistribution(Distribution, Generic[Value]):
    """One of several values, each as likely as the others."""

    choice: Annotated[tuple[Value, ...], Field(min_length=1)] | None = Field(
        default=None, description="Values, each as likely as the others"
    )

    def at(self, u: float) -> Any:
        """Return one of the values."""
        values = self.choice or ()
        return values[_place(u, len(values))]


class IntegerDistribution(ChoiceDistribution[WholeNumber], Generic[WholeNumber]):
    """A whole number of a range, or of several values."""

    integer: tuple[WholeNumber, WholeNumber] | None = Field(
        default=None, description="[a, b]: a whole number from a to b, both included"
    )

    @field_validator("integer")
    @classmethod
    def _is_a_range(cls, ends: tuple[int, int] | None) -> tuple[int, int] | None:
        return _range(ends)

    def at(self, u: float) -> Any:
        """Return a whole number of the range, or one of the values."""
        if self.integer is None:
            return super().at(u)
        low, high = self.integer
        return low + _place(u, high - low + 1)


class RealDistribution(ChoiceDistribution[Number], Generic[Number]):
    """A number of a range, as likely anywhere in it or at any power, or of several values."""

    uniform: tuple[Number, Number] | None = Field(
        default=None, description="[a, b]: a number from a to b, as likely anywhere between them"
    )
    log_uniform: tuple[Number, Number] | None = Field(
        default=None, description="[a, b]: a number from a to b whose logarithm is as likely anywhere between theirs"
    )

    @field_validator("uniform", "log_uniform")
    @classmethod
    def _is_a_range(cls, ends: tuple[float, float] | None, info: ValidationInfo) -> tuple[float, float] | None:
        if ends is not None and info.field_name == "log_uniform" and ends[0] <= 0:
            raise ValueError(f"begins at {ends[0]:g}, which has no logarithm; begin above 0, or use uniform")
        return _range(ends)

    def at(self, u: float) -> Any:
        """Return a number of the range, or one of the values."""
        if self.uniform is not None:
            low, high = self.uniform
            return readable_number(low + (high - low) * u, low, high)
        if self.log_uniform is not None:
            low, high = self.log_uniform
            return readable_number(low ** (1 - u) * high**u, low, high)
        return super().at(u)


def _range(ends: tuple[Any, Any] | None) -> tuple[Any, Any] | None:
    if ends is not None and ends[0] >= ends[1]:
        raise ValueError(f"[{ends[0]:g}, {ends[1]:g}] is an empty range; give the smaller end first, or one value")
    return ends


def _place(u: float, count: int) -> int:
    # Not count itself, to which the product of a large count is rounded.
    return min(math.floor(u * count), count - 1)


def readable_number(value: float, low: float, high: float) -> float:
    """Round to what is shown of a number; an end that has more digits is not crossed."""
    return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), low), high)
