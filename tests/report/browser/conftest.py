"""Debian's Chromium through Playwright, and the pages that it is shown."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Dialog,
    Page,
    ViewportSize,
    sync_playwright,
)

from genbench import registry
from genbench.api import Output
from genbench.cli import main
from genbench.report import write_report
from genbench.store.records import Record, read_records, write_records

TOY = Path(__file__).parents[2] / "plugins" / "toy.py"

ATTACK = (
    "</title></style></script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"
    + "x" * 60
)
"""A name that leaves whatever it stands in, and does something there, unless it is escaped; and
that no line can hold."""

SUITE = """
title = "Toys"
dataset = "points-ring"
seeds = [0, 1]
examples = 320
samples = 64

[score]
extractor = "identity"
reference = "points-ring:test"
metrics = ["frechet_distance", "precision", "recall", "coverage"]
snapshots = { count = 2, samples = 64 }

[train]
batch = 32

[entries."<script>alert(1)</script>"]
model = "toy"

[entries.Breaks]
model = "toy"
options = { breaks_at = 8 }

[entries."Does not fit"]
model = "faulty"
options = { where = "fit" }

[entries."Fails"]
model = "faulty"
"""


@pytest.fixture(scope="session")
def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(
            f"no browser: none of {', '.join(names)} on the PATH (apt-get install chromium)"
        )
    return found


# Not for the session: while it is there, Playwright's event loop runs in this thread.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    # Chromium's sandbox does not start as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def requests() -> list[str]:
    """The addresses that pages asked for."""
    return []


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """Console messages, uncaught errors and dialogs: a test fails at whose end there is any."""
    said: list[str] = []
    yield said
    assert said == []


@pytest.fixture
def visit(
    browser: Browser, requests: list[str], complaints: list[str]
) -> Iterator[Callable[..., Page]]:
    """Opens a file, without a network and at desktop width; keywords are those of a context."""
    contexts: list[BrowserContext] = []

    def dismiss(dialog: Dialog) -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def visit(path: Path, width: int = 1280, height: int = 900, **options: Any) -> Page:
        viewport: ViewportSize = {"width": width, "height": height}
        context = browser.new_context(offline=True, viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", dismiss)
        page.goto(path.as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def example_page(example_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up records, real digits: all that a page can hold."""
    return written(example_folder, tmp_path_factory)


@pytest.fixture(scope="session")
def attack() -> str:
    return ATTACK


@pytest.fixture(scope="session")
def hostile_page(
    example_records: list[Record], example_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same with ``ATTACK`` wherever a user or a plugin may write a text."""
    folder = tmp_path_factory.mktemp("hostile")
    write_records(folder, [hostile(record, example_folder) for record in example_records])
    return written(folder, tmp_path_factory)


@pytest.fixture(scope="session")
def ran_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite that was run: points, with an entry that diverges, one that fails and one skipped."""
    folder = tmp_path_factory.mktemp("ran")
    suite = folder / "toys.toml"
    suite.write_text(SUITE, encoding="utf-8")
    registry.add_plugin_file(TOY)
    arguments = ["run", suite, "--out", folder / "out", "--plugin", TOY, "--jobs", 1]
    done = CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 1, done.output
    statuses = {record.status for record in read_records(folder / "out")}
    assert statuses == {"done", "diverged", "failed", "skipped"}
    return folder / "out" / "report.html"


@pytest.fixture(params=["example", "hostile", "ran"])
def report(request: pytest.FixtureRequest) -> Path:
    """Each of the pages."""
    path: Path = request.getfixturevalue(f"{request.param}_page")
    return path


def written(folder: Path, temporary: pytest.TempPathFactory) -> Path:
    out = temporary.mktemp("page") / "report.html"
    write_report([folder], out)
    return out


def hostile(record: Record, files: Path) -> Record:
    """The record as a plugin with bad intentions would have it made."""
    own = {name: f"{getattr(record, name)} {ATTACK}" for name in ("model", "trains")}
    stability = {
        name: {f"{player} {ATTACK}": value for player, value in by_player.items()}
        if name in ("loss_spikes", "gradient_tail")
        else by_player
        for name, by_player in record.stability.items()
    }
    scores, outputs = dict(record.scores), dict(record.outputs)
    if scores:
        scores[ATTACK], outputs[ATTACK] = scores["odd_score"], Output(True, ATTACK, ATTACK)
    return replace(
        record,
        **own,
        suite=ATTACK,
        dataset=ATTACK,
        entry=record.entry if record.seed is None else f"{record.entry} {ATTACK}",
        reason=record.reason and ATTACK,
        scores=scores,
        outputs=outputs,
        skipped_metrics={ATTACK: ATTACK},
        protocol=record.protocol and {**record.protocol, "extractor": ATTACK, ATTACK: ATTACK},
        conditions=record.conditions
        and {
            **record.conditions,
            "device": ATTACK,
            "augment": [ATTACK],
            "sample": {ATTACK: ATTACK},
        },
        stability=stability,
        files={name: str(files / path) for name, path in record.files.items()},
    )
