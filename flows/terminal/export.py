"""What `backprop export` does and prints."""

import re
from pathlib import Path

import onnx
from rich.console import Console
from rich.markup import escape

from flows.export.document import write_onnx
from flows.tracking.opened_model import OpenedModel, OpenedTrial, open_model, open_trial

RUN_ID = re.compile(r"[0-9a-f]{32}")
SHOWN = 6
"""Inputs that are listed by name."""


def run_export(console: Console, model: str, output: Path | None, datasets: str, *, overwrite: bool) -> None:
    """Write a model as ONNX and print what it takes and gives."""
    run_id = model.removeprefix("runs:/")
    opened = open_trial(run_id, datasets) if RUN_ID.fullmatch(run_id) else open_model(model)
    path = output or Path(default_name(opened))
    written = write_onnx(opened, path, overwrite=overwrite)
    console.print(
        f"{escape(opened.title)} written to [bold]{escape(str(path))}[/bold], {path.stat().st_size:,} bytes",
        soft_wrap=True,
        highlight=False,
    )
    graph = written.graph
    names = [f"{value.name} ({kind_of(value)})" for value in graph.input]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    for what, listed in (
        ("takes", ", ".join(names[:SHOWN]) + more),
        ("gives", ", ".join(f"{value.name} ({kind_of(value)})" for value in graph.output)),
    ):
        console.print(f"[dim]{what} {escape(listed)}[/dim]", soft_wrap=True, highlight=False)


def default_name(model: OpenedTrial) -> str:
    """Return a file's name for a model, without what file systems do not allow."""
    name = re.sub(r"[^\w.\- ]", "_", model.name)
    return f"{name}-{model.version}.onnx" if isinstance(model, OpenedModel) else f"{name}.onnx"


def kind_of(value: onnx.ValueInfoProto) -> str:
    """Return the type of an input or an output: ``double``, ``string``."""
    return str(onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)).lower()
