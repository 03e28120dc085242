"""Durations as a person reads them."""


def readable_seconds(seconds: float) -> str:
    """Return a duration as a person says it, in two digits or so: < 0.1 s, 2.5 s, 40 s, 12 min, 3 h 5 min."""
    if seconds < 0.1:
        return "< 0.1 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
