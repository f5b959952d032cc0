"""The page asks for nothing, runs nothing but its own script, and leaves texts texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from playwright.sync_api import Page

Visit = Callable[..., Page]


def test_the_page_asks_for_itself_alone(
    report: Path, visit: Visit, requests: list[str], complaints: list[str]
) -> None:
    page = visit(report)
    page.locator("button").evaluate_all("buttons => buttons.forEach(b => b.click())")
    page.get_by_role("searchbox").first.fill("gan")
    page.emulate_media(media="print")
    assert requests == [report.as_uri()]
    assert complaints == []
    loaded = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert all(name.startswith("data:") for name in loaded)


def test_no_address_leads_out_of_the_page(report: Path, visit: Visit) -> None:
    page = visit(report)
    addresses = page.evaluate(
        """[...document.querySelectorAll("*")].flatMap(element => [...element.attributes])
            .filter(a => /^(xlink:)?(src|srcset|href|action|data|poster|background)$/.test(a.name))
            .map(attribute => attribute.value)"""
    )
    assert addresses
    assert all(re.match(r"data:image/png;base64,|#", address) for address in addresses)
    styles = page.evaluate(
        """[...document.querySelectorAll("style")].map(element => element.textContent)
            .concat([...document.querySelectorAll("[style]")].map(e => e.getAttribute("style")))
            .join()"""
    )
    assert not re.search(r"@import|@font-face|url\((?!['\"]?#)", styles)


def test_only_its_own_script(report: Path, visit: Visit) -> None:
    page = visit(report)
    (script,) = page.evaluate("[...document.scripts].map(script => script.textContent)")
    own = (files("genbench.report").joinpath(name) for name in ("table.js", "page.js"))
    assert script == "\n".join(file.read_text(encoding="utf-8") for file in own)
    handlers = page.evaluate(
        """[...document.querySelectorAll("*")].flatMap(element => element.getAttributeNames())
            .filter(name => name.startsWith("on"))"""
    )
    assert handlers == []


def test_another_script_would_not_run(
    example_page: Path, visit: Visit, complaints: list[str]
) -> None:
    page = visit(example_page)
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", "<img src='https://example.org/x.png'>");
        }"""
    )
    assert page.evaluate("window.ran") is None
    assert len(complaints) == 2
    assert all("Content Security Policy" in said for said in complaints)
    complaints.clear()


def test_hostile_texts_stay_texts(hostile_page: Path, attack: str, visit: Visit) -> None:
    page = visit(hostile_page)
    assert page.title() == f"{attack} on {attack} · genbench"
    assert page.locator("h1").inner_text() == f"{attack} on {attack}"
    # Facts, row and column heads, captions of samples, legends, outcomes, notes, model names.
    heads = "tbody th", "thead th", "h4"
    for place in (*heads, "dd", "code", "figcaption", ".legend li", ".outcomes li", ".notes li"):
        assert page.locator(place, has_text=attack).count() > 0, place
    assert (
        page.get_by_role("button", name=f"Enlarge samples: DDPM {attack}", exact=True).count() == 1
    )
    assert page.get_by_role("region", name="All scores: fidelity").count() > 0
    # Where the texts stand they made no element.
    foreign = "script, img:not(.grid), style, title:not(svg *), iframe, object, link, form"
    assert page.locator("body").locator(foreign).count() == 1  # the page's script
