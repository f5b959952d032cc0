"""Published scores are data: a TOML file says what was read, where, and under which protocol."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from genbench import registry
from genbench.api import Output
from genbench.api.errors import GenbenchError, UnknownName, UsageError
from genbench.io.geneval import TASKS
from genbench.registry.outputs import known
from genbench.registry.texts import read_toml, titles
from genbench.registry.validation import validated
from genbench.store.protocol import HEADLINE

GENEVAL = "geneval"
GENEVAL_OUTPUTS = {GENEVAL: Output(True, "overall", "agreement", decimals=2, floor=None)} | {
    f"{GENEVAL}_{tag}": Output(True, name, "agreement", decimals=2, floor=None)
    for tag, name in TASKS.items()
}
"""The scores of GenEval, by name. No metric computes them."""

Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=10**12)]
Real = Annotated[float, Field(allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Source(_Section):
    """A document in which numbers were read."""

    title: Name
    address: Annotated[str, Field(pattern=r"^https://\S+$")]


class PublishedRow(_Section):
    """What one document says of one model, sampled one way."""

    model: Name
    """As the document calls it."""
    settings: str = ""
    """What tells it from others of that name."""
    family: Literal["diffusion", "gan", "other"]
    nfe: Annotated[Real, Field(gt=0)] | None = None
    """Network evaluations a sample."""
    scores: Annotated[dict[Name, Real], Field(min_length=1)]
    deviation: Annotated[Real, Field(ge=0)] | None = None
    """What stands after ± behind the score that ranks; ``selected`` says over what."""
    source: Name
    """Key of the document in which the numbers were read."""
    table: Name
    """Or the section, in that document."""
    quote: Name
    """The line or cell as it stands there; every score is in it."""
    quoted_from: str = ""
    """Where the document quotes another: that one."""
    count: Count | None = None
    """Generated samples behind the scores; ``None``: not stated."""
    reference: Literal["train", "test", "train+test", "validation"] | None = None
    """What they were compared with; ``None``: not stated."""
    protocol: dict[Name, Name] = {}
    """Values of the fields that the board names in ``protocol``; those that are missing are not
    stated."""
    selected: str = ""
    """How the reported weights or samples were chosen: ``minimum of three``, say; empty: not
    stated."""
    note: str = ""
    """What else a reader must know."""
    seen: bool
    """Whether the numbers were read there. Others are kept to be looked up, and never shown."""


class Leaderboard(_Section):
    """A leaderboard: one data set, one ranking."""

    title: Name
    dataset: Name
    """Runs on it are its measured rows."""
    conditional: bool = False
    """Whether its models are given labels, or another condition."""
    score: Name = HEADLINE
    """Ranks the rows."""
    extractor: str = "inception"
    """Of the published scores; empty if they compare no features with a reference, as GenEval's."""
    resize: Name = "torch-fidelity bilinear (TF1)"
    """How measured rows must have resized to stand beside them: as the published graph does."""
    protocol: tuple[Name, ...] = ()
    """Further fields of the rows' protocols, such as ``captions``. Where a board names some, a row
    that does not state its whole protocol has no rank."""
    sources: dict[Name, Source] = {}
    rows: tuple[PublishedRow, ...] = ()


def load(name: str) -> Leaderboard:
    """The leaderboard of that name, or in that TOML file.

    Raises ``UsageError`` for what is not TOML or no leaderboard, naming the key; ``UnknownName``.
    """
    source, content = read_toml(registry.leaderboards, name)
    board = validated(Leaderboard, source, content)
    scores = shown_scores()
    if board.score not in scores:
        raise UsageError(f"{source}: score: {UnknownName('score', board.score, scores)}")
    seen = set()
    for number, row in enumerate(board.rows):
        where = f"{source}: rows.{number} ({row.model})"
        if row.source not in board.sources:
            raise UsageError(f"{where}: {UnknownName('source', row.source, board.sources)}")
        for name in row.protocol:
            if name not in board.protocol:
                raise UsageError(f"{where}: {UnknownName('protocol field', name, board.protocol)}")
        for name in row.scores:
            if name not in scores:
                raise UsageError(
                    f"{source}: rows.{number}.scores.{name}: {UnknownName('score', name, scores)}"
                )
        quoted = _numbers(row.quote)
        missing = next((value for value in row.scores.values() if value not in quoted), None)
        if missing is not None:
            raise UsageError(f"{where}: {missing:g} is not in its quote")
        key = (row.model, row.settings, row.source, row.table, tuple(row.scores))
        if key in seen:
            raise UsageError(f"{where}: stands there twice")
        seen.add(key)
    used = {row.source for row in board.rows}
    unused = next((key for key in board.sources if key not in used), None)
    if unused is not None:
        raise UsageError(f"{source}: no row is from the source {unused!r}")
    return board


def shown_scores() -> dict[str, Output]:
    """The scores that leaderboards may show: those that can be requested, and GenEval's."""
    return known() | GENEVAL_OUTPUTS


def offered() -> dict[str, Leaderboard]:
    """The leaderboards that packages offer, by name; without those that cannot be read."""
    found = {}
    for name in titles(registry.leaderboards):
        with suppress(GenbenchError):
            found[name] = load(name)
    return found


def _numbers(quote: str) -> set[float]:
    """The decimal numbers in a text, thousands with or without commas."""
    return {float(found) for found in re.findall(r"\d+(?:\.\d+)?|\.\d+", quote.replace(",", ""))}
