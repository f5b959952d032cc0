"""The scoring protocol: what must be equal for two scores to be comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from genbench.store import canonical

Protocol: TypeAlias = Mapping[str, Any]
"""Name of a part → its value, as in ``Scores.protocol`` and ``Record.protocol``."""

HEADLINE = "frechet_distance"
COLLAPSE_SCORE, COLLAPSE_BELOW = "coverage", 0.25
"""The criteria of a suite that does not name others."""


@dataclass(frozen=True)
class Criteria:
    """The criteria by which runs are judged, from ``[score]`` of their suite."""

    headline: str = HEADLINE
    """The score that stability, curves, planes and rankings use."""
    collapse_score: str = COLLAPSE_SCORE
    """The score of collapse, of which higher is better."""
    collapse_below: float = COLLAPSE_BELOW
    """A run has collapsed below this share of the real row's."""

    def to_dict(self) -> dict[str, Any]:
        """The criteria that differ from the defaults, as part of a protocol: runs with other
        criteria never share a table."""
        return {name: value for name, value in vars(self).items() if value != getattr(USUAL, name)}


USUAL = Criteria()


def criteria(protocol: Protocol) -> Criteria:
    """The criteria of a protocol's runs."""
    return Criteria(**{name: protocol[name] for name in vars(USUAL) if name in protocol})


def protocol_differences(a: Protocol, b: Protocol) -> list[str]:
    """The differences of two protocols, one line each: ``samples: 500 against 1000``. Empty if they
    are equal, so that their scores may share a column."""
    flat_a, flat_b = flat(a), flat(b)
    return [
        f"{name}: {_said(flat_a, name)} against {_said(flat_b, name)}"
        for name in dict.fromkeys([*flat_a, *flat_b])
        if canonical(flat_a.get(name)) != canonical(flat_b.get(name))
    ]


def describe(protocol: Protocol) -> str:
    """The protocol in one line, every part of it."""
    if not protocol:
        return "Protocol: none, nothing was scored."
    said = [f"{name} {_said(protocol, name)}" for name in protocol if name != "metrics"]
    if "metrics" in protocol:
        said.append(f"metrics {_said(protocol, 'metrics')}")
    return f"Protocol: {'; '.join(said)}."


def brief(protocol: Protocol) -> str:
    """A short description of the protocol: ``500 samples against 899 of digits:test, in the
    features of digits``. Hashes are left out; ``describe`` has them."""
    if not protocol:
        return "nothing was scored"
    return (
        f"{_said(protocol, 'samples')} samples against {_said(protocol, 'reference_count')} of "
        f"{name_of(protocol, 'reference')}, in the features of {name_of(protocol, 'extractor')}"
    )


def name_of(protocol: Protocol, part: str) -> str:
    """The name of a data set or an extractor, without the hash of its contents: ``digits:test``."""
    return _said(protocol, part).partition("@")[0]


def lines(protocol: Protocol) -> list[str]:
    """Every part of the protocol, a line each."""
    return [f"{name}: {_said(protocol, name)}" for name in protocol]


def flat(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with the items of inner mappings named ``outer.inner``."""
    entries: dict[str, Any] = {}
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            entries |= {f"{name}.{inner}": part for inner, part in value.items()}
        else:
            entries[name] = value
    return entries


def _said(protocol: Protocol, name: str) -> str:
    value = protocol.get(name)
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{metric} v{version}" for metric, version in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "×".join(str(part) for part in value)
    return str(value)
