"""``python -m genbench``: the command line, as torchrun wants it."""

from __future__ import annotations

from genbench.cli import main

main(prog_name="genbench")
