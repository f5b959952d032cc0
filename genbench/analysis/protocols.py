"""One table for each scoring protocol."""

from __future__ import annotations

from collections.abc import Sequence

from genbench.store import canonical
from genbench.store.protocol import Protocol
from genbench.store.records import Record


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
