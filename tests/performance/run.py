"""Measure genbench against its peers and print one table, row by row as it is measured.

    python tests/performance/run.py [--tiny] [--json] [--out FILE] [PART…]

Ours and theirs run in turn in one process each part, and the least time of each counts. On a
machine with other work the ratios say little.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict, replace
from importlib import import_module
from typing import TextIO

import click
import torch
from ratio import Ratio

PARTS = (
    "networks",
    "loop",
    "metrics",
    "reading",
    "embedding",
    "harness",
    "quality",
    "jobs",
    "records",
)


@click.command(help=__doc__)
@click.argument("parts", nargs=-1, metavar="[PART]…", type=click.Choice(PARTS))
@click.option("--tiny", is_flag=True, help="Run everything once at sizes that measure nothing.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line instead of a table.")
@click.option("--out", type=click.File("w"), help="Write the same lines to this file too.")
def main(parts: tuple[str, ...], tiny: bool, as_json: bool, out: TextIO | None) -> None:
    files = [sys.stdout] if out is None else [sys.stdout, out]

    def say(line: str) -> None:
        for file in files:
            print(line, file=file, flush=True)

    if not as_json:
        say(f"{conditions()}\n")
        say("| | ours | peer | | ratio | target | |")
        say("|---|---:|---:|---|---:|---:|---|")
    for part in parts or PARTS:
        for ratio in import_module(part).measure(tiny):
            if tiny:
                ratio = replace(ratio, target=None)
            fields = {"part": part, "ratio": ratio.ratio, **asdict(ratio)}
            say(json.dumps(fields) if as_json else row(ratio))


def row(ratio: Ratio) -> str:
    sign = "≥" if ratio.higher_is_better else "≤"
    target = "" if ratio.target is None else f"{sign} {ratio.target:g}"
    missed = "" if ratio.reached is not False else " (missed)"
    cells = [
        ratio.what,
        f"{ratio.ours:.4g}",
        f"{ratio.peer:.4g}",
        ratio.unit,
        f"{ratio.ratio:.2f}{missed}",
        target,
        ratio.note,
    ]
    return f"| {' | '.join(cells)} |"


def conditions() -> str:
    return (
        f"{processor()}, {os.cpu_count()} CPUs, torch {torch.__version__}, "
        f"threads: {torch.get_num_threads()}"
    )


def processor() -> str:
    """As Linux names it; elsewhere what Python knows."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(": ")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
