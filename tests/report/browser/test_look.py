"""Contrast, structure and widths: what one sees, and what a screen reader is told."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

Visit = Callable[..., Page]

MARKS = [f"--s{number}" for number in range(1, 9)]

# Of every visible text its colour, what lies behind it, and whether WCAG calls it large.
TEXTS = """() => {
    const seen = new Map();
    const shade = document.createElement("i");
    shade.style.color = "var(--shade)";
    document.body.append(shade);
    const shaded = getComputedStyle(shade).color;
    shade.remove();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
        const style = getComputedStyle(element), svg = element.closest("svg");
        let behind = element, back = [];
        while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)")
            behind = behind.parentElement;
        back.push(getComputedStyle(behind).backgroundColor);
        // The shade at the edge of a table that goes on.
        const scroll = element.closest(".scroll");
        if (scroll && getComputedStyle(scroll).backgroundImage !== "none") back.push(shaded);
        let opacity = 1;
        for (let e = element; e; e = e.parentElement) opacity *= getComputedStyle(e).opacity;
        const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
        const mark = element.ariaHidden === "true";
        const large = size >= 24 || (bold && size >= 18.66);
        for (const behind of back) {
            const found = [svg ? style.fill : style.color, behind, opacity, large, mark];
            seen.set(found.join(), [...found, walker.currentNode.data.trim().slice(0, 40)]);
        }
    }
    return [...seen.values()];
}"""

COLOURS = """names => names.map(name => {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
})"""

# Tables and figures that a screen reader could not tell about.
UNTOLD = """() => {
    const count = (table, what) => table.querySelectorAll(what).length;
    const tables = [...document.querySelectorAll("table")].filter(table =>
        !table.caption?.textContent
        || count(table, "thead th[scope=col]") !== count(table, "thead tr > *")
        || count(table, "tbody th[scope=row]") !== count(table, "tbody tr"));
    const figures = [...document.querySelectorAll("img, svg")].filter(figure =>
        figure.tagName === "IMG" ? !figure.alt
            : figure.getAttribute("role") !== "img" || !figure.getAttribute("aria-label"));
    return [...tables, ...figures].map(element => element.outerHTML.slice(0, 200));
}"""

OVERFLOWS = """() => {
    const wide = document.documentElement.clientWidth, found = [];
    if (document.documentElement.scrollWidth > wide) found.push("the page scrolls sideways");
    for (const element of document.body.querySelectorAll("*")) {
        if (element.closest(".scroll") !== null && !element.matches(".scroll")) continue;
        const box = element.getBoundingClientRect();
        if (box.width && (box.left < -0.5 || box.right > wide + 0.5))
            found.push(`${element.tagName} ${element.className} ${box.left}–${box.right}`);
        // A list of choices cuts the one that is chosen by itself.
        if (!element.matches(".scroll, select") && !element.closest("svg")
            && element.scrollWidth > element.clientWidth + 4 && element.clientWidth)
            found.push(`${element.tagName} ${element.className} overflows`);
    }
    return found;
}"""


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance of an opaque ``rgb(r, g, b)``."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    """WCAG 2.2, contrast ratio."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def faint(texts: list[Any]) -> list[str]:
    """The texts under level AA (1.4.3), and the marks under that of graphics (1.4.11)."""
    found = []
    for colour, behind, opacity, large, mark, text in texts:
        assert opacity == 1
        ratio = contrast(colour, behind)
        if ratio < (3 if large or mark else 4.5):
            found.append(f"{text!r}: {colour} on {behind} is {ratio:.2f}")
    return found


def test_contrast_by_known_values() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    # The grey that is the lightest to pass on white.
    assert contrast("rgb(118, 118, 118)", "rgb(255, 255, 255)") == pytest.approx(4.54, abs=0.005)


def test_texts_and_marks_have_contrast(report: Path, visit: Visit) -> None:
    page = visit(report)
    page.locator("section:not(.verdict) thead button").nth(1).click()
    for scheme, media in (("light", "screen"), ("dark", "screen"), ("dark", "print")):
        page.emulate_media(media=media, color_scheme=scheme)
        texts = page.evaluate(TEXTS)
        assert len(texts) >= 5
        assert faint(texts) == []
        paper, *marks = page.evaluate(COLOURS, ["--paper", "--accent", *MARKS])
        assert (luminance(paper) < 0.1) == ((scheme, media) == ("dark", "screen"))
        assert all(contrast(mark, paper) >= 3 for mark in marks)


def test_structure_is_told(report: Path, visit: Visit) -> None:
    page = visit(report)
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title().endswith("· genbench")
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.get_by_role("main").count() == page.get_by_role("banner").count() == 1
    identifiers = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(set(identifiers)) == len(identifiers)
    assert page.evaluate(UNTOLD) == []


def test_which_way_is_better_is_told(example_page: Path, visit: Visit) -> None:
    page = visit(example_page)
    for name in ("Fréchet distance lower is better", "recall higher is better", "NFE"):
        heads = page.locator(".tables").get_by_role("button", name=name, exact=True)
        assert heads.count() == 1


def test_nothing_but_tables_is_wider_than_the_window(report: Path, visit: Visit) -> None:
    page = visit(report)
    for width in (1280, 390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate(OVERFLOWS) == [], width
