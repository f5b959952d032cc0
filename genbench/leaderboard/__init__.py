"""Published and measured scores side by side, where their protocols match."""

from __future__ import annotations

from genbench.leaderboard.published import Board, Published, Source, load
from genbench.leaderboard.reproduction import Reproduction, recipe, reproduced, row
from genbench.leaderboard.standings import Number, Standing, Standings, standings
from genbench.leaderboard.text import render, show

__all__ = [
    "Board",
    "Number",
    "Published",
    "Reproduction",
    "Source",
    "Standing",
    "Standings",
    "load",
    "recipe",
    "render",
    "reproduced",
    "row",
    "show",
    "standings",
]
