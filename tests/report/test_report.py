from __future__ import annotations

import base64
import io
import re
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file, save

from genbench.analysis.comparison import comparison
from genbench.api.errors import DataError
from genbench.cli import main
from genbench.report import write_report
from genbench.report.curves import windows
from genbench.report.figures import look
from genbench.report.planes import pareto_front
from genbench.store import Damaged, write_artefact
from genbench.store.records import RECORDS, Record, read_records, seal, write_records

SHORT = """
dataset = "points-ring"
examples = 1280
samples = 256

[score]
extractor = "identity"
reference = "points-ring:test"
metrics = ["frechet_distance"]

[entries.GAN]
model = "gan"
"""
HOSTILE = "<script>alert(1)</script> & $x_"
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """A page as a browser sees it: its tags balanced, its addresses and its texts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.identifiers: Counter[str] = Counter()
        self.references: set[str] = set()
        self.labels: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.pictures: dict[str, np.ndarray] = {}
        """By what they say aloud, their pixels."""
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # The name of a mark in a figure is no title of the page.
        self.tags["name" if tag == "title" and "svg" in self.open else tag] += 1
        for name, value in attrs:
            assert value is not None
            assert not name.startswith("on"), "no inline handlers"
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                self.addresses.append(value)
            if name == "id":
                self.identifiers[value] += 1
            if name in ("alt", "aria-label"):
                self.labels.append(value)
            self.references |= set(re.findall(r"url\(#([^)]*)\)", value))
            if tag == "use" and name == "href":
                self.references.add(value.removeprefix("#"))
        given = dict(attrs)
        if tag == "img":
            data = base64.b64decode((given["src"] or "").removeprefix("data:image/png;base64,"))
            self.pictures[given["alt"] or ""] = np.asarray(Image.open(io.BytesIO(data)))
        if tag in ("img", "svg"):
            assert {"alt", "aria-label"} & {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without <{tag}>"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())


@pytest.fixture(scope="module")
def source(example_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "report.html"
    write_report([example_folder], out)
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


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


def test_a_grid_for_every_entry_beside_the_real_one(page: Page) -> None:
    labels = [label for label in page.labels if label.startswith("samples: ")]
    assert [label for label in labels if "seed" not in label] == [
        f"samples: {entry}"
        for entry in (
            "real",
            "DDPM",
            "DDIM-10",
            "DDIM-50",
            "Score-SDE PC",
            "Score-SDE ODE",
            "GAN",
        )
    ]


def test_the_first_screen_shows_the_very_first_samples(page: Page) -> None:
    """By the rank of the entries, beside the real ones."""
    labels = [label for label in page.pictures if label.startswith("first samples: ")]
    ranked = ("DDPM", "DDIM-50", "Score-SDE PC", "Score-SDE ODE", "DDIM-10", "GAN")
    assert labels == [f"first samples: {entry}" for entry in ("real", *ranked)]
    for entry in ("real", "GAN"):
        small, whole = (page.pictures[f"{kind}: {entry}"] for kind in ("first samples", "samples"))
        assert small.shape == (3 * 9 - 1, 3 * 9 - 1, 4)
        # The tile in its first row and last column is the third sample.
        np.testing.assert_array_equal(small[:8, 18:26], whole[:8, 18:26])


def test_bars_are_read_aloud(page: Page) -> None:
    """Two seeds have no interval."""
    assert [label for label in page.labels if label.startswith("seeds: ")] == [
        "seeds: 0.0586, 0.0647",
        "seeds: 0.071, 0.0784",
        "seeds: 0.0797, 0.088",
        "seeds: 0.0912, 0.101",
        "seeds: 0.175, 0.193",
        "seeds: 0.0749",  # GAN, which diverged with the other seed
    ]
    assert "real: 0.037" in page.labels


def test_bars_are_means_with_intervals(example_records: list[Record], tmp_path: Path) -> None:
    real, ddpm = example_records[:2]
    values = [0.05, 0.06, 0.07, 0.08, 0.05]
    scores = [{"frechet_distance": {"value": v, "low": None, "high": None}} for v in values]
    runs = [
        replace(ddpm, seed=seed, scores=own, identities={"training": str(seed)}, files={})
        for seed, own in enumerate(scores)
    ]
    write_records(tmp_path, [replace(real, files={}), *runs])
    write_report([tmp_path], tmp_path / "report.html")
    labels = Page((tmp_path / "report.html").read_text(encoding="utf-8")).labels
    low, high = scipy.stats.t.interval(
        0.95, 4, np.log(values).mean(), scipy.stats.sem(np.log(values))
    )
    middle = np.exp(np.log(values).mean())
    said = f"{middle:.3g}, 95% interval from {np.exp(low):.3g} to {np.exp(high):.3g}"
    assert said in labels


@pytest.mark.parametrize(
    ("floor", "dashed", "arrow"), [(0.057, 2, 0), (1e-6, 0, 2), (40.0, 0, 2), (None, 0, 0)]
)
def test_a_far_floor_does_not_squeeze_the_bars(
    floor: float | None, dashed: int, arrow: int, example_records: list[Record], tmp_path: Path
) -> None:
    real, *runs = example_records[:3]
    score = {"value": floor, "low": None, "high": None}
    files: dict[str, str] = {}
    reals = (
        [] if floor is None else [replace(real, scores={"frechet_distance": score}, files=files)]
    )
    write_records(tmp_path, [*reals, *(replace(run, files=files) for run in runs)])
    write_report([tmp_path], tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (source.count('class="floor"'), source.count('class="beyond"')) == (dashed, arrow)
    (ticks,) = re.findall(r'class="seeds" d="M([\d.]+) \dv10M([\d.]+) \dv10"', source)
    # The two seeds are still far apart, in a bar 132 wide.
    assert abs(float(ticks[0]) - float(ticks[1])) > 50


def test_samplers_of_one_training_stand_beneath_each_other(
    page: Page, example_folder: Path
) -> None:
    """Their first samples in a row each; entries with weights of their own have no such row."""
    rows = [label for label in page.pictures if label.startswith("from the same noise: ")]
    assert [label.partition(": ")[2] for label in rows] == [
        *("DDPM", "DDIM-10", "DDIM-50"),
        *("Score-SDE PC", "Score-SDE ODE"),
    ]
    stored = load_file(example_folder / "runs/ddpm-seed0/samples/DDIM-50.safetensors")["samples"]
    sheet = page.pictures["from the same noise: DDIM-50"]
    assert sheet.shape == (8, 10 * 9 - 1, 4)
    for number in range(10):
        tile = sheet[:, 9 * number : 9 * number + 8, 0]
        np.testing.assert_array_equal(tile, np.round(stored[number, 0] * (255 / 16)))


def test_samples_of_every_seed_are_there_and_one_is_shown(source: str) -> None:
    runs = re.findall(r'<figure data-seed="(\d)"( hidden="")?>\n(<img|<div)', source)
    first, second = ("0", "", "<img"), ("1", ' hidden=""', "<img")
    failed = [("0", "", "<div"), ("1", ' hidden=""', "<div")]
    assert runs == [first, second] * 6 + failed


def test_a_seed_without_room_is_left_out_and_named(
    example_records: list[Record], tmp_path: Path
) -> None:
    """Pictures that cannot be compressed: two hundred kilobytes each."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 3, 64, 64)).astype(np.uint8)
    path = tmp_path / "samples.safetensors"
    write_artefact(path, save({"samples": noise}, {"modality": "image", "levels": "256"}), {})
    ddpm = example_records[1]
    runs = [
        replace(ddpm, entry=f"M{n}", seed=seed, files={"samples": path.name})
        for n in range(5)
        for seed in (0, 3, 7)
    ]
    write_records(tmp_path, runs)
    write_report([tmp_path], tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r'<figure data-seed="(\d)"', source)) == {"0", "3"}
    assert "Those of seed 7 would make the page too\nlarge" in source


