"""`backprop explain`."""

from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import AsJson

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop explain\n\nbackprop explain --activation tanh --loss mse --hidden 3,2\n\n"
    "backprop explain --json"
)
def explain(
    activation: Annotated[
        str, typer.Option(help="sigma of the hidden layers, such as sigmoid, tanh or relu.")
    ] = "sigmoid",
    loss: Annotated[str, typer.Option(help="Such as cross_entropy, mse or binary_cross_entropy.")] = "cross_entropy",
    output_activation: Annotated[str | None, typer.Option(help="phi; what fits the loss if not given.")] = None,
    hidden: Annotated[str, typer.Option(help="Units of the hidden layers, such as 3 or 3,2.")] = "2",
    seed: Annotated[str, typer.Option(metavar="INTEGER", help="Draws the weights and the sample.")] = "0",
    scalar: Annotated[bool, typer.Option("--scalar", help="Explain y = x^2 at x = 4 only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show backpropagation at work: every number of a tiny network and one sample.

    Of every stage the value, its local derivative and the gradient that the chain rule accumulates, beside the
    central difference, which must agree. docs/derivation.md derives what is shown.
    """
    with Exits(verbose=False):
        from flows.terminal.explain import run_explain

        run_explain(
            console,
            activation=activation,
            loss=loss,
            output_activation=output_activation,
            hidden=hidden,
            seed=seed,
            scalar=scalar,
            as_json=as_json,
        )
