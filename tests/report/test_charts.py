"""Bars, planes, curves and losses: what they show, and that the real row never stretches them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from html_page import Page
from hypothesis import given, settings
from hypothesis import strategies as st

from genbench.report import write_report
from genbench.report.curves import windows
from genbench.report.figures import look
from genbench.report.planes import pareto_front
from genbench.store.records import Record, write_records


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


def test_charts_of_planes_training_and_diagnostics(page: Page) -> None:
    labels = [
        label for label in page.labels if not label.startswith(("more stable", "Diff", "Each"))
    ]
    charts = [label for label in labels if "along training" in label or "against" in label]
    assert len(charts) == 4 + 2 + 2 * 3  # planes, EMA and raw, loss and gradient of three models


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
