from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from html_page import Page

from genbench.analysis.comparison import comparison
from genbench.api.errors import DataError
from genbench.report import write_report
from genbench.store import Damaged, write_artefact
from genbench.store.records import RECORDS, Record, read_records, write_records

HOSTILE = "<script>alert(1)</script> & $x_"


def test_the_page_is_one_file_that_asks_for_nothing(page: Page, source: str) -> None:
    for address in page.addresses:
        assert address.startswith(("data:image/png;base64,", "#"))
    assert "http://" not in source
    assert "https://" not in source
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    assert not re.search(r"@import|url\((?!#)", source)
    assert page.tags["html"] == page.tags["title"] == page.tags["h1"] == 1


def test_identifiers_are_unique_and_found(page: Page) -> None:
    assert page.references
    assert page.references <= set(page.identifiers)
    assert set(page.identifiers.values()) == {1}


def test_names_stay_text(page: Page, source: str) -> None:
    assert page.tags["script"] == 1
    assert "alert(1)" not in "".join(page.texts["script"])
    assert HOSTILE in page.texts["th"]
    assert "<b>" not in source.partition("out of memory")[2][:10]


def test_the_answer_comes_first_and_then_the_claims(page: Page, source: str) -> None:
    assert page.texts["h2"][:2] == [
        "Which entry is best, and is that sure?",
        "Diffusion models against GANs, quickstart on digits",
    ]
    assert page.texts["li"][0] == (
        "DDPM has the lowest median Fréchet distance, 0.0616; but 2 seeds decide no ranking. For "
        "one, add --seeds 0,1,2,3,4."
    )
    assert source.count('<td class="open words"><b>undecided</b>') == 7
    assert source.count('<td class="good words"><b>supported</b>') == 1  # slower to sample
    assert "2 seeds a side; 5 are the least that can decide" in source


def test_every_figure_of_the_tables_is_there(page: Page, example_records: list[Record]) -> None:
    cells = Counter(page.texts["td"] + page.texts.get("b", []))
    (compared,) = comparison(example_records)
    rows = compared.table.rows
    wanted = Counter(cell.text for row in rows for cell in row.cells[1:] if cell.text)
    assert not wanted - cells
    notes = " ".join(page.texts["li"])
    for note in compared.notes + compared.outcomes:
        assert note in notes


def test_what_was_run_and_what_failed_is_said(page: Page) -> None:
    assert "genbench run quickstart" in page.texts["code"]
    assert "80,000 examples a training" in page.texts["dd"]
    assert "0, 1" in page.texts["dd"]
    said = " ".join(page.texts["li"])
    assert "GAN, seed 1 diverged: non-finite loss" in said
    assert "seeds 0 and 1 failed: RuntimeError: out of memory <b>." in said


def test_command_and_protocol_stand_beneath_every_group_of_figures(page: Page, source: str) -> None:
    assert page.texts["code"].count("genbench run quickstart --seeds 0,1") == 6
    said = "samples against 899 of digits:test, in the features of digits"
    beneath = page.texts["p"]
    assert f"500 {said}" in beneath
    assert f"fewer {said}" in beneath
    assert "against samples of none, in the features of digits" in beneath


def test_the_page_is_small_and_always_the_same(
    source: str, example_folder: Path, tmp_path: Path
) -> None:
    assert len(source.encode()) < 1_500_000
    write_report([example_folder], tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == source


def test_missing_files_are_named(example_records: list[Record], tmp_path: Path) -> None:
    write_records(tmp_path, example_records)
    history = tmp_path / "runs/ddpm-seed0/history.csv"
    write_artefact(history, b"step,examples,loss\n0,0,1\n", {})
    foreign = tmp_path / "runs/gan-seed0/samples/GAN.safetensors"
    write_artefact(foreign, b"not a sample file", {})
    write_report([tmp_path], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    said = " ".join(page.texts["li"])
    assert "DDPM, seed 0: history.csv has no column 'player'" in said
    assert "DDPM, seed 1: history.csv: no such file" in said
    assert "Samples: DDPM, seed 0: DDPM.safetensors: no such file" in said
    assert "Samples: GAN, seed 0: GAN.safetensors cannot be read" in said
    assert "Neighbours: real, real samples: neighbours.safetensors: no such file" in said
    assert page.tags["img"] == 0
    # Nothing heads a part of which nothing is left.
    assert not {"Samples", "Nearest training samples"} & set(page.texts["h3"] + page.texts["a"])


@pytest.mark.parametrize("kind", ["history", "samples", "neighbours"])
def test_damaged_files_are_never_shown(
    kind: str, example_folder: Path, example_records: list[Record], tmp_path: Path
) -> None:
    folder = tmp_path / "altered"
    shutil.copytree(example_folder, folder)
    path = folder / next(r.files[kind] for r in example_records if kind in r.files)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged, match=re.escape(str(path))):
        write_report([folder], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_several_folders_and_protocols_are_chapters(
    example_records: list[Record], example_folder: Path, tmp_path: Path
) -> None:
    other = [
        replace(record, protocol={**record.protocol, "samples": 100} if record.protocol else {})
        for record in example_records
    ]
    write_records(tmp_path, other)
    write_report([example_folder, tmp_path], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert [text for text in page.texts["h2"] if "protocol" in text] == [
        "quickstart on digits, protocol 1: summary",
        "quickstart on digits, protocol 2: summary",
        "quickstart on digits, protocol 1",
        "quickstart on digits, protocol 2",
    ]
    assert "samples: 500 against 100" in " ".join(page.texts["li"])


def test_only_failures_make_a_page_too(tmp_path: Path, example_records: list[Record]) -> None:
    write_records(tmp_path, [r for r in example_records if r.status == "failed"])
    write_report([tmp_path], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "out of memory <b>" in " ".join(page.texts["li"])


def test_a_folder_without_records_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=RECORDS):
        write_report([tmp_path], tmp_path / "report.html")


def test_the_contents_lead_to_every_part(page: Page) -> None:
    anchors = [address.removeprefix("#") for address in page.addresses if address.startswith("#")]
    links = [anchor for anchor in anchors if not anchor.startswith("f")]
    assert set(links) <= set(page.identifiers)
    words = page.texts["a"]
    half = len(words) // 2  # a bar, and the same for a telephone
    assert words[:half] == words[half:]
    assert words[:half] == [
        "Summary",
        "Claims",
        "Ranking",
        "Baseline",
        "Seeds",
        "Scores",
        "Quality and cost",
        "Along training",
        "Samples",
        "Same noise",
        "Neighbours",
        "Training",
        "This run",
    ]


def test_records_keep_their_files_relative(example_folder: Path) -> None:
    for record in read_records(example_folder):
        assert not any(path.startswith("/") for path in record.files.values())
