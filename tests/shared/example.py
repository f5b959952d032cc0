"""An output folder as a run leaves it, made up: seven entries, two seeds, and what can go wrong."""

from __future__ import annotations

import csv
import io
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from sklearn.datasets import load_digits

from genbench.api import Output
from genbench.registry.outputs import known
from genbench.store import write_artefact
from genbench.store.records import Record, write_records

HOSTILE = "<script>alert(1)</script> & $x_"
"""An entry's name that must stay text in every format."""

SCORES = (
    "frechet_distance",
    "kernel_distance",
    "inception_score",
    "precision",
    "density",
    "recall",
    "coverage",
    "vendi_score",
)


@cache
def outputs() -> dict[str, Output]:
    """When first asked for: it imports every metric."""
    declared = known()
    return {name: declared[name] for name in SCORES} | {
        "odd_score": Output(True, "odd score", "other scores")
    }


PROTOCOL = {
    "extractor": "digits@5f2c0a9be1d04417",
    "resize": "none",
    "reference": "digits:test@91c3b6d2a4e07f58",
    "reference_count": 899,
    "train": None,
    "samples": 500,
    "modality": "image",
    "shape": [1, 8, 8],
    "levels": 17,
    "metrics": {"frechet_distance": 1, "kernel_distance": 1, "manifold": 2},
}
# Entry → model, what it trains, Fréchet distance, precision, recall, NFE, sampling options.
ENTRIES = {
    "DDPM": ("ddpm", "ddpm", 0.061, 0.89, 0.80, 250, {}),
    "DDIM-10": ("ddim", "ddpm", 0.182, 0.78, 0.71, 10, {"steps": 10, "eta": 0.0}),
    "DDIM-50": ("ddim", "ddpm", 0.074, 0.87, 0.79, 50, {"steps": 50, "eta": 0.0}),
    "Score-SDE PC": ("score-sde", "score-sde", 0.083, 0.85, 0.82, 200, {"sampler": "pc"}),
    "Score-SDE ODE": ("score-sde", "score-sde", 0.095, 0.86, 0.77, 62, {"sampler": "ode"}),
    "GAN": ("gan", "gan", 0.078, 0.74, 0.69, 1, {}),
}
PLAYERS = {
    "ddpm": ["denoiser"],
    "score-sde": ["denoiser"],
    "gan": ["discriminator", "generator"],
}
SKIPPED = {"memorized": "needs the training set, which was not given"}
BUDGET = 80_000


def make_record(entry: str, seed: int | None, **fields: object) -> Record:
    """A record with nothing in it but what is given."""
    known = {"suite": "quickstart", "model": "m", "trains": "m", "dataset": "digits"}
    return Record(**{**known, "status": "done", **fields, "entry": entry, "seed": seed})  # type: ignore[arg-type]


def scores_of(distance: float, precision: float, recall: float, jitter: float) -> dict[str, float]:
    return {
        "frechet_distance": distance * (1 + jitter),
        "kernel_distance": distance / 40 * (1 - jitter),
        "inception_score": 9.1 - 4 * distance,
        "precision": precision + jitter / 20,
        "density": precision * 1.1 - jitter / 20,
        "recall": recall - jitter / 20,
        "coverage": 0.95 - distance - abs(jitter) / 10,
        "vendi_score": 30 * recall,
        "odd_score": 1.5 + jitter,
    }


def real_record() -> Record:
    values = scores_of(0.037, 0.94, 0.93, 0.0)
    return make_record(
        "real",
        None,
        model="real",
        trains=None,
        scores={
            name: {"value": value, "low": None, "high": None, "deviation": value * 0.08}
            for name, value in values.items()
        },
        outputs=outputs(),
        skipped_metrics=SKIPPED,
        protocol=PROTOCOL,
        files={
            "samples": "runs/real/reference.safetensors",
            "neighbours": "runs/real/neighbours.safetensors",
        },
    )


