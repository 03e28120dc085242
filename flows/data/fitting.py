"""Fitting a preparation on the training rows, with scikit-learn's transformers.

Columns are read a few at a time, as many as fit into 64 MiB, so that memory does not grow with the rows beyond the
eight bytes a row that one column takes. Every column is looked at whole, and not in the training rows alone: what a
preparation was fitted for, it can transform.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from flows.data.encodings import (
    BooleanEncoding,
    CategoricalEncoding,
    DateEncoding,
    Encoding,
    NumericEncoding,
    Pixels,
    Scale,
    date_part,
)
from flows.data.plan import BooleanPlan, CategoricalPlan, DatePlan, NumericPlan, PreparationPlan
from flows.data.preparation import Preparation
from flows.data.staging import Staged
from flows.data.targets import Label, class_labels
from flows.data.values import (
    NO_DATE,
    ColumnFault,
    float_values,
    read_booleans,
    read_dates,
    read_levels,
    read_numbers,
)
from flows.errors import TableError

# Inputs are float32, and a network multiplies them: well below the largest there is.
LARGEST_INPUT = 1e30

GATHERED_BYTES = 64 * 2**20

PIXEL_VALUES = 256

SingleValuePlan = NumericPlan | BooleanPlan | DatePlan


def fit_preparation(staged: Staged, plan: PreparationPlan, train_rows: np.ndarray) -> Preparation:
    """Learn from the training rows alone what the plan asks for, and the classes from all rows.

    ``train_rows`` is a mask, bool (N,). The plan is one that `infer_plan` returned.

    Raises
    ------
    TableError
        If a column holds what its kind does not, has gaps that are refused or no value in the training rows, or values
        too large for an input.
    """
    try:
        return fit(staged, plan, train_rows)
    except ColumnFault as fault:
        remedy = "remove the rows" if fault.column in plan.target else f"leave the column out (drop: [{fault.column}])"
        raise TableError(
            f"{staged.source.uri}: {fault.describe(staged.source.locate)}; correct it, or {remedy}"
        ) from fault


def fit(staged: Staged, plan: PreparationPlan, train_rows: np.ndarray) -> Preparation:
    """Fit the features and the targets; a ColumnFault at the first fault."""
    if plan.task == "auto":
        raise ValueError("a plan is fitted when its task is known; infer_plan finds it")
    mean, scale = fit_targets(staged, plan, train_rows)
    return Preparation(
        task=plan.task,
        features=() if plan.pixels else fit_features(staged, plan, train_rows),
        pixels=fit_pixels(staged, plan, train_rows) if plan.pixels else None,
        targets=plan.target,
        classes=tuple(class_labels(staged.column(plan.target[0]))) if plan.task == "classification" else None,
        target_mean=mean,
        target_scale=scale,
    )


def fit_features(staged: Staged, plan: PreparationPlan, train_rows: np.ndarray) -> tuple[Encoding, ...]:
    """Fit every feature column, in the order of the table."""
    plans = plan.features(staged.names)
    categories = {name: column for name, column in plans.items() if isinstance(column, CategoricalPlan)}
    others = {name: column for name, column in plans.items() if not isinstance(column, CategoricalPlan)}
    fitted: dict[str, Encoding] = {
        name: fit_levels(name, categories[name], counts)
        for name, counts in count_levels(staged, categories, train_rows).items()
    }
    for name, values in gathered(staged, {name: reader(column) for name, column in others.items()}):
        fitted[name] = fit_column(name, others[name], values, train_rows)
    return tuple(fitted[name] for name in plans)


def fit_targets(
    staged: Staged, plan: PreparationPlan, train_rows: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the scale of each target of a regression; of other tasks none, but labels must be there."""
    if plan.task == "classification":
        return (), ()
    read = read_numbers if plan.task == "regression" else read_booleans
    scales = {}
    for name, values in gathered(staged, dict.fromkeys(plan.target, read)):
        refuse(name, ~np.isfinite(values), "a missing or infinite value")
        if plan.task == "regression":
            scales[name] = fit_scale(plan.target_scale, values[train_rows])
            refuse_too_large(name, values, scales[name])
    return tuple(scale.shift for scale in scales.values()), tuple(scale.scale for scale in scales.values())


