"""Every table sorts by every column, both ways; what the order should be is worked out here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page

from genbench.report import write_report
from genbench.store.records import Record, write_records

Visit = Callable[..., Page]

Row = list[Any]
"""Label, whether it is the real one, and of each column what it sorts by: a text or a number."""

ROWS = """table => [...table.tBodies[0].rows].map(row => [
    row.cells[0].textContent,
    row.classList.contains("real"),
    [...row.cells].map(cell => {
        if (cell.matches("th, .words")) return cell.textContent;
        const number = parseFloat(cell.dataset.value ?? cell.textContent);
        return isNaN(number) ? null : number;
    }),
])"""

# The rows at first, then the rows and what is said of each head after each of two clicks a head.
CLICKED = f"""table => {{
    const rows = {ROWS}, heads = [...table.tHead.rows[0].cells];
    return [rows(table), heads.flatMap(head => [0, 1].map(() => {{
        head.querySelector("button").click();
        return [rows(table), heads.map(head => head.getAttribute("aria-sort"))];
    }}))];
}}"""


def rows(table: Locator) -> list[Row]:
    found: list[Row] = table.evaluate(ROWS)
    return found


def natural(label: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|\D+", label.casefold())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def expected(before: Sequence[Row], column: int, up: bool) -> list[Row]:
    """The real row, then the numbers in order, then what has none; equals stay as they were."""
    real = [row for row in before if row[1]]
    others = [row for row in before if not row[1]]
    if any(isinstance(row[2][column], str) for row in others):
        return real + sorted(others, key=lambda row: natural(row[2][column]), reverse=not up)
    numbers = [row for row in others if row[2][column] is not None]
    without = [row for row in others if row[2][column] is None]
    sign = 1 if up else -1
    return real + sorted(numbers, key=lambda row: sign * float(row[2][column] or 0)) + without


@pytest.mark.parametrize("name", ["example_page", "ran_page"])
def test_every_table_sorts_by_every_column_both_ways(
    name: str, visit: Visit, request: pytest.FixtureRequest
) -> None:
    page = visit(request.getfixturevalue(name))
    tables = page.locator("table").all()
    assert len(tables) >= 4
    assert page.locator("[aria-sort]").count() == 0
    for table in tables:
        before, clicks = table.evaluate(CLICKED)
        for number, (after, said) in enumerate(clicks):
            column, second = divmod(number, 2)
            assert after == expected(before, column, up=not second)
            assert said.pop(column) == ("descending" if second else "ascending")
            assert set(said) <= {None}
            before = after


def test_the_order_of_the_example(example_page: Path, visit: Visit) -> None:
    page = visit(example_page)
    tables = page.locator("section:not(.verdict) table")

    def order(table: int, heading: str) -> list[str]:
        table_ = tables.nth(table)
        table_.get_by_role("button", name=heading).click()
        return [row[0] for row in rows(table_)]

    # By the distances the example's entries are given; of GAN and the last one there is none.
    best = ["DDPM", "DDIM-50", "Score-SDE PC", "Score-SDE ODE", "DDIM-10"]
    assert order(0, "Fréchet distance")[:6] == ["real", *best]
    assert order(0, "Fréchet distance")[:6] == ["real", *best[::-1]]
    # 1, 10, 50, 62, 200 and 250 network evaluations, which as texts stand in another order.
    cost = tables.count() - 2
    assert order(cost, "NFE")[:6] == [
        "GAN",
        "DDIM-10",
        "DDIM-50",
        "Score-SDE ODE",
        "Score-SDE PC",
        "DDPM",
    ]
    # The others never met a non-finite step.
    last = tables.count() - 1
    assert order(last, "first non-finite step")[:2] == ["GAN · discriminator", "GAN · generator"]


def test_tables_sort_one_by_one(example_page: Path, visit: Visit) -> None:
    page = visit(example_page)
    tables = page.locator("section:not(.verdict) table")
    first, second = tables.nth(0), tables.nth(1)
    before = rows(second)
    first.get_by_role("button", name="precision").click()
    assert rows(second) == before
    assert second.locator("[aria-sort]").count() == 0


def test_numbers_in_names_are_numbers(
    example_records: list[Record], visit: Visit, tmp_path: Path
) -> None:
    ddpm = next(record for record in example_records if record.entry == "DDPM")
    names = ["DDIM-100", "DDIM-5", "ddim-20"]
    write_records(tmp_path, [replace(ddpm, entry=name, files={}) for name in names])
    write_report([tmp_path], tmp_path / "report.html")
    table = visit(tmp_path / "report.html").locator("table").first
    table.get_by_role("button", name="entry").click()
    assert [row[0] for row in rows(table)] == ["DDIM-5", "ddim-20", "DDIM-100"]


def test_without_scripts_the_tables_are_there(example_page: Path, visit: Visit) -> None:
    page = visit(example_page, java_script_enabled=False)
    assert page.locator("thead button").count() == 0
    assert page.get_by_role("columnheader", name="Fréchet distance").first.is_visible()
    # Nothing is promised that would not happen.
    assert not page.get_by_text("sorts its table").is_visible()
    assert page.locator("input, button, output").count() == 0
