"""The plan of a preparation: what each column is, and what is done with its values. Nothing here was fitted."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from flows.data.encodings import DatePart

RequestedTask = Literal["auto", "classification", "regression", "multilabel"]


def as_list(value: Any) -> Any:
    """Take one name for a list of one."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(as_list)]


class Declared(BaseModel):
    """Immutable, and an unknown field is an error: a misspelt name must not be silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NumericPlan(Declared):
    """A number becomes one input, and a second one if gaps are indicated."""

    kind: Literal["numeric"] = "numeric"
    scale: Literal["standard", "minmax", "robust", "none"] = Field(
        default="standard",
        description="standard (mean 0, deviation 1), minmax (0 to 1), robust (median and quartiles) or none",
    )
    missing: Literal["median", "constant", "refuse"] = Field(
        default="median", description="What a gap becomes: the training rows' median, the constant `fill`, or an error"
    )
    fill: float | None = Field(default=None, allow_inf_nan=False, description="The constant, in the column's own unit")
    indicator: bool = Field(default=False, description="Whether another input says where the gaps were")

    @model_validator(mode="after")
    def _fill_is_there_when_used(self) -> Self:
        if (self.missing == "constant") != (self.fill is not None):
            raise ValueError("`fill: NUMBER` and `missing: constant` go together: give both or neither")
        return self

    @model_validator(mode="after")
    def _refused_gaps_need_no_indicator(self) -> Self:
        refuse_indicator_of_refused(self.missing, self.indicator)
        return self


class CategoricalPlan(Declared):
    """A level becomes one of several inputs, of which one is 1: one for each level and one for all others."""

    kind: Literal["categorical"] = "categorical"
    rare: float = Field(
        default=0.01, ge=0, lt=1, description="Levels seen in fewer than this fraction of the training rows are others"
    )
    missing: Literal["level", "refuse"] = Field(default="level", description="Whether a gap is a level or an error")


class BooleanPlan(Declared):
    """True is 1 and false is 0, in one input, and a second one if gaps are indicated."""

    kind: Literal["boolean"] = "boolean"
    missing: Literal["most_frequent", "refuse"] = Field(
        default="most_frequent", description="What a gap becomes: what most training rows say, or an error"
    )
    indicator: bool = Field(default=False, description="Whether another input says where the gaps were")

    @model_validator(mode="after")
    def _refused_gaps_need_no_indicator(self) -> Self:
        refuse_indicator_of_refused(self.missing, self.indicator)
        return self


class DatePlan(Declared):
    """A date becomes its parts: where the year stands, where the day stands in its year, its week, and so on.

    Attributes
    ----------
    parts
        ``elapsed`` (seconds since 1970) and ``year`` are one standardised input each; ``month``, ``day`` (of the
        month), ``weekday`` and ``hour`` are two each, sine and cosine of the place on the circle.
    format
        How a date that comes as text is written, in the signs of ``strptime``; None for ISO 8601.
    """

    kind: Literal["date"] = "date"
    parts: Annotated[tuple[DatePart, ...], BeforeValidator(as_list)] = Field(
        default=("year", "month", "day", "weekday", "elapsed"), min_length=1
    )
    missing: Literal["median", "refuse"] = Field(
        default="median", description="What a gap becomes: the training rows' median, or an error"
    )
    indicator: bool = Field(default=False, description="Whether another input says where the gaps were")
    format: str | None = None

    @field_validator("parts")
    @classmethod
    def _parts_are_there_once(cls, parts: tuple[DatePart, ...]) -> tuple[DatePart, ...]:
        refuse_repeated(parts, "parts")
        return parts

    @model_validator(mode="after")
    def _refused_gaps_need_no_indicator(self) -> Self:
        refuse_indicator_of_refused(self.missing, self.indicator)
        return self


ColumnPlan = Annotated[NumericPlan | CategoricalPlan | BooleanPlan | DatePlan, Field(discriminator="kind")]


class PreparationPlan(Declared):
    """How a table is to be prepared.

    Attributes
    ----------
    target
        The target columns; none in a file that leaves them to the command line or to the source.
    task
        What is learned; ``auto`` only in what a person wrote, never in what `infer_plan` returns.
    target_scale
        Whether targets of a regression are standardised for training. Predictions are in their own units anyway.
    columns
        The feature columns by name.
    drop
        Columns that are left out.
    pixels
        Every column that is neither target nor dropped is a pixel: they share one mean and one scale, and are not
        named one by one in ``columns``.
    notes
        Why inference decided as it did, by column: comments in the file, no part of the declaration.
    """

    target: Names = ()
    task: RequestedTask = "auto"
    target_scale: Literal["standard", "none"] = "standard"
    columns: dict[str, ColumnPlan] = {}
    drop: Names = ()
    pixels: bool = False
    notes: dict[str, str] = Field(default={}, exclude=True, repr=False)

    @model_validator(mode="after")
    def _a_column_is_one_thing(self) -> Self:
        refuse_repeated(self.target, "target")
        refuse_repeated(self.drop, "drop")
        both = [name for name in self.columns if name in self.target]
        if both:
            raise ValueError(f"column {both[0]!r} is a target and cannot be a feature too; remove it from one of them")
        both = [name for name in self.drop if name in self.columns or name in self.target]
        if both:
            raise ValueError(f"column {both[0]!r} is dropped and used; remove it from one of them")
        if self.pixels and self.columns:
            raise ValueError("`pixels: true` means all columns; remove `columns`")
        return self

    def features(self, names: Iterable[str]) -> dict[str, ColumnPlan]:
        """Return the plans of the feature columns among the columns of a table, in the table's order."""
        if self.pixels:
            return {name: NumericPlan() for name in names if name not in {*self.target, *self.drop}}
        return {name: self.columns[name] for name in names if name in self.columns}


def refuse_indicator_of_refused(missing: str, indicator: bool) -> None:
    """Raise a ValueError for an input that would always be 0."""
    if missing == "refuse" and indicator:
        raise ValueError("with `missing: refuse` there are no gaps to indicate; remove `indicator`")


def refuse_repeated(names: tuple[str, ...], field: str) -> None:
    """Raise a ValueError if a name is there twice."""
    repeated = [name for place, name in enumerate(names) if name in names[:place]]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is named twice in `{field}`; remove one")
