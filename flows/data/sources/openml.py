"""Data sets of OpenML by their number, through scikit-learn, which keeps what it fetched in its data directory."""

import warnings
from urllib.error import HTTPError

from flows.data.sources.builtin import frame_source
from flows.data.sources.files import first_line
from flows.data.sources.source import Source
from flows.errors import SourceError

USAGE = "openml:NUMBER"
PREFIX = "openml:"


def claims(data: str) -> bool:
    """Tell whether ``data`` is the number of a data set of OpenML."""
    return data.startswith(PREFIX)


def open_source(data: str) -> Source:
    """Fetch a data set, unless it was fetched before, and return it with the target that OpenML names.

    It is in memory whole, which is how scikit-learn reads it.

    Raises
    ------
    SourceError
        If there is no such data set, or OpenML cannot be reached, or what it sent is not a table.
    """
    number = data.removeprefix(PREFIX)
    if not number.isdecimal():
        raise SourceError(f"{data}: {number!r} is no number of a data set; find it in its address on openml.org")
    # Here and not above: it takes a second, which `backprop --help` and a served model should not.
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            # That it tries again is of no use to whoever is told in the end that it failed.
            warnings.filterwarnings("ignore", "A network error occurred")
            # No target: the default one would be refused for a gap in it before the plan can say what to do.
            bunch = fetch_openml(data_id=int(number), target_column=None, as_frame=True, parser="pandas")
    except HTTPError as error:
        raise SourceError(f"{data}: OpenML answers {error.code} {error.reason}; check the number") from error
    except OSError as error:
        reason = first_line(getattr(error, "reason", error))
        raise SourceError(f"{data}: OpenML cannot be reached: {reason}; try again later") from error
    except ValueError as error:
        raise SourceError(f"{data}: {first_line(error)}; choose another data set") from error
    named = (bunch.details.get("default_target_attribute") or "").split(",")
    targets = [name for name in named if name in bunch.frame]
    features = bunch.frame.drop(columns=targets)
    return frame_source(bunch.details["name"], data, features, bunch.frame[targets])
