"""What records decide: claims about groups of contestants, changes, sensitivity to settings."""

from __future__ import annotations

from genbench.verdict.change import Change, Changes, changes
from genbench.verdict.claims import Claim, Claims, load, offered
from genbench.verdict.judge import Contestant, Finding, Verdict, applicable, judge
from genbench.verdict.sensitivity import Sensitivity, Trial, sensitivities
from genbench.verdict.text import METHOD, as_claimed, heading, render, show, statement

__all__ = [
    "METHOD",
    "Change",
    "Changes",
    "Claim",
    "Claims",
    "Contestant",
    "Finding",
    "Sensitivity",
    "Trial",
    "Verdict",
    "applicable",
    "as_claimed",
    "changes",
    "heading",
    "judge",
    "load",
    "offered",
    "render",
    "sensitivities",
    "show",
    "statement",
]