def fit_column(name: str, plan: SingleValuePlan, values: np.ndarray, train_rows: np.ndarray) -> Encoding:
    """Fit a column of one value a row, (N,)."""
    match plan:
        case NumericPlan():
            return fit_number(name, plan, values, train_rows)
        case BooleanPlan():
            return fit_boolean(name, plan, values, train_rows)
        case DatePlan():
            return fit_date(name, plan, values, train_rows)


def fit_number(name: str, plan: NumericPlan, values: np.ndarray, train_rows: np.ndarray) -> NumericEncoding:
    """Fit a column of numbers, float64 (N,): its gaps are filled, then it is scaled."""
    refuse(name, np.isinf(values), "an infinite value")
    if plan.missing == "refuse":
        refuse(name, np.isnan(values), "a missing value")
    train = values[train_rows]
    fill = plan.fill
    if plan.missing == "median":
        fill = float(np.median(trained_on(name, train[~np.isnan(train)]), overwrite_input=True))
    if fill is not None:
        train[np.isnan(train)] = fill
    scale = fit_scale(plan.scale, train)
    refuse_too_large(name, values, scale)
    return NumericEncoding(column=name, shift=scale.shift, scale=scale.scale, fill=fill, indicator=plan.indicator)


def fit_scale(method: str, values: np.ndarray) -> Scale:
    """Return what a method shifts and divides float64 (n,) by; a constant column is shifted only.

    Scikit-learn's arithmetic may overflow: then the result is not finite, and `refuse_too_large` says so.
    """
    column = values[:, None]
    with np.errstate(all="ignore"):
        match method:
            case "standard":
                standard = StandardScaler().fit(column)
                shift, scale = standard.mean_[0], standard.scale_[0]
            case "minmax":
                minmax = MinMaxScaler().fit(column)
                shift, scale = minmax.data_min_[0], 1 / minmax.scale_[0]
            case "robust":
                robust = RobustScaler().fit(column)
                shift, scale = robust.center_[0], robust.scale_[0]
            case _:
                shift, scale = 0.0, 1.0
    # Not validated: what is not finite is told with the name of its column.
    return Scale.model_construct(shift=float(shift), scale=float(scale))


def fit_boolean(name: str, plan: BooleanPlan, truths: np.ndarray, train_rows: np.ndarray) -> BooleanEncoding:
    """Fit a column of truth values, float64 (N,)."""
    fill = None
    if plan.missing == "refuse":
        refuse(name, np.isnan(truths), "a missing value")
    else:
        train = truths[train_rows]
        # Of a draw the smaller, as scikit-learn's SimpleImputer has it.
        fill = float(trained_on(name, train[~np.isnan(train)]).mean() > 0.5)
    return BooleanEncoding(column=name, fill=fill, indicator=plan.indicator)


def fit_date(name: str, plan: DatePlan, instants: np.ndarray, train_rows: np.ndarray) -> DateEncoding:
    """Fit a column of dates, int64 (N,) in microseconds: its gaps are filled, then what grows is standardised."""
    fill = None
    train = instants[train_rows]
    if plan.missing == "refuse":
        refuse(name, instants == NO_DATE, "a missing value")
    else:
        fill = int(np.median(trained_on(name, train[train != NO_DATE])))
        train = np.where(train == NO_DATE, fill, train)
    scales = {
        part: fit_scale("standard", date_part(train, part).astype(np.float64))
        for part in plan.parts
        if part in ("year", "elapsed")
    }
    return DateEncoding(
        column=name,
        parts=plan.parts,
        format=plan.format,
        fill=fill,
        indicator=plan.indicator,
        year=scales.get("year", Scale()),
        elapsed=scales.get("elapsed", Scale()),
    )


def fit_levels(name: str, plan: CategoricalPlan, counts: Counter[Label | None]) -> CategoricalEncoding:
    """Give an input to each level that is not rare among the training rows; a gap, None, is a level like others."""
    least = plan.rare * counts.total()
    frequent = [level for level, count in counts.items() if count and count >= least]
    levels = sorted(level for level in frequent if level is not None)
    return CategoricalEncoding(
        column=name,
        levels=(*levels, *(level for level in frequent if level is None)),
        refuse_missing=plan.missing == "refuse",
    )


