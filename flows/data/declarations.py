"""What is declared about a source: how its columns are prepared and what they may hold, in files that one may edit.

::

    ROOT/sources/NAME-HASH/
        preparation.yaml     how each column becomes inputs
        schema.yaml          what each column may hold

They are written when a source was ingested for the first time, and every later ingestion follows them. The hash is of
the source's address, the targets and the task asked for: another target is another preparation.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from flows.data.plan import PlanError, PreparationPlan, RequestedTask, dump_plan, load_plan, parse_plan
from flows.data.root import Root
from flows.data.schema import TableSchema, dump_schema, parse_schema
from flows.data.sources import Source
from flows.data.splitting import SplitParameters


@dataclass(frozen=True)
class Declarations:
    """The files of one source: where they are, what was in them, and what is to be written.

    Attributes
    ----------
    own_file
        The file given with ``--preparation``, which is then in the place of the plan below the root.
    plan, schema
        None where there is no file yet.
    """

    root: Root
    directory: str
    own_file: Path | None
    plan: PreparationPlan | None
    schema: TableSchema | None

    @property
    def plan_file(self) -> str:
        """What a person calls the file of the plan."""
        return str(self.own_file) if self.own_file is not None else self.root.place(plan_name(self.directory))

    @property
    def schema_file(self) -> str:
        """What a person calls the file of the schema."""
        return self.root.place(schema_name(self.directory))

    def keep(self, plan: PreparationPlan, schema: TableSchema, uri: str) -> None:
        """Write what was not declared yet, after an ingestion that went well.

        Raises
        ------
        DatasetError, PlanError
            If a file cannot be written.
        """
        if self.plan is None:
            if self.own_file is not None:
                write_own_plan(self.own_file, dump_plan(plan))
            else:
                self.root.write(plan_name(self.directory), dump_plan(plan))
        if self.schema is None:
            self.root.write(schema_name(self.directory), dump_schema(schema, uri))


def read_declarations(
    root: Root, source: Source, targets: tuple[str, ...], task: RequestedTask, own_file: str | None
) -> Declarations:
    """Read what is declared about a source for these targets and this task.

    Raises
    ------
    PlanError, TableError
        If a file is not what it should be; the message names the line or the field.
    """
    directory = directory_of(source, targets, task)
    if own_file is None:
        text = root.read(plan_name(directory))
        plan = None if text is None else parse_plan(text, root.place(plan_name(directory)))
    else:
        plan = read_own_plan(own_file)
    text = root.read(schema_name(directory))
    schema = None if text is None else parse_schema(text, root.place(schema_name(directory)))
    return Declarations(root, directory, None if own_file is None else Path(own_file), plan, schema)


def directory_of(source: Source, targets: tuple[str, ...], task: RequestedTask) -> str:
    """Return the directory of a source's files, relative to the root."""
    asked = json.dumps([source.uri, targets, task])
    name = re.sub(r"[^\w.-]+", "-", source.name).strip(".-") or "table"
    return f"sources/{name}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"


def plan_name(directory: str) -> str:
    """Return the file of the plan, relative to the root."""
    return f"{directory}/preparation.yaml"


def schema_name(directory: str) -> str:
    """Return the file of the schema, relative to the root."""
    return f"{directory}/schema.yaml"


def read_own_plan(file: str | None) -> PreparationPlan | None:
    """Return the plan that ``--preparation`` names; None if there is none yet."""
    return load_plan(file) if file is not None and Path(file).exists() else None


def write_own_plan(file: Path, text: str) -> None:
    """Write a plan to where ``--preparation`` said."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{file}: the preparation cannot be written: {error.strerror}; choose another file") from error


def without_split_column(plan: PreparationPlan | None, split: SplitParameters) -> PreparationPlan:
    """Return what is declared, with the column that rows are split by dropped unless it says otherwise.

    The part of a row must not be an input. A group may be, where it is declared to be; a time is, like any column.

    Raises
    ------
    PlanError
        If the column that says train, validation or test is declared as a feature.
    """
    plan = plan or PreparationPlan()
    if split.column is None or split.by == "time" or split.column in plan.drop:
        return plan
    if split.column in plan.columns:
        if split.by == "column":
            raise PlanError(
                f"column {split.column!r} says how rows are split and is no feature; remove it from columns"
            )
        return plan
    note = {split.column: f"rows are split by it ({split.by})"}
    return plan.model_copy(update={"drop": (*plan.drop, split.column), "notes": {**plan.notes, **note}})
