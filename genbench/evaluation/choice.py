"""The names of scores → the metrics that compute them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genbench import registry
from genbench.api import Metric, Output
from genbench.api.errors import UnknownName, UsageError
from genbench.registry import PluginError, schema
from genbench.registry.outputs import declared


def resolve(outputs: Sequence[str], seed: int) -> dict[str, Metric]:
    """Fresh metrics that compute all of ``outputs``, by registered name.

    Names are those of outputs, as in ``precision``. Raises ``UnknownName``; ``UsageError`` when two
    metrics compute one output; and, if an output is missing, the error that kept a plugin from
    loading.
    """
    makers, broken = declared()
    chosen: dict[str, Metric] = {}
    for output in outputs:
        if output not in makers:
            unknown = _unknown(output, makers)
            raise PluginError("; ".join(map(str, [unknown, *broken]))) if broken else unknown
        name, *others = makers[output]
        if others:
            raise UsageError(f"{output!r} is computed by the metrics {name!r} and {others[0]!r}")
        if name not in chosen:
            factory = registry.metrics.get(name)
            seeded = {"seed": seed} if "seed" in schema(factory) else {}
            chosen[name] = registry.metrics.make(name, **seeded)
    return chosen


def _unknown(output: str, makers: Mapping[str, Mapping[str, Output]]) -> UnknownName:
    """The error, which for a name that the literature uses, such as ``FID``, offers ours."""
    named = {
        said.lower(): name
        for name, metrics in makers.items()
        for declared in metrics.values()
        for said in declared.names.values()
    }
    return UnknownName("metric", output, makers, meant=named.get(output.lower().replace("_", " ")))


def every_output() -> list[str]:
    """The names of all scores that can be requested, sorted. Those that two metrics claim, and
    those of a plugin that fails, are left out."""
    makers, _ = declared()
    return sorted(output for output, names in makers.items() if len(names) == 1)


def version_of(name: str, metric: Metric) -> str:
    """The version of the metric of that name, with its options, which are always the defaults."""
    options = schema(registry.metrics.get(name))
    said = ", ".join(f"{n} {option.default}" for n, option in options.items() if n != "seed")
    return f"{getattr(metric, 'version', 1)}{f' ({said})' if said else ''}"
