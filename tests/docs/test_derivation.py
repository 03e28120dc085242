"""docs/derivation.md held to the code: every number is recomputed, every quoted line and every name must be there.

A fence of numbers is introduced by `<!-- numbers: NAME -->`. Its lines are `name = formula = ... = number`: the
number must be what the core computes, to the digits shown, and so must every formula on the way to it.
"""

import importlib
import inspect
import math
import re
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import backprop
from backprop import Architecture, Backend, Network, Parameters
from backprop.activations import activation
from backprop.explain import Explanation, explain, explain_square
from backprop.losses import LOSSES, Staged, output_stage
from flows.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "derivation.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBERS = {
    name: lines.splitlines()
    for name, lines in re.findall(r"<!-- numbers: (\w+) -->\n```text\n(.*?)```", DOCUMENT, re.DOTALL)
}
LINES = [(name, line) for name, lines in NUMBERS.items() for line in lines]
PROSE = FENCE.sub("", DOCUMENT)
CPU = Backend(np)

GIVEN = {name: float(number) for name, number in (line.split(" = ") for line in NUMBERS["given"])}


# What the numbers must be


def test_every_fence_of_text_is_named_and_known():
    assert sum(kind == "text" for kind, _ in FENCE.findall(DOCUMENT)) == len(NUMBERS)
    assert set(NUMBERS) == {"scalar", "softmax", "stable", "given", "forward", "backward", "central", "update"}


@pytest.mark.parametrize(("fence", "line"), LINES)
def test_every_number_is_what_the_core_computes(fence, line):
    name, *formulas, shown = line.split(" = ")
    computed = expected(fence)[name]
    digits = len(shown.partition(".")[2])
    np.testing.assert_allclose(float(shown), computed, rtol=0, atol=0.501 * 10.0**-digits if digits else 1e-12)
    for formula in formulas:
        np.testing.assert_allclose(evaluate(formula, expected(fence)), float(shown), rtol=2e-6, atol=2e-6)


def test_no_quantity_of_the_worked_network_is_left_out():
    shown = {line.split(" = ")[0] for fence in ("forward", "backward") for line in NUMBERS[fence]}
    network, parameters, x, y = worked_network()
    of_all = {name for name in gradients(explain(network, parameters, x, y)) if name != "dL/dL"}
    assert of_all <= shown


