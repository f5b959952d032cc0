"""Sounds on the page: players that hold the samples, as many as the page has room for."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from html_page import Page
from safetensors.numpy import save
from scipy.io import wavfile

from genbench.report import write_report
from genbench.store import write_artefact
from genbench.store.records import Record, write_records

PLAYER = re.compile(
    r'<audio controls="" preload="metadata" aria-label="([^"]*)" '
    r'src="data:audio/wav;base64,([^"]*)"></audio>'
)


def written(folder: Path, records: list[Record], length: int, entries: int = 1) -> str:
    """The page of real sounds and of ``entries`` that all made the same ones."""
    data = np.random.default_rng(0).integers(0, 65_536, (6, 1, length)).astype(np.int32)
    said = {"modality": "audio", "levels": "65536", "rate": "8000.0"}
    write_artefact(folder / "s.safetensors", save({"samples": data}, said), {})
    files = {"samples": "s.safetensors"}
    real, ddpm = (replace(record, files=files) for record in records[:2])
    made = [replace(ddpm, entry=f"Model {number}", model=f"m{number}") for number in range(entries)]
    write_records(folder, [real, *made])
    write_report([folder], folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def test_players_hold_the_first_samples(example_records: list[Record], tmp_path: Path) -> None:
    source = written(tmp_path, example_records, 300)
    Page(source)  # balanced
    found = PLAYER.findall(source)
    assert [label for label, _ in found] == [
        f"sample {number}: {label}" for label in ("real", "Model 0") for number in range(1, 5)
    ]
    data = np.random.default_rng(0).integers(0, 65_536, (6, 1, 300)) - 32_768
    for number, (_, sound) in enumerate(found[4:]):
        rate, read = wavfile.read(io.BytesIO(base64.b64decode(sound)))
        assert rate == 8_000
        np.testing.assert_array_equal(read, data[number, 0])
    assert "media-src data:;" in source


@pytest.mark.parametrize(
    ("length", "entries", "players"),
    [
        (8_192, 1, 4),
        (8_192, 29, 2),  # 22 kB each, of 50 kB
        (400_000, 1, 0),
    ],
)
def test_every_entry_has_as_many_as_the_page_has_room_for(
    length: int, entries: int, players: int, example_records: list[Record], tmp_path: Path
) -> None:
    source = written(tmp_path, example_records, length, entries)
    labels = [label.partition(": ")[2] for label, _ in PLAYER.findall(source)]
    rows = ["real", *(f"Model {number}" for number in range(entries))]
    assert sorted(labels) == sorted(rows * players)
    assert source.count("too long to be heard on this page") == (0 if players else 1 + entries)
    assert len(source) < 5_000_000


def test_pictures_cannot_be_heard(source: str) -> None:
    assert "<audio" not in source
    assert "too long to be heard" not in source
