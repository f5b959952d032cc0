"""What each entry made: samples of every seed, from the same noise, beside their neighbours."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from html_page import Page
from safetensors.numpy import load_file, save

from genbench.report import write_report
from genbench.store import write_artefact
from genbench.store.records import Record, write_records


def test_a_grid_for_every_entry_beside_the_real_one(page: Page) -> None:
    labels = [label for label in page.labels if label.startswith("samples: ")]
    assert [label for label in labels if "seed" not in label] == [
        f"samples: {entry}"
        for entry in (
            "real",
            "DDPM",
            "DDIM-10",
            "DDIM-50",
            "Score-SDE PC",
            "Score-SDE ODE",
            "GAN",
        )
    ]


def test_the_first_screen_shows_the_very_first_samples(page: Page) -> None:
    """By the rank of the entries, beside the real ones."""
    labels = [label for label in page.pictures if label.startswith("first samples: ")]
    ranked = ("DDPM", "DDIM-50", "Score-SDE PC", "Score-SDE ODE", "DDIM-10", "GAN")
    assert labels == [f"first samples: {entry}" for entry in ("real", *ranked)]
    for entry in ("real", "GAN"):
        small, whole = (page.pictures[f"{kind}: {entry}"] for kind in ("first samples", "samples"))
        assert small.shape == (3 * 9 - 1, 3 * 9 - 1, 4)
        # The tile in its first row and last column is the third sample.
        np.testing.assert_array_equal(small[:8, 18:26], whole[:8, 18:26])


def test_samplers_of_one_training_stand_beneath_each_other(
    page: Page, example_folder: Path
) -> None:
    """Their first samples in a row each; entries with weights of their own have no such row."""
    rows = [label for label in page.pictures if label.startswith("from the same noise: ")]
    assert [label.partition(": ")[2] for label in rows] == [
        *("DDPM", "DDIM-10", "DDIM-50"),
        *("Score-SDE PC", "Score-SDE ODE"),
    ]
    stored = load_file(example_folder / "runs/ddpm-seed0/samples/DDIM-50.safetensors")["samples"]
    sheet = page.pictures["from the same noise: DDIM-50"]
    assert sheet.shape == (8, 10 * 9 - 1, 4)
    for number in range(10):
        tile = sheet[:, 9 * number : 9 * number + 8, 0]
        np.testing.assert_array_equal(tile, np.round(stored[number, 0] * (255 / 16)))


def test_samples_of_every_seed_are_there_and_one_is_shown(source: str) -> None:
    runs = re.findall(r'<figure data-seed="(\d)"( hidden="")?>\n(<img|<div)', source)
    first, second = ("0", "", "<img"), ("1", ' hidden=""', "<img")
    failed = [("0", "", "<div"), ("1", ' hidden=""', "<div")]
    assert runs == [first, second] * 6 + failed


def test_a_seed_without_room_is_left_out_and_named(
    example_records: list[Record], tmp_path: Path
) -> None:
    """Pictures that cannot be compressed: two hundred kilobytes each."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 3, 64, 64)).astype(np.uint8)
    path = tmp_path / "samples.safetensors"
    write_artefact(path, save({"samples": noise}, {"modality": "image", "levels": "256"}), {})
    ddpm = example_records[1]
    runs = [
        replace(ddpm, entry=f"M{n}", seed=seed, files={"samples": path.name})
        for n in range(5)
        for seed in (0, 3, 7)
    ]
    write_records(tmp_path, runs)
    write_report([tmp_path], tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r'<figure data-seed="(\d)"', source)) == {"0", "3"}
    assert "Those of seed 7 would make the page too\nlarge" in source


def test_grids_show_the_first_samples_as_they_are(page: Page, example_folder: Path) -> None:
    stored = load_file(example_folder / "runs/real/reference.safetensors")["samples"]
    sheet = page.pictures["samples: real"]
    assert sheet.shape == (8 * 9 - 1, 8 * 9 - 1, 4)
    tile = sheet[9:17, 18:26, 0]  # row 1, column 2: number 10
    np.testing.assert_array_equal(tile, np.round(stored[10, 0] * (255 / 16)))


