"""What a person would write with pandas and scikit-learn: read, split, prepare, write. No checks, no digest.

``python -m benchmarks.ingestion.plain TABLE.csv DIRECTORY``
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, OneHotEncoder, StandardScaler

from benchmarks.ingestion.table import COUNTS, DATE, FLAGS, LEVELS, NUMBERS, TARGET
from benchmarks.ingestion.timing import timed

CYCLES = {"month": 12, "day": 31, "day_of_week": 7}


def date_parts(frame: pd.DataFrame) -> np.ndarray:
    """Return year, seconds since 1970, and sine and cosine of month, day and weekday, which are the inputs of ours."""
    days = frame.iloc[:, 0].dt
    angles = [2 * np.pi * getattr(days, part).to_numpy() / cycle for part, cycle in CYCLES.items()]
    seconds = frame.iloc[:, 0].astype("int64").to_numpy()
    return np.column_stack([days.year, seconds, *(turn(angle) for angle in angles for turn in (np.sin, np.cos))])


def transformer() -> ColumnTransformer:
    """Return the preparation that inference finds for the table, in scikit-learn's words."""
    return ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
                [*NUMBERS, *COUNTS],
            ),
            (
                "levels",
                OneHotEncoder(min_frequency=0.01, handle_unknown="infrequent_if_exist", sparse_output=False),
                list(LEVELS),
            ),
            ("flags", FunctionTransformer(lambda frame: frame.astype(float)), list(FLAGS)),
            ("date", make_pipeline(FunctionTransformer(date_parts), StandardScaler()), [DATE]),
        ]
    )


def ingest(table: Path, directory: Path) -> None:
    """Read a CSV file and write the arrays of its three parts."""
    frame = pd.read_csv(table, parse_dates=[DATE])
    target = LabelEncoder().fit_transform(frame.pop(TARGET))
    rest, test, rest_target, test_target = train_test_split(
        frame, target, test_size=0.15, stratify=target, random_state=0
    )
    train, validation, train_target, validation_target = train_test_split(
        rest, rest_target, test_size=0.15 / 0.85, stratify=rest_target, random_state=0
    )
    fitted = transformer().fit(train)
    for name, part, codes in (
        ("train", train, train_target),
        ("validation", validation, validation_target),
        ("test", test, test_target),
    ):
        np.save(directory / f"{name}-features.npy", fitted.transform(part).astype(np.float32))
        np.save(directory / f"{name}-target.npy", codes)


if __name__ == "__main__":
    timed(lambda: ingest(Path(sys.argv[1]), Path(sys.argv[2])))
