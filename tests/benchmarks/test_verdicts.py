"""What measurements come to; and that it is written where a person and a program find it."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from benchmarks import report
from benchmarks.floors import load_floors, save_floors
from benchmarks.losses import Deviation, deviations, training_losses
from benchmarks.plot import plot
from benchmarks.race import Measurement
from benchmarks.rows import FASTEST, LIMIT, ROWS, Target
from benchmarks.verdicts import failures, memory_line, speed_line, worst

TARGETS = (Target(FASTEST, 1.2), Target("scikit_learn", 20), Target(LIMIT, 0.6), Target("pytensor", 15))


def measured(**changes):
    race = {
        "ours": Measurement(speeds=[90.0, 110.0, 100.0], peak_bytes=50, deviation=Deviation(0.0, 0.0)),
        "scikit_learn": Measurement(speeds=[10.0], peak_bytes=100, deviation=Deviation(0.0, 0.0)),
        "jax_scan": Measurement(speeds=[80.0], peak_bytes=300, deviation=Deviation(0.0, 0.0)),
        "torch_eager": Measurement(unavailable="torch is not installed: pip install 'backprop[bench]'", missing=True),
        "limit_gemm": Measurement(speeds=[200.0]),
    }
    return race | changes


def test_ratios_are_of_medians_to_the_fastest_peer_to_the_peer_named_and_to_the_limit():
    line = speed_line("row", TARGETS, measured(), floor=1.3)
    assert line.ratio == pytest.approx(100 / 80)
    assert line.best == "jax_scan"
    assert line.fraction == pytest.approx(0.5)
    assert [r.ratio for r in line.reached] == [pytest.approx(1.25), pytest.approx(10), pytest.approx(0.5), None]
    assert line.spreads["ours"] == (90, 110)
    assert line.is_under_floor
    assert "not installed" in line.notes["torch_eager"]
    assert not speed_line("row", TARGETS, measured(), floor=None).is_under_floor


def test_the_worst_row_is_the_one_furthest_from_its_target_not_the_one_with_the_smallest_ratio():
    near = speed_line("near", (Target(FASTEST, 1.2),), measured(), None)
    far = speed_line("far", (Target(LIMIT, 0.2), Target("scikit_learn", 20)), measured(), None)
    line, reached = worst([near, far])
    assert (line.name, reached.target.against, reached.ratio) == ("far", "scikit_learn", pytest.approx(10))
    assert worst([speed_line("none", (), measured(), None)]) is None


def test_a_contestant_that_trained_something_else_has_no_speed_and_fails_the_run():
    wrong = Measurement(speeds=[1000.0], deviation=Deviation(0.5, 0.5), wrong=True)
    race = measured(jax_scan=wrong)
    line = speed_line("row", TARGETS, race, None)
    assert line.best == "scikit_learn"
    assert "jax_scan" not in line.values
    assert line.notes["jax_scan"].startswith("WRONG")
    [problem] = failures([line], {"row": race})
    assert "row: jax_scan is WRONG" in problem


def test_a_row_under_its_floor_and_our_own_absence_fail_the_run():
    line = speed_line("row", TARGETS, measured(), floor=1.3)
    assert failures([line], {"row": measured()}) == ["row: ratio 1.25 is under its floor of 1.30"]
    absent = measured(ours=Measurement(unavailable="ValueError: no"))
    line = speed_line("row", TARGETS, absent, floor=1.3)
    assert line.ratio is None
    assert failures([line], {"row": absent}) == ["row: we did not race: ValueError: no"]


def test_the_memory_ratio_is_the_leanest_peers_peak_over_ours():
    line = memory_line("memory-row", measured(), 1.0)
    assert (line.ratio, line.best) == (pytest.approx(2), "scikit_learn")


def test_losses_are_the_mean_cross_entropy_of_each_trial(tiny):
    task = tiny(trials=2)
    flat = training_losses(task, ([w * 0 for w in task.weights], [b * 0 for b in task.biases]))
    np.testing.assert_allclose(flat, np.log(3), rtol=1e-12)
    assert len(set(training_losses(task, (task.weights, task.biases)))) == 2


def test_a_contestant_is_wrong_by_most_of_its_trials_or_grossly_by_one():
    agreed = np.ones(20)
    one_off = np.where(np.arange(20) == 3, 1.02, 1)
    found = deviations(
        {
            "a": agreed,
            "b": agreed * (1 + 1e-4),
            "c": agreed * (1 - 1e-4),
            "a kink": one_off,
            "all": agreed * 1.002,
            "grossly": np.where(np.arange(20) == 3, 1.2, 1),
            "diverged": np.full(20, np.nan),
        }
    )
    assert [name for name, deviation in found.items() if deviation.is_wrong] == ["all", "grossly", "diverged"]


def printed(*tables):
    text = io.StringIO()
    Console(file=text, width=200).print(*tables)
    return text.getvalue()


def test_tables_name_every_row_ratio_target_and_reason():
    lines = [speed_line("row", TARGETS, measured(), 1.3), memory_line("memory-row", measured(), None)]
    text = printed(report.speeds_table(lines), report.verdicts_table(lines))
    for expected in (
        "memory-row",
        "1.25 x JAX scan",
        "2.00 x scikit-learn",
        "1.2 x the fastest peer: 1.25",
        "0.6 of the limit: 0.50",
        "15 x PyTensor: not measured",
        "1.30",
        "none",
    ):
        assert expected in text
    assert report.footnotes(lines) == ["row: PyTorch eager: torch is not installed: pip install 'backprop[bench]'"]


@pytest.mark.parametrize(("value", "shown"), [(987, "987"), (8_250, "8.25k"), (376_600, "377k"), (1_158_000, "1.16M")])
def test_speeds_are_shown_with_three_digits(value, shown):
    line = speed_line("row", (), {"ours": Measurement(speeds=[value])}, None)
    assert f" {shown} " in printed(report.speeds_table([line]))


def test_json_and_plot_are_written(tmp_path):
    race = measured()
    lines = [speed_line("row", TARGETS, race, 1.3), memory_line("memory-row", race, None)]
    report.write_json(tmp_path / "new" / "r.json", {"cpu": "x"}, {"repeats": 3}, lines, {"row": race}, {"other": "why"})
    content = json.loads((tmp_path / "new" / "r.json").read_text())
    assert content["lines"][0]["reached"][0] == {
        "target": {"against": "fastest", "ratio": 1.2},
        "ratio": 1.25,
        "share": pytest.approx(1.25 / 1.2),
    }
    assert content["measured"]["row"]["ours"]["speeds"] == [90, 110, 100]
    assert content["measured"]["row"]["ours"]["deviation"] == {"most": 0, "largest": 0}
    assert content["skipped"] == {"other": "why"}
    report.write_markdown(tmp_path / "r.md", lines)
    [head, _, row, memory] = (tmp_path / "r.md").read_text().splitlines()
    assert head.startswith("| row | ours | peers, fastest first |")
    assert row.startswith("| row | 100 | ")
    assert "1.2 x the fastest peer: 1.25" in row
    assert memory.startswith("| memory-row | ")
    plot(lines, tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_floors_are_a_tenth_under_what_was_measured(tmp_path):
    save_floors([speed_line("row", (), measured(), None)], "a machine", tmp_path / "floors.json")
    assert load_floors(tmp_path / "floors.json") == {"row": pytest.approx(1.125)}


def test_the_committed_floors_are_of_rows_that_there_are():
    known = {row.name for row in ROWS} | {f"memory-{row.name}" for row in ROWS if row.memory_counts} | {"pipeline"}
    assert set(load_floors()) <= known
