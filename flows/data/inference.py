"""What the columns of a table are, read off their types and values."""

from flows.data.plan import PreparationPlan, RequestedTask
from flows.data.staging import Staged


def infer_plan(
    staged: Staged,
    targets: tuple[str, ...],
    task: RequestedTask = "auto",
    declared: PreparationPlan | None = None,
) -> PreparationPlan:
    """Return the plan of a table: what was declared, and for every other column what its values look like.

    Its ``task`` is never ``auto``, its ``target`` are ``targets``, and its ``columns`` and ``drop`` hold every other
    column of the table (``pixels``: neither names any).

    Raises
    ------
    TableError
        If a column is text that no network can take, or the targets do not go with the task.
    """
    raise NotImplementedError
