"""A report made of a search: everything read and measured, put into words and charts, and onto one page."""

from flows.evaluation.networks import read_network
from flows.report import answers, sections
from flows.report.costs import costs_of
from flows.report.curves import read_curves, read_watched
from flows.report.hyperparameters import measure_importances, varying
from flows.report.leads import measure_leads
from flows.report.page import Question, page, paragraph
from flows.report.searched import Searched
from flows.report.tested import answer_test_rows


def make_report(searched: Searched) -> str:
    """Return the report of a search as HTML.

    Raises
    ------
    RunError
        What it is made of is not in MLflow any more.
    DatasetError
        The dataset is gone or damaged.
    """
    leads = measure_leads(searched)
    found = measure_importances(searched.ranked, searched.goal)
    curves, watched = read_curves(searched), read_watched(searched)
    tested, costs = answer_test_rows(searched), costs_of(searched)
    names = varying([*searched.ranked, *searched.diverged])
    questions = [
        Question("Which won?", answers.which_won(searched), "leaderboard"),
        Question("By how much, and is it real?", answers.by_how_much(leads), "lead"),
        Question("How good is it?", answers.how_good(tested), "test"),
        Question("Which hyperparameter mattered most?", answers.what_mattered(found, names), "hyperparameters"),
        Question("What does it confuse?", answers.what_it_confuses(tested), "confuses"),
        Question("What did it cost?", answers.what_it_cost(costs), "cost"),
    ]
    dataset = searched.dataset
    lead = paragraph(
        f"The search of the space {searched.facts.space} on {dataset.schema.name}: {dataset.rows['train']:,} training "
        f"rows, {len(searched.trials):,} trials.",
        "quiet",
    )
    return page(
        f"Search on {dataset.schema.name}",
        lead,
        questions,
        [
            sections.leaderboard_section(searched),
            sections.lead_section(leads),
            sections.test_section(searched, tested),
            sections.hyperparameters_section(searched, found),
            sections.confusion_section(tested),
            sections.mistakes_section(searched, tested),
            sections.curves_section(curves),
            sections.gap_section(searched, curves.winner),
            sections.weights_section(dataset.preparation, read_network(searched.run, searched.winner)),
            *([sections.layers_section(watched)] if watched is not None else []),
            sections.cost_section(costs),
            sections.data_section(searched),
            sections.command_section(searched),
        ],
    )
