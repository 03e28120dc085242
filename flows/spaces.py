"""Search spaces: from a bundled name or a YAML file to the list of trials."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from itertools import chain, product
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from flows.distributions import Distribution
from flows.errors import SpaceError
from flows.form import choice_or_text
from flows.parameters import OPTIMIZER_NUMBERS, Grid, Hyperparameters, RandomTrials, Space, default_numbers
from flows.space_document import parse_space

_PACKAGE = Path(__file__).parent


def bundled_spaces() -> dict[str, Path]:
    """Return the spaces that ship with the project, by name."""
    installed, checkout = _PACKAGE / "bundled_spaces", _PACKAGE.parent / "deployments" / "spaces"
    directory = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(directory.glob("*.yaml"))}


SpaceName = Annotated[str, choice_or_text(list(bundled_spaces()), "file")]
"""A bundled name or the path of a YAML file, as a flow's parameter."""


def load_space(space: str) -> Space:
    """Read a space by bundled name or by the path of a YAML file.

    Raises
    ------
    SpaceError
        There is no such space, or it is not valid; one line that names the file, the line and the field.
    """
    path = bundled_spaces().get(space) or Path(space)
    if not path.is_file():
        raise SpaceError(f"space {space!r}: {_no_such_space(space)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SpaceError(f"{path}: the space cannot be read: {error.strerror}; give a file that can") from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpaceError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from error
    return parse_space(text, path)


def require_optuna() -> None:
    """Check that Optuna is installed, without importing it.

    Raises
    ------
    SpaceError
        It is not.
    """
    if find_spec("optuna") is None:
        raise SpaceError(
            "optuna: the space leaves trials to Optuna, which is not installed; install it with "
            "`pip install 'backprop[optuna]'`, or use `random:`"
        )


def expand(space: Space) -> list[Hyperparameters]:
    """Return the trials of a space, each once, in the order of the file; without those that Optuna will ask for."""
    forms = (form for form in space.forms if form in _EXPANSIONS)
    return list(dict.fromkeys(chain.from_iterable(_EXPANSIONS[form](getattr(space, form)) for form in forms)))


def _product(grid: Grid) -> Iterator[Hyperparameters]:
    names = list(Grid.model_fields)
    for values in product(*(getattr(grid, name) or (None,) for name in names)):
        yield trial_of(dict(zip(names, values, strict=True)))


def draws(random: RandomTrials) -> Iterator[Hyperparameters]:
    """Draw every hyperparameter from a stream of its own.

    So more trials are the same ones and others, and another range of one hyperparameter changes no other.
    """
    names = [name for name in RandomTrials.model_fields if name in Hyperparameters.model_fields and name != "seed"]
    chances = {
        name: np.random.Generator(np.random.PCG64([random.seed, *name.encode()])).random(random.count)
        for name in names
        if isinstance(getattr(random, name), Distribution)
    }
    for place in range(random.count):
        yield trial_of(
            {
                name: getattr(random, name).at(float(chances[name][place]))
                if name in chances
                else getattr(random, name)
                for name in names
            }
        )


def trial_of(values: dict[str, Any]) -> Hyperparameters:
    """Return the trial of these values, without the numbers that its optimiser does not have."""
    absent = set(OPTIMIZER_NUMBERS) - set(default_numbers(values["optimizer"]))
    return Hyperparameters(**{name: value for name, value in values.items() if name not in absent})


_EXPANSIONS: dict[str, Callable[[Any], Iterator[Hyperparameters]]] = {
    "grid": _product,
    "random": draws,
    "trials": iter,
}


def _no_such_space(space: str) -> str:
    names = list(bundled_spaces())
    nearest = get_close_matches(space, names, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"no such file or bundled space; {hint}use one of {', '.join(names)} or the path of a YAML file"
