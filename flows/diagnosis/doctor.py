"""All checks in order, on a table and a space."""

from collections.abc import Callable, Iterator

from pydantic import BaseModel, ConfigDict

from flows.diagnosis.classes import check_classes
from flows.diagnosis.columns import check_columns
from flows.diagnosis.finding import SEVERITIES, Finding
from flows.diagnosis.gradients import check_gradients_of
from flows.diagnosis.inputs import check_inputs
from flows.diagnosis.labels import check_labels
from flows.diagnosis.leaking import check_leaks
from flows.diagnosis.learning import check_baseline, check_gap
from flows.diagnosis.one_batch import check_one_batch
from flows.diagnosis.probes import Probe, kinds_of, probe
from flows.diagnosis.rates import check_rates
from flows.diagnosis.table import Table
from flows.diagnosis.twins import check_twins
from flows.diagnosis.units import check_units
from flows.parameters import Space


class Diagnosis(BaseModel):
    """What the doctor says.

    Attributes
    ----------
    rows : int
        That were looked at, of those that train and validate.
    of_rows : int
        How many there are of them.
    networks : tuple of str
        The kinds of networks of the space that were probed.
    findings : tuple of Finding
        The worst first.
    """

    model_config = ConfigDict(frozen=True)

    data: str
    task: str
    space: str
    rows: int
    of_rows: int
    networks: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def has_problem(self) -> bool:
        """Whether training cannot lead anywhere like this."""
        return any(finding.severity == "problem" for finding in self.findings)


def diagnose(table: Table, space: Space, name: str, tell: Callable[[str], None]) -> Diagnosis:
    """Run every check, saying what is done at the moment."""
    findings: list[Finding] = []
    tell("looking at the columns")
    for check in (check_inputs, check_columns, check_leaks, check_classes, check_twins):
        findings += check(table)
    probes: list[Probe] = []
    for kind, rates in kinds_of(space):
        tell(f"training at many rates ({len(probes) + 1})")
        probes.append(probe(table, kind, rates))
    for probed in probes:
        findings += [*check_rates(probed), *check_units(probed), *check_gradients_of(table, probed)]
        tell("learning one minibatch by heart")
        findings += check_one_batch(table, probed)
    findings += [*check_baseline(probes), *check_gap(table, probes)]
    tell("looking for labels in doubt")
    best = min(probes, key=lambda probed: min(rate.lowest_validation_loss for rate in probed.rates))
    findings += check_labels(table, best)
    return Diagnosis(
        data=table.shape.name,
        task=table.task,
        space=name,
        rows=len(table.target),
        of_rows=table.shape.rows["train"] + table.shape.rows["validation"],
        networks=tuple(probed.name for probed in probes),
        findings=tuple(sorted(_merged(findings), key=lambda finding: SEVERITIES.index(finding.severity))),
    )


def _merged(findings: list[Finding]) -> Iterator[Finding]:
    """Yield the findings; of a check that is content with all kinds of networks, one is enough."""
    told = {finding.check for finding in findings if finding.severity != "ok"}
    content: set[str] = set()
    for finding in findings:
        if finding.severity == "ok":
            if finding.check in told or finding.check in content:
                continue
            content.add(finding.check)
        yield finding
