from dataclasses import replace

from flows.compute.stack_training import StackOutcome
from flows.data.store import Dataset
from flows.pages.links import MlflowPages
from flows.pages.summary import Ended, summary, with_decision
from flows.report.searched import Searched, SearchFacts, members_of
from flows.search import SearchOutcome
from flows.tracking.registry import RegisteredVersion
from flows.tracking.search_runs import SearchRun
from flows.tracking.store import Tracking
from tests.flows.terminal.test_leaderboard import record, selected

PAGES = MlflowPages("http://mlflow/", "7")


RUN = SearchRun(tracking=Tracking(uri="sqlite:////x/mlflow.db", experiment_id="7", experiment="wine"), run_id="parent")


def ended(dataset: Dataset) -> Ended:
    records = [record(place, accuracy) for place, accuracy in enumerate((0.98, 0.97, 0.9, 0.5))]
    selection = selected(records)
    stack = StackOutcome(
        name="stack-0", worker="tcp://a", trials=4, seconds=3.0, training_seconds=2.0, peak_bytes=2**28, diverged=1
    )
    facts = SearchFacts(
        space="my_space.yaml",
        dataset=dataset.reference,
        ranked=members_of(selection.ranked),
        winner=selection.winner.key,
        registered=RegisteredVersion(name="wine", version=3),
        stacks=(stack,),
        seconds={"search": 70.0, "select": 2.0},
    )
    return Ended(
        searched=Searched(RUN, facts, dataset, (), selection.ranked, selection.diverged, selection.winner),
        outcome=SearchOutcome(trials=5, trained=4, stacks=(stack,)),
        test=selection.test,
        view="trials-parent",
    )


def test_it_says_which_won_by_how_much_and_leads_to_it(wine: Dataset) -> None:
    said = summary(ended(wine), PAGES, "http://prefect/runs/flow-run/f")

    first = said.splitlines()[2]
    assert first.startswith(f"**Winner**: [trial 0](http://mlflow/#/experiments/7/runs/{0:032x}), val/accuracy 0.9800")
    assert "test/accuracy 0.9753" in first
    assert "test/rmse/height" not in first
    assert "[wine version 3](http://mlflow/#/models/wine/versions/3)" in first
    assert "0.01 ahead of the next and 0.08 ahead of the middle of the 4" in said
    assert "[Prefect's page of the run](http://prefect/runs/flow-run/f)" in said
    assert "| 2 | [trial 1](" in said
    assert "5 trials, 4 of them trained by this run: my\\_space.yaml on wine" in said
    assert "Search and selection took 72 s, with 2.0 s of training on 1 worker." in said
    assert "Report" not in said


def test_a_report_is_led_to_first_where_there_is_one(wine: Dataset) -> None:
    said = summary(replace(ended(wine), report="report/report.html"), PAGES)

    assert said.splitlines()[0].startswith("[Report](http://mlflow/#/experiments/7/runs/parent/artifacts/report/report")
    assert "Prefect" not in said


def test_where_nobody_knows_mlflows_address_it_names_store_and_run(wine: Dataset) -> None:
    said = summary(ended(wine), None)

    assert "](" not in said
    assert "In MLflow, of `sqlite:////x/mlflow.db`: run `parent`" in said


def test_a_name_cannot_break_the_table(wine: Dataset) -> None:
    given = ended(wine)
    first, second, *_ = given.searched.ranked
    odd = replace(second, name="a|b[c]_d")
    said = summary(replace(given, searched=replace(given.searched, ranked=(first, odd))), PAGES)

    assert r"[a\|b\[c\]\_d](" in said


def test_what_was_decided_stands_below_the_links_and_takes_the_place_of_what_was_decided_before(wine: Dataset) -> None:
    said = summary(ended(wine), PAGES)
    refused = with_decision(said, "refused: no gain", None)

    promoted = with_decision(refused, "promoted: the first champion", "#/decision.html")

    links, decided, rest = promoted.split("\n\n", 2)
    assert decided == "**The retraining** promoted: the first champion ([how it was decided](#/decision.html))."
    assert f"{links}\n\n{rest}" == said
