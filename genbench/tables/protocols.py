"""The scoring protocol: what must be equal before two numbers share a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genbench.results import Record
from genbench.storage import canonical

Protocol = Mapping[str, Any]


def by_protocol(records: Sequence[Record]) -> list[tuple[Protocol, list[Record]]]:
    """The records of each protocol, in their order.

    A run that ended before it was scored has no protocol; it joins the first one of its suite.
    """
    first_of_suite: dict[str, Protocol] = {}
    for record in records:
        if record.protocol:
            first_of_suite.setdefault(record.suite, record.protocol)
    groups: dict[str, tuple[Protocol, list[Record]]] = {}
    for record in records:
        protocol = record.protocol or first_of_suite.get(record.suite, {})
        groups.setdefault(canonical(protocol), (protocol, []))[1].append(record)
    return list(groups.values())


def protocol_differences(a: Protocol, b: Protocol) -> list[str]:
    """What keeps two protocols apart, one line each: ``samples: 500 against 1000``. Empty where
    they are equal and their numbers may share a column."""
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
    parts = [f"{name} {_said(protocol, name)}" for name in protocol if name != "metrics"]
    versions = protocol.get("metrics")
    if isinstance(versions, Mapping):
        listed = ", ".join(f"{name} v{version}" for name, version in versions.items())
        parts.append(f"metrics {listed}")
    return f"Protocol: {'; '.join(parts)}."


def flat(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """With the entries of inner mappings named ``outer.inner``."""
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
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "×".join(str(part) for part in value)
    return str(value)
