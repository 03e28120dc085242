"""Durations as a person says them."""

import pytest

from flows.durations import readable_seconds


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "< 0.1 s"),
        (0.4, "0.4 s"),
        (89, "89 s"),
        (150, "2 min"),
        (5300, "88 min"),
        (11_100, "3 h 5 min"),
    ],
)
def test_durations_are_said_as_a_person_does(seconds: float, said: str) -> None:
    assert readable_seconds(seconds) == said
