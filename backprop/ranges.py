"""Refusing numbers that are out of their range, in one form of words: the argument, its value, what is allowed."""

import math


def check_positive(argument: str, value: float) -> None:
    """Refuse what is not a finite number above 0, with a ValueError."""
    if not (_is_number(value) and 0 < value < math.inf):
        raise ValueError(f"{argument} is {value!r}: use a positive finite number")


def check_not_negative(argument: str, value: float) -> None:
    """Refuse what is not a finite number from 0 on, with a ValueError."""
    if not (_is_number(value) and 0 <= value < math.inf):
        raise ValueError(f"{argument} is {value!r}: use a finite number, 0 or more")


def check_finite(argument: str, value: float) -> None:
    """Refuse what is not a finite number, with a ValueError."""
    if not (_is_number(value) and math.isfinite(value)):
        raise ValueError(f"{argument} is {value!r}: use a finite number")


def check_fraction(argument: str, value: float) -> None:
    """Refuse what is not a number in [0, 1), with a ValueError."""
    if not (_is_number(value) and 0 <= value < 1):
        raise ValueError(f"{argument} is {value!r}: use at least 0 and less than 1")


def check_factor(argument: str, value: float) -> None:
    """Refuse what is not a number in (0, 1], with a ValueError."""
    if not (_is_number(value) and 0 < value <= 1):
        raise ValueError(f"{argument} is {value!r}: use more than 0 and at most 1")


def check_count(argument: str, value: int, least: int = 1) -> None:
    """Refuse what is not a whole number from `least` on, with a ValueError."""
    whole = hasattr(value, "__index__") and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(f"{argument} is {value!r}: use {_at_least(least)}")


def _at_least(least: int) -> str:
    return "0 or more" if least == 0 else f"at least {least}"


def _is_number(value: object) -> bool:
    # Arrays have `__float__` too, whatever their shape.
    return hasattr(value, "__float__") and not isinstance(value, bool) and not getattr(value, "shape", ())
