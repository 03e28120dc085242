"""What the benchmark of stop rules says of its measurements."""

from benchmarks.pruning import FULL, HALVING, Searched, failures


def searched(best: float, trained: int) -> Searched:
    return Searched(best=best, trained=trained, full=900, pruned=0, seconds=1.0)


def test_halving_may_lose_two_tenths_of_a_point_for_a_third_of_the_epochs() -> None:
    assert failures({FULL: searched(89.3, 900), HALVING: searched(89.1, 300)}) == []


def test_whoever_loses_more_or_trains_longer_is_told_of_each() -> None:
    lost, long = failures({FULL: searched(89.3, 900), HALVING: searched(89.0, 301)})

    assert lost == "halving lost 0.30 points: 0.2 are allowed"
    assert long == "halving trained 33.4% of the epochs: 33.3% are allowed"
