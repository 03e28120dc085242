"""`backprop explain` in the terminal: one sample's way through a tiny network, as tables or as JSON."""

import json

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backprop.backend import select_backend
from backprop.choices import choose
from backprop.explain import Explanation, Quantity, Stage, explain, explain_square, tiny_example
from backprop.losses import LOSSES
from backprop.network import Architecture, Network
from flows.errors import InputError

INPUTS, OUTPUTS = 2, 2
LARGEST_LAYER, MOST_LAYERS = 8, 4
OUTPUT_ACTIVATIONS = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}
"""phi where none is named; identity for every other loss."""

READING = "Values run down; gradients run up: a local derivative times the gradients of what it moves."
RELATIVE = "(Relative to the larger of 1 and the gradient.)"

CLOSE = 1e-6
"""A difference above this is a wrong derivative, or a kink within reach of the step."""

COLUMNS = (
    ("quantity", 9),
    ("value", 10),
    ("local derivative", 0),
    ("gradient", 12),
    ("central", 12),
    ("apart", 6),
)
"""Heading and width; the local derivatives take what is left."""

MIDDLE, MOST_MIDDLE = 2, 40


def run_explain(
    console: Console,
    *,
    activation: str,
    loss: str,
    output_activation: str | None,
    hidden: str,
    seed: str,
    scalar: bool,
    as_json: bool,
) -> None:
    """Explain `y = x^2` at 4 and, unless `scalar`, a tiny network and one sample.

    Raises
    ------
    InputError
        An option has a value that cannot be used.
    """
    architecture = tiny_architecture(activation, loss, output_activation, hidden)
    example = tiny_example(architecture, _seed(seed))
    explanations = {"scalar": explain_square()}
    if not scalar:
        explanations["network"] = explain(Network(architecture, select_backend("cpu")), *example)
    if as_json:
        console.out(json.dumps({name: as_data(one) for name, one in explanations.items()}, indent=2), highlight=False)
        return
    console.print(Text(READING, style="dim"))
    for name, explanation in explanations.items():
        print_explanation(explanation, _title(name, explanation), console)


def tiny_architecture(activation: str, loss: str, output_activation: str | None, hidden: str) -> Architecture:
    """Return the architecture the options describe.

    Raises
    ------
    InputError
        A name is unknown, a width is not a small whole number, or loss and output activation do not fit.
    """
    try:
        choose("loss", loss, LOSSES)
        phi = OUTPUT_ACTIVATIONS.get(loss, "identity") if output_activation is None else output_activation
        return Architecture(INPUTS, _widths(hidden), OUTPUTS, activation, phi, loss)
    except ValueError as error:
        raise InputError(str(error)) from error


def as_data(explanation: Explanation) -> dict[str, object]:
    """Return an explanation as JSON has it: numbers in lists of the shape of each quantity."""
    difference, name = explanation.largest_difference
    return {
        "stages": [
            {
                "name": stage.name,
                "formula": stage.formula,
                "quantities": [_quantity_as_data(quantity) for quantity in stage.quantities],
            }
            for stage in explanation.stages
        ],
        "target": explanation.target.tolist(),
        "largest_difference": {"quantity": name, "value": difference},
    }


def print_explanation(explanation: Explanation, title: str, console: Console) -> None:
    """Print the stages of an explanation, one table under another, and the largest difference."""
    console.print(Text(f"\n{title}\n", style="bold"))
    console.print(_table(console, heading=True))
    for stage in explanation.stages:
        label = "" if stage.formula == stage.quantities[0].name else f"  {stage.formula}"
        console.print(Text.assemble((stage.name, "cyan"), label))
        console.print(_rows(stage, console))
    difference, name = explanation.largest_difference
    console.print(Text.assemble("\nLargest difference: ", _judged(difference), f", at {name}. {RELATIVE}"))
    if not difference <= CLOSE:
        console.print(Text("There the derivative is wrong, or the loss has a kink.", style="red"))


def _title(name: str, explanation: Explanation) -> str:
    if name == "scalar":
        return "The derivative of y = x^2 at x = 4"
    target = ", ".join(f"{number:g}" for number in explanation.target)
    return f"A network of {INPUTS} inputs and {OUTPUTS} outputs, one sample, its target y = ({target})"


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise InputError(f"--seed is {text!r}: use a whole number, at least 0")
    return int(text)


def _widths(text: str) -> tuple[int, ...]:
    """Return the hidden layers' units of a list such as 3 or 3,2; none of an empty one."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if not all(part.isdecimal() and 1 <= int(part) <= LARGEST_LAYER for part in parts) or len(parts) > MOST_LAYERS:
        raise InputError(
            f"--hidden is {text!r}: use at most {MOST_LAYERS} layers of 1 to {LARGEST_LAYER} units, such as 3 or 3,2; "
            "every number is printed"
        )
    return tuple(int(part) for part in parts)


def _quantity_as_data(quantity: Quantity) -> dict[str, object]:
    arrays = {name: getattr(quantity, name) for name in ("value", "local", "gradient", "numerical", "difference")}
    return {
        "name": quantity.name,
        "local_name": quantity.local_name,
        **{name: np.asarray(array, "float64").tolist() for name, array in arrays.items()},
    }


def _table(console: Console, *, heading: bool) -> Table:
    table = Table(box=None, show_header=heading, pad_edge=False, padding=(0, 1), header_style="dim")
    taken = sum(width for _, width in COLUMNS) + 2 * (len(COLUMNS) - 1)
    for place, (name, width) in enumerate(COLUMNS):
        middle = place == MIDDLE
        width = max(16, min(MOST_MIDDLE, console.width - taken)) if middle else width
        table.add_column(name, justify="left" if place in (0, MIDDLE) else "right", width=width, no_wrap=not middle)
    return table


def _rows(stage: Stage, console: Console) -> Table:
    table = _table(console, heading=False)
    for quantity in stage.quantities:
        for entry in np.ndindex(*quantity.value.shape):
            table.add_row(
                f"  {_entry_name(quantity.name, entry)}",
                f"{quantity.value[entry] + 0.0:.6f}",
                f"{quantity.local_name} = {_local(quantity, entry)}",
                f"{quantity.gradient[entry] + 0.0:.7f}",
                f"{quantity.numerical[entry] + 0.0:.7f}",
                _judged(float(quantity.difference[entry])),
            )
    return table


def _entry_name(name: str, entry: tuple[int, ...]) -> str:
    """Return the name of an entry as on paper, where counting starts at 1: W1[1,2]."""
    return f"{name}[{','.join(str(place + 1) for place in entry)}]" if entry else name


def _local(quantity: Quantity, entry: tuple[int, ...]) -> str:
    local = np.asarray(quantity.local[entry], "float64")
    return f"{local + 0.0:.6f}" if local.ndim == 0 else f"({', '.join(f'{number + 0.0:.4f}' for number in local)})"


def _judged(difference: float) -> Text:
    return Text(f"{difference:.0e}", style="green" if difference <= CLOSE else "bold red")
