"""The sections of a report, in the order in which they are read."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import islice

import numpy as np

from backprop import Architecture, Parameters
from flows.data.preparation import Preparation
from flows.data.store import Dataset
from flows.report import answers, search_charts, winner_charts
from flows.report.costs import Costs
from flows.report.curves import MOST_CURVES, MOST_TOP, Curve, Curves
from flows.report.hyperparameters import (
    FORESTS,
    MOST_CONFIGURATIONS,
    SHUFFLES,
    TREES,
    Importances,
    scores_by_value,
    shown,
    value_of,
    varying,
)
from flows.report.leads import Leads
from flows.report.page import Part, Section, folded, paragraph, pictures, table
from flows.report.pictures import grey_image, image_shape, signed_image
from flows.report.searched import Searched, has_drift_page
from flows.report.tested import (
    Answered,
    Mistake,
    calibration,
    calibration_error,
    class_scores,
    mistakes,
    most_confused,
    thresholds,
)
from flows.tracking import tags

LEADERBOARD = 50
LEADERBOARD_OPEN = 10
"""Rows of it that are seen before a click."""
LEADERBOARD_FEW = 15
"""So many or fewer are all seen: a click for a handful more is not worth it."""
MOST_MISTAKES = 24
MOST_WRONG_ROWS = 10
MOST_COLUMNS = 12
MOST_UNIT_PICTURES = 64
MOST_STACKS = 200
MOST_CLASSES = 60


def lead_section(leads: Leads) -> Section:
    """Return by how much the winner leads."""
    parts: list[Part] = []
    if leads.validation:
        parts = [paragraph(answers.within_chance(leads)), search_charts.lead_chart(leads)]
    else:
        parts = [paragraph("There is no other configuration with a rank.")]
    return Section("lead", "By how much it leads", parts)


def leaderboard_section(searched: Searched) -> Section:
    """Return the best configurations, one a line."""
    goal, names = searched.goal, varying(searched.ranked)
    metrics = [
        goal.metric,
        *sorted(name for name in searched.best.metrics if name.startswith(("val/", "train/")) and name != goal.metric),
    ]
    several, pruned = searched.has_members, _some_pruned(searched)
    warm = any(one.members[0].start for one in searched.ranked)

    def row(place: int) -> list[object]:
        one = searched.ranked[place]
        deviation = [one.deviations.get(goal.metric, "")] if several else []
        measured = [one.metrics.get(name, "") for name in metrics]
        return [
            place + 1,
            *(shown(value_of(one, name)) for name in names),
            *([one.members[0].start] if warm else []),
            *measured[:1],
            *deviation,
            *measured[1:],
            *([one.trained] if pruned else []),
        ]

    head = [
        "rank",
        *names,
        *(["began with"] if warm else []),
        metrics[0],
        *([f"{goal.metric} deviation"] if several else []),
        *metrics[1:],
        *(["epochs"] if pruned else []),
    ]
    count = min(LEADERBOARD, len(searched.ranked))
    total, open_rows = len(searched.ranked), count if count <= LEADERBOARD_FEW else LEADERBOARD_OPEN
    of = f"The best {count} of {total:,} configurations" if count < total else f"All {total:,} configurations"
    each = f", each the mean of its {len(searched.best.members)} trials" if several else ""
    lost = f" {len(searched.diverged):,} more diverged and have no rank." if searched.diverged else ""
    common = _common(searched, names)
    return Section(
        "leaderboard",
        "Leaderboard",
        [
            paragraph(
                f"{of} by {goal.metric}{each}; the lower validation loss decides between equals. Metrics are of "
                f"the last epoch.{lost}"
            ),
            *([paragraph(f"All of them: {common}.", "quiet")] if common else []),
            table(head, (row(place) for place in range(open_rows)), winner=True),
            *_folded_rows(head, [row(place) for place in range(open_rows, count)]),
        ],
    )


def _folded_rows(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    if rows:
        yield folded(f"{len(rows)} more", table(head, rows))


def _common(searched: Searched, names: Sequence[str]) -> str:
    params = searched.best.members[0].params
    kept = ("hidden", "activation", "optimizer", "learning_rate", "batch_size", "epochs")
    return ", ".join(f"{name} {params[name]}" for name in kept if name not in names and name in params)


def curves_section(curves: Curves) -> Section:
    """Return the loss curves."""
    if curves.are_sampled:
        said = (
            f"Of {curves.trials:,} trials these are drawn: the winner, the next {len(curves.top)} and "
            f"{len(curves.sample)} of the others at random (at most {MOST_CURVES}, {MOST_TOP} of them the best). "
            "The bands are quantiles over those at random, epoch by epoch among the trials that came so far."
        )
    else:
        said = f"All {curves.trials:,} trials are drawn, the winner on top."
    return Section(
        "curves",
        "Loss curves",
        [
            paragraph(
                f"{said} Pruned and diverged trials are faded. Validation is measured after an epoch; training "
                "is the mean over its rows, each before the update that it led to."
            ),
            search_charts.curves_chart(curves, "val/loss"),
            search_charts.curves_chart(curves, "train/loss"),
        ],
    )


def gap_section(searched: Searched, winner: Curve) -> Section:
    """Return training against validation."""
    return Section(
        "gap",
        "Training against validation",
        [search_charts.gap_chart(searched), *_drawn_note(searched), search_charts.own_gap_chart(winner)],
    )


def hyperparameters_section(searched: Searched, found: Importances | None) -> Section:
    """Return what mattered."""
    names = varying([*searched.ranked, *searched.diverged])
    parts: list[Part] = [paragraph(answers.what_mattered(found, names), "answer")]
    if found is not None:
        drawn = (
            f" It rests on {MOST_CONFIGURATIONS:,} configurations, drawn at random."
            if found.configurations == MOST_CONFIGURATIONS < len(searched.ranked)
            else ""
        )
        pruned = " Pruned ones count with the score they had then." if _some_pruned(searched) else ""
        parts += [
            paragraph(
                f"Scikit-learn's permutation importance on {FORESTS} random forests of {TREES} trees over the "
                f"{found.configurations:,} finished configurations, {SHUFFLES} shuffles each; every configuration is "
                f"predicted by the trees that did not see it. The whiskers are the chance of forests and shuffles, not "
                f"that of other trials.{drawn}{pruned} What a hyperparameter does only together with another counts "
                "for both."
            ),
            search_charts.importance_chart(found),
        ]
    if names:
        scores = {name: scores_by_value(searched.ranked, searched.diverged, name, searched.goal) for name in names}
        scores = {name: values for name, values in scores.items() if any(one.count for one in values)}
        parts += [
            paragraph(
                f"Value by value, over all {len(searched.ranked):,} ranked configurations, whatever else they have. "
                "Ranges where a hyperparameter takes many values, of as many configurations each."
            ),
            search_charts.value_charts(scores, searched.goal.metric),
        ]
    parallel = search_charts.parallel_chart(searched)
    if parallel is not None:
        parts += [*_drawn_note(searched), parallel]
    return Section("hyperparameters", "What mattered", parts)


def _drawn_note(searched: Searched) -> list[Part]:
    if len(searched.ranked) <= search_charts.MOST_POINTS:
        return []
    return [
        paragraph(
            f"Drawn are {search_charts.MOST_POINTS:,} of {len(searched.ranked):,} configurations: the best "
            f"{search_charts.MOST_BEST} and others at random.",
            "quiet",
        )
    ]


def _some_pruned(searched: Searched) -> bool:
    return any(one.pruned_at is not None for one in searched.ranked)


def test_section(searched: Searched, tested: Answered) -> Section:
    """Return what the winner reached on the test rows, and where it fails."""
    parts: list[Part] = [
        paragraph(answers.how_good(tested), "answer"),
        table(
            ["measure", "value", "from", "to", "constant answer"],
            (
                [
                    one.name,
                    one.value,
                    "" if one.low is None else one.low,
                    "" if one.high is None else one.high,
                    "" if one.baseline is None else one.baseline,
                ]
                for one in tested.measures
            ),
        ),
        paragraph(_interval_note(searched), "quiet"),
    ]
    return Section("test", "The winner on the test rows", parts)


def _interval_note(searched: Searched) -> str:
    said = {
        "classification": "Wilson's of the accuracy, percentiles of a bootstrap of rows of the others.",
        "multilabel": (
            "Wilson's of the accuracy, which counts a row as right if all its labels are, percentiles of a bootstrap "
            "of rows of the others."
        ),
        "regression": (
            "percentiles of a bootstrap of rows. RMSE and MAE are in the unit of the target; of several targets in "
            "standard deviations."
        ),
    }[searched.dataset.task]
    return f"95% intervals: {said} Nothing was chosen by the test rows."


def confusion_section(tested: Answered) -> Section:
    """Return what the winner confuses."""
    parts: list[Part] = [paragraph(answers.what_it_confuses(tested), "answer")]
    task = tested.preparation.task
    if task == "regression":
        shown_targets = range(min(len(tested.names), winner_charts.MOST_TARGETS))
        parts += _parts_table(tested)
        parts += [chart for place in shown_targets for chart in winner_charts.residual_charts(tested, place)]
        if len(tested.names) > winner_charts.MOST_TARGETS:
            parts.append(paragraph(f"The first {winner_charts.MOST_TARGETS} of {len(tested.names)} targets.", "quiet"))
        return Section("confuses", "Where it is off", parts)
    if task == "classification":
        parts.append(winner_charts.confusion_chart(tested))
        if len(tested.names) > winner_charts.MOST_CLASSES:
            parts.append(
                paragraph(
                    f"The {winner_charts.MOST_CLASSES} of {len(tested.names)} classes with the most mistakes.", "quiet"
                )
            )
        pairs = most_confused(tested)[:10]
        if pairs:
            rows = [[one.true, one.said, one.count, f"{one.count / one.rows:.1%}"] for one in pairs]
            parts.append(table(["is", "said to be", "rows", "share of its class"], rows))
    scores = class_scores(tested)
    kind = "class" if task == "classification" else "label"
    parts.append(winner_charts.scores_chart(scores, kind))
    if len(scores) > winner_charts.MOST_SCORES:
        parts.append(paragraph(f"The {winner_charts.MOST_SCORES} of {len(scores)} with the lowest recall.", "quiet"))
    curves = thresholds(tested)
    if curves:
        parts += [winner_charts.roc_chart(curves), winner_charts.precision_recall_chart(curves)]
        if len(curves) > winner_charts.MOST_CURVES:
            parts.append(
                paragraph(f"The {winner_charts.MOST_CURVES} of {len(curves)} with the smallest areas.", "quiet")
            )
    bins = calibration(tested)
    parts += [
        winner_charts.calibration_chart(bins),
        paragraph(
            f"What it says and what comes true are {calibration_error(bins):.1%} apart on the mean (expected "
            f"calibration error, {len(bins)} bins)."
        ),
    ]
    return Section("confuses", "What it confuses", parts)


def _parts_table(tested: Answered) -> list[Part]:
    if not tested.parts:
        return []
    head = ["target", "RMSE", "from", "to", "R²", "MAE"]
    rows = [
        [
            one.name,
            one.measures["rmse"],
            "" if one.low is None else one.low,
            "" if one.high is None else one.high,
            one.measures["r2"],
            one.measures["mae"],
        ]
        for one in tested.parts
    ]
    return [table(head, rows)]


def mistakes_section(searched: Searched, tested: Answered) -> Section:
    """Return the worst mistakes, as pictures or as rows."""
    shape = image_shape(tested.preparation)
    most = MOST_WRONG_ROWS if shape is None else MOST_MISTAKES
    found = list(islice(mistakes(tested), most))
    title = "Largest errors" if tested.preparation.task == "regression" else "Most confident mistakes"
    if not found:
        return Section("mistakes", title, [paragraph("There are none: every test row is right.")])
    return Section(
        "mistakes",
        title,
        [
            paragraph(f"Test rows, the worst {len(found)} first."),
            _wrong_images(searched.dataset, found, shape) if shape is not None else _wrong_rows(tested, found),
        ],
    )


def _wrong_images(dataset: Dataset, found: Sequence[Mistake], shape: tuple[int, int]) -> str:
    pixels = np.asarray(dataset.test.features)
    return pictures(
        (grey_image(pixels[one.row], shape), f"is {one.true}, said {one.said}: {one.how} (row {one.row + 1})")
        for one in found
    )


def _wrong_rows(tested: Answered, found: Sequence[Mistake]) -> str:
    columns = list(tested.preparation.columns[:MOST_COLUMNS])
    cut = len(tested.preparation.columns) - len(columns)
    how = "off by" if tested.preparation.task == "regression" else "how sure"
    head = ["row", "is", "said", how, *columns]
    rows = ([one.row + 1, one.true, one.said, one.how, *_values(tested, one.row, columns)] for one in found)
    more = paragraph(f"The first {len(columns)} columns; {cut} more are not shown.", "quiet") if cut else ""
    return table(head, rows) + more


def _values(tested: Answered, row: int, columns: Sequence[str]) -> list[str]:
    values = tested.rows.iloc[row]
    return [f"{values[name]:.5g}" if isinstance(values[name], float) else str(values[name])[:40] for name in columns]


def weights_section(preparation: Preparation, network: tuple[Architecture, Parameters]) -> Section:
    """Return what the winner's first layer looks at."""
    weights = np.asarray(network[1].weights[0][0], dtype=np.float64)
    shape = image_shape(preparation)
    kind = "hidden units" if network[0].hidden else "outputs"
    if shape is None:
        return Section(
            "weights",
            "First layer",
            [
                paragraph(f"Inputs by {kind}; those with the largest weights where there are many."),
                winner_charts.first_layer_chart(preparation, weights),
            ],
        )
    norms = np.linalg.norm(weights, axis=0)
    units = np.argsort(-norms, kind="stable")[:MOST_UNIT_PICTURES]
    which = f"The {len(units)} of {weights.shape[1]}" if len(units) < weights.shape[1] else f"All {len(units)}"
    return Section(
        "weights",
        "First layer",
        [
            paragraph(
                f"{which} {kind}, those with the largest weights first: what each looks for in an image. Vermilion is "
                "positive, blue negative, each unit on its own scale; below each the L2 norm of its weights."
            ),
            pictures(
                ((signed_image(weights[:, unit], shape), f"{unit + 1}: {norms[unit]:.3g}") for unit in units), "units"
            ),
        ],
    )


