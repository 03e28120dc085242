"""Which parts of a column of dates say anything: those that vary."""

from dataclasses import dataclass, field

import numpy as np

from flows.data.encodings import date_part
from flows.data.plan import DatePart
from flows.data.values import NO_DATE

CALENDAR: tuple[DatePart, ...] = ("year", "month", "day", "weekday", "hour")


@dataclass
class DateProfile:
    """The least and the largest value of every part of the dates seen so far."""

    least: dict[DatePart, int] = field(default_factory=dict)
    largest: dict[DatePart, int] = field(default_factory=dict)

    def add(self, instants: np.ndarray) -> None:
        """Look at a piece of the column, microseconds since 1970; missing dates say nothing."""
        instants = instants[instants != NO_DATE]
        if not len(instants):
            return
        for part in CALENDAR:
            values = date_part(instants, part)
            self.least[part] = min(int(values.min()), self.least.get(part, int(values[0])))
            self.largest[part] = max(int(values.max()), self.largest.get(part, int(values[0])))

    def parts(self, is_whole: bool = True) -> tuple[DatePart, ...]:
        """Return the parts that vary and the time elapsed; where every day is the same of its month, no weekday.

        Of a table sorted by date the first rows say too little: if they are all that was seen, days count as varying.
        """
        varying = [
            part
            for part in CALENDAR
            if self.least.get(part) != self.largest.get(part) or not (is_whole or part == "hour")
        ]
        if "day" not in varying:
            varying = [part for part in varying if part != "weekday"]
        return (*varying, "elapsed")
