"""Search spaces: from a bundled name or a YAML file to the list of trials."""

from difflib import get_close_matches
from itertools import product
from pathlib import Path

import yaml
from pydantic import ValidationError

from flows.errors import SpaceError
from flows.parameters import (
    Grid,
    Halving,
    Hyperband,
    Hyperparameters,
    Median,
    Space,
    Strict,
    describe_validation_error,
)

_PACKAGE = Path(__file__).parent

_PARTS: dict[tuple[str, ...], type[Strict]] = {
    ("grid",): Grid,
    ("stop", "halving"): Halving,
    ("stop", "hyperband"): Hyperband,
    ("stop", "median"): Median,
}


def bundled_spaces() -> dict[str, Path]:
    """Return the spaces that ship with the project, by name."""
    installed, checkout = _PACKAGE / "bundled_spaces", _PACKAGE.parent / "deployments" / "spaces"
    directory = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(directory.glob("*.yaml"))}


def load_space(space: str) -> Space:
    """Read a space by bundled name or by the path of a YAML file.

    Raises
    ------
    SpaceError
        There is no such space, or it is not valid; one line that names the file and the field.
    """
    path = bundled_spaces().get(space) or Path(space)
    if not path.is_file():
        raise SpaceError(f"space {space!r}: {_no_such_space(space)}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpaceError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise SpaceError(f"{path}: holds no mapping; start it with `grid:` and a list of values per hyperparameter")
    try:
        return Space.model_validate(content)
    except ValidationError as error:
        raise SpaceError(f"{path}: {_explain(error)}") from error


def expand(space: Space) -> list[Hyperparameters]:
    """Return the trials of a space, each once, in the order of the file.

    Raises
    ------
    SpaceError
        The space has no trials.
    """
    grid = space.grid
    for name in Grid.model_fields:
        if not getattr(grid, name):
            raise SpaceError(f"the space has no trials: grid.{name} is an empty list; give it at least one value")
    names = list(Grid.model_fields)
    trials = (
        Hyperparameters(**dict(zip(names, values, strict=True)))
        for values in product(*(getattr(grid, name) for name in names))
    )
    return list(dict.fromkeys(trials))


def _no_such_space(space: str) -> str:
    names = list(bundled_spaces())
    nearest = get_close_matches(space, names, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"no such file or bundled space; {hint}use one of {', '.join(names)} or the path of a YAML file"


def _explain(error: ValidationError) -> str:
    unknown = [found for found in error.errors() if found["type"] == "extra_forbidden"]
    if unknown:
        # Before a missing field, which is often the same name misspelt.
        *place, name = (str(part) for part in unknown[0]["loc"])
        known = list(_PARTS.get(tuple(place), Space).model_fields)
        nearest = get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        return f"{'.'.join([*place, name])} is unknown: {hint}use {', '.join(known)}"
    return describe_validation_error(list(error.errors()))
