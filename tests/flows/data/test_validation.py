"""The checks that every table goes through, whatever its schema says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.data.inference import infer_plan
from flows.data.splitting import SplitParameters
from flows.data.validation import check_trainable
from flows.errors import TableError
from tests.flows.data.tables import staged_table

ROWS = 40
PLACE = np.arange(ROWS)
SPLIT = SplitParameters()


def table(rows: int = ROWS, **changes: object) -> pd.DataFrame:
    frame = pd.DataFrame({"a": PLACE * 7.0 % 11, "b": PLACE * 3.0 % 5, "y": PLACE % 2})[:rows]
    return frame.assign(**changes)


def check(frame: pd.DataFrame, directory: Path, task: str = "auto", targets=("y",), **facts: object) -> tuple[str, ...]:
    with staged_table(frame, directory, **facts) as staged:
        return check_trainable(staged, infer_plan(staged, targets, task), SPLIT)


def with_one(value: object, row: int = 13) -> np.ndarray:
    values = PLACE * 7.0 % 11
    values[row] = value
    return values


FAULTS = {
    "too few rows": (table(9), "auto", "9 rows are too few", "at least 10"),
    "no feature": (table()[["y"]], "auto", "no feature columns beside the target y", "add some"),
    "a label missing": (table(y=np.where(PLACE == 13, None, "u")), "auto", "'y' has 1 missing value", "row 14"),
    "a number missing": (table(y=with_one(np.nan)), "regression", "'y' has 1 missing value", "row 14", "fill it in"),
    "an infinite number": (table(y=with_one(np.inf)), "regression", "'y' has 1 infinite value", "row 14", "correct"),
    "one class": (table(y="oak"), "classification", "'y' has one class only, 'oak'", "two or more"),
    "a class of two": (table(y=np.where(PLACE < 2, "elm", "oak")), "auto", "class 'elm'", "2 rows", "at least 3"),
    "a constant": (table(y=2.5), "regression", "'y' is constant (2.5)", "nothing to learn"),
    "true and false": (table(y=PLACE % 2 == 0), "regression", "'y' is true or false", "classification"),
    "text": (table(y=[*map(str, range(39)), "low"]), "regression", "'y' has 'low' at row 40", "no number"),
}


@pytest.mark.parametrize(("frame", "task", "parts"), [(c[0], c[1], c[2:]) for c in FAULTS.values()], ids=FAULTS)
def test_what_cannot_be_trained_on_is_refused_in_one_line(frame, task, parts, tmp_path) -> None:
    with pytest.raises(TableError) as raised:
        check(frame, tmp_path, task)
    message = str(raised.value)
    assert message.startswith("t.csv: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_good_table_has_nothing_to_tell(tmp_path) -> None:
    assert check(table(), tmp_path) == ()
    assert check(table(y=PLACE * 5.0 % 17), tmp_path) == ()


def test_a_label_of_several_that_never_varies_is_named(tmp_path) -> None:
    with pytest.raises(TableError, match=r"target 'z' has one class only, 1; leave that target out"):
        check(table(z=1), tmp_path, targets=("y", "z"))


def test_a_class_must_be_in_both_parts_of_a_source_with_test_rows(tmp_path) -> None:
    frame = table(y=np.where(PLACE < 5, "elm", np.where(PLACE % 2, "oak", "ash")))
    with pytest.raises(TableError, match=r"class 'elm' of target 'y' has 0 test rows and needs at least 1"):
        check(frame, tmp_path, test_rows=PLACE >= 30)
    with pytest.raises(TableError, match=r"class 'elm' of target 'y' has 0 training rows and needs at least 2"):
        check(frame, tmp_path, test_rows=PLACE < 10)


def test_other_splits_say_themselves_which_class_they_cannot_place(tmp_path) -> None:
    frame = table(y=np.where(PLACE < 2, "elm", np.where(PLACE % 2, "oak", "ash")), when=PLACE)
    with staged_table(frame, tmp_path) as staged:
        plan = infer_plan(staged, ("y",))
        assert check_trainable(staged, plan, SplitParameters(by="time", column="when")) == ()


def test_a_column_of_numbers_and_a_little_text_is_told_of_with_the_place_of_the_text(tmp_path) -> None:
    frame = table(rooms=["3+" if place == 8 else str(place // 2 % 4) for place in PLACE])
    [note] = check(frame, tmp_path)
    assert note.startswith("t.csv: column 'rooms' holds numbers and text, the first text '3+' at row 9;")
    assert check(table(rooms=[f"{place // 2 % 4} or more" for place in PLACE]), tmp_path) == ()
