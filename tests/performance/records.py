"""Tables, verdicts and pages of many records: that their time grows as the records do."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ratio import Ratio

sys.path.append(str(Path(__file__).parents[1] / "shared"))

from example import outputs, real_record, run_record

from genbench.store.records import RECORDS, Record, seal, write_records

ENTRIES, SEEDS = 400, 50
SCORES = ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage")
MODELS = ("ddpm", "edm", "score-sde", "gan", "dcgan", "r3gan")
COMMANDS = {"table": 3, "verdict": 10, "report": 60}
"""Seconds that 20,000 records may take, the start of Python included."""
MEMORY = 1.0
"""GB that they may take."""


def made_up(entries: int, seeds: int) -> Iterator[Record]:
    """A real row, and entries of six models, of which one in fifty diverged."""
    shown = {name: outputs()[name] for name in SCORES}
    yield replace(real_record(), suite="many", outputs=shown, files={})
    template = replace(run_record("DDPM", 0), suite="many", outputs=shown, files={})
    rng = random.Random(0)
    for number in range(entries):
        model, level = MODELS[number % len(MODELS)], rng.lognormvariate(0, 1)
        for seed in range(seeds):
            values = {name: level * rng.lognormvariate(0, 0.2) for name in SCORES}
            diverged = rng.random() < 0.02
            last = 20_000 if diverged else 80_000
            identity = f"{number}-{seed}"
            yield replace(
                template,
                entry=f"{model} {number}",
                model=model,
                trains=model,
                seed=seed,
                status="diverged" if diverged else "done",
                reason="a loss was not finite at step 412" if diverged else None,
                scores={
                    name: {"value": value, "low": 0.9 * value, "high": 1.1 * value}
                    for name, value in values.items()
                },
                conditions={
                    **template.conditions,
                    "options": {"channels": 16 + number, "learning_rate": 2e-4},
                    "snapshot": last,
                },
                cost={
                    **template.cost,
                    "parameters": 482_113 + number,
                    "training_flops": 1.23e14 + number,
                    "training_seconds": 43.2 + seed,
                    "seconds_per_sample": 0.001 if seed == 0 else None,
                },
                stability={
                    "first_nonfinite_step": 412 if diverged else None,
                    "loss_spikes": {"model": seed % 3},
                    "gradient_tail": {"model": 4.25 + seed},
                    "last_over_best": {"ema": 1 + rng.random(), "raw": 1 + rng.random()},
                    "max_drawdown": {"ema": rng.random(), "raw": rng.random()},
                },
                snapshots=[
                    {
                        "examples": examples,
                        "weights": weights,
                        "scores": {"frechet_distance": level * 1e5 / examples, "coverage": 0.9},
                    }
                    for examples in range(20_000, last + 1, 20_000)
                    for weights in ("ema", "raw")
                ],
                identities=dict.fromkeys(("training", "sampling", "scoring"), identity),
            )


def measure(tiny: bool) -> Iterator[Ratio]:
    """Each command on all records against ten times its share of a tenth, its start left out."""
    entries, seeds = (20, 2) if tiny else (ENTRIES, SEEDS)
    with tempfile.TemporaryDirectory() as folder:
        for name, count in (
            ("none", len(MODELS)),
            ("part", max(2, entries // 10)),
            ("all", entries),
        ):
            write_records(Path(folder) / name, made_up(count, 1 if name == "none" else seeds))
            seal(Path(folder) / name, "many", [RECORDS])  # as a run leaves it
        for command, limit in list(COMMANDS.items())[: 1 if tiny else None]:
            start, part, (whole, memory) = (
                _run(command, Path(folder) / name) for name in ("none", "part", "all")
            )
            yield Ratio(
                f"{command} of {entries * seeds:,} records against ten times that of a tenth",
                ours=max(1e-3, whole - start[0]),
                peer=max(1e-3, 10 * (part[0] - start[0])),
                unit="s",
                higher_is_better=False,
                target=1.3,
                note=f"{whole:.1f} s in all (≤ {limit}), {memory:.2f} GB (≤ {MEMORY:g})",
            )


def _run(command: str, folder: Path) -> tuple[float, float]:
    """Seconds, and GB at most."""
    arguments = [command, str(folder)]
    arguments += ["--out", str(folder / "report.html")] if command == "report" else []
    code = (
        "import re, sys\n"
        "from genbench.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        # Of this program: resource's would be of the one that started it, where that is larger.
        "status = open('/proc/self/status').read()\n"
        "print(re.search(r'VmHWM:\\s*(\\d+)', status)[1], file=sys.stderr)\n"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    return seconds, int(done.stderr.split()[-1]) / 1e6
