"""The study as tables on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from benchmarks.scale.model import NOTE

MIB = 2**20
LEFT = ("way", "outcome", "network", "bound by", "loss")


def tables(result: Mapping[str, Any]) -> list[Table]:
    """Return a table for every part that was measured, and for the model."""
    made = []
    if "trials" in result:
        made.append(
            _table(
                "trials of 64-32-10: an epoch of digits, batch 32, one thread",
                ("trials", "way", "stacks", "seconds", "samples x trials /s", "GFLOP/s", "peak MiB"),
                [
                    (
                        one["trials"],
                        one["way"],
                        one["stacks"],
                        f"{one['seconds']:.4f}",
                        f"{one['samples_trials_per_second']:,.0f}",
                        f"{one['gflop_per_second']:.1f}",
                        f"{one['peak_bytes'] / MIB:.0f}",
                    )
                    for one in result["trials"]
                ],
            )
        )
    if "width" in result:
        made.append(
            _table(
                "width of 784-H-10: batch 128, one thread, GFLOP/s",
                ("H", "rows", "compiled", "NumPy", "compiled / NumPy"),
                [
                    (
                        one["width"],
                        one["rows"],
                        f"{one['compiled']['gflop_per_second']:.1f}",
                        f"{one['numpy']['gflop_per_second']:.1f}",
                        f"{one['compiled_over_numpy']:.2f}",
                    )
                    for one in result["width"]
                ],
            )
        )
    if "joined" in result:
        made.append(
            _table(
                "trials of four widths of 64-H-10: an epoch of digits, one thread; separate stacks / one of all",
                ("H", "trials of each", "compiled", "NumPy, padded"),
                [
                    (
                        one["widths"],
                        one["each"],
                        f"{one['compiled']['separate_over_joined']:.2f}",
                        f"{one['numpy']['separate_over_joined']:.2f}",
                    )
                    for one in result["joined"]
                ],
            )
        )
    if "rows" in result:
        made.append(_rows(result["rows"]))
    if "workers" in result:
        workers = result["workers"]
        made.append(
            _table(
                f"{workers['stacks']} stacks of {workers['stack_trials']} trials, {workers['epochs']} epochs of digits;"
                f" efficiency at 2 workers: {workers['efficiency']:.3f}",
                ("workers", "repeat", "start-up s", "seconds"),
                [
                    (run["workers"], run["repeat"], f"{run['start_up_seconds']:.1f}", f"{run['seconds']:.2f}")
                    for run in workers["runs"]
                ],
            )
        )
    if "model" in result:
        made += _model(result["model"])
    return made


def _rows(measured: Sequence[Mapping[str, Any]]) -> Table:
    limit = measured[0]["memory_limit_bytes"] / MIB
    return _table(
        f"rows of 64 float32, mapped: an epoch of 64-32-10, batch 256; the worker's limit is {limit:.0f} MiB",
        ("rows", "way", "files MiB", "check s", "epoch s", "rows/s", "anonymous MiB", "mapped MiB", "outcome"),
        [
            (
                f"{one['rows']:,}",
                one["way"],
                f"{one['file_bytes'] / MIB:.0f}",
                "" if one["killed"] else f"{one['check_seconds']:.2f}",
                "" if one["killed"] else f"{one['epoch_seconds']:.2f}",
                "" if one["killed"] else f"{one['rows_per_second']:,.0f}",
                f"{one['peaks'].get('anonymous', 0) / MIB:.0f}",
                f"{one['peaks'].get('mapped', 0) / MIB:.0f}",
                "killed" if one["killed"] else "paused" if one["paused"] else "went through",
            )
            for one in measured
        ],
    )


def _model(model: Mapping[str, Any]) -> list[Table]:
    return [
        _table(
            f"workers of this kind ({NOTE}): seconds of the same work",
            ("workers", "loss", "training", "tracking", "search", "efficiency", "measured training"),
            [
                (
                    line["workers"],
                    line["loss"],
                    f"{line['training_seconds']:.2f}",
                    f"{line['tracking_seconds']:.2f}",
                    f"{line['search_seconds']:.2f}",
                    f"{line['efficiency']:.2f}",
                    "" if line["measured_training_seconds"] is None else f"{line['measured_training_seconds']:.2f}",
                )
                for line in model["workers"]
            ],
        ),
        _table(
            f"{model['gpu']['name']} ({NOTE}): at best",
            ("network", "batch", "trials", "us an update", "samples x trials /s", "GFLOP/s", "bound by"),
            [
                (
                    one["architecture"],
                    one["batch"],
                    one["trials"],
                    f"{one['seconds'] * 1e6:.1f}",
                    f"{one['samples_trials_per_second']:,.0f}",
                    f"{one['gflop_per_second']:,.0f}",
                    one["bound_by"],
                )
                for one in model["gpu_updates"]
            ],
        ),
    ]


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column in LEFT else "right")
    for row in rows:
        table.add_row(*map(str, row))
    return table
