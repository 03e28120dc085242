"""Inputs and targets that come to the network in units of their own, or with values far from all others.

A gradient of the first layer is a sum of inputs, so what is a thousand times as large as the others decides alone, and
a rate that suits it suits nothing else (LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998, section 4.3).
"""

import numpy as np

from flows.data.encodings import NumericEncoding
from flows.diagnosis.finding import Finding
from flows.diagnosis.table import Table

CHECK = "input scale"

MOST_SIZE = 10.0
"""Root mean square of an input or a target above which it is not scaled: 1 is what scaling makes of it."""

LEAST_DEVIATION = 0.01
"""Deviation below which a number that varies is not scaled."""

FAR = 10.0
"""Times as far from the median as 98 % of the values are from each other, at which a value is far off. Not deviations:
of n values none is further from their mean than sqrt(n) of these."""

SHOWN = 5


def check_inputs(table: Table) -> list[Finding]:
    """Find inputs and targets that are not scaled, and values that are far off."""
    if table.has_pixels:
        return [_all_well("the pixels share one mean and one scale", table.inputs[table.trains])]
    findings = [*_unscaled(table), *_far_off(table), *_unscaled_targets(table)]
    return findings or [_all_well("every input is scaled", table.inputs[table.trains])]


def _all_well(what: str, inputs: np.ndarray) -> Finding:
    sizes = np.sqrt(np.mean(np.square(inputs, dtype="float64"), axis=0))
    return Finding(check=CHECK, severity="ok", what=what, evidence={"largest_root_mean_square": float(sizes.max())})


def _numbers(table: Table) -> dict[str, np.ndarray]:
    """Return the values of the inputs that are numbers, of the training rows, by column."""
    names = list(table.preparation.input_names)
    columns = [each.column for each in table.preparation.features if isinstance(each, NumericEncoding)]
    return {name: table.inputs[table.trains, names.index(name)].astype("float64") for name in columns}


def _unscaled(table: Table) -> list[Finding]:
    numbers = _numbers(table)
    sizes = {name: float(np.sqrt(np.mean(values**2))) for name, values in numbers.items()}
    deviations = {name: float(values.std()) for name, values in numbers.items()}
    large = {name: size for name, size in sizes.items() if size > MOST_SIZE}
    small = {name: deviation for name, deviation in deviations.items() if 0 < deviation < LEAST_DEVIATION}
    wrong = sorted({*large, *small})
    if not wrong:
        return []
    first = max(large, key=lambda name: large[name]) if large else min(small, key=lambda name: small[name])
    raw = table.raw[first][table.trains]
    return [
        Finding(
            check=CHECK,
            severity="problem" if large else "warning",
            what=f"{len(wrong)} of {len(sizes)} numeric columns {'is' if len(wrong) == 1 else 'are'} not scaled when "
            f"the network gets them, {first!r} the furthest from it",
            evidence={
                "columns": wrong[:SHOWN],
                "root_mean_square": sizes[first],
                "standard_deviation": deviations[first],
                "raw_minimum": float(raw.min()),
                "raw_maximum": float(raw.max()),
            },
            remedy=f"in the preparation's file, {first}: {{kind: numeric, scale: standard}}, and so for the others; or "
            "delete their lines and let the preparation be inferred",
        )
    ]


def _far_off(table: Table) -> list[Finding]:
    away = {name: _furthest(values) for name, values in _numbers(table).items()}
    far = sorted((name for name, distance in away.items() if distance > FAR), key=lambda name: -away[name])
    if not far:
        return []
    return [
        Finding(
            check=CHECK,
            severity="hint",
            what=f"column {far[0]!r} has a value {away[far[0]]:.0f} times as far off as 98 % of its values are apart",
            evidence={"columns": far[:SHOWN], "times_as_far": away[far[0]]},
            remedy=f"look at the value; if it is right, {far[0]}: {{kind: numeric, scale: robust}}, or its logarithm "
            "as a column",
        )
    ]


def _furthest(values: np.ndarray) -> float:
    """Return how far the furthest value is from the median, in the distance within which 98 % of them are."""
    low, middle, high = np.percentile(values, [1, 50, 99])
    return float(np.abs(values - middle).max() / (high - low)) if high > low else 0.0


def _unscaled_targets(table: Table) -> list[Finding]:
    if table.task != "regression":
        return []
    values = table.target[table.trains].astype("float64")
    sizes = np.sqrt(np.mean(values**2, axis=0))
    if sizes.max() <= MOST_SIZE and values.std(axis=0).min() >= LEAST_DEVIATION:
        return []
    name = table.preparation.targets[int(sizes.argmax())]
    return [
        Finding(
            check=CHECK,
            severity="problem",
            what=f"the target {name!r} is trained on in its own unit",
            evidence={"root_mean_square": float(sizes.max())},
            remedy="in the preparation's file, target_scale: standard; predictions are in the target's unit anyway",
        )
    ]
