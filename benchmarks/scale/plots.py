"""The study as pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scale.model import NOTE

BLUE, ORANGE, GREEN, PINK, BLACK = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#000000"
"""Okabe and Ito's colours, told apart with any colour vision."""

MIB = 2**20
LABELS = {
    "pipeline": "stacks of at most 64, as the pipeline cuts them",
    "one_stack": "one stack of all",
    "as_it_is": "Dask's own settings",
    "not_watched": "Dask does not watch memory",
}
STYLES = {
    "pipeline": (BLUE, "o", "-"),
    "one_stack": (ORANGE, "s", "--"),
    "as_it_is": (ORANGE, "s", "--"),
    "not_watched": (BLUE, "o", "-"),
}


def draw(result: Mapping[str, Any], directory: Path) -> list[Path]:
    """Write a picture for every part that was measured; return where they are."""
    import matplotlib as mpl

    mpl.use("Agg")
    # Text stays text in an SVG, and the same numbers make the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "scale"})
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    for part, picture in PICTURES.items():
        if part in result:
            path = directory / f"scale-{part}.svg"
            picture(result, path)
            drawn.append(path)
    return drawn


def _trials(result: Mapping[str, Any], path: Path) -> None:
    figure, (speed, memory) = _panels(2)
    for way, mine in _by_way(result["trials"]).items():
        color, marker, line = STYLES[way]
        style = {"color": color, "marker": marker, "linestyle": line, "label": LABELS[way]}
        counts = [one["trials"] for one in mine]
        speed.plot(counts, [one["samples_trials_per_second"] / 1e6 for one in mine], **style)
        memory.plot(counts, [one["peak_bytes"] / MIB for one in mine], **style)
    speed.set_ylabel("million samples x trials per second")
    memory.set_ylabel("peak memory of the process, MiB")
    for axes in (speed, memory):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("trials of 64-32-10")
        axes.set_ylim(bottom=0)
    speed.legend(loc="lower right", fontsize=8)
    _save(figure, path, "Trials: an epoch of digits, batch 32, one thread")


def _width(result: Mapping[str, Any], path: Path) -> None:
    figure, (axes,) = _panels(1)
    widths = [one["width"] for one in result["width"]]
    for way, label, color, marker in (("compiled", "compiled loops", BLUE, "o"), ("numpy", "NumPy, BLAS", ORANGE, "s")):
        speeds = [one[way]["gflop_per_second"] for one in result["width"]]
        axes.plot(widths, speeds, color=color, marker=marker, label=label)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("width H of 784-H-10")
    axes.set_ylabel("GFLOP/s")
    axes.legend()
    _save(figure, path, "Width: one trial, batch 128, one thread")


def _rows(result: Mapping[str, Any], path: Path) -> None:
    figure, (speed, memory) = _panels(2)
    for way, mine in _by_way(result["rows"]).items():
        color, marker, line = STYLES[way]
        lived = [one for one in mine if not one["killed"]]
        speed.plot(
            [one["rows"] for one in lived],
            [one["rows_per_second"] / 1e6 for one in lived],
            color=color,
            marker=marker,
            linestyle=line,
            label=LABELS[way],
        )
        died = [one for one in mine if one["killed"]]
        if died:
            counts, peaks = [one["rows"] for one in died], [one["peaks"].get("resident", 0) / MIB for one in died]
            memory.plot(counts, peaks, "x", color=BLACK, markersize=10, label=f"killed: {LABELS[way]}")
    kept = [one for one in result["rows"] if one["way"] == "not_watched"]
    counts = [one["rows"] for one in kept]
    for kind, label, color, marker in (
        ("anonymous", "anonymous: the worker's own", PINK, "^"),
        ("mapped", "mapped: the system may drop it", GREEN, "v"),
    ):
        values = [one["peaks"][kind] / MIB for one in kept]
        memory.plot(counts, values, color=color, marker=marker, label=label)
    memory.plot(counts, [one["file_bytes"] / MIB for one in kept], color="grey", linestyle=":", label="the files")
    limit = result["rows"][0]["memory_limit_bytes"] / MIB
    memory.axhline(limit, color=BLACK, linewidth=0.8, label=f"the worker's limit, {limit:.0f} MiB")
    speed.set_xscale("log")
    speed.set_ylim(bottom=0)
    _log_log(memory)
    speed.set_ylabel("million rows per second")
    memory.set_ylabel("most memory of the worker, MiB")
    for axes in (speed, memory):
        axes.set_xlabel("rows of 64 float32")
        axes.legend(fontsize=8)
    _save(figure, path, "Rows: an epoch of 64-32-10 on a memory map, batch 256, one Dask worker")


