"""A browser plays the sounds of the page, and asks for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page
from safetensors.numpy import save

from genbench.report import write_report
from genbench.store import write_artefact
from genbench.store.records import Record, write_records

Visit = Callable[..., Page]

LOADED = """audio => new Promise(done => {
    audio.addEventListener("loadedmetadata", () => done(audio.duration));
    audio.addEventListener("error", () => done(audio.error.message));
    audio.preload = "auto";
    audio.load();
})"""


def test_a_sound_is_played(
    example_records: list[Record],
    tmp_path: Path,
    visit: Visit,
    requests: list[str],
    complaints: list[str],
) -> None:
    data = np.random.default_rng(0).integers(0, 65_536, (5, 1, 8_192)).astype(np.int32)
    said = {"modality": "audio", "levels": "65536", "rate": "8000.0"}
    write_artefact(tmp_path / "s.safetensors", save({"samples": data}, said), {})
    write_records(tmp_path, [replace(example_records[0], files={"samples": "s.safetensors"})])
    write_report([tmp_path], tmp_path / "report.html")
    page = visit(tmp_path / "report.html")
    players = page.locator("audio")
    assert players.count() == 4
    assert players.first.evaluate(LOADED) == pytest.approx(1.024)
    assert players.first.bounding_box()["width"] > 100  # type: ignore[index]
    page.emulate_media(media="print")
    assert not players.first.is_visible()
    assert [address for address in requests if not address.startswith("data:")] == [
        (tmp_path / "report.html").as_uri()
    ]
    assert complaints == []
