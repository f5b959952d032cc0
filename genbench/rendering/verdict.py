"""Verdicts to read, on a terminal or as Markdown, and to compute with, as JSON."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict
from json import dumps
from typing import TYPE_CHECKING

from genbench.analysis.statistics import LEVEL
from genbench.analysis.verdict import Contestant, Finding, Verdict
from genbench.api.errors import UnknownName
from genbench.rendering import markup
from genbench.store.protocol import describe

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100
"""Of what is rendered for a terminal to a string; a console has its own."""

COLOURS = {"supported": "green", "contradicted": "red", "undecided": "yellow"}

METHOD = (
    "As claimed: the share of pairs of runs, one of each group, in which the claim holds, ties "
    f"counting half, with its {LEVEL:.0%} interval over seeds (Brunner & Munzel), uncorrected. p: "
    "permutation test over seeds, adjusted by Holm over the tested claims; decided below "
    f"{1 - LEVEL:.2g}. Diverged runs rank last. It speaks of these contestants, "
    "equally weighted, at this budget."
)


def render(verdicts: Sequence[Verdict], format: str) -> str:
    """In one of ``FORMATS``, ending in a newline. Raises ``UnknownName``."""
    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    return FORMATS[format](verdicts)


def show(verdicts: Sequence[Verdict], console: Console | None = None) -> None:
    """Print the findings. ``console``: standard output by default."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    for verdict in verdicts:
        console.print(Text(heading(verdict), style="bold"))
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name in ("claim", "verdict", "as claimed", "why"):
            table.add_column(name, vertical="top")
        for finding in verdict.findings:
            outcome = Text(finding.outcome, style=COLOURS[finding.outcome])
            said = Text(f"{finding.claim.name}\n").append(statement(finding), style="dim")
            table.add_row(said, outcome, as_claimed(finding), Text(finding.reason))
        console.print(table)
        console.print(Padding(Text(f"\n{METHOD}", style="dim"), (0, 0, 0, 1)))
        console.print()


def heading(verdict: Verdict) -> str:
    """``Diffusion models against GANs, quickstart on digits``."""
    return f"{verdict.title}, {verdict.suite} on {' and '.join(verdict.datasets)}"


def statement(finding: Finding) -> str:
    """What the claim says: ``diffusion: lower Fréchet distance than GAN``."""
    claim = finding.claim
    return f"{claim.group}: {claim.direction} {finding.heading} than {claim.against}"


def as_claimed(finding: Finding) -> str:
    """``92 % [85, 97]``: how often the claim holds; empty where nothing was compared."""
    found = finding.comparison
    if found is None or finding.share is None:
        return ""
    told = f"{100 * finding.share:.0f} %"
    if found.low is None or found.high is None:
        return told
    ends = [found.low, found.high]
    if finding.claim.direction == "lower":
        ends = [1 - found.high, 1 - found.low]
    return f"{told} [{100 * ends[0]:.0f}, {100 * ends[1]:.0f}]"


def _terminal(verdicts: Sequence[Verdict]) -> str:
    from rich.console import Console

    file = io.StringIO()
    show(verdicts, Console(file=file, width=WIDTH, color_system=None))
    return file.getvalue()


def _markdown(verdicts: Sequence[Verdict]) -> str:
    return "\n".join(_markdown_verdict(verdict) for verdict in verdicts)


def _markdown_verdict(verdict: Verdict) -> str:
    headings = ["claim", "", "verdict", "as claimed", "why"]
    rows = [
        [
            *map(markup.markdown, (finding.claim.name, statement(finding))),
            f"**{finding.outcome}**",
            *map(markup.markdown, (as_claimed(finding), finding.reason)),
        ]
        for finding in verdict.findings
    ]
    parts = [
        f"## {markup.markdown(heading(verdict))}\n",
        markup.markdown_table("lllrl", headings, rows),
    ]
    parts.append(f"{METHOD}\n\n{markup.markdown(describe(verdict.protocol))}\n")
    for finding in verdict.findings:
        if finding.comparison is not None:
            parts.append(_markdown_contestants(finding))
    return "\n".join(parts)


def _markdown_contestants(finding: Finding) -> str:
    sides = (finding.claim.group, finding.group), (finding.claim.against, finding.against)
    rows = [
        [*map(markup.markdown, (contestant.label, group)), *_told(contestant)]
        for group, contestants in sides
        for contestant in contestants
    ]
    headings = ["", "group", "median", "interquartile mean", "seeds"]
    title = f"{finding.claim.name}: {finding.heading}"
    table = markup.markdown_table("llrrr", headings, rows)
    return f"### {markup.markdown(title)}\n\n{table}"


def _told(contestant: Contestant) -> list[str]:
    told = [
        "—" if value is None else f"{value:.4g}"
        for value in (contestant.median, contestant.interquartile_mean)
    ]
    if contestant.interval is not None:
        low, high = contestant.interval
        told[-1] += " " + markup.markdown(f"[{low:.4g}, {high:.4g}]")
    return [*told, _finite_of(contestant)]


def _finite_of(contestant: Contestant) -> str:
    """``5``, or ``4 of 5`` where a run came to no value."""
    n = len(contestant.values)
    finite = sum(value is not None for value in contestant.values)
    return str(n) if finite == n else f"{finite} of {n}"


def _json(verdicts: Sequence[Verdict]) -> str:
    rows = [
        {
            "title": verdict.title,
            "suite": verdict.suite,
            "datasets": verdict.datasets,
            "protocol": verdict.protocol,
            "findings": [_finding_row(finding) for finding in verdict.findings],
        }
        for verdict in verdicts
    ]
    return dumps(rows, ensure_ascii=False, indent=1) + "\n"


def _finding_row(finding: Finding) -> dict[str, object]:
    return asdict(finding) | {"claim": finding.claim.model_dump(by_alias=True)}


FORMATS: dict[str, Callable[[Sequence[Verdict]], str]] = {
    "terminal": _terminal,
    "markdown": _markdown,
    "json": _json,
}
