"""Text escaped for Markdown and LaTeX; and tables of such text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import name
from urllib.parse import quote

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "µ": r"\textmu{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\to$",
    "∞": r"$\infty$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "½": r"$\frac12$",
    "²": r"$^2$",
    "—": "---",
} | {character: f"\\{character}" for character in "&%$#_{}"}
# At the start of a row these would be options of the line break before it.
_LATEX |= {character: f"{{{character}}}" for character in "[]*"}
# The Greek of formulas: Unicode names the letters as LaTeX does, but for λ.
_LATEX |= {
    letter: f"$\\{name(letter).rpartition(' ')[2].lower().replace('lamda', 'lambda')}$"
    for letter in "αβγδεζηθικλμνξπρστυφχψω"
}
_LATEX |= {
    letter: f"$\\{name(letter).rpartition(' ')[2].capitalize().replace('Lamda', 'Lambda')}$"
    for letter in "ΓΔΘΛΞΠΣΦΨΩ"
}

_MARKS = r"([\\|*`<>\[\]&~$]|(?<!\w)_|_(?!\w))"


def markdown(text: str) -> str:
    """In Markdown: no markup, no HTML, no cell or line break; an address stays one."""
    parts = re.split(r"(https://[^\s<>|]+)", " ".join(text.split()))
    return "".join(
        f"<{part}>" if number % 2 else re.sub(_MARKS, r"\\\1", part)
        for number, part in enumerate(parts)
    )


def address(link: str) -> str:
    """An address behind a text, in Markdown: nothing in it ends the link or begins HTML."""
    return re.sub(
        r"[^!#-;=?-Z_a-z~]|[()*]", lambda found: quote(found[0], "", errors="replace"), link
    )


def latex(text: str) -> str:
    """In LaTeX: letters of the T1 encoding, Greek, and the signs of our tables."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def markdown_table(align: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already, padded so that it reads as plain text too.

    ``align``: a letter a column, ``l`` or ``r``, as in LaTeX.
    """
    widths = [max(3, *map(len, column)) for column in zip(headings, *rows, strict=True)]
    sides = list(zip(align, widths, strict=True))
    rule = ["-" * (width - 1) + (":" if side == "r" else "-") for side, width in sides]
    lines = [[_padded(cell, *each) for cell, each in zip(row, sides, strict=True)] for row in rows]
    head = [_padded(cell, *each) for cell, each in zip(headings, sides, strict=True)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, rule, *lines])


def _padded(cell: str, side: str, width: int) -> str:
    return cell.rjust(width) if side == "r" else cell.ljust(width)
