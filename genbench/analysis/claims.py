"""Claims are data: a TOML file says which group of models has more or less of what than which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from genbench import registry
from genbench.api.errors import GenbenchError, UnknownName, UsageError
from genbench.registry.texts import read_toml, titles
from genbench.registry.validation import validated

Name = Annotated[str, Field(min_length=1)]


class NamedEntry(BaseModel):
    """One entry, by its name in a suite: of one model, sampled in one way."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: Name


Member = Name | NamedEntry
"""Of a group: all entries of a model, by its name in suites, or one entry."""


class Claim(BaseModel):
    """Group ``group`` has a higher or lower ``quantity`` than group ``against``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    """``more faithful``, say."""
    group: Name
    against: Name
    quantity: Name
    """A column of the comparison table, by its key (``precision``, ``max_drawdown.ema``,
    ``training_flops``), or ``deviation.SCORE``: how far a run's score lies from the median of its
    entry's seeds, relative to that median."""
    direction: Literal["higher", "lower"] = Field(alias="is")
    scored_only: bool = False
    """Whether entries without the quantity are left out, and named; else one of them leaves the
    claim undecided."""


class Claims(BaseModel):
    """A file of claims, which are decided together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Name
    groups: dict[Name, Annotated[list[Member], Field(min_length=1)]]
    """Name of a group → what is in it."""
    claims: Annotated[list[Claim], Field(min_length=1)]


def load(name: str) -> Claims:
    """The claims of that name, or in that TOML file.

    Raises ``UsageError`` for what is not TOML or not claims, naming the key; ``UnknownName``.
    """
    source, content = read_toml(registry.claims, name)
    claims = validated(Claims, source, content)
    for claim in claims.claims:
        for group in (claim.group, claim.against):
            if group not in claims.groups:
                raise UsageError(f"{source}: {UnknownName('group', group, claims.groups)}")
        if claim.group == claim.against:
            raise UsageError(f"{source}: {claim.name!r} holds a group against itself")
    members = [member for group in claims.groups.values() for member in group]
    for kind, names in (
        ("model", [member for member in members if isinstance(member, str)]),
        ("entry", [member.entry for member in members if isinstance(member, NamedEntry)]),
    ):
        twice = repeated(names)
        if twice is not None:
            raise UsageError(f"{source}: {kind} {twice!r} is in two groups, or in one twice")
    name_of_two = repeated(claim.name for claim in claims.claims)
    if name_of_two is not None:
        raise UsageError(f"{source}: two claims are named {name_of_two!r}")
    return claims


def repeated(names: Iterable[str]) -> str | None:
    """The first of ``names`` that is there twice."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def offered() -> tuple[list[Claims], list[str]]:
    """The claims that packages offer, by name, and why others cannot be read."""
    claims, faults = [], []
    for name in titles(registry.claims):
        try:
            claims.append(load(name))
        except GenbenchError as error:
            faults.append(str(error))
    return claims, faults