def layers_section(watched: Curve) -> Section:
    """Return what was watched of the winner's layers."""
    return Section("layers", "The winner's layers", [*search_charts.watched_charts(watched)])


def cost_section(costs: Costs) -> Section:
    """Return what it cost."""
    parts: list[Part] = [paragraph(answers.what_it_cost(costs), "answer")]
    if costs.unmeasured and costs.stacks:
        parts.append(
            paragraph(
                f"{costs.unmeasured:,} trials were finished before, in another search or in a run of this one that did "
                "not come to its end; their time is not in it.",
                "quiet",
            )
        )
    if costs.stacks:
        parts += [
            search_charts.stack_chart(costs.stacks[:MOST_STACKS]),
            table(
                ["stack", "worker", "trials", "epochs", "wall time (s)", "training (s)", "samples/s"],
                (
                    [
                        one.name,
                        one.worker,
                        one.trials,
                        one.epochs,
                        one.seconds,
                        one.training_seconds,
                        round(one.samples_per_second),
                    ]
                    for one in costs.stacks[:LEADERBOARD]
                ),
            ),
            paragraph(
                f"Wall time is on the worker, with tracking. Peak memory of a worker: {costs.peak_bytes / 2**20:,.0f} "
                f"MiB. {_cut_stacks(len(costs.stacks))}",
                "quiet",
            ),
        ]
    return Section("cost", "What it cost", parts)


