"""Every table has a field of its own that filters it by the names of its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from genbench.report import write_report
from genbench.store.records import Record, write_records

Visit = Callable[..., Page]


def labels(table: Locator) -> list[str]:
    """Of the rows in sight."""
    return [label.inner_text() for label in table.locator("tbody th").all() if label.is_visible()]


def field_of(table: Locator) -> Locator:
    scroll = table.locator("xpath=ancestor::*[contains(@class, 'scroll')]")
    return scroll.locator("xpath=preceding-sibling::*[1]").get_by_role("searchbox")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ddim", ["DDIM-10", "DDIM-50"]),
        ("DDIM-50", ["DDIM-50"]),
        ("gan, ddpm", ["DDPM", "GAN"]),
        ("ode , , pc", ["Score-SDE PC", "Score-SDE ODE"]),
        ("<script>", ["<script>alert(1)</script> & $x_"]),
        ("nothing of that name", []),
    ],
)
def test_rows_are_filtered_by_name(
    text: str, shown: list[str], example_page: Path, visit: Visit
) -> None:
    page = visit(example_page)
    table = page.locator(".tables table").first
    field = field_of(table)
    count = field.locator("xpath=ancestor::*[@class='filter']").get_by_role("status")
    assert count.inner_text() == "8 rows"
    before = labels(table)
    field.fill(text)
    # The real row is the floor of all.
    assert labels(table) == ["real", *shown]
    assert count.inner_text() == f"{1 + len(shown)} of 8 rows"
    field.fill("")
    assert labels(table) == before
    assert count.inner_text() == "8 rows"


def test_each_table_has_its_own_field(example_page: Path, visit: Visit) -> None:
    page = visit(example_page)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    tables = page.locator("table:visible").all()
    assert page.get_by_role("searchbox").count() == len(tables)
    for number, table in enumerate(tables):
        before = [labels(other) for other in tables]
        field_of(table).fill("nothing of that name")
        assert set(labels(table)) <= {"real"}
        others = [labels(other) for other in tables]
        assert others[:number] + others[number + 1 :] == before[:number] + before[number + 1 :]
        field_of(table).fill("")


def test_what_was_filtered_stays_so_when_it_is_sorted(example_page: Path, visit: Visit) -> None:
    page = visit(example_page)
    table = page.locator(".tables table").first
    field_of(table).fill("dd")
    table.get_by_role("button", name="Fréchet distance").click()
    assert labels(table) == ["real", "DDPM", "DDIM-50", "DDIM-10"]


def test_a_comma_may_be_part_of_a_name(
    example_records: list[Record], visit: Visit, tmp_path: Path
) -> None:
    ddpm = next(record for record in example_records if record.entry == "DDPM")
    names = ["CM, 1 step", "CM, 2 steps", "GAN", "1 step more"]
    write_records(tmp_path, [replace(ddpm, entry=name, files={}) for name in names])
    write_report([tmp_path], tmp_path / "report.html")
    page = visit(tmp_path / "report.html")
    table = page.locator(".tables table").first
    field = field_of(table)
    field.fill("cm, 1 step")
    assert labels(table) == ["CM, 1 step"]
    field.fill("gan, 2 steps")
    assert labels(table) == ["CM, 2 steps", "GAN"]


def test_paper_says_what_was_filtered_away(example_page: Path, visit: Visit) -> None:
    page = visit(example_page)
    page.emulate_media(media="print")
    assert page.locator(".filter:visible, .copy:visible").count() == 0
    page.emulate_media(media="screen")
    page.get_by_role("searchbox").first.fill("gan")
    page.emulate_media(media="print")
    assert page.locator(".filter:visible").all_inner_texts() == ["2 of 8 rows"]
    assert not page.get_by_role("searchbox").first.is_visible()