def test_samples_stand_above_their_nearest_training_samples(
    page: Page, example_folder: Path
) -> None:
    stored = load_file(example_folder / "runs/real/neighbours.safetensors")
    labels = [label for label in page.labels if label.endswith("its nearest training sample")]
    assert len(labels) == 7
    assert labels[0] == "real: samples, each above its nearest training sample"
    sheet = page.pictures[labels[0]]
    assert sheet.shape == (2 * 9 - 1, 8 * 9 - 1, 4)
    for row, kind in enumerate(("samples", "neighbours")):
        tile = sheet[9 * row : 9 * row + 8, 27:35, 0]  # number 3
        np.testing.assert_array_equal(tile, np.round(stored[kind][3, 0] * (255 / 16)))
    assert page.texts["li"].count("12.2") == 7  # the last distance of each


def test_of_points_no_neighbours_are_shown(example_records: list[Record], tmp_path: Path) -> None:
    real = example_records[0]
    write_records(tmp_path, [real])
    points = np.zeros((8, 2), np.float32)
    tensors = {"samples": points, "neighbours": points, "distances": np.zeros(8)}
    path = tmp_path / real.files["neighbours"]
    write_artefact(path, save(tensors), {"modality": "points", "levels": None})
    write_report([tmp_path], tmp_path / "report.html")
    assert "Nearest training samples" not in (tmp_path / "report.html").read_text("utf-8")


def points_records(records: list[Record]) -> list[Record]:
    """Without the Fréchet distance, as another suite may choose."""
    return [
        replace(
            record,
            scores={k: v for k, v in record.scores.items() if k != "frechet_distance"},
            snapshots=(),
            files={k: v for k, v in record.files.items() if k == "samples"},
        )
        for record in records
    ]


def test_points_are_clouds(example_records: list[Record], tmp_path: Path) -> None:
    records = points_records(example_records)
    write_records(tmp_path, records)
    for record in records:
        if "samples" in record.files:
            path = tmp_path / record.files["samples"]
            path.parent.mkdir(parents=True, exist_ok=True)
            points = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
            points[0] = np.nan
            write_artefact(
                path, save({"samples": points}, {"modality": "points", "levels": ""}), {}
            )
    write_report([tmp_path], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.tags["img"] == 0
    assert len([label for label in page.labels if label.startswith("samples: ")]) == 7 + 6
    assert "DDPM, seed 0: no history stored" in " ".join(page.texts["li"])


@pytest.mark.parametrize(
    ("samples", "modality", "levels", "side"),
    [
        (np.full((70, 3, 32, 32), 255, np.uint8), "image", "256", 7 * 33 - 1),
        (np.full((5, 1, 300, 300), 1000, np.int32), "image", "1001", 2 * 65 - 1),
        (np.full((2, 2, 4, 4), 1.0, np.float32), "image", "", 4),
    ],
)
def test_grids_of_any_levels_and_sizes(
    samples: np.ndarray,
    modality: str,
    levels: str,
    side: int,
    example_records: list[Record],
    tmp_path: Path,
) -> None:
    real = example_records[0]
    write_records(tmp_path, [real])
    path = tmp_path / real.files["samples"]
    path.parent.mkdir(parents=True)
    write_artefact(path, save({"samples": samples}, {"modality": modality, "levels": levels}), {})
    write_report([tmp_path], tmp_path / "report.html")
    (sheet,) = Page((tmp_path / "report.html").read_text(encoding="utf-8")).pictures.values()
    assert sheet.shape[:2] == (side, side)
    # Every tile is at the top level, which is white.
    assert set(sheet[0, 0]) == {255}


@pytest.mark.parametrize(
    ("shape", "modality", "reason"),
    [
        ((3, 1, 100), "audio", "no picture of samples of modality 'audio' and shape 1×100"),
        ((3, 1), "points", "no picture of points with one coordinate"),
    ],
)
def test_what_has_no_picture_says_so(
    shape: tuple[int, ...],
    modality: str,
    reason: str,
    example_records: list[Record],
    tmp_path: Path,
) -> None:
    real = example_records[0]
    write_records(tmp_path, [real])
    path = tmp_path / real.files["samples"]
    path.parent.mkdir(parents=True)
    data = np.zeros(shape, np.float32)
    write_artefact(path, save({"samples": data}, {"modality": modality, "levels": ""}), {})
    write_report([tmp_path], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert f"Samples: real, real samples: {reason}" in page.texts["li"]
