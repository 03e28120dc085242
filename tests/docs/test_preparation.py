"""docs/preparation.md held to the code: its files are valid, and its tables name what there is."""

import re
from pathlib import Path
from typing import get_args

import pytest

from flows.data.plan import BooleanPlan, CategoricalPlan, DatePart, DatePlan, NumericPlan, PreparationPlan
from flows.data.plan.document import parse_plan

DOCUMENT = (Path(__file__).parents[2] / "docs" / "preparation.md").read_text(encoding="utf-8")
FILES = re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


def test_every_file_shown_is_a_plan():
    assert [set(parse_plan(text, "docs").columns) for text in FILES] == [
        {"day", "town", "weight", "express", "floor"},
        {"day", "town", "weight", "floor"},
    ]


def test_every_field_of_a_file_is_in_the_table():
    fields = {name for name, field in PreparationPlan.model_fields.items() if not field.exclude}
    section = DOCUMENT.partition("## The file")[2].partition("##")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == fields


@pytest.mark.parametrize("plan", [NumericPlan, CategoricalPlan, BooleanPlan, DatePlan])
def test_every_choice_a_column_has_is_named(plan):
    section = DOCUMENT.partition("## The kinds of columns")[2].partition("## What is inferred")[0]
    choices = [choice for field in plan.model_fields.values() for choice in get_args(field.annotation)]
    words = [*plan.model_fields, *get_args(DatePart), *(choice for choice in choices if isinstance(choice, str))]
    assert [word for word in words if not re.search(rf"\b{word}\b", section)] == []
