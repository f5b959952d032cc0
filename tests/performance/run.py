"""Measure genbench against its peers and print one table.

    python tests/performance/run.py [--tiny] [--json] [PART…]

Ours and theirs run in turn in one process each part, and the least time of each counts. On a
machine with other work the ratios say little.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, replace
from importlib import import_module

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
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(parts: tuple[str, ...], tiny: bool, as_json: bool) -> None:
    ratios = {part: import_module(part).measure(tiny) for part in parts or PARTS}
    if tiny:
        ratios = {part: [replace(r, target=None) for r in ratios[part]] for part in ratios}
    if as_json:
        rows = [
            {"part": part, "ratio": ratio.ratio, **asdict(ratio)}
            for part, measured in ratios.items()
            for ratio in measured
        ]
        print(json.dumps(rows, indent=1))
        return
    print(conditions())
    print()
    print("| | ours | peer | | ratio | target | |")
    print("|---|---:|---:|---|---:|---:|---|")
    for measured in ratios.values():
        for ratio in measured:
            print(row(ratio))


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
