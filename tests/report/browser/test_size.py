"""A page of many runs is small enough to be sent, and quick to be looked at."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page
from safetensors.numpy import save
from sklearn.datasets import load_digits

from genbench.report import write_report
from genbench.store import write_artefact
from genbench.store.records import Record, write_records

Visit = Callable[..., Page]

PATIENCE = {"loading": 10_000, "sorting": 1_000, "filtering": 1_000}
"""Milliseconds: some ten times what was measured beside other work."""

STEPS = 300

TIMED = """async act => {
    const start = performance.now();
    document.querySelector(".tables " + act[0]).dispatchEvent(new Event(act[1]));
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    return performance.now() - start;
}"""


def written(
    folder: Path, records: list[Record], entries: int, images: np.ndarray, seeds: int = 10
) -> Path:
    """The page of ``entries`` with some seeds each: five to a model, each with two players, and all
    the pictures that an entry may have, of ``images``."""
    real, ddpm = records[:2]
    history, samples, neighbours, trajectory = (
        folder / name for name in ("history.csv", "s.safetensors", "n.safetensors", "p.safetensors")
    )
    random = np.random.default_rng(0)
    file = io.StringIO("step,examples,player,loss,gradient_norm\n")
    file.seek(0, io.SEEK_END)
    for step in range(STEPS):
        for player in ("critic", "generator"):
            loss, norm = random.gamma(2, 0.3, 2)
            file.write(f"{step},{64 * step},{player},{loss},{norm}\n")
    write_artefact(history, file.getvalue().encode(), {})
    about = {"modality": "image", "levels": 256}
    said = {"modality": "image", "levels": "256"}
    write_artefact(samples, save({"samples": images}, said), {})
    beside = {"samples": images[:8], "neighbours": images[8:16], "distances": random.random(8)}
    write_artefact(neighbours, save(beside), about)
    frames = {"frames": images[:60].reshape(10, 6, *images.shape[1:])}
    write_artefact(trajectory, save(frames), {"kind": "reverse", **about})
    pictures = {"samples": samples.name, "neighbours": neighbours.name}
    runs = [
        replace(
            ddpm,
            entry=f"Model {number}",
            model=f"model-{number // 5}",
            trains=f"model-{number // 5}",
            seed=seed,
            scores={
                name: {**score, "value": (score["value"] or 0) * (1 + number / 50 + seed / 90)}
                for name, score in ddpm.scores.items()
            },
            identities={"training": f"{number}-{seed}"},
            files={"history": history.name, "reverse": trajectory.name, **pictures},
        )
        for number in range(entries)
        for seed in range(seeds)
    ]
    write_records(folder, [replace(real, files=pictures), *runs])
    write_report([folder], folder / "report.html")
    return folder / "report.html"


def noise(side: int) -> np.ndarray:
    """Colour pictures that cannot be compressed."""
    return np.random.default_rng(0).integers(0, 256, (64, 3, side, side)).astype(np.uint8)


def test_five_models_with_ten_seeds_are_under_five_megabytes(
    example_records: list[Record], tmp_path: Path
) -> None:
    page = written(tmp_path, example_records, 5, noise(64))
    assert page.stat().st_size < 5_000_000


def test_fifty_models_with_five_seeds_are_under_five_megabytes(
    example_records: list[Record], tmp_path: Path
) -> None:
    digits = load_digits().images[:64].astype(np.uint8)[:, None] * 15
    page = written(tmp_path, example_records, 50, digits, seeds=5)
    assert page.stat().st_size < 5_000_000


@pytest.fixture(scope="module")
def large_page(example_records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    digits = np.zeros((64, 1, 8, 8), np.uint8)
    return written(tmp_path_factory.mktemp("large"), example_records, 50, digits)


@pytest.mark.parametrize("width", [1280, 390])
def test_fifty_models_with_ten_seeds_are_quick(large_page: Path, width: int, visit: Visit) -> None:
    assert large_page.stat().st_size < 10_000_000
    page = visit(large_page, width=width)
    assert page.locator(".tables").first.locator("tbody").first.locator("tr").count() == 51
    loading = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert 0 < loading < PATIENCE["loading"]
    assert page.evaluate(TIMED, ["thead button", "click"]) < PATIENCE["sorting"]
    field = page.locator(".tables").get_by_role("searchbox").first
    field.evaluate("field => { field.value = 'model 4'; }")
    assert page.evaluate(TIMED, ["input", "input"]) < PATIENCE["filtering"]
    assert (
        page.locator(".tables .filter").first.get_by_role("status").inner_text() == "12 of 51 rows"
    )