def _cut_stacks(count: int) -> str:
    return f"The first {LEADERBOARD} of {count:,} stacks." if count > LEADERBOARD else ""


def data_section(searched: Searched) -> Section:
    """Return the dataset's card, with drift if it was measured."""
    dataset = searched.dataset
    schema, preparation = dataset.schema, dataset.preparation
    facts: list[list[object]] = [
        ["name", schema.name],
        ["from", schema.uri],
        ["digest", dataset.reference.digest],
        ["task", f"{schema.task} of {', '.join(schema.targets)}"],
        ["rows", ", ".join(f"{part} {count:,}" for part, count in schema.rows.items())],
        ["split", _split(dataset)],
        ["columns", f"{len(preparation.columns):,}, which become {schema.inputs:,} inputs"],
    ]
    if preparation.classes is not None:
        facts.append(["classes", f"{len(preparation.classes):,}"])
    if searched.folds:
        facts.append(["folds", f"{len(searched.folds)}, each prepared by its own training rows"])
    parts: list[Part] = [table(["", ""], facts)]
    if preparation.classes is not None and len(preparation.classes) <= MOST_CLASSES:
        counts = {
            part: np.bincount(np.asarray(arrays.target), minlength=len(preparation.classes)).tolist()
            for part, arrays in (("train", dataset.train), ("validation", dataset.validation), ("test", dataset.test))
        }
        parts.append(winner_charts.class_rows_chart([str(label) for label in preparation.classes], counts))
    parts += _drift(searched)
    return Section("data", "The data", parts)


