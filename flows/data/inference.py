"""What the columns of a table are, read off their types and values."""

from dataclasses import replace
from difflib import get_close_matches
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa

from flows.data.date_columns import DateProfile
from flows.data.plan import (
    BooleanPlan,
    CategoricalPlan,
    ColumnPlan,
    DatePlan,
    NumericPlan,
    PreparationPlan,
    RequestedTask,
)
from flows.data.staging import Staged
from flows.data.targets import Task, infer_task
from flows.data.text_columns import Finding, TextProfile, judge_text
from flows.data.values import in_microseconds
from flows.errors import TableError

# Where the gaps are is an input of its own if at least this fraction of the rows has one.
LEAST_INDICATED = 0.01


def infer_plan(
    staged: Staged,
    targets: tuple[str, ...] = (),
    task: RequestedTask = "auto",
    declared: PreparationPlan | None = None,
) -> PreparationPlan:
    """Return the plan of a table: what was declared, and for every other column what its values look like.

    ``targets`` and ``task`` come before what is declared. The plan's ``task`` is never ``auto``, and its ``columns``
    and ``drop`` hold every column that is no target (with ``pixels`` none is named).

    Raises
    ------
    TableError
        If a column is text that no input can hold, a declared column is not there, or the targets do not go with the
        task.
    """
    declared = PreparationPlan() if declared is None else declared
    target = targets or declared.target
    refuse_absent(staged, [*target, *declared.columns])
    plan = PreparationPlan(
        target=target,
        task=task_of(staged, target, declared.task if task == "auto" else task),
        target_scale=declared.target_scale,
        drop=tuple(name for name in declared.drop if name not in target),
        pixels=declared.pixels or (staged.source.pixels and not declared.columns),
    )
    if plan.pixels:
        return plan
    known = {*target, *declared.columns, *declared.drop}
    findings = judge_columns(staged, [name for name in staged.names if name not in known])
    refuse_text(staged, findings)
    plans = {name: finding.plan for name, finding in findings.items() if finding.plan is not None}
    plans |= {name: column for name, column in declared.columns.items() if name not in target}
    return plan.model_copy(
        update={
            "columns": {name: plans[name] for name in staged.names if name in plans},
            "drop": (*plan.drop, *(name for name, finding in findings.items() if finding.plan is None)),
            "notes": declared.notes | {name: finding.note for name, finding in findings.items() if finding.note},
        }
    )


def refuse_absent(staged: Staged, names: list[str]) -> None:
    """Raise a TableError naming all of these columns that the table has not."""
    absent = [name for name in names if name not in staged.names]
    if absent:
        nearest = get_close_matches(absent[0], staged.names, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise TableError(
            f"{staged.source.uri}: there are no columns {absent}: {hint}it has {', '.join(staged.names[:12])}"
            f"{' and more' if len(staged.names) > 12 else ''}"
        )


def task_of(staged: Staged, target: tuple[str, ...], requested: RequestedTask) -> Task:
    """Return what is learned of these targets."""
    try:
        task = infer_task(pd.DataFrame({name: staged.column(name) for name in target}), requested)
    except TableError as error:
        raise TableError(f"{staged.source.uri}: {error}") from error
    dates = [name for name in target if pa.types.is_temporal(staged.schema.field(name).type)]
    if dates:
        raise TableError(
            f"{staged.source.uri}: target {dates[0]!r} is a date, which is neither a class nor a quantity; "
            "make a column of it that is one, such as the days until then"
        )
    return task


def judge_columns(staged: Staged, names: list[str]) -> dict[str, Finding]:
    """Return what each of these columns is."""
    types = {name: staged.schema.field(name).type for name in names}
    texts = profiles_of_texts(staged, [name for name in names if pa.types.is_large_string(types[name])])
    dates = profiles_of_dates(staged, [name for name in names if pa.types.is_temporal(types[name])])
    gaps = count_gaps(staged, names)
    findings = {}
    for name in names:
        if gaps[name] == staged.rows:
            findings[name] = Finding(note="no value in any row")
        elif name in texts:
            findings[name] = judge_text(texts[name], staged.rows)
        elif name in dates:
            findings[name] = Finding(DatePlan(parts=dates[name].parts()))
        else:
            findings[name] = Finding(BooleanPlan() if pa.types.is_boolean(types[name]) else NumericPlan())
    return {name: with_gaps(finding, gaps[name], staged.rows) for name, finding in findings.items()}


def with_gaps(finding: Finding, gaps: int, rows: int) -> Finding:
    """Let an input say where the gaps are if there are enough of them to learn from, and note them."""
    if finding.plan is None or not gaps:
        return finding
    plan: ColumnPlan = finding.plan
    if not isinstance(plan, CategoricalPlan) and gaps >= LEAST_INDICATED * rows:
        plan = plan.model_copy(update={"indicator": True})
    notes = [note for note in (finding.note, f"missing in {gaps:,} of {rows:,} rows") if note]
    return replace(finding, plan=plan, note="; ".join(notes))


def count_gaps(staged: Staged, names: list[str]) -> dict[str, int]:
    """Return how many values of each column are missing: Arrow's nulls and, among floats, NaN."""
    gaps = {name: staged.nulls.get(name, 0) for name in names}
    floats = [name for name in names if pa.types.is_floating(staged.schema.field(name).type)]
    if floats:
        counts = sum(np.isnan(chunk.to_numpy()).sum(axis=0) for chunk in staged.chunks(floats))
        gaps |= dict(zip(floats, cast(np.ndarray, counts).tolist(), strict=True))
    return gaps


def profiles_of_texts(staged: Staged, names: list[str]) -> dict[str, TextProfile]:
    """Count the values of text columns, as far as their decision needs it."""
    profiles = {name: TextProfile() for name in names}
    for chunk in staged.chunks(names) if names else ():
        for name, profile in profiles.items():
            profile.add(chunk[name])
    return profiles


def profiles_of_dates(staged: Staged, names: list[str]) -> dict[str, DateProfile]:
    """Find what varies in columns of dates."""
    profiles = {name: DateProfile() for name in names}
    for chunk in staged.chunks(names) if names else ():
        for name, profile in profiles.items():
            profile.add(in_microseconds(chunk[name]))
    return profiles


def refuse_text(staged: Staged, findings: dict[str, Finding]) -> None:
    """Raise a TableError naming all columns that can be neither used nor silently left out."""
    refused = {name: finding.refusal for name, finding in findings.items() if finding.refusal}
    if refused:
        reasons = "; ".join(f"column {name!r} {reason}" for name, reason in refused.items())
        raise TableError(
            f"{staged.source.uri}: {reasons}; leave it out with `drop: [{', '.join(refused)}]` in the file given as "
            "--preparation, or declare it there as `{kind: categorical}`"
        )
