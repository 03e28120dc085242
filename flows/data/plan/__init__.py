"""What a person declares about the preparation of a table, and the YAML file it is kept in."""

from flows.data.encodings import DatePart
from flows.data.plan.document import PlanError, dump_plan, load_plan, parse_plan
from flows.data.plan.models import (
    BooleanPlan,
    CategoricalPlan,
    ColumnPlan,
    DatePlan,
    NumericPlan,
    PreparationPlan,
    RequestedTask,
)

__all__ = [
    "BooleanPlan",
    "CategoricalPlan",
    "ColumnPlan",
    "DatePart",
    "DatePlan",
    "NumericPlan",
    "PlanError",
    "PreparationPlan",
    "RequestedTask",
    "dump_plan",
    "load_plan",
    "parse_plan",
]
