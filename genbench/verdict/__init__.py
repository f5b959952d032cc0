"""Claims about groups of contestants, and what the records say of them."""

from __future__ import annotations

from genbench.verdict.change import Change, Changes, changes
from genbench.verdict.claims import Claim, Claims, load, offered
from genbench.verdict.judge import Contestant, Finding, Verdict, applicable, judge
from genbench.verdict.text import METHOD, as_claimed, heading, render, show, statement

__all__ = [
    "METHOD",
    "Change",
    "Changes",
    "Claim",
    "Claims",
    "Contestant",
    "Finding",
    "Verdict",
    "applicable",
    "as_claimed",
    "changes",
    "heading",
    "judge",
    "load",
    "offered",
    "render",
    "show",
    "statement",
]