def count_levels(
    staged: Staged, plans: dict[str, CategoricalPlan], train_rows: np.ndarray
) -> dict[str, Counter[Label | None]]:
    """Count how many training rows have each level of each column."""
    counts: dict[str, Counter[Label | None]] = {name: Counter() for name in plans}
    if not plans:
        return counts
    for chunk in staged.chunks(list(plans)):
        trained = train_rows[rows_of(chunk)]
        with counted_from(rows_of(chunk).start):
            for name, plan in plans.items():
                codes, levels = read_levels(chunk[name])
                if plan.missing == "refuse":
                    refuse(name, codes < 0, "a missing value")
                seen = np.bincount(codes[trained] + 1, minlength=len(levels) + 1).tolist()
                counts[name].update(dict(zip([None, *levels], seen, strict=True)))
    return counts


def fit_pixels(staged: Staged, plan: PreparationPlan, train_rows: np.ndarray) -> Pixels:
    """Fit the one mean and the one scale of all pixels."""
    names = list(plan.features(staged.names))
    counts = np.zeros(PIXEL_VALUES)
    scaler = StandardScaler()
    for chunk in staged.chunks(names):
        trained = train_rows[rows_of(chunk)]
        if set(chunk.dtypes) == {np.dtype(np.uint8)}:
            counts += np.bincount(chunk.to_numpy()[trained].ravel(), minlength=PIXEL_VALUES)
            continue
        values = float_values(chunk)
        with counted_from(rows_of(chunk).start):
            for place in np.flatnonzero(~np.isfinite(values).all(axis=0)):
                refuse(names[place], ~np.isfinite(values[:, place]), "a missing or infinite value")
        if trained.any():
            scaler.partial_fit(values[trained].reshape(-1, 1))
    if counts.any():
        # Of bytes there are 256 values, so they are counted: exact, and in a tenth of the time.
        scaler.fit(np.arange(PIXEL_VALUES, dtype=np.float64)[:, None], sample_weight=counts)
    return Pixels(columns=tuple(names), shift=float(scaler.mean_[0]), scale=float(scaler.scale_[0]))


def reader(plan: SingleValuePlan) -> Callable[[pd.Series], np.ndarray]:
    """Return what reads a column of this kind."""
    match plan:
        case NumericPlan():
            return read_numbers
        case BooleanPlan():
            return read_booleans
        case DatePlan():
            return lambda column: read_dates(column, plan.format)


def gathered(staged: Staged, readers: dict[str, Callable[[pd.Series], np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each column whole, (N,), as its reader reads it; a few of them are in memory at a time."""
    names = list(readers)
    group = max(1, GATHERED_BYTES // (8 * max(1, staged.rows)))
    for first in range(0, len(names), group):
        yield from gathered_at_once(staged, {name: readers[name] for name in names[first : first + group]})


def gathered_at_once(
    staged: Staged, readers: dict[str, Callable[[pd.Series], np.ndarray]]
) -> list[tuple[str, np.ndarray]]:
    """Return columns whole, read in one pass."""
    pieces: dict[str, list[np.ndarray]] = {name: [] for name in readers}
    for chunk in staged.chunks(list(readers)):
        with counted_from(rows_of(chunk).start):
            for name, read in readers.items():
                pieces[name].append(read(chunk[name]))
    return [(name, np.concatenate(values)) for name, values in pieces.items()]


def rows_of(chunk: pd.DataFrame) -> slice:
    """Return which rows of the table a piece holds."""
    start = int(chunk.index[0]) if len(chunk) else 0
    return slice(start, start + len(chunk))


@contextmanager
def counted_from(start: int) -> Iterator[None]:
    """Count the row of a fault from the start of the table, not of the piece."""
    try:
        yield
    except ColumnFault as fault:
        raise fault.after(start) from fault


def trained_on(name: str, values: np.ndarray) -> np.ndarray:
    """Return the values that are there in the training rows; a ColumnFault if there are none."""
    if not len(values):
        raise ColumnFault(name, "has no value in the training rows")
    return values


def refuse(name: str, wrong: np.ndarray, fault: str) -> None:
    """Raise a ColumnFault at the first row that is wrong, bool (N,)."""
    if wrong.any():
        raise ColumnFault(name, fault, int(np.argmax(wrong)))


def refuse_too_large(name: str, values: np.ndarray, scale: Scale) -> None:
    """Raise a ColumnFault if a value is no float32 when it is scaled, or the scale itself is not a float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        ends = np.array([np.fmin.reduce(values), np.fmax.reduce(values)])
        scaled = np.abs(ends - scale.shift) / scale.scale
    if not (np.isnan(ends) | (scaled < LARGEST_INPUT)).all():
        raise ColumnFault(name, "has values too large to standardise")