def run_record(entry: str, seed: int) -> Record:
    model, trains, distance, precision, recall, nfe, sample = ENTRIES[entry]
    diverged = entry == "GAN" and seed == 1
    jitter = 0.06 if seed else -0.04
    values = scores_of(6 * distance if diverged else distance, precision, recall, jitter)
    last = 20_000 if diverged else BUDGET
    snapshots = [
        {
            "examples": images,
            "weights": weights,
            "scores": {
                "frechet_distance": distance * (BUDGET / images) ** 1.1 * factor * (1 + jitter),
                "coverage": 0.9 * images / BUDGET,
            },
        }
        for images in (20_000, 40_000, 60_000, 80_000)
        if images <= last
        for weights, factor in (("ema", 1.0), ("raw", 1.6))
    ]
    folder = f"runs/{trains}-seed{seed}"
    return make_record(
        entry,
        seed,
        model=model,
        trains=trains,
        status="diverged" if diverged else "done",
        reason="non-finite loss or gradient norm at step 412; scored at 20000 images"
        if diverged
        else None,
        scores={name: {"value": v, "low": None, "high": None} for name, v in values.items()},
        outputs=outputs(),
        skipped_metrics=SKIPPED,
        protocol=PROTOCOL,
        conditions={
            "options": {"channels": 16},
            "sample": sample,
            "weights": "ema",
            "snapshot": last,
            "examples": BUDGET,
            "batch": 64,
            "ema_halflife": 22_000,
            "augment": [],
            "precision": "32-true",
            "device": "CPU (x86_64)",
            "devices": 1,
            "threads": 1,
            "torch": "2.12.0",
            "genbench": "0.1.0",
            "platform": "Linux",
        },
        cost={
            "parameters": 482_113 if trains != "gan" else 611_508,
            "sampling_parameters": 482_113 if trains != "gan" else 302_220,
            "training_flops": 1.23e14 * last / BUDGET,
            "training_seconds": 43.2 + seed,
            "nfe": nfe,
            "sampling_flops": 5.1e7 * nfe,
            "seconds_per_sample": 0.00014 * nfe if seed == 0 else None,
        },
        stability={
            "first_nonfinite_step": 412 if diverged else None,
            "loss_spikes": dict.fromkeys(PLAYERS[trains], 2 + seed),
            "gradient_tail": dict.fromkeys(PLAYERS[trains], 4.25 + seed),
            "last_over_best": {"ema": 1.0 + seed / 50, "raw": 1.3 + seed / 50},
            "max_drawdown": {"ema": 0.02, "raw": 0.31},
        },
        snapshots=snapshots,
        identities={
            "training": f"{trains}-{seed}",
            "sampling": f"{entry}-{seed}",
            "scoring": f"{entry}-{seed}-scored",
        },
        files={
            "history": f"{folder}/history.csv",
            "samples": f"{folder}/samples/{entry}.safetensors",
            "neighbours": f"{folder}/neighbours/{entry}.safetensors",
        },
    )


@pytest.fixture(scope="session")
def example_records() -> list[Record]:
    """A real row and seven entries with two seeds: ``GAN`` diverged with seed 1, the entry called
    ``HOSTILE`` failed, and memorization was skipped."""
    failed = [
        make_record(
            HOSTILE,
            seed,
            model="mine",
            trains="mine",
            status="failed",
            reason="RuntimeError: out of memory <b>",
        )
        for seed in (0, 1)
    ]
    return [
        real_record(),
        *(run_record(entry, seed) for entry in ENTRIES for seed in (0, 1)),
        *failed,
    ]


@pytest.fixture(scope="session")
def example_folder(example_records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ``example_records``: real digits, noisier the worse the entry is said to be."""
    folder = tmp_path_factory.mktemp("example")
    digits = load_digits().images.astype(np.uint8)[:, None]
    random = np.random.default_rng(0)
    for record in example_records:
        if "samples" in record.files:
            noise = 8 * (record.value("frechet_distance") or 0)
            noisy = digits[random.permutation(len(digits))[:500]] + random.normal(
                0, noise, (500, 1, 8, 8)
            )
            shown = noisy.clip(0, 16).astype(np.uint8)
            write_samples(folder / record.files["samples"], shown)
            write_neighbours(folder / record.files["neighbours"], shown[:8], digits[:8])
        if "history" in record.files:
            _write_history(folder / record.files["history"], record)
    write_records(folder, example_records)
    return folder


def write_samples(
    path: Path, samples: np.ndarray, modality: str = "image", levels: int | None = 17
) -> None:
    metadata = {"modality": modality, "levels": "" if levels is None else str(levels)}
    write_artefact(path, save({"samples": samples}, metadata), {})


def write_neighbours(path: Path, samples: np.ndarray, neighbours: np.ndarray) -> None:
    distances = np.linspace(0.5, 12.25, len(samples))
    tensors = {"samples": samples, "neighbours": neighbours, "distances": distances}
    write_artefact(path, save(tensors), {"modality": "image", "levels": 17})


def _write_history(path: Path, record: Record) -> None:
    random = np.random.default_rng(record.seed or 0)
    steps = 413 if record.status == "diverged" else 1250
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(
        ["step", "examples", "player", "loss", "gradient_norm", "learning_rate", "accuracy"]
    )
    for step in range(steps):
        for player in PLAYERS[record.trains or ""]:
            loss = 0.05 + math.exp(-step / 90) + abs(random.normal(0, 0.02))
            if record.status == "diverged" and step == steps - 1:
                loss = math.nan
            norm = 0.4 + random.gamma(2, 0.2)
            writer.writerow([step, 64 * step, player, loss, norm, 3e-3, 0.5])
    write_artefact(path, file.getvalue().encode(), {})
