"""Write what is rendered in this folder anew, from the data.

    python results/render.py

What follows ``<!-- $ genbench … -->``, up to ``<!-- end -->``, is what that command prints, typed
where the repository begins. ``table.md`` and ``verdict.md`` beside the records are whole commands,
and so is ``record.schema.json``.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from genbench.cli import main
from genbench.store import write_text

HERE = Path(__file__).resolve().parent
PAGES = sorted(HERE.glob("*.md"))
WHOLE = {
    HERE / folder / f"{name}.md": f"{name} results/{folder} --format markdown"
    for kind, names in {"*": ("table", "verdict"), "tuning/*": ("table",)}.items()
    for folder in sorted(
        path.parent.relative_to(HERE).as_posix() for path in HERE.glob(f"{kind}/records.jsonl")
    )
    for name in names
} | {HERE / "record.schema.json": "schema"}
BLOCK = re.compile(r"(<!-- \$ genbench (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Every rendered file, and what it should hold now. The commands read files by their names
    from the root of the repository."""
    return {path: rendered(path.read_text(encoding="utf-8")) for path in PAGES} | {
        path: printed(command) for path, command in WHOLE.items()
    }


def rendered(text: str) -> str:
    """The text with every block as its command prints it now."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{printed(block[2]).strip()}\n\n{block[3]}", text)


def printed(command: str) -> str:
    """What a genbench command prints."""
    done = CliRunner().invoke(main, shlex.split(command), catch_exceptions=False)
    if done.exit_code:
        raise SystemExit(f"genbench {command}: {done.output}")
    return done.stdout


if __name__ == "__main__":
    os.chdir(HERE.parent)
    for path, text in pages().items():
        write_text(path, text)
