import ast
import inspect
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

import backprop

ROOT = Path(__file__).parents[2]


def isort_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by the alphabet: as ruff sorts `__all__`."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_all_is_sorted_and_names_everything_public():
    public = [
        name for name, value in vars(backprop).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    ]
    assert backprop.__all__ == sorted(public, key=isort_order)


@pytest.mark.parametrize("name", [name for name in backprop.__all__ if callable(getattr(backprop, name))])
def test_every_public_function_and_class_has_a_docstring_of_its_own(name):
    doc = inspect.getdoc(getattr(backprop, name))
    assert doc
    # A dataclass without one is given its signature as docstring.
    assert not doc.startswith(f"{name}(")


def test_every_public_constant_is_followed_by_its_docstring():
    body = ast.parse(Path(backprop.__file__).read_text()).body
    documented = {
        target.id
        for statement, after in pairwise(body)
        if isinstance(statement, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        for target in statement.targets
    }
    assert {name for name in backprop.__all__ if name.isupper()} <= documented


def test_importing_the_core_imports_no_pipeline_and_no_gpu_library():
    listing = subprocess.run(
        [sys.executable, "-c", "import backprop, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    strangers = {"prefect", "dask", "distributed", "mlflow", "pandas", "cupy", "torch", "flows"}
    assert strangers.isdisjoint(listing.stdout.split())
    assert "backprop" in listing.stdout.split()


def test_the_version_is_the_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert backprop.__version__ == project["version"]
