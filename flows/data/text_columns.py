"""What a column of text is: categories, dates, truth values, numbers gone wrong, names, or prose."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from statistics import mean

import numpy as np
import pandas as pd

from flows.data.date_columns import DateProfile
from flows.data.plan import BooleanPlan, CategoricalPlan, ColumnPlan, DatePlan, NumericPlan
from flows.data.values import in_microseconds

# With more different values a column is no category, unless a person says that it is.
MOST_LEVELS = 1000
# So many values are categories whatever they look like.
FEW_LEVELS = 20
# Values are names rather than categories if more than this fraction of the rows has one of its own.
MOST_DISTINCT = 0.5
# Values are prose if they are as long as this on average, or have as many words, and more than this fraction differ.
LONG = 30
MANY_WORDS = 6
MOST_DISTINCT_PROSE = 0.1
# Values are dates, or numbers, if at least this fraction of them is: the others are mistakes to be told of.
MOSTLY = 0.5
SAMPLE = 1000
COUNTED_ROWS = 100_000

DAYS = (
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%b %d %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%d %B %Y",
)
FORMATS = ("ISO8601", *(day + time for day in DAYS for time in ("", " %H:%M", " %H:%M:%S")))
# Three numbers, or two around a short name, or the name of a month and a year: only then are the formats tried.
DATE_LIKE = (
    r"\d{1,4}[-/.](?:\d{1,2}|[a-z]{3})[-/.]\d{1,4}"
    r"|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b.*\d{4}"
)
# Pandas takes a lone year for an ISO date as well.
ISO_DAY = r"\d{4}-\d{2}-\d{2}([T ].*)?"


@dataclass
class TextProfile:
    """The values of a text column, counted until there are too many different ones to be categories.

    Attributes
    ----------
    counts
        How many rows have each value, in the order of their first appearance.
    rows
        How many rows were counted that have a value.
    is_whole
        Whether every row was counted.
    """

    counts: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    is_whole: bool = True

    @property
    def is_counted_out(self) -> bool:
        """Whether there are so many values that no more are counted."""
        return len(self.counts) > MOST_LEVELS

    def add(self, column: pd.Series) -> None:
        """Count the values of a piece of the column; a few rows at a time, for each may have a value of its own."""
        for start in range(0, len(column), COUNTED_ROWS):
            if self.is_counted_out:
                self.is_whole = False
                return
            codes, values = column.iloc[start : start + COUNTED_ROWS].factorize()
            counted = np.bincount(codes[codes >= 0], minlength=len(values)).tolist()
            self.counts.update(dict(zip(map(str, values), counted, strict=True)))
            self.rows += sum(counted)

    def sample(self) -> pd.Series:
        """Return the first of the different values."""
        return pd.Series(list(islice(self.counts, SAMPLE)), dtype=object)


@dataclass(frozen=True)
class Finding:
    """What a column was found to be.

    Attributes
    ----------
    plan
        What to do with it; None to leave it out.
    note
        Why, for the person who reads the plan.
    refusal
        Why it can be neither used nor silently left out; None if it can.
    """

    plan: ColumnPlan | None = None
    note: str | None = None
    refusal: str | None = None


def judge_text(profile: TextProfile, rows: int) -> Finding:
    """Decide what a text column is by its values; ``rows`` is how many the table has."""
    counts = profile.counts
    if not counts:
        return Finding(note="no value in any row")
    if len(counts) <= FEW_LEVELS and {value.lower() for value in counts} <= {"true", "false"}:
        return Finding(BooleanPlan())
    sample = profile.sample()
    dates = judge_dates(profile, sample)
    if dates is not None:
        return dates
    if len(counts) <= FEW_LEVELS:
        return Finding(CategoricalPlan())
    if pd.to_numeric(sample, errors="coerce").notna().mean() >= MOSTLY:
        return Finding(NumericPlan(), note="mostly numbers")
    return judge_names(profile, sample, rows)


def judge_names(profile: TextProfile, sample: pd.Series, rows: int) -> Finding:
    """Decide whether many different texts are categories, names of the rows, or prose."""
    many = f"{'' if profile.is_whole else 'more than '}{len(profile.counts):,} different values"
    distinct = len(profile.counts) / profile.rows
    texts = sample.tolist()
    is_long = mean(map(len, texts)) >= LONG or mean(len(text.split()) for text in texts) >= MANY_WORDS
    if is_long and distinct > MOST_DISTINCT_PROSE:
        return Finding(refusal=f"is free text ({many}, such as {texts[0][:40]!r})")
    if distinct > MOST_DISTINCT:
        return Finding(note=f"{many} in {profile.rows:,} rows: it names the rows")
    if profile.is_counted_out:
        return Finding(refusal=f"has {many}, too many for categories")
    plan = CategoricalPlan()
    if max(*profile.counts.values(), rows - profile.rows) < plan.rare * rows:
        return Finding(note=f"{many}, none of them in {plan.rare:.0%} of the rows")
    return Finding(plan)


def judge_dates(profile: TextProfile, sample: pd.Series) -> Finding | None:
    """Decide whether texts are dates, and how they are written; None if they are none."""
    if sample.str.contains(DATE_LIKE, case=False).mean() < MOSTLY:
        return None
    tried = [written for written in FORMATS if parse(sample[:5], written).notna().any()]
    shares = {written: parse(sample, written).notna().mean() for written in tried}
    best = [written for written, share in shares.items() if share == max(shares.values())]
    if not best or shares[best[0]] < MOSTLY:
        return None
    dates = DateProfile()
    dates.add(in_microseconds(parse(pd.Series(list(profile.counts), dtype=object), best[0]).dropna()))
    text_format = None if best[0] == "ISO8601" else best[0]
    note = f"could also be format: {best[1]!r}; change it if it is" if len(best) > 1 else None
    return Finding(DatePlan(parts=dates.parts(profile.is_whole), format=text_format), note=note)


def parse(texts: pd.Series, written: str) -> pd.Series:
    """Return texts as dates, NaT where one is not written in this format."""
    if written == "ISO8601":
        texts = texts.where(texts.str.fullmatch(ISO_DAY))
    return pd.Series(pd.to_datetime(texts, format=written, errors="coerce", utc=True))
