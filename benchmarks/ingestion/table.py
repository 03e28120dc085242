"""A table like those that people have: numbers with gaps, categories, truth values, a date; and two classes.

``python -m benchmarks.ingestion.table DIRECTORY --rows 10000000`` writes it as Parquet, in parts of a million rows.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import typer

TARGET = "sold"
NUMBERS = tuple(f"number_{place}" for place in range(14))
GAPPED = NUMBERS[:6]
COUNTS = tuple(f"count_{place}" for place in range(6))
LEVELS = {"shop": 4, "region": 12, "brand": 30, "colour": 8, "channel": 3, "month_name": 12}
FLAGS = ("member", "returned")
DATE = "day"
PART_ROWS = 1_000_000
COLUMNS = (*NUMBERS, *COUNTS, *LEVELS, *FLAGS, DATE, TARGET)

app = typer.Typer(add_completion=False)


def parts(rows: int, seed: int = 0) -> Iterator[pa.Table]:
    """Yield the table in parts of a million rows, which differ."""
    for part, start in enumerate(range(0, rows, PART_ROWS)):
        yield rows_of(min(PART_ROWS, rows - start), np.random.default_rng([seed, part]))


def rows_of(count: int, rng: np.random.Generator) -> pa.Table:
    """Return so many rows; of the numbers, 6 have gaps in a twentieth of them."""
    numbers = {name: np.round(rng.normal(50, 20, count), 3) for name in NUMBERS}
    columns = {
        name: pa.array(values, mask=rng.random(count) < 0.05 if name in GAPPED else None)
        for name, values in numbers.items()
    }
    columns |= {name: pa.array(rng.poisson(30, count)) for name in COUNTS}
    levels = {name: rng.integers(0, most, count) for name, most in LEVELS.items()}
    columns |= {name: named(name, codes) for name, codes in levels.items()}
    columns |= {name: pa.array(rng.random(count) < 0.3) for name in FLAGS}
    columns[DATE] = pa.array(rng.integers(18_000, 20_500, count).astype(np.int32)).cast(pa.date32())
    score = (numbers[NUMBERS[-1]] - 50) / 20 + (numbers[NUMBERS[-2]] - 50) / 20 + (levels["shop"] == 1)
    columns[TARGET] = pa.array(np.where(score + rng.normal(0, 1, count) > 0.3, "yes", "no"))
    return pa.table({name: columns[name] for name in COLUMNS})


def named(name: str, codes: np.ndarray) -> pa.Array:
    """Return levels as text."""
    names = pa.array([f"{name} {code}" for code in range(LEVELS[name])])
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names).cast(pa.string())


def write_csv(path: Path, rows: int) -> None:
    """Write the table as one CSV file."""
    with path.open("wb") as file:
        for place, part in enumerate(parts(rows)):
            pa.csv.write_csv(part, file, pa.csv.WriteOptions(include_header=place == 0))


def write_parquet(directory: Path, rows: int) -> None:
    """Write the table as a directory of Parquet files."""
    directory.mkdir(parents=True)
    for place, part in enumerate(parts(rows)):
        pq.write_table(part, directory / f"part-{place:04}.parquet")


@app.command()
def main(
    directory: Annotated[Path, typer.Argument(help="Where the parts are to be; it must not be there yet.")],
    rows: Annotated[int, typer.Option(help="Rows in all.")] = 10_000_000,
) -> None:
    """Write the table as a directory of Parquet files."""
    write_parquet(directory, rows)


if __name__ == "__main__":
    app()
