"""The charts of the page as figures for a paper: their names, legends, fonts and bytes."""

from __future__ import annotations

import html
import io
import re
import shutil
import subprocess
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from example import HOSTILE
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from genbench.api import Output
from genbench.api.errors import DataError, UnknownName
from genbench.report import charts, write_plots
from genbench.report.chart import Chart, encoded, slug
from genbench.report.figures import GLYPHS, MARKERS, SERIES
from genbench.store.records import Record, write_records

NAMES = [
    "intervals",
    "frechet-distance-against-training-flops",
    "frechet-distance-against-training-seconds",
    "frechet-distance-against-nfe",
    "precision-recall",
    "frechet-distance-along-training",
    "frechet-distance-along-training-raw-weights",
    "training-loss-ddpm",
    "gradient-norm-ddpm",
    "training-loss-score-sde",
    "gradient-norm-score-sde",
    "training-loss-gan",
    "gradient-norm-gan",
]


@pytest.fixture(scope="module")
def drawn(example_records: list[Record], example_folder: Path) -> dict[str, Chart]:
    return dict(charts(example_records, example_folder).by_name)


@pytest.fixture(scope="module")
def figures(drawn: dict[str, Chart]) -> dict[str, Figure]:
    return {name: chart.figure() for name, chart in drawn.items()}


def legend_of(figure: Figure) -> dict[str, tuple[str, str, str]]:
    """By label, the colour, the mark and the line of its handle."""
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    return {
        text: (to_hex(line.get_color()), str(line.get_marker()), str(line.get_linestyle()))
        for text, line in zip(texts, legend.get_lines(), strict=True)
    }


def test_every_chart_of_the_page_has_a_name(drawn: dict[str, Chart], source: str) -> None:
    """In the order of the page, which draws the same; its bars are one chart."""
    assert list(drawn) == NAMES
    labels = re.findall(r'<svg class="chart"[^>]* aria-label="([^"]*)"', source)
    shown = [chart for name, chart in drawn.items() if name != "intervals"]
    assert [html.unescape(label) for label in labels] == [chart.label for chart in shown]
    assert all(chart.svg() in source for chart in shown)


def test_a_legend_has_the_colours_and_marks_of_the_page(
    figures: dict[str, Figure], source: str
) -> None:
    looks = {
        html.unescape(label): (SERIES[int(series) - 1], MARKERS[GLYPHS.index(glyph)])
        for series, glyph, label in re.findall(
            r'<li><span class="s(\d)" [^>]*>(.)</span> ([^<]*)</li>', source
        )
    }
    entries = {label for label in looks if " · " not in label}
    for name in NAMES[1:]:
        found = legend_of(figures[name])
        for label, (colour, marker, line) in found.items():
            if label in looks or label.partition(" · ")[0] in entries:
                assert (colour, marker) == looks[label + " (dashed)" * (line == "--")], name
            else:
                assert label in ("real samples", "same weights", "Pareto front", "diverged"), name
                assert colour == "#000000"
    planes = NAMES[1:5]
    assert all(entries <= set(legend_of(figures[name])) for name in planes)
    assert set(legend_of(figures["training-loss-gan"])) == {
        "GAN · discriminator",
        "GAN · generator",
        "diverged",
    }
    assert list(legend_of(figures["intervals"])) == ["real samples"]


def test_nothing_is_covered_or_cut_off(figures: dict[str, Figure]) -> None:
    """The legend lies below the axes and inside the figure, and no two ticks meet."""
    for name, figure in figures.items():
        figure.draw_without_rendering()  # which lays it out
        (axes,), (legend,) = figure.axes, figure.legends
        whole, inner = figure.bbox, legend.get_window_extent()
        assert inner.y1 <= axes.get_tightbbox().y0, name
        assert inner.x0 >= -1, name
        assert inner.x1 <= whole.x1 + 1, name
        assert inner.y0 >= -1, name
        ticks = [t.get_window_extent() for t in axes.get_xticklabels() if t.get_text()]
        for left, right in pairwise(sorted(ticks, key=lambda box: box.x0)):
            assert left.x1 < right.x0 or left.x0 == right.x0, name
        assert figure.get_size_inches()[0] == pytest.approx(3.4)
        assert axes.get_title() == ""


def test_many_entries_have_a_legend_in_columns(example_records: list[Record]) -> None:
    """As many as fit: below the axes, which keep their height."""
    real, run, *_ = [replace(record, files={}) for record in example_records]
    few, many = (
        charts([real, *(replace(run, entry=f"entry {n}") for n in range(count))])
        .by_name["precision-recall"]
        .figure()
        for count in (2, 31)
    )
    for figure in (few, many):
        figure.draw_without_rendering()
    (legend,) = many.legends
    boxes = [text.get_window_extent() for text in legend.get_texts()]
    assert len(boxes) == 33  # with the real row, and the line of equal weights
    assert len({round(box.x0) for box in boxes}) == 4
    assert len({round(box.y0) for box in boxes}) == 9
    assert legend.get_window_extent().y1 <= many.axes[0].get_tightbbox().y0
    heights = [figure.axes[0].get_window_extent().height for figure in (few, many)]
    assert heights[0] == pytest.approx(heights[1], rel=0.02)


