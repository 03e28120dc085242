"""Columns that say nothing, or nothing that another does not."""

from collections.abc import Collection

import numpy as np

from flows.data.encodings import NumericEncoding
from flows.diagnosis.finding import Finding
from flows.diagnosis.table import Table

CHECK = "columns"

DECIMALS = 4
"""To which two standardised columns agree that are one another's copy, in another unit perhaps."""

SHOWN = 10


def check_columns(table: Table) -> list[Finding]:
    """Find columns that are the same in all rows, and pairs of which one is a straight line of the other."""
    if table.has_pixels:
        return [Finding(check=CHECK, severity="ok", what="pixels are not compared with each other")]
    constant = _constant(table)
    findings = []
    if constant:
        findings.append(
            Finding(
                check=CHECK,
                severity="hint",
                what=f"{_columns(constant)} the same in all {int(table.trains.sum()):,} training rows looked at",
                evidence={"columns": constant[:SHOWN]},
                remedy=f"leave them out: drop: [{', '.join(constant[:SHOWN])}]",
            )
        )
    copies = _copies(table)
    if copies:
        findings.append(
            Finding(
                check=CHECK,
                severity="hint",
                what=f"{_columns(copies)} as good as another, in the same unit or one that is a multiple",
                evidence={"copies": [f"{copy} of {kept}" for copy, kept in list(copies.items())[:SHOWN]]},
                remedy=f"leave them out: drop: [{', '.join(list(copies)[:SHOWN])}]",
            )
        )
    if findings:
        return findings
    return [
        Finding(
            check=CHECK,
            severity="ok",
            what="no column is constant or the copy of another",
            evidence={"columns": len(table.preparation.columns)},
        )
    ]


def _columns(names: Collection[str]) -> str:
    return "1 column is" if len(names) == 1 else f"{len(names)} columns are"


def _constant(table: Table) -> list[str]:
    inputs = table.inputs[table.trains]
    varies = np.ptp(inputs, axis=0) > 0
    place, constant = 0, []
    for encoding in table.preparation.features:
        width = len(encoding.input_names)
        if not varies[place : place + width].any():
            constant.append(encoding.column)
        place += width
    return constant


def _copies(table: Table) -> dict[str, str]:
    """Return the columns of numbers that are straight lines of an earlier one, each with that."""
    names = list(table.preparation.input_names)
    first: dict[bytes, str] = {}
    copies = {}
    for encoding in table.preparation.features:
        values = table.inputs[table.trains, names.index(encoding.input_names[0])].astype("float64")
        if not isinstance(encoding, NumericEncoding) or np.ptp(values) == 0:
            continue
        standard = (values - values.mean()) / values.std()
        # A line that falls is a copy too: the first row that is not 0 decides the sign.
        standard = np.round(standard * np.sign(standard[np.argmax(np.abs(standard))]), DECIMALS) + 0.0
        kept = first.setdefault(standard.tobytes(), encoding.column)
        if kept != encoding.column:
            copies[encoding.column] = kept
    return copies