def test_a_number_in_the_text_is_one_of_the_recomputed():
    """Counts below 3, layers' indices and the years of the reading list apart."""
    computed = {line.split(" = ")[-1] for _, line in LINES} | {number for number, _ in re.findall(SECTION, PROSE)}
    prose = re.sub(r"`[^`\n]*`|^## \d+\.|^- .*$|<!--.*?-->", "", PROSE, flags=re.MULTILINE)
    stray = [number for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", prose) if number not in computed | ALLOWED]
    assert stray == []


SECTION = r"(?:sections?|step) (\d+)( and \d+)?"
ALLOWED = {"0", "1", "2", "4", "6", "40", "1000"}
"""Counts, the point 4 of the scalar case, a section, and the logits of the extreme cases."""


@cache
def expected(fence: str) -> dict[str, float]:
    tables: dict[str, Callable[[], dict[str, float]]] = {
        "scalar": scalar,
        "softmax": softmax,
        "stable": stable,
        "given": lambda: dict(GIVEN),
    }
    return tables.get(fence, worked)()


def evaluate(formula: str, names: dict[str, float]) -> float:
    """Compute a formula of names and numbers; two factors side by side are a product."""
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    text = re.sub(rf"(?<!\w)(?:{pattern})(?![\w\[])", lambda name: f"({names[name[0]]!r})", formula)
    text = text.replace("phi'", "slope").replace("^", "**")
    text = re.sub(r"(?<=[\d)]) (?=\()", "*", text)
    functions = {"exp": math.exp, "log": math.log, "sigma": sigmoid, "phi": float, "slope": lambda _: 1.0}
    return float(eval(text, {"__builtins__": {}}, functions))  # noqa: S307 - the document is ours


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def scalar() -> dict[str, float]:
    given, y = explain_square().quantities
    return {"y": float(y.value), "dy/dx": float(given.gradient[0])}


def softmax() -> dict[str, float]:
    z, y = np.array([[[1.0, 0.0, -1.0]]]), np.array([[1.0, 0.0, 0.0]])
    phi = activation("softmax")
    yhat = phi.value(np, z)
    rows = phi.chain(np, np.eye(3)[:, None], np.tile(z, (3, 1, 1)), np.tile(yhat, (3, 1, 1)))[:, 0]
    loss, delta = output_stage("softmax", "cross_entropy").loss_and_delta(np, z, y)
    slopes = LOSSES["cross_entropy"].derivative(np, yhat, y)
    np.testing.assert_allclose(phi.chain(np, slopes, z, yhat), delta, rtol=1e-12)
    return {
        "L": float(loss[0, 0]),
        **entries("yhat", yhat[0, 0]),
        **entries("y", y[0]),
        **entries("J", rows),
        **entries("dL/dyhat", slopes[0, 0]),
        **entries("delta", delta[0, 0]),
    }


@np.errstate(all="ignore")
def stable() -> dict[str, float]:
    fused, staged = output_stage("softmax", "cross_entropy"), Staged(activation("softmax"), LOSSES["cross_entropy"])
    y, mild, extreme = np.array([[0.0, 1.0, 0.0]]), np.array([[[40.0, -40, 0]]]), np.array([[[1000.0, -1000, 0]]])
    numbers = {
        "fused L of (40, -40, 0)": float(fused.loss(np, mild, y)[0, 0]),
        "clipped L of (40, -40, 0)": -math.log(np.finfo(float).eps),
    }
    for name, stage in (("fused", fused), ("staged", staged)):
        loss, delta = stage.loss_and_delta(np, extreme, y)
        numbers[f"{name} L of (1000, -1000, 0)"] = float(loss[0, 0])
        numbers |= {f"{name} {entry} of (1000, -1000, 0)": d for entry, d in entries("delta", delta[0, 0]).items()}
    return numbers


def worked_network() -> tuple[Network, Parameters, np.ndarray, np.ndarray]:
    network = Network(Architecture(2, (2,), 1, "sigmoid", "identity", "mse"), CPU)
    w1, w2 = (
        np.array([[given("W1", i, j) for j in (1, 2)] for i in (1, 2)]),
        np.array([[given("W2", 1, 1)], [given("W2", 2, 1)]]),
    )
    b1, b2 = np.array([given("b1", 1), given("b1", 2)]), np.array([given("b2", 1)])
    parameters = Parameters([w1[None], w2[None]], [b1[None, None], b2[None, None]])
    return network, parameters, np.array([[given("x", 1), given("x", 2)]]), np.array([[given("y", 1)]])


def given(name: str, *places: int) -> float:
    return GIVEN[f"{name}[{','.join(map(str, places))}]"]


def worked() -> dict[str, float]:
    network, parameters, x, y = worked_network()
    explanation = explain(network, parameters, x, y)
    numbers = GIVEN | gradients(explanation)
    for quantity in explanation.quantities:
        numbers |= entries(quantity.name, quantity.value)
        if quantity.name in ("z1", "z2"):
            numbers |= entries(quantity.local_name, quantity.local)
    return numbers | moved() | updated()


def moved() -> dict[str, float]:
    """The losses a step up and a step down of W1[1,1], and their central difference."""
    network, parameters, x, y = worked_network()
    losses = {}
    for sign, step in (("+", GIVEN["e"]), ("-", -GIVEN["e"])):
        parameters.weights[0][0, 0, 0] = given("W1", 1, 1) + step
        losses[f"L(W1[1,1] {sign} e)"] = float(network.gradients(parameters, x, y)[0][0])
    above, below = losses.values()
    return losses | {"central difference": (above - below) / (2 * GIVEN["e"])}


def updated() -> dict[str, float]:
    """The parameters after the step of plain SGD that trains, and the loss they give."""
    network, parameters, x, y = worked_network()
    trace = network.forward(parameters, x)
    _, delta = network.output_stage.loss_and_delta(np, trace.logits, y)
    network.descend(parameters, trace, GIVEN["mu"] * delta, scratch=parameters.empty_like(CPU))
    numbers = {"new L": float(network.gradients(parameters, x, y)[0][0])}
    for k in (0, 1):
        numbers |= entries(f"new W{k + 1}", parameters.weights[k][0])
        numbers |= entries(f"new b{k + 1}", parameters.biases[k][0, 0])
    assert numbers["new L"] < float(network.output_stage.loss(np, trace.logits, y)[0, 0])
    return numbers


def gradients(explanation: Explanation) -> dict[str, float]:
    return {k: v for q in explanation.quantities for k, v in entries(f"dL/d{q.name}", q.gradient).items()}


def entries(name: str, values: np.ndarray) -> dict[str, float]:
    """Numbers by their names on paper, where counting starts at 1."""
    if values.ndim == 0:
        return {name: float(values)}
    return {
        f"{name}[{','.join(str(i + 1) for i in place)}]": float(values[place]) for place in np.ndindex(values.shape)
    }


# What the code must still say

MODULES = [
    importlib.import_module(f"backprop.{name}")
    for name in ("activations", "backend", "dropout", "losses", "network", "optimizers", "reductions", "stack")
]
QUOTE = re.compile(r"^`backprop/(\w+)\.py`, `([\w.]+)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUOTES = QUOTE.findall(DOCUMENT)


def test_every_fence_of_python_names_its_source():
    assert len(QUOTES) == sum(kind == "python" for kind, _ in FENCE.findall(DOCUMENT))


@pytest.mark.parametrize(("module", "name", "quote"), QUOTES)
def test_every_quoted_line_is_in_the_code(module, name, quote):
    quoted = resolve(importlib.import_module(f"backprop.{module}"), name)
    assert quoted is not None, f"backprop/{module}.py has no {name}"
    source = textwrap.dedent(inspect.getsource(quoted))
    if inspect.isclass(quoted):  # one line of each of its methods
        lines = iter([line.strip() for line in source.splitlines()])
        assert all(line.strip() in lines for line in quote.splitlines())
    else:
        assert any(textwrap.indent(quote, " " * deep) in source for deep in (4, 8))


@pytest.mark.parametrize("code", sorted(set(re.findall(r"`([^`\n]+)`", PROSE))))
def test_every_name_in_the_text_exists(code):
    if "/" in code and not code.startswith("dL"):
        assert (ROOT / code).exists()
    elif not (code.startswith("backprop explain") or code in {"i", "j", "W1[i,j]", "delta", "dL/dW1[1,1]"}):
        network = (ROOT / "backprop" / "network.py").read_text()
        pieces = code.split("...")
        assert is_a_name(code) or all(piece.removesuffix(")").rstrip(", ") in network for piece in pieces)


def is_a_name(code: str) -> bool:
    if not re.fullmatch(r"[\w.]+", code) or code == "k":
        return False
    return any(resolve(start, code) is not None for start in (*MODULES, backprop))


def resolve(start: object, dotted: str) -> object | None:
    """Follow a dotted name; a field of a dataclass counts as its class's."""
    found: object | None = start
    for part in dotted.split("."):
        fields = getattr(found, "__dataclass_fields__", {})
        found = fields.get(part) if part in fields else getattr(found, part, None)
    return found


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", PROSE))
def test_every_link_leads_to_a_file(target):
    assert (ROOT / "docs" / target).exists()


@pytest.mark.parametrize("line", re.findall(r"^\$ backprop (.+)$", DOCUMENT, re.MULTILINE))
def test_every_command_runs(line):
    assert CliRunner().invoke(app, line.split()).exit_code == 0


# That the formulas render on a code host

TEXT = re.sub(r"`[^`\n]*`", "", PROSE)
FORMULAS = [block or inline for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", TEXT)]
MACROS = set(
    re.findall(
        r"\w+",
        "bigl bigr Bigl Bigr cdot delta dots ell frac hat infty lambda log lvert mu odot partial phi qquad quad "
        "rvert sigma sum tanh text max",
    )
)
"""What is used, all of it in KaTeX's table of supported functions: a new one is to be looked up there first."""


def test_dollars_come_in_pairs_and_hug_their_formula():
    assert re.sub(r"\$\$.+?\$\$|\$[^$\n]+\$", "", TEXT).count("$") == 0
    for line in TEXT.splitlines():
        blockless = line.replace("$$", "")
        assert "$$" not in line or (line.startswith("$$") and line.endswith("$$") and "$" not in blockless)
    assert [f for f in re.findall(r"(?<!\$)\$([^$\n]+)\$(?!\$)", TEXT) if f != f.strip()] == []


@pytest.mark.parametrize("formula", sorted(set(FORMULAS)))
def test_every_formula_is_of_balanced_braces_and_known_macros(formula):
    depth = 0
    for character in formula:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert set(re.findall(r"\\([A-Za-z]+)", formula)) <= MACROS
    # Markdown takes a backslash before punctuation, and two of them, for its own; a < may begin a tag.
    assert not re.search(r"\\[^A-Za-z]|[<>|]", formula)
