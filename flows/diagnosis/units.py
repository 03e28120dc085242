"""Hidden units that let no gradient through: relus that never fire, units that are saturated (`backprop.layers`)."""

from flows.diagnosis.finding import Evidence, Finding, Severity
from flows.diagnosis.probes import Probe, ProbedRate
from flows.diagnosis.rates import is_too_high

HINT, WARNING, PROBLEM = 0.35, 0.6, 0.95
"""Share of a layer's units. A fifth of a relu layer may well be dead in a network that learns."""

SATURATING = ("sigmoid", "tanh")


def check_units(probe: Probe) -> list[Finding]:
    """Look at the layers at the end of the trainings that the space asks for, of one kind of network."""
    saturating = probe.kind.activation in SATURATING
    check = "saturated units" if saturating else "dead units"
    trained = [rate for rate in probe.asked if rate.diverged_at is None and _is_known(rate)]
    if not trained:
        return []
    most = max(trained, key=lambda rate: _worst(rate)[1])
    layer, share = _worst(most)
    evidence: Evidence = {"network": probe.name, "learning_rate": most.rate, "layer": layer, "share": share}
    if share < HINT:
        return [Finding(check=check, severity="ok", what="few units are dead", evidence=evidence)]
    # If the space has a rate at which they live, it is that rate only.
    everywhere = min(_worst(rate)[1] for rate in trained)
    severity: Severity = "problem" if everywhere >= PROBLEM else "warning" if everywhere >= WARNING else "hint"
    first = most.layers("dead_share")[layer][0]
    since = "from the first epoch" if first >= share / 2 else f"{first:.0%} after the first epoch"
    alive_at = [rate.rate for rate in trained if _worst(rate)[1] < HINT and not is_too_high(probe, rate)]
    kind = "saturated on every row" if saturating else "dead: they are 0 on every row, and no gradient comes through"
    return [
        Finding(
            check=check,
            severity=severity,
            what=f"{probe.name} at {most.rate:g}: {share:.0%} of the units of layer {layer} are {kind} ({since})",
            evidence={**evidence, "share_after_first_epoch": first, "least_share_of_any_rate": everywhere},
            remedy=_remedy(alive_at, saturating),
        )
    ]


def _is_known(rate: ProbedRate) -> bool:
    """Return whether there are units, and something is known of all layers: of a sum that overflowed nothing is."""
    shares = rate.layers("dead_share").values()
    return bool(shares) and all(shares)


def _worst(rate: ProbedRate) -> tuple[int, float]:
    """Return the layer with the largest share at the end, and that share."""
    shares = {layer: values[-1] for layer, values in rate.layers("dead_share").items() if values}
    layer = max(shares, key=lambda layer: shares[layer], default=0)
    return layer, shares.get(layer, 0.0)


def _remedy(alive_at: list[float], saturating: bool) -> str:
    if alive_at:
        return f"learning_rate: [{', '.join(f'{rate:g}' for rate in alive_at)}] in the space, where they live"
    instead = "relu" if saturating else "leaky_relu, elu"
    return f"a smaller learning_rate, inputs that are scaled, or activation: [{instead}] in the space"
