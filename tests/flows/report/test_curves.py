"""Loss curves: the same epochs of all of them, and quantiles among those that came so far."""

import numpy as np

from flows.report.curves import QUANTILES, Curve, bands, drawn_trials, read_curves
from flows.report.searched import Searched
from flows.tracking.search_runs import TrialRecord


def curve(last: int, scale: float, every: int = 1) -> Curve:
    epochs = tuple(epoch for epoch in range(1, last + 1) if epoch in (1, last) or epoch % every == 0)
    record = TrialRecord("key", "run", "name", {"epochs": str(last)}, {}, None)
    return Curve(record, epochs, {"val/loss": tuple(scale / epoch for epoch in epochs)})


def test_bands_are_quantiles_epoch_by_epoch_of_the_curves_that_came_so_far() -> None:
    curves = [curve(4 if scale < 5 else 2, float(scale)) for scale in range(1, 9)]

    epochs, found = bands(curves, "val/loss", every=1)

    assert epochs == [1, 2, 3, 4]
    np.testing.assert_allclose(found[:, 1], np.quantile(np.arange(1, 9) / 2, QUANTILES))
    np.testing.assert_allclose(found[:, 3], np.quantile(np.arange(1, 5) / 4, QUANTILES))


def test_the_last_epoch_of_one_curve_alone_makes_no_band() -> None:
    epochs, _ = bands([curve(30, 1.0, every=10), curve(17, 2.0, every=10)], "val/loss", every=10)
    assert epochs == [1, 10, 20, 30]


def test_of_few_trials_all_are_read_with_the_values_of_their_runs(digits_search: Searched) -> None:
    curves = read_curves(digits_search)

    assert not curves.are_sampled
    assert curves.trials == 12
    assert curves.winner.trial.key == digits_search.winner.key
    assert curves.winner.epochs == (1, 2, 3, 4, 5, 6)
    assert curves.winner.values["val/loss"][-1] == digits_search.winner.metrics["val/loss"]
    top, others = drawn_trials(digits_search)
    assert len(top) + len(others) == 11