def _workers(result: Mapping[str, Any], path: Path) -> None:
    measured = result["workers"]
    figure, (axes,) = _panels(1)
    counts = [int(count) for count in measured["seconds"]]
    axes.plot(counts, list(measured["seconds"].values()), "o", color=BLUE, markersize=9, label="measured", zorder=3)
    lines = result.get("model", {}).get("workers", [])
    for loss, style in (("grows", "--"), ("stays", ":")):
        mine = [line for line in lines if line["loss"] == loss]
        xs = [line["workers"] for line in mine]
        for kind, color, what in (("training", ORANGE, "training"), ("search", GREEN, "and start-up, tracking")):
            ys = [line[f"{kind}_seconds"] for line in mine]
            axes.plot(xs, ys, style, color=color, label=f"{what}, loss {loss} ({NOTE})")
    _log_log(axes, base=2)
    axes.set_xlabel("workers, one thread each")
    axes.set_ylabel("seconds")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, fontsize=8)
    title = f"Workers: {measured['stacks']} stacks of {measured['stack_trials']} trials of 64-32-10, digits"
    _save(figure, path, f"{title}; efficiency at 2: {measured['efficiency']:.2f}")


def _joined(result: Mapping[str, Any], path: Path) -> None:
    figure, panels = _panels(2)
    for axes, way, label in zip(panels, ("compiled", "numpy"), ("compiled loops", "NumPy, padded"), strict=True):
        widths = dict.fromkeys(one["widths"] for one in result["joined"])
        for name, color, marker in zip(widths, (BLUE, ORANGE, GREEN), ("o", "s", "^"), strict=False):
            mine = [one for one in result["joined"] if one["widths"] == name]
            ratios = [one[way]["separate_over_joined"] for one in mine]
            axes.plot([one["each"] for one in mine], ratios, color=color, marker=marker, label=f"H of {name}")
        axes.axhline(1, color=BLACK, linewidth=1)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("trials of each of four widths H of 64-H-10")
        axes.set_ylabel(f"seconds of separate stacks / of one, {label}")
        axes.set_ylim(bottom=0)
        axes.legend()
    _save(figure, path, "Widths: four stacks against one, an epoch of digits, batch 32, one thread")


PICTURES: dict[str, Callable[[Mapping[str, Any], Path], None]] = {
    "trials": _trials,
    "width": _width,
    "joined": _joined,
    "rows": _rows,
    "workers": _workers,
}


def _by_way(measured: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    ways: dict[str, list[Mapping[str, Any]]] = {}
    for one in measured:
        ways.setdefault(one["way"], []).append(one)
    return ways


def _panels(count: int) -> tuple[Any, Any]:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(6 if count == 2 else 8, 4.5), layout="constrained", squeeze=False)
    figure.set_figwidth(12 if count == 2 else 8)
    return figure, axes[0]


def _log_log(axes: Any, base: int = 10) -> None:
    axes.set_xscale("log", base=base)
    axes.set_yscale("log", base=base)
    if base == 2:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")


def _save(figure: Any, path: Path, title: str) -> None:
    from matplotlib import pyplot as plt

    figure.suptitle(title)
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
