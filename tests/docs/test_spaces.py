"""docs/spaces.md held to the code: its files are spaces, and its tables name what there is."""

import re
from pathlib import Path

from flows.distributions import IntegerDistribution, RealDistribution
from flows.parameters import Hyperparameters, OptunaTrials
from flows.space_document import parse_space
from flows.spaces import expand

DOCUMENT = (Path(__file__).parents[2] / "docs" / "spaces.md").read_text(encoding="utf-8")
FILES = re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


def test_every_file_shown_is_a_space():
    assert [len(expand(parse_space(text, "docs"))) for text in FILES] == [24, 30, 3, 21, 0, 1]


def test_what_is_left_to_optuna_is_as_the_document_says():
    [wanted] = [space.optuna for text in FILES if (space := parse_space(text, "docs")).optuna is not None]
    defaults = OptunaTrials.model_validate({"count": 100, "hidden": [8], "learning_rate": {"uniform": [0.1, 1]}})

    assert (wanted.count, wanted.batches, wanted.at_random) == (96, 6, 16)
    assert f"`batch` ({defaults.batch})" in DOCUMENT
    assert f"`startup` ({defaults.startup})" in DOCUMENT


def test_every_hyperparameter_is_there_with_its_default():
    section = DOCUMENT.partition("| if left out |")[2].partition("## `random:`")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    trial = Hyperparameters(hidden=(), learning_rate=1)
    momentum, adamw = (
        Hyperparameters(hidden=(), learning_rate=1, optimizer=name).optimizer_numbers for name in ("momentum", "adamw")
    )
    defaults = {**trial.model_dump(exclude={"hidden", "learning_rate"}), **momentum, **adamw}
    assert {name: text.strip("`") for name, text in rows.items()} == {
        name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in defaults.items()
    }


def test_every_distribution_is_in_the_table():
    named = set(re.findall(r"^\| `\{(\w+): ", DOCUMENT, re.MULTILINE))
    assert named == {*RealDistribution.model_fields, *IntegerDistribution.model_fields}