def test_a_far_floor_stands_at_the_edge_of_a_plane(
    example_records: list[Record], tmp_path: Path
) -> None:
    real, *runs = [replace(record, files={}) for record in example_records]

    def labels(source: str) -> list[str]:
        """Of the ticks and axes of the planes of cost."""
        charts = re.findall(r'<svg class="chart".*?</svg>', source, re.DOTALL)
        return [text for chart in charts[:3] for text in re.findall(r">([^<>]+)</text>", chart)]

    write_records(tmp_path, runs)
    write_report([tmp_path], tmp_path / "report.html")
    alone = labels((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "training FLOPs" in alone
    for floor, said in ((1e-9, "real: 1e-09 ↓"), (1e9, "real: 1e+09 ↑"), (0.05, None)):
        scores = {**real.scores, "frechet_distance": {"value": floor, "low": None, "high": None}}
        write_records(tmp_path, [replace(real, scores=scores), *runs])
        write_report([tmp_path], tmp_path / "report.html")
        source = (tmp_path / "report.html").read_text(encoding="utf-8")
        edges = re.findall(r">(real: [^<]*[↑↓])<", source)
        assert edges == ([] if said is None else [said] * 3)
        if said is not None:  # the axes are as if there were no real row
            assert [text for text in labels(source) if text != said] == alone


def test_a_far_real_row_does_not_squeeze_precision_and_recall(
    example_records: list[Record], tmp_path: Path
) -> None:
    real, *runs = [replace(record, files={}) for record in example_records]
    scores = {**real.scores, "recall": {"value": 0.05, "low": None, "high": None}}
    write_records(tmp_path, [replace(real, scores=scores), *runs])
    write_report([tmp_path], tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "real: 0.05, 0.94" in source


def test_an_entry_has_one_colour_and_mark_everywhere(page: Page, source: str) -> None:
    """Also where losses are drawn, by the entry that the training is named by."""
    legends = re.findall(r'<li><span class="(s\d)" [^>]*>(.)</span> ([^<]*)</li>', source)
    looks: dict[str, set[tuple[str, str]]] = {}
    for colour, glyph, label in legends:
        looks.setdefault(label.partition(" · ")[0], set()).add((colour, glyph))
    assert len(looks) == 6
    assert all(len(found) == 1 for found in looks.values())
    assert len(set.union(*looks.values())) == 6
    assert [label for *_, label in legends if label.startswith("GAN ·")] == [
        "GAN · discriminator",
        "GAN · generator (dashed)",
    ]


def test_grids_show_the_first_samples_as_they_are(page: Page, example_folder: Path) -> None:
    stored = load_file(example_folder / "runs/real/reference.safetensors")["samples"]
    sheet = page.pictures["samples: real"]
    assert sheet.shape == (8 * 9 - 1, 8 * 9 - 1, 4)
    tile = sheet[9:17, 18:26, 0]  # row 1, column 2: number 10
    np.testing.assert_array_equal(tile, np.round(stored[10, 0] * (255 / 16)))


def test_samples_stand_above_their_nearest_training_samples(
    page: Page, example_folder: Path
) -> None:
    stored = load_file(example_folder / "runs/real/neighbours.safetensors")
    labels = [label for label in page.labels if label.endswith("its nearest training sample")]
    assert len(labels) == 7
    assert labels[0] == "real: samples, each above its nearest training sample"
    sheet = page.pictures[labels[0]]
    assert sheet.shape == (2 * 9 - 1, 8 * 9 - 1, 4)
    for row, kind in enumerate(("samples", "neighbours")):
        tile = sheet[9 * row : 9 * row + 8, 27:35, 0]  # number 3
        np.testing.assert_array_equal(tile, np.round(stored[kind][3, 0] * (255 / 16)))
    assert page.texts["li"].count("12.2") == 7  # the last distance of each


def test_of_points_no_neighbours_are_shown(example_records: list[Record], tmp_path: Path) -> None:
    real = example_records[0]
    write_records(tmp_path, [real])
    points = np.zeros((8, 2), np.float32)
    tensors = {"samples": points, "neighbours": points, "distances": np.zeros(8)}
    path = tmp_path / real.files["neighbours"]
    write_artefact(path, save(tensors), {"modality": "points", "levels": None})
    write_report([tmp_path], tmp_path / "report.html")
    assert "Nearest training samples" not in (tmp_path / "report.html").read_text("utf-8")


def test_the_front_is_named_beneath_each_plane(page: Page) -> None:
    fronts = [text for text in page.texts["figcaption"] if text.startswith("On the front: ")]
    # GAN, of which one run diverged, has no mean to stand on it. DDPM, the best, is as cheap to
    # train as DDIM and cheaper than it in nothing else.
    assert fronts == [
        "On the front: DDPM",
        "On the front: DDPM",
        "On the front: DDIM-10 · DDIM-50 · DDPM",
    ]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_nobody_on_the_front_is_beaten(points: list[tuple[int, int]]) -> None:
    front = pareto_front(points)
    assert front

    def beats(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return a != b and a[0] <= b[0] and a[1] <= b[1]

    for index, point in enumerate(points):
        assert (index in front) == (not any(beats(other, point) for other in points))
    costs = [points[index][0] for index in front]
    assert costs == sorted(costs)


def test_command_and_protocol_stand_beneath_every_group_of_figures(page: Page, source: str) -> None:
    assert page.texts["code"].count("genbench run quickstart --seeds 0,1") == 6
    said = "samples against 899 of digits:test, in the features of digits"
    beneath = page.texts["p"]
    assert f"500 {said}" in beneath
    assert f"fewer {said}" in beneath
    assert "against samples of none, in the features of digits" in beneath


def test_charts_of_planes_training_and_diagnostics(page: Page) -> None:
    labels = [
        label for label in page.labels if not label.startswith(("more stable", "Diff", "Each"))
    ]
    charts = [label for label in labels if "along training" in label or "against" in label]
    assert len(charts) == 4 + 2 + 2 * 3  # planes, EMA and raw, loss and gradient of three models


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


def points_records(records: list[Record]) -> list[Record]:
    """Without the Fréchet distance, as another suite may choose."""
    return [
        replace(
            record,
            scores={k: v for k, v in record.scores.items() if k != "frechet_distance"},
            snapshots=(),
            files={k: v for k, v in record.files.items() if k == "samples"},
        )
        for record in records
    ]


def test_points_are_clouds(example_records: list[Record], tmp_path: Path) -> None:
    records = points_records(example_records)
    write_records(tmp_path, records)
    for record in records:
        if "samples" in record.files:
            path = tmp_path / record.files["samples"]
            path.parent.mkdir(parents=True, exist_ok=True)
            points = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
            points[0] = np.nan
            write_artefact(
                path, save({"samples": points}, {"modality": "points", "levels": ""}), {}
            )
    write_report([tmp_path], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.tags["img"] == 0
    assert len([label for label in page.labels if label.startswith("samples: ")]) == 7 + 6
    assert "DDPM, seed 0: no history stored" in " ".join(page.texts["li"])


@pytest.mark.parametrize(
    ("samples", "modality", "levels", "side"),
    [
        (np.full((70, 3, 32, 32), 255, np.uint8), "image", "256", 7 * 33 - 1),
        (np.full((5, 1, 300, 300), 1000, np.int32), "image", "1001", 2 * 65 - 1),
        (np.full((2, 2, 4, 4), 1.0, np.float32), "image", "", 4),
    ],
)
def test_grids_of_any_levels_and_sizes(
    samples: np.ndarray,
    modality: str,
    levels: str,
    side: int,
    example_records: list[Record],
    tmp_path: Path,
) -> None:
    real = example_records[0]
    write_records(tmp_path, [real])
    path = tmp_path / real.files["samples"]
    path.parent.mkdir(parents=True)
    write_artefact(path, save({"samples": samples}, {"modality": modality, "levels": levels}), {})
    write_report([tmp_path], tmp_path / "report.html")
    (sheet,) = Page((tmp_path / "report.html").read_text(encoding="utf-8")).pictures.values()
    assert sheet.shape[:2] == (side, side)
    # Every tile is at the top level, which is white.
    assert set(sheet[0, 0]) == {255}


@pytest.mark.parametrize(
    ("shape", "modality", "reason"),
    [
        ((3, 1, 100), "audio", "no picture of samples of modality 'audio' and shape 1×100"),
        ((3, 1), "points", "no picture of points with one coordinate"),
    ],
)
def test_what_has_no_picture_says_so(
    shape: tuple[int, ...],
    modality: str,
    reason: str,
    example_records: list[Record],
    tmp_path: Path,
) -> None:
    real = example_records[0]
    write_records(tmp_path, [real])
    path = tmp_path / real.files["samples"]
    path.parent.mkdir(parents=True)
    data = np.zeros(shape, np.float32)
    write_artefact(path, save({"samples": data}, {"modality": modality, "levels": ""}), {})
    write_report([tmp_path], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert f"Samples: real, real samples: {reason}" in page.texts["li"]


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


SUITE = """\
# genbench 0.1.0, git revision 0123456789abcdef
title = "Mine & <others>"
dataset = "digits"
"""


def test_the_suite_of_the_folder_heads_the_page_and_gives_the_run_again(
    example_records: list[Record], tmp_path: Path
) -> None:
    write_records(tmp_path, [replace(record, files={}) for record in example_records])
    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    write_report([tmp_path], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.texts["h1"] == ["Mine & <others>"]
    assert SUITE.strip() in page.texts["code"]
    assert "genbench run suite.toml --out again --seeds 0,1" in page.texts["code"]
    assert "Run by genbench 0.1.0, git revision 0123456789abcdef." in page.texts["p"]


def test_what_a_run_keeps_is_what_the_page_asks_to_type(tmp_path: Path) -> None:
    """The command as it stands on the page, typed in the folder of a run with overrides."""
    overrides = ["--set", "examples=128", "--set", "samples=64", "--set", "seeds=[3]"]
    suite = tmp_path / "short.toml"
    suite.write_text(SHORT, encoding="utf-8")
    arguments = ["run", str(suite), "--out", str(tmp_path / "run"), *overrides, "--jobs", "1"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    page = Page((tmp_path / "run/report.html").read_text(encoding="utf-8"))
    (command,) = (text for text in page.texts["code"] if "suite.toml" in text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "run")
        done = CliRunner().invoke(main, [*command.split()[1:], "--jobs", "1"])
    assert done.exit_code == 0, done.output
    first, again = (read_records(tmp_path / "run" / part) for part in (".", "again"))
    assert [(r.entry, r.seed, r.scores) for r in again] == [
        (r.entry, r.seed, r.scores) for r in first
    ]


def test_a_suite_that_has_changed_is_not_shown(
    example_records: list[Record], tmp_path: Path
) -> None:
    write_records(tmp_path, [replace(record, files={}) for record in example_records])
    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    seal(tmp_path, "mine", ["suite.toml"])
    (tmp_path / "suite.toml").write_text(SUITE + "seeds = [1]\n", encoding="utf-8")
    with pytest.raises(Damaged, match=r"suite\.toml is damaged"):
        write_report([tmp_path], tmp_path / "report.html")
    (tmp_path / "genbench.json").unlink()
    (tmp_path / "suite.toml").write_text("title =", encoding="utf-8")
    with pytest.raises(DataError, match=r"suite\.toml is no suite"):
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


def test_sixty_four_entries_look_different() -> None:
    assert len({look(index) for index in range(64)}) == 64


def test_collapsed_runs_are_marked(
    example_records: list[Record], example_folder: Path, tmp_path: Path
) -> None:
    """In the planes, along training and in the histories."""

    def covering(record: Record, share: float) -> Record:
        scores = {**record.scores, "coverage": {"value": share, "low": None, "high": None}}
        files = {name: str(example_folder / path) for name, path in record.files.items()}
        return replace(record, scores=scores, files=files)

    real, ddpm, *_ = example_records
    for share, marks in ((0.2, 3 + 1 + 2 + 2), (0.3, 0)):  # three planes of cost, one of recall, …
        write_records(tmp_path, [covering(real, 0.9), covering(ddpm, share)])
        write_report([tmp_path], tmp_path / "report.html")
        source = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert len(re.findall(r"<title>DDPM[^<]*, collapsed</title>", source)) == marks


def test_windows_are_medians_between_their_extremes() -> None:
    images = np.arange(1000, dtype=np.float64)
    values = np.random.default_rng(0).normal(size=1000)
    values[500] = np.nan
    bins = windows(images, values)
    assert len(bins.examples) == 120
    assert (bins.low <= bins.median).all()
    assert (bins.median <= bins.high).all()
    assert bins.high.max() == np.nanmax(values)
    assert bins.low.min() == np.nanmin(values)
    assert len(windows(images[:3], values[:3]).examples) == 3
    assert len(windows(images[:0], values[:0]).examples) == 0
