"""A model that samples in a latent space: its codec's row, its costs, and what records say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

import genbench
from genbench import registry
from genbench.analysis.changes import changes
from genbench.api import TensorSamples
from genbench.api.errors import UsageError
from genbench.data import open_samples
from genbench.store.records import Record, read_records

LATENT = Path(__file__).parents[1] / "plugins" / "latent.py"
METRICS = ["frechet_distance", "recall", "memorized"]
ROW = "reconstruction: squares@1"
BROKEN = "reconstruction: broken@1"


@pytest.fixture(scope="module")
def suite(names_of_its_own: None) -> genbench.Suite:
    registry.add_plugin_file(LATENT)
    return genbench.Suite(
        name="latents",
        dataset="digits",
        seeds=[0, 1],
        examples=320,
        samples=200,
        score={
            "extractor": "digits",
            "reference": "digits:test",
            "metrics": METRICS,
            "snapshots": {"count": 1, "samples": 64, "metrics": []},
            "likelihood": {"samples": 64},
        },
        train={"batch": 32},
        entries={
            "Latent": {"model": "latent", "sample": {"scale": 0.3}},
            "Broken": {"model": "latent", "options": {"broken": True, "bits": "inf"}},
        },
    )


@pytest.fixture(scope="module")
def run(suite: genbench.Suite, tmp_path_factory: pytest.TempPathFactory) -> genbench.Results:
    out = tmp_path_factory.mktemp("latents") / "out"
    return genbench.run(suite, out, plugins=[LATENT], jobs=1, progress=False)


@pytest.fixture(scope="module")
def rows(run: genbench.Results) -> dict[str, Record]:
    return {record.entry: record for record in run.records if record.seed != 1}


def reconstructed(stored: Tensor) -> Tensor:
    """Digits of 17 levels in [-1, 1], averaged over squares and rounded to a level again."""
    means = avg_pool2d(stored.float() / 8 - 1, 2)
    wide = means.repeat_interleave(2, -1).repeat_interleave(2, -2)
    return ((wide + 1) * 8).round().to(torch.uint8)


def test_each_codec_has_one_row_beside_the_real_one(run: genbench.Results) -> None:
    names = [record.entry for record in run.records]
    assert names == ["real", BROKEN, ROW, "Latent", "Latent", "Broken", "Broken"]


def test_it_scores_reference_samples_that_went_through_the_codec(
    run: genbench.Results, rows: dict[str, Record]
) -> None:
    row, entry = rows[ROW], rows["Latent"]
    assert row.status == "done"
    assert row.protocol == entry.protocol
    reference = open_samples("digits:test", Path()).take(torch.arange(899))
    possible = reconstructed(reference.data).flatten(1)
    stored = run.samples(ROW)
    shown = stored.take(torch.arange(len(stored))).data
    assert len(shown) == run.suite.samples  # type: ignore[union-attr]
    same = (shown.flatten(1)[:, None] == possible[None]).all(2)
    assert same.any(1).all()
    again = reconstructed(reference.data[same.int().argmax(1)])
    direct = genbench.evaluate(
        TensorSamples(stored.spec, "direct", again),
        "digits:test",
        train="digits",
        extractor="digits",
        metrics=METRICS,
    )
    assert {name: row.value(name) for name in METRICS} == pytest.approx(
        {name: estimate.value for name, estimate in direct.values.items()}, rel=1e-6
    )
    # The codec costs more than the draw of real samples does, and less than a poor model.
    distances = [rows[name].value("frechet_distance") for name in ("real", ROW, "Latent")]
    assert distances == sorted(distances)  # type: ignore[type-var]


def test_the_codec_has_costs_of_its_own(rows: dict[str, Record]) -> None:
    """16 means go through 4 weights: two FLOPs each time."""
    assert rows[ROW].cost["parameters"] == 4
    assert rows[ROW].cost["sampling_flops"] == rows["Latent"].cost["sampling_flops"] == 2 * 64


def test_a_codec_that_fails_costs_its_own_row(rows: dict[str, Record]) -> None:
    assert rows[BROKEN].status == "failed"
    assert rows[BROKEN].reason == "200 of 200 reconstructions are not finite"
    assert rows["Broken"].status == "done"


def test_records_name_the_codec(rows: dict[str, Record]) -> None:
    said = {"id": "squares@1", "licence": "CC0-1.0"}
    assert rows["Latent"].conditions["codec"] == rows[ROW].conditions["codec"] == said
    assert rows["Latent"].cost["sampling_parameters"] == 16 + 4
    assert rows["Latent"].cost["nfe"] == 1


def test_it_is_shown_and_is_no_contestant(run: genbench.Results, tmp_path: Path) -> None:
    table = run.table(entries=["Latent"])._repr_markdown_()
    shown = [line.split("|")[1].strip() for line in table.splitlines() if "|" in line]
    assert shown[2:5] == ["real", ROW, "Latent"]
    assert f"{BROKEN} failed: 200 of 200 reconstructions are not finite." in table
    assert "licence CC0-1.0" in table
    page = run.report().read_text(encoding="utf-8")
    assert f'alt="samples: {ROW}"' in page
    assert repr(run).startswith("<Results of 2 entries")
    compared = changes(run.records, run.records)
    assert ROW not in repr(compared)
    with pytest.raises(UsageError, match="such rows are those of codecs"):
        genbench.run(
            run.suite.model_copy(update={"entries": {ROW: run.suite.entries["Latent"]}}),  # type: ignore[union-attr]
            tmp_path / "out",
            progress=False,
        )


def test_a_finished_row_is_found(run: genbench.Results) -> None:
    whole = run.suite.model_copy(update={"entries": {"Latent": run.suite.entries["Latent"]}})  # type: ignore[union-attr]
    stored = run.folder / run.records[2].files["samples"]
    before = stored.stat().st_mtime_ns, run.records[2]
    again = genbench.run(whole, run.folder, plugins=[LATENT], jobs=1, progress=False)
    assert (stored.stat().st_mtime_ns, again.records[1]) == before
    assert read_records(run.folder) == list(again.records)


def test_a_plan_counts_what_the_codec_costs(suite: genbench.Suite, rows: dict[str, Record]) -> None:
    planned = genbench.plan(suite).document().data["trainings"]
    entry = planned[0]["entries"][0]
    cost = rows["Latent"].cost
    assert entry["parameters"] == cost["sampling_parameters"]
    assert entry["flops"] == cost["sampling_flops"]
    assert entry["nfe"] == 1


def test_options_of_a_group_reach_the_sampler(rows: dict[str, Record]) -> None:
    assert rows["Latent"].conditions["sample"] == {"scale": 0.3, "offset": 0.0}
    assert rows["Latent"].files["reverse"]


def test_a_likelihood_that_is_not_finite_is_no_score(rows: dict[str, Record]) -> None:
    assert rows["Latent"].value("bits_per_dim") == 1
    assert "bits_per_dim" not in rows["Broken"].scores
    assert rows["Broken"].skipped_metrics["bits_per_dim"] == "bits_per_dim is inf"
