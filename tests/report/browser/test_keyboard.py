"""All that a mouse can do, the keyboard can, and one sees where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

Visit = Callable[..., Page]

# What opens, the links, the fields, the regions that scroll, and the buttons in and above them, in
# the order of the document; nothing of what is closed.
STOPS = """[...document.querySelectorAll(
    "summary, label, a, .scroll, thead th, .copy button, .enlarge"
)].filter(stop => stop.checkVisibility()
    && (stop.matches("summary") || !stop.closest("details:not([open])"))
).map(stop => stop.getAttribute("aria-label") ?? stop.textContent)"""

FOCUS = """() => {
    const element = document.activeElement;
    if (element === document.body) return null;
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    const reach = parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset);
    const around = (element.closest(".scroll") ?? document.body).getBoundingClientRect();
    const button = element.tagName === "BUTTON";
    const label = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent;
    const hit = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return {
        name: label ?? element.textContent,
        outlined: style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2,
        whole: box.left - reach >= around.left && box.right + reach <= around.right
            && box.top - reach >= around.top && box.bottom + reach <= around.bottom,
        uncovered: button ? element.contains(hit) : true,
    };
}"""


def press(page: Page, key: str) -> dict[str, Any] | None:
    """Where ``key`` leads; ``None``: out of the page."""
    page.keyboard.press(key)
    stop: dict[str, Any] | None = page.evaluate(FOCUS)
    return stop


@pytest.mark.parametrize("width", [1280, 390])
def test_tab_reaches_everything_in_order_and_shows_it(
    example_page: Path, width: int, visit: Visit
) -> None:
    page = visit(example_page, width=width)
    wanted = page.evaluate(STOPS)
    stops = [press(page, "Tab") for _ in wanted]
    assert press(page, "Tab") is None
    stops += [press(page, "Shift+Tab") for _ in wanted]
    for stop, name in zip(stops, [*wanted, *wanted[::-1]], strict=True):
        assert stop == {"name": name, "outlined": True, "whole": True, "uncovered": True}


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_keys_sort(example_page: Path, key: str, visit: Visit) -> None:
    page = visit(example_page)
    page.get_by_role("columnheader", name="Fréchet distance").first.get_by_role("button").focus()
    head = page.get_by_role("columnheader", name="Fréchet distance").first
    labels = page.locator("section:not(.verdict) table").first.locator("tbody th")
    page.keyboard.press(key)
    assert head.get_attribute("aria-sort") == "ascending"
    assert labels.all_inner_texts()[:3] == ["real", "DDPM", "DDIM-50"]
    page.keyboard.press(key)
    assert head.get_attribute("aria-sort") == "descending"
    assert labels.all_inner_texts()[:3] == ["real", "DDIM-10", "Score-SDE ODE"]
    # The focus stays where it was.
    assert page.evaluate(FOCUS)["name"].startswith("Fréchet distance")


def test_wide_tables_scroll_by_keys(example_page: Path, visit: Visit) -> None:
    page = visit(example_page, width=390, height=844)
    regions = page.get_by_role("region").all()
    assert len(regions) == page.locator("table:visible").count()
    scrolled = 0
    for region in regions:
        assert region.get_attribute("aria-label")
        if region.evaluate("e => e.scrollWidth > e.clientWidth"):
            region.focus()
            page.keyboard.press("ArrowRight")
            page.wait_for_function("e => e.scrollLeft > 0", arg=region.element_handle())
            scrolled += 1
            # The names of the rows stay in sight.
            name = region.locator("tbody th").first.bounding_box()
            assert name is not None
            assert 0 <= name["x"] < 30
    assert scrolled >= 3


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_keys_open_what_was_compared(example_page: Path, key: str, visit: Visit) -> None:
    page = visit(example_page)
    closed = page.get_by_role("region", name="more faithful").count()
    page.locator("summary", has_text="more faithful").focus()
    page.keyboard.press(key)
    region = page.get_by_role("region", name="more faithful")
    assert (closed, region.count()) == (0, 1)
    assert "DDPM" in region.inner_text()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_contents_stay_at_hand(example_page: Path, width: int, visit: Visit) -> None:
    """A link leads to its part, beneath the bar that stays; on a telephone, the list closes."""
    page = visit(example_page, width=width, height=800)
    contents = page.get_by_role("navigation", name="Contents")
    for words, heading in (("Along training", "Quality along training"), ("Samples", "Samples")):
        if width == 390:
            contents.get_by_text("Contents").click()
        contents.get_by_role("link", name=words, exact=True).click()
        bar = contents.bounding_box()
        title = page.get_by_role("heading", name=heading, exact=True).bounding_box()
        assert bar is not None
        assert title is not None
        assert bar["y"] == 0
        assert bar["height"] < 60
        assert bar["height"] <= title["y"] < 200
    page.emulate_media(media="print")
    assert not contents.is_visible()


def test_keys_choose_the_baseline(example_page: Path, visit: Visit) -> None:
    page = visit(example_page)
    select = page.get_by_role("combobox", name="Compare with")
    headings = page.get_by_role("heading", name="Each entry against")
    assert headings.all_inner_texts() == ["Each entry against DDPM"]
    page.evaluate("document.querySelector('select').closest('p').scrollIntoView()")
    select.focus()
    page.keyboard.press("ArrowDown")
    assert headings.all_inner_texts() == ["Each entry against DDIM-50"]
    assert page.evaluate(FOCUS)["outlined"]
    select.select_option("GAN")
    assert headings.all_inner_texts() == ["Each entry against GAN"]
    page.emulate_media(media="print")
    assert headings.all_inner_texts() == ["Each entry against GAN"]
    assert not select.is_visible()


def test_without_scripts_the_best_is_the_baseline(example_page: Path, visit: Visit) -> None:
    page = visit(example_page, java_script_enabled=False)
    headings = page.get_by_role("heading", name="Each entry against")
    assert headings.all_inner_texts() == ["Each entry against DDPM"]
    assert page.locator("select").count() == 0


def test_keys_choose_the_seed(example_page: Path, visit: Visit) -> None:
    page = visit(example_page)
    select = page.get_by_role("combobox", name="Seed")
    shown = page.locator(".panels figcaption:visible span")
    assert set(shown.all_inner_texts()) == {"real samples", "seed 0", "seed 0, failed: no samples"}
    select.focus()
    page.keyboard.press("ArrowDown")
    assert shown.all_inner_texts() == [
        "real samples",
        *["seed 1"] * 5,
        "seed 1, diverged",
        "seed 1, failed: no samples",
    ]


@pytest.mark.parametrize("name", ["example_page", "ran_page"])
def test_keys_enlarge_a_picture_and_close_it(
    name: str, visit: Visit, request: pytest.FixtureRequest
) -> None:
    page = visit(request.getfixturevalue(name))
    buttons = page.locator(".panels").get_by_role("button", name="Enlarge samples: real")
    small = buttons.locator("img, svg").bounding_box()
    for way in ("Escape", "Enter", "click"):
        buttons.focus()
        assert page.evaluate(FOCUS)["outlined"]
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Enlarged picture")
        large = dialog.locator("img, svg").bounding_box()
        assert small is not None
        assert large is not None
        assert large["height"] > 2 * small["height"]
        assert page.evaluate("document.activeElement.textContent") == "Close"
        identifiers = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(set(identifiers)) == len(identifiers)
        if way == "click":
            dialog.locator("img, svg").click()
        else:
            page.keyboard.press(way)
        assert dialog.count() == 0
        # The keyboard goes on from where it was.
        assert buttons.evaluate("e => e === document.activeElement")