@pytest.mark.skipif(shutil.which("pdffonts") is None, reason="poppler is not installed")
def test_a_pdf_embeds_truetype(figures: dict[str, Figure], tmp_path: Path) -> None:
    """Also where a user saves the figure, whatever their own settings."""
    (tmp_path / "ours.pdf").write_bytes(encoded(figures["precision-recall"], "pdf"))
    figures["intervals"].savefig(tmp_path / "theirs.pdf")
    for name in ("ours.pdf", "theirs.pdf"):
        told = subprocess.run(
            ["pdffonts", tmp_path / name], capture_output=True, text=True, check=True
        ).stdout
        fonts = told.splitlines()[2:]
        assert fonts
        assert all(re.search(r"CID TrueType +Identity-H +yes yes", font) for font in fonts), told


@pytest.mark.parametrize("format", ["pdf", "svg", "png"])
def test_equal_charts_give_equal_bytes(
    format: str, drawn: dict[str, Chart], monkeypatch: pytest.MonkeyPatch
) -> None:
    chart = drawn["frechet-distance-against-nfe"]
    first = encoded(chart.figure(), format)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")  # another day
    assert encoded(chart.figure(), format) == first
    assert b"CreationDate" not in first


def test_an_svg_holds_text_and_no_placeholder(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        written = encoded(figure, "svg").decode()
        texts = [html.unescape(text) for text in re.findall(r">([^<]+)</text>", written)]
        assert {text.get_text() for text in figure.legends[0].get_texts()} <= set(texts), name
        assert not re.search("#0[1-6]0[1-6]0[1-6]|named-", written), name
        ids = re.findall(r' id="([^"]*)"', written)
        assert len(ids) == len(set(ids)), name


def test_intervals_are_those_of_the_statistics(example_records: list[Record]) -> None:
    real, ddpm, _, ddim, *_ = example_records
    values = {"DDPM": [0.05, 0.06, 0.07, 0.08, 0.05], "DDIM-10": [0.02, 0.03, 0.02, 0.02, 0.03]}
    runs = [
        replace(
            run,
            seed=seed,
            scores={"frechet_distance": {"value": value, "low": None, "high": None}},
            identities={"training": str(seed)},
            files={},
        )
        for run in (ddpm, ddim)
        for seed, value in enumerate(values[run.entry])
    ]
    figure = charts([replace(real, files={}), *runs]).by_name["intervals"].figure()
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["DDIM-10", "DDPM"]  # the best
    spans = [line.get_xdata() for line in axes.get_lines() if line.get_color() in SERIES]
    found = [tuple(map(float, span)) for span in spans if np.size(span) == 2]
    for name, (low, high) in zip(("DDIM-10", "DDPM"), found, strict=True):
        logs = np.log(values[name])
        expected = scipy.stats.t.interval(0.95, 4, logs.mean(), scipy.stats.sem(logs))
        assert (low, high) == pytest.approx(np.exp(expected))


def test_an_entry_without_a_score_keeps_its_row(figures: dict[str, Figure]) -> None:
    (axes,) = figures["intervals"].axes
    names = [text.get_text().replace("\n", " ") for text in axes.get_yticklabels()]
    assert names[-1] == HOSTILE
    assert "2 failed" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(("floor", "said"), [(1e-9, "← real: 1e-09"), (1e9, "real: 1e+09 →")])
def test_far_real_samples_stand_beside_the_intervals(
    floor: float, said: str, example_records: list[Record]
) -> None:
    real, *runs = [replace(record, files={}) for record in example_records]
    scores = {"frechet_distance": {"value": floor, "low": None, "high": None}}
    figure = charts([replace(real, scores=scores), *runs]).by_name["intervals"].figure()
    assert said in [text.get_text() for text in figure.axes[0].texts]
    assert not figure.legends


def test_names_of_several_protocols_are_unique(
    example_records: list[Record], example_folder: Path
) -> None:
    """The first protocol's are what they are alone."""
    other = [
        replace(record, protocol={**record.protocol, "samples": 100})
        for record in example_records
        if record.protocol
    ]
    found = list(charts([*example_records, *other], example_folder).by_name)
    assert [name for name in found if not name.endswith("-protocol-2")] == NAMES
    assert [name for name in found if name.endswith("-protocol-2")] == [
        f"{name}-protocol-2" for name in NAMES[:7]
    ]


def test_names_of_models_that_are_alike_are_numbered(
    example_records: list[Record], example_folder: Path
) -> None:
    """Also where another model has the number in its name."""
    alike = {"ddpm": "a b", "score-sde": "A-b", "gan": "a-b-2"}
    records = [
        replace(record, model=alike[record.trains], trains=alike[record.trains])
        for record in example_records
        if record.trains in alike
    ]
    found = list(charts(records, example_folder).by_name)
    assert [name for name in found if name.startswith("training-loss")] == [
        "training-loss-a-b",
        "training-loss-a-b-3",
        "training-loss-a-b-2",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fréchet_distance against NFE", "frechet-distance-against-nfe"),
        ("training loss ../../etc/passwd", "training-loss-etc-passwd"),
        ("training loss 模型", "training-loss"),
        ("a" * 300, "a" * 100),
    ],
)
def test_a_name_can_be_said_and_be_a_file(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_any_name_stands_in_the_legend(example_records: list[Record]) -> None:
    """matplotlib would leave out the first, and set the second as mathematics."""
    names = ["_mine", "$x_1$", "with\x1b[31m colour"]
    real, *_ = example_records
    runs = [
        replace(run, entry=name, files={})
        for name, run in zip(names, example_records[1:7:2], strict=True)
    ]
    figure = charts([replace(real, files={}), *runs]).by_name["precision-recall"].figure()
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown[:3] == ["_mine", "$x_1$", "with\\u001b[31m colour"]
    written = encoded(figure, "svg").decode()
    assert ">$x_1$</text>" in written


def test_what_guidance_trades_is_a_chart_whose_samplers_are_joined(
    example_records: list[Record],
) -> None:
    """Of one training, sampled twice; the GAN's own point is joined to none."""
    agreement = Output(True, "all correct", "agreement", decimals=3)
    diversity = Output(True, "prompt diversity", "diversity", decimals=3)
    ddpm = next(record for record in example_records if record.entry == "DDPM")
    gan = next(record for record in example_records if record.entry == "GAN")

    def scored(record: Record, entry: str, right: float, spread: float) -> Record:
        added = {"correct": {"value": right}, "prompt_diversity": {"value": spread}}
        outputs = {
            **record.outputs,
            "correct": asdict(agreement),
            "prompt_diversity": asdict(diversity),
        }
        scores = {**record.scores, **added}
        return replace(record, entry=entry, scores=scores, outputs=outputs, files={})

    drawn = charts(
        [
            scored(ddpm, "DDPM", 0.5, 0.4),
            scored(ddpm, "DDPM, guidance 4", 0.75, 0.25),
            scored(gan, "GAN", 0.25, 0.125),
        ]
    ).by_name
    chart = drawn["correct-prompt-diversity"]
    assert chart.label == "All correct against prompt diversity, a point a seed"
    (axes,) = chart.figure().axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prompt diversity", "all correct")
    lines = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert [list(line.get_xydata()[:, 0]) for line in lines] == [[0.25, 0.4]]
    assert [list(line.get_xydata()[:, 1]) for line in lines] == [[0.75, 0.5]]


def test_a_figure_shows_itself(figures: dict[str, Figure]) -> None:
    from PIL import Image

    shown = figures["intervals"]._repr_png_()
    with Image.open(io.BytesIO(shown)) as picture:
        assert picture.size[0] == 1020


def test_files_are_written_beside_others(example_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "plots"
    out.mkdir()
    (out / "mine.pdf").write_text("mine")
    lines = list(write_plots([example_folder], out, format="svg"))
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["mine.pdf", *(f"{name}.svg" for name in NAMES)]
    )
    assert (out / "mine.pdf").read_text() == "mine"
    assert (
        lines[4] == f"{out}/precision-recall.svg written: Precision against recall, a point a seed"
    )
    assert lines[-1] == (
        f"not drawn along training: {HOSTILE}, seed 0: no history stored, and 1 more"
    )
    assert len(lines) == len(NAMES) + 1


def test_characters_without_a_glyph_are_told(example_records: list[Record], tmp_path: Path) -> None:
    real, run, *_ = [replace(record, files={}) for record in example_records]
    write_records(tmp_path, [real, replace(run, entry="模型")])
    *_, told, _ = write_plots([tmp_path], tmp_path, ["precision-recall"], "pdf")
    assert told == "boxes in place of 模 型, which the font lacks; not so with the format svg"
    lines = list(write_plots([tmp_path], tmp_path, ["precision-recall"], "svg"))
    assert not any("boxes" in line for line in lines)
    assert ">模型</text>" in (tmp_path / "precision-recall.svg").read_text(encoding="utf-8")


def test_mistakes_are_told_before_anything_is_written(
    example_records: list[Record], tmp_path: Path
) -> None:
    write_records(tmp_path, [replace(record, files={}) for record in example_records])
    out = tmp_path / "plots"
    with pytest.raises(UnknownName, match="unknown chart 'precison-recall'; did you mean 'prec"):
        write_plots([tmp_path], out, ["intervals", "precison-recall"])
    with pytest.raises(UnknownName, match="unknown format 'jpg'"):
        write_plots([tmp_path], out, format="jpg")
    write_records(tmp_path, [replace(example_records[-1], files={})])
    with pytest.raises(DataError, match="no charts: no run has a score"):
        write_plots([tmp_path], out)
    assert not out.exists()
