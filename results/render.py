"""Write what stands in this folder's Markdown files between markers anew, from the data.

    python results/render.py

What follows ``<!-- $ genbench … -->``, up to ``<!-- end -->``, is what that command prints, typed
where the repository begins.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from genbench.cli import main
from genbench.storage import write_text

HERE = Path(__file__).resolve().parent
FILES = sorted(HERE.glob("*.md"))
BLOCK = re.compile(r"(<!-- \$ genbench (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(text: str) -> str:
    """The text with every block as its command prints it now. The commands read files by their
    names from the root of the repository."""
    return BLOCK.sub(lambda block: block[1] + _printed(block[2]) + block[3], text)


def _printed(command: str) -> str:
    done = CliRunner().invoke(main, shlex.split(command), catch_exceptions=False)
    if done.exit_code:
        raise SystemExit(f"genbench {command}: {done.output}")
    return f"\n{done.stdout.strip()}\n\n"


if __name__ == "__main__":
    os.chdir(HERE.parent)
    for path in FILES:
        write_text(path, rendered(path.read_text(encoding="utf-8")))
