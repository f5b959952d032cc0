"""What a reader copies is the table as it stands: sorted, filtered, and every text a text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Locator, Page

from genbench.analysis.comparison import comparison
from genbench.rendering.layout import Block, blocks
from genbench.rendering.text import WEB_WIDTH
from genbench.report import write_report
from genbench.store.records import Record, write_records

Visit = Callable[..., Page]

NAMES = (
    "<script>alert(1)</script>",
    'a|b & "c"',
    r"x_1 $5 50% #1 {b} ~^ \end \\ *i* **b** `d` _e_ ~~f~~ &amp; ![g](h)",
    "[0.3] *",
    "steps, 10",
)
CLIPBOARD = ["clipboard-read", "clipboard-write"]

Grid = list[list[str]]


@dataclass(frozen=True)
class Copied:
    """A copy, read back: its texts and which of its cells are bold."""

    cells: Grid
    bold: set[tuple[int, int]]


@pytest.fixture(scope="module")
def records(example_records: list[Record]) -> list[Record]:
    """Names that mean something in some format, with five seeds each, so that the best are bold."""
    real, ddpm = example_records[:2]
    runs = [
        replace(
            ddpm,
            entry=name,
            seed=seed,
            scores={
                key: {**score, "value": (score["value"] or 0) * (1 + number / 7 + seed / 90)}
                for key, score in ddpm.scores.items()
            },
            identities={"training": f"{name}-{seed}"},
            files={},
        )
        for number, name in enumerate(NAMES)
        for seed in range(5)
    ]
    return [replace(real, files={}), *runs]


@pytest.fixture(scope="module")
def hard_page(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hard")
    write_records(folder, records)
    write_report([folder], folder / "report.html")
    return folder / "report.html"


def first_block(records: list[Record]) -> Block:
    return blocks(comparison(records)[0].table, WEB_WIDTH, padding=3)[0]


def expected(block: Block) -> Copied:
    """The block as it should be copied before it is sorted or filtered."""
    head = [f"{column.heading} {column.arrow}".strip() for column in block.columns]
    cells = [[cell.text for cell in row.cells] for row in block.rows]
    bold = {
        (i, j)
        for i, row in enumerate(block.rows, start=1)
        for j, cell in enumerate(row.cells)
        if cell.bold
    }
    return Copied([head, *cells], bold)


def copy(page: Page, table: Locator, name: str) -> str:
    """Press the button beneath ``table`` and read the clipboard."""
    scroll = table.locator("xpath=ancestor::*[contains(@class, 'scroll')]")
    group = scroll.locator("xpath=preceding-sibling::*[1]").get_by_role("group")
    group.get_by_role("button", name=name).click()
    rows = table.locator("tbody tr:not([hidden])").count()
    status = group.get_by_role("status")
    page.wait_for_function("e => e.textContent !== ''", arg=status.element_handle())
    assert status.inner_text() == f"copied as {name}: {rows} rows"
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


class Cells(HTMLParser):
    """The cells of the only table of a document that holds nothing else."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.cells: Grid = []
        self.bold: set[tuple[int, int]] = set()
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"table", "thead", "tbody", "tr", "th", "td", "strong"}, tag
        if tag == "tr":
            self.cells.append([])
        if tag in ("th", "td"):
            self.cells[-1].append("")
        if tag == "strong":
            self.bold.add((len(self.cells) - 1, len(self.cells[-1]) - 1))

    def handle_data(self, data: str) -> None:
        if data.strip() or (self.cells and self.cells[-1] and self.cells[-1][-1]):
            self.cells[-1][-1] += data.replace("\n", "")


