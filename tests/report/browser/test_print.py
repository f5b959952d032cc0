"""On paper: whole tables, black on white, and nothing to press."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page

from genbench.report import write_report
from genbench.store.records import Record, write_records

Visit = Callable[..., Page]

WIDTHS = {"A4": round((210 - 28) / 25.4 * 96), "Letter": round((215.9 - 28) / 25.4 * 96)}
"""CSS pixels between margins of 14 mm."""

CUT_OFF = """() => {
    const wide = document.documentElement.clientWidth, found = [];
    for (const element of document.body.querySelectorAll("*")) {
        const box = element.getBoundingClientRect();
        if (box.width && !element.closest("svg svg, svg *") && box.right > wide + 0.5)
            found.push(`${element.tagName} ${element.className} ends at ${box.right}`);
        const style = getComputedStyle(element);
        if (style.overflowX === "auto" || style.overflowX === "scroll")
            found.push(`${element.tagName} ${element.className} has a scroll bar`);
        if (style.position === "sticky") found.push(`${element.tagName} sticks`);
    }
    return found;
}"""


def test_nothing_is_cut_off(report: Path, visit: Visit) -> None:
    page = visit(report)
    page.emulate_media(media="print")
    for paper, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(CUT_OFF) == [], paper


def test_the_longest_cells_are_not_cut_off(
    example_records: list[Record], visit: Visit, tmp_path: Path
) -> None:
    # The step at which each of twenty seeds diverged, in one cell.
    diverged = next(record for record in example_records if record.status == "diverged")
    write_records(tmp_path, [replace(diverged, seed=seed, files={}) for seed in range(20)])
    write_report([tmp_path], tmp_path / "report.html")
    page = visit(tmp_path / "report.html", width=WIDTHS["A4"])
    assert page.get_by_role("cell", name="412 (seed 19)").count() > 0
    page.emulate_media(media="print")
    assert page.evaluate(CUT_OFF) == []


@pytest.mark.parametrize("paper", WIDTHS)
def test_pages_are_few_and_of_the_paper_asked_for(
    example_page: Path, paper: str, visit: Visit
) -> None:
    page = visit(example_page)
    pdf = page.pdf(format=paper, prefer_css_page_size=True)
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 12
    (box,) = set(re.findall(rb"/MediaBox\s*\[([^]]*)\]", pdf))
    width = float(box.split()[2])
    assert width == pytest.approx({"A4": 595, "Letter": 612}[paper], abs=1)


def test_a_dark_screen_prints_on_white(example_page: Path, visit: Visit) -> None:
    page = visit(example_page)
    names = page.evaluate("[...document.styleSheets[0].cssRules[0].style]")
    assert "--s1" in names
    values = []
    for scheme in ("light", "dark"):
        page.emulate_media(media="print", color_scheme=scheme)
        root, body = (
            f"getComputedStyle(document.{which})" for which in ("documentElement", "body")
        )
        values.append(page.evaluate(f"names => names.map(n => {root}.getPropertyValue(n))", names))
        assert page.evaluate(f"{body}.backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate(f"{body}.color") == "rgb(0, 0, 0)"
    assert values[0] == values[1]


def test_buttons_look_like_text(example_page: Path, visit: Visit) -> None:
    page = visit(example_page)
    page.get_by_role("button", name="precision").first.click()
    page.emulate_media(media="print")
    looks = page.evaluate(
        """[...document.querySelectorAll("thead button")].map(button => {
            const style = getComputedStyle(button), head = getComputedStyle(button.parentElement);
            return [style.color === head.color, style.font === head.font, style.borderTopWidth,
                style.backgroundColor, style.textDecorationLine, style.outlineStyle,
                getComputedStyle(button, "::after").content].join();
        })"""
    )
    assert set(looks) == {"true,true,0px,rgba(0, 0, 0, 0),none,none,none"}
    assert not page.get_by_text("sorts its table").is_visible()