def _split(dataset: Dataset) -> str:
    split = dataset.schema.split
    column = f" {split.column}" if split.column else ""
    return f"{split.by}{column}, seed {split.seed}"


def _drift(searched: Searched) -> Iterator[Part]:
    if searched.drift is None:
        yield paragraph("Drift was not measured: that is done when a model is retrained.", "quiet")
        return
    where = " The run has a page of it, data/drift.html." if has_drift_page(searched.run) else ""
    yield paragraph(f"Drift: {searched.drift.summary}.{where}")
    columns = sorted(searched.drift.columns, key=lambda one: -one.psi)[:10]
    if columns:
        yield table(
            ["column", "population stability index", "verdict"], ([one.column, one.psi, one.verdict] for one in columns)
        )


def command_section(searched: Searched) -> Section:
    """Return where it comes from, and how it is made again."""
    found = searched.run.tracking.client().get_run(searched.run.run_id).data.tags.get(tags.COMMAND)
    again = f"<p>The search again: <code>{escape(found)}</code></p>" if found else ""
    return Section(
        "origin",
        "Where this comes from",
        [
            f"{again}<p>This report again: <code>backprop report {searched.run.run_id}</code></p>",
            paragraph(
                f"MLflow: experiment {searched.run.tracking.experiment}, run {searched.run.run_id}; the winner is run "
                f"{searched.winner.run_id}."
            ),
        ],
    )