def from_markdown(text: str) -> Copied:
    """By markdown-it, with what GitHub adds to CommonMark."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found = Cells(parser.render(text))
    return Copied(found.cells, found.bold)


def from_csv(text: str) -> Copied:
    return Copied(list(csv.reader(io.StringIO(text), strict=True)), set())


MEANT = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"$\pm$": "±",
    r"$\uparrow$": "↑",
    r"$\downarrow$": "↓",
    r"{[}": "[",
    r"{*}": "*",
    "---": "—",
} | {f"\\{character}": character for character in "&%$#_{}"}
TOKEN = re.compile("|".join(map(re.escape, sorted(MEANT, key=len, reverse=True))) + "|.")


def meant(cell: str) -> str:
    """What LaTeX prints: the text of a cell with every command known and nothing left that it
    would take for one."""
    found = []
    for token in TOKEN.findall(cell):
        assert token in MEANT or token not in "\\&%$#_{}~^<>[*", f"{token} in {cell}"
        found.append(MEANT.get(token, token))
    return "".join(found)


def from_latex(text: str) -> Copied:
    begin = re.search(r"\\begin\{tabular\}\{(l(r+))\}\n", text)
    assert begin is not None
    assert text.endswith("\\bottomrule\n\\end{tabular}\n")
    body = text[begin.end() :].removesuffix("\\bottomrule\n\\end{tabular}\n")
    assert body.startswith("\\toprule\n")
    lines = [line for line in body.splitlines() if not re.fullmatch(r"\\(top|mid)rule", line)]
    cells, bold = [], set()
    for i, line in enumerate(lines):
        assert line.endswith(r" \\")
        # No more than the end of the row: an escaped backslash is another command.
        parts = re.split(r" (?<!\\)& ", line.removesuffix(r" \\"))
        assert len(parts) == len(begin[1])
        bold |= {(i, j) for j, part in enumerate(parts) if part.startswith(r"\textbf{")}
        parts = [re.sub(r"^\\textbf\{(.*)\}$", r"\1", part) for part in parts]
        cells.append([meant(part) for part in parts])
    return Copied(cells, bold)


READ = {"Markdown": from_markdown, "LaTeX": from_latex, "CSV": from_csv}


@pytest.mark.parametrize("name", READ)
def test_a_copy_is_the_table(
    name: str, hard_page: Path, records: list[Record], visit: Visit, requests: list[str]
) -> None:
    page = visit(hard_page, permissions=CLIPBOARD)
    table = page.locator(".tables table").first
    found = READ[name](copy(page, table, name))
    wanted = expected(first_block(records))
    assert found.cells == wanted.cells
    assert {row[0] for row in found.cells} >= {"real", *NAMES}
    assert wanted.bold
    assert found.bold == (set() if name == "CSV" else wanted.bold)
    assert requests == [hard_page.as_uri()]


@pytest.mark.parametrize("name", READ)
def test_a_copy_is_sorted_and_filtered_as_the_table_is(
    name: str, hard_page: Path, records: list[Record], visit: Visit
) -> None:
    page = visit(hard_page, permissions=CLIPBOARD)
    table = page.locator(".tables table").first
    for _ in range(2):
        table.get_by_role("button", name="Fréchet distance").click()
    page.locator(".tables").get_by_role("searchbox").first.fill("<script>, &, steps")
    found = READ[name](copy(page, table, name))
    by_name = {row[0]: row for row in expected(first_block(records)).cells}
    # Number 0 has the least distance; the real row stays first.
    order = ["entry", "real", NAMES[4], NAMES[2], NAMES[1], NAMES[0]]
    assert found.cells == [by_name[label] for label in order]


def test_markdown_reads_as_plain_text_too(hard_page: Path, visit: Visit) -> None:
    page = visit(hard_page, permissions=CLIPBOARD)
    lines = copy(page, page.locator(".tables table").first, "Markdown").splitlines()
    assert len({len(line) for line in lines}) == 1
    assert re.fullmatch(r"\| -+ (\| -+: )+\|", lines[1])


def test_every_table_of_a_page_copies(example_page: Path, visit: Visit) -> None:
    page = visit(example_page, permissions=CLIPBOARD)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    tables = page.locator("table:visible").all()
    assert page.get_by_role("group", name="Copy ").count() == len(tables)
    for table in tables:
        cells = from_csv(copy(page, table, "CSV")).cells
        assert len(cells) == table.locator("tr").count()
        assert {len(row) for row in cells} == {table.locator("thead th").count()}


def test_without_a_clipboard_the_older_way_copies(hard_page: Path, visit: Visit) -> None:
    """As on pages that are files, in some browsers."""
    page = visit(hard_page, permissions=CLIPBOARD)
    page.evaluate("navigator.clipboard.writeText('before')")
    page.evaluate(
        """() => {
            const own = navigator.clipboard, value = {readText: () => own.readText()};
            Object.defineProperty(navigator, "clipboard", {value});
        }"""
    )
    table = page.locator(".tables table").first
    button = page.locator(".tables").get_by_role("button", name="CSV").first
    assert len(from_csv(copy(page, table, "CSV")).cells) == len(NAMES) + 2
    # The keyboard goes on from where it was.
    assert button.evaluate("e => e === document.activeElement")
    assert page.locator("textarea").count() == 0


def test_a_refusal_is_told(hard_page: Path, visit: Visit) -> None:
    page = visit(hard_page)
    page.evaluate(
        """() => {
            Object.defineProperty(navigator, "clipboard", {value: undefined});
            document.execCommand = () => false;
        }"""
    )
    page.get_by_role("button", name="LaTeX").first.click()
    assert page.get_by_text("the browser refuses to copy").count() == 1
