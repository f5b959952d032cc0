"""Prints what genbench and its peers measure in one run: ``python tests/performance/run.py``.

    run.py [--tiny] [PART…]    parts: networks, loop, metrics, harness; all by default

Ratios mean something on an idle machine alone. ``--tiny`` tries the code, not the speed.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from ratio import Ratio

PARTS = ("networks", "loop", "metrics", "harness")


def main(arguments: list[str]) -> None:
    tiny = "--tiny" in arguments
    parts = [argument for argument in arguments if argument != "--tiny"] or list(PARTS)
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        sys.exit(f"unknown part {unknown[0]!r}; known: {', '.join(PARTS)}")
    print(
        f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}\n"
    )
    print("| what | genbench | peer | ratio | target |")
    print("|---|---:|---:|---:|---:|")
    for part in parts:
        for ratio in importlib.import_module(part).measure(tiny):
            print(row(ratio), flush=True)


def row(ratio: Ratio) -> str:
    sign = "≥" if ratio.higher_is_better else "≤"
    target = (
        "" if ratio.target is None else f"{sign} {ratio.target:g}{'' if ratio.reached else ' ✗'}"
    )
    what = f"{ratio.what} ({ratio.note})" if ratio.note else ratio.what
    figures = f"{ratio.ours:.4g} {ratio.unit} | {ratio.peer:.4g} {ratio.unit}"
    return f"| {what} | {figures} | {ratio.ratio:.2f} | {target} |"


def processor() -> str:
    """The processor's name, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "CPU")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=FutureWarning)
    main(sys.argv[1:])
