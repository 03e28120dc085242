"""The values of a column as text that does not depend on the type they are stored in."""

import numpy as np
import pandas as pd


def label_text(value: object) -> str:
    """Return a value as text: 3 and 3.0 are both ``3``, true is ``true``, a moment is as ISO 8601 writes it."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, int | float | np.number):
        number = float(value)
        return str(int(value)) if np.isfinite(number) and number.is_integer() else repr(number)
    return value.isoformat() if isinstance(value, pd.Timestamp) else str(value)
