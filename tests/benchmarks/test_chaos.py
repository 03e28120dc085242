"""A short round of chaos: whatever is killed, the same command ends with what an undisturbed search leaves."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from benchmarks.chaos.disturbance import TARGETS, SearchUnderTest, Size, differences

SMALL = Size(20, width=128, epochs=150)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SearchUnderTest:
    search = SearchUnderTest(tmp_path_factory.mktemp("chaos") / "undisturbed", SMALL)
    search.run()
    return search


@pytest.mark.slow
def test_a_search_whose_programs_are_killed_leaves_what_an_undisturbed_one_does(
    undisturbed: SearchUnderTest, tmp_path: Path
) -> None:
    disturbed = SearchUnderTest(tmp_path / "disturbed", SMALL, checkpoint_seconds=0.3)

    disturbed.run(random.Random(1), pause=(4.0, 9.0), most_kills=3)  # noqa: S311 - not a secret

    assert differences(disturbed, undisturbed) == []
    assert disturbed.kills.total() >= 1
    assert set(disturbed.kills) <= set(TARGETS)


@pytest.mark.slow
def test_what_a_search_lost_or_repeated_is_said(undisturbed: SearchUnderTest, tmp_path: Path) -> None:
    broken = SearchUnderTest(tmp_path / "broken", SMALL)
    shutil.copy(undisturbed.directory / "mlflow.db", broken.directory)
    assert differences(broken, undisturbed) == []
    with sqlite3.connect(broken.directory / "mlflow.db") as database:
        [[run]] = database.execute("select run_uuid from tags where key = 'trial.key' limit 1").fetchall()
        given = (run, "train/loss")
        database.execute("delete from metrics where run_uuid = ? and key = ? and step = 7", given)
        database.execute(
            "insert into metrics select key, value, timestamp + 1, run_uuid, step, is_nan from metrics "
            "where run_uuid = ? and key = ? and step = 9",
            given,
        )
        database.execute("update runs set status = 'RUNNING' where run_uuid = ?", (run,))
        database.execute(
            "update runs set status = 'FAILED' where run_uuid in (select run_uuid from tags where key = 'search.key')"
        )

    said = "; ".join(differences(broken, undisturbed))

    assert "1 trials have not one FINISHED run" in said
    assert "1 runs are RUNNING" in said
    assert "1 curves differ" in said
    assert "the search's own run is not one that is FINISHED: ['FAILED']" in said
    assert "steps [9] are there more than once, steps [7] are missing" in said
