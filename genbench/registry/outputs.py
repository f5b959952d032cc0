"""The scores that can be requested, as the registered metrics declare them."""

from __future__ import annotations

from genbench import registry
from genbench.api import Output
from genbench.api.errors import GenbenchError, wrap_plugin_errors
from genbench.api.metrics import LIKELIHOOD, LIKELIHOOD_OUTPUT


def declared() -> tuple[dict[str, dict[str, Output]], list[GenbenchError]]:
    """Score → registered metric → the metric's description of the score; and the errors of plugins
    that cannot be loaded. Loads every metric."""
    found: dict[str, dict[str, Output]] = {}
    broken: list[GenbenchError] = []
    for metric in registry.metrics.names():
        try:
            with wrap_plugin_errors(f"metric {metric!r} failed"):
                outputs = dict(registry.metrics.get(metric).outputs)
        except GenbenchError as error:
            broken.append(error)  # only its own outputs are missing, which may not be wanted
            continue
        for name, output in outputs.items():
            found.setdefault(name, {})[metric] = output
    return found, broken


def known() -> dict[str, Output]:
    """Every score that can be requested, the likelihood included."""
    found = {name: next(iter(metrics.values())) for name, metrics in declared()[0].items()}
    return {**found, LIKELIHOOD: LIKELIHOOD_OUTPUT}
