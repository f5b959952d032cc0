"""Every figure is decoded, has a size, and is seen whole; pictures are enlarged as squares."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

Visit = Callable[..., Page]

# What is wrong with a page's figures, a line each.
FAULTS = """async () => {
    const faults = [];
    const wide = document.documentElement.clientWidth;
    for (const figure of document.querySelectorAll("img, svg:not(.bar)")) {
        if (!figure.checkVisibility()) continue;
        const name = figure.alt || figure.getAttribute("aria-label");
        const box = figure.getBoundingClientRect();
        const out = (inner, outer) => inner.left < outer.left - 1 || inner.right > outer.right + 1
            || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
        // The lowest are two rows of eight pictures.
        const least = figure.closest(".firsts") ? 80 : 100;
        // And one row of ten.
        const flat = figure.closest(".noise") ? 12 : 5;
        if (box.width < least || box.height < box.width / flat)
            faults.push(`${name}: ${box.width}×${box.height}`);
        if (box.left < 0 || box.right > wide) faults.push(`${name}: beyond the window`);
        for (let parent = figure.parentElement; parent; parent = parent.parentElement) {
            const clips = getComputedStyle(parent).overflowX !== "visible";
            if (clips && out(box, parent.getBoundingClientRect())) faults.push(`${name}: clipped`);
        }
        if (figure.tagName === "IMG") {
            await figure.decode().catch(() => faults.push(`${name}: not decoded`));
            const stretch = (box.width / box.height) / (figure.naturalWidth / figure.naturalHeight);
            if (!(Math.abs(stretch - 1) < 0.01)) faults.push(`${name}: stretched ${stretch}`);
        } else {
            if (!figure.querySelector("path")) faults.push(`${name}: nothing drawn`);
            for (const text of figure.querySelectorAll("text")) {
                const {a, b} = text.getScreenCTM();
                const size = parseFloat(getComputedStyle(text).fontSize) * Math.hypot(a, b);
                if (matchMedia("screen").matches && size < 8)
                    faults.push(`${name}: ${text.textContent} is ${size} pixels high`);
                if (out(text.getBoundingClientRect(), box))
                    faults.push(`${name}: ${text.textContent} is cut off`);
            }
            const texts = [...figure.querySelectorAll("text")].map(text =>
                [text.textContent, text.getBoundingClientRect()]);
            const apart = (a, b) => a.right < b.left || b.right < a.left
                || a.bottom < b.top + 2 || b.bottom < a.top + 2;
            for (const [number, [one, a]] of texts.entries())
                for (const [other, b] of texts.slice(number + 1))
                    if (!apart(a, b)) faults.push(`${name}: ${one} and ${other} collide`);
        }
    }
    return faults;
}"""


def test_every_figure_is_shown_whole(report: Path, visit: Visit) -> None:
    page = visit(report)
    for width, media in ((1280, "screen"), (390, "screen"), (688, "print")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(media=media)
        assert page.evaluate(FAULTS) == [], (width, media)


def test_the_figures_are_all_there(example_page: Path, ran_page: Path, visit: Visit) -> None:
    page = visit(example_page)
    assert (
        page.locator("img.grid").count() == 7 + 7 + 6 + 7 + 5
    )  # first, all, of seed 1; neighbours; noise
    assert page.locator("svg.chart").count() == 4 + 2 + 2 * 3  # planes, snapshots, three models
    page = visit(ran_page)
    assert page.locator("img").count() == 0
    # Four planes, two of snapshots, two of histories, and the points: real, toy and its twin.
    labels = [svg.get_attribute("aria-label") for svg in page.locator("svg").all()]
    # And of the twin's and toy's second seed.
    assert sum(label.startswith("samples: ") for label in labels if label) == 3 + 2
    assert "samples: <script>alert(1)</script>" in labels
    assert len(labels) >= 6


@pytest.mark.parametrize("scale", [1, 2])
def test_grids_are_enlarged_without_blur(example_page: Path, scale: int, visit: Visit) -> None:
    page = visit(example_page, device_scale_factor=scale)
    shot = Image.open(io.BytesIO(page.locator(".panels img.grid").first.screenshot())).convert(
        "RGB"
    )
    inner = np.asarray(shot).astype(int)[4:-4, 4:-4].reshape(-1, 3)
    # Interpolation would bring in greys between the 17 of the digits and the page's colour.
    greys = [[round(level * 255 / 16)] * 3 for level in range(17)]
    allowed = np.array([*greys, [0xFB, 0xFA, 0xF8]])
    apart = np.abs(np.unique(inner, axis=0)[:, None] - allowed[None]).max(-1).min(-1)
    assert apart.max() <= 1


@pytest.mark.parametrize("name", ["example_page", "ran_page"])
def test_the_answer_is_on_the_first_screen(
    name: str, visit: Visit, request: pytest.FixtureRequest
) -> None:
    """Samples, the table with its bars, and the verdict in words, without scrolling."""
    page = visit(request.getfixturevalue(name), width=1280, height=800)
    for place in (".firsts", ".answer table", ".answer .notes"):
        box = page.locator(place).bounding_box()
        assert box is not None
        assert box["y"] >= 0, place
        assert box["y"] + box["height"] <= 800, place
    assert page.locator(".answer .bar").count() >= 2
    assert page.locator(".answer .notes li").first.inner_text().find(" has the lowest ") > 0
