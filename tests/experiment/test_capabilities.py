"""What a model may offer beyond samples: conditions, trajectories, a likelihood, given weights."""

from __future__ import annotations

import io
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor, nn

from genbench import registry, sampling, store
from genbench.analysis.cells import amount
from genbench.api import Batch, Condition, Frames, SampleSpec, TensorSamples
from genbench.api.errors import NonFiniteSamples, UsageError
from genbench.cli import main
from genbench.data import open_samples
from genbench.data.files import read_file
from genbench.report import animation_gif, strip_png, write_report
from genbench.sampling import likelihood, trajectories
from genbench.store.records import Record, read_records

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"
SPEC = SampleSpec("image", (1, 2, 2), levels=17)
FABRIC = Fabric(accelerator="cpu", devices=1)

SUITE = """
title = "Capabilities"
dataset = "digits"
seeds = [0]
examples = 640
samples = 100

[score]
extractor = "digits"
reference = "digits:test"
metrics = ["frechet_distance", "class_accuracy"]
snapshots = { count = 1, samples = 64, metrics = ["frechet_distance"] }
likelihood = { samples = 100 }

[train]
batch = 32

[entries.Capable]
model = "capable"

[entries.Longer]
model = "capable"
train = { examples = 1280, batch = 64 }

[entries.Given]
model = "capable"
options = { pretrained = true }

[entries.Plain]
model = "toy"
"""


class Walker(nn.Module):
    """x = (z₁, z₁, z₁, z₁)/4: it has no path from noise to a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"none": nn.Identity()})
        self.noise_shape = (4,)

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        return noise[:, :1].view(-1, 1, 1, 1).expand(-1, 1, 2, 2) / 4


class Straight(Walker):
    """Its path is the line from the noise to the sample; back, from the data to the noise."""

    def trajectory(self, noise: Tensor, condition: Condition) -> Iterator[Tensor]:
        end = self.sample(noise, condition)
        for step in range(9):
            yield noise.view(-1, 1, 2, 2).lerp(end, step / 8)

    def diffused(self, x_0: Tensor, noise: Tensor, fraction: float) -> Tensor:
        return x_0.lerp(noise, fraction)


class Labelled(Walker):
    conditions = frozenset({"label"})

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        return condition["label"].view(-1, 1, 1, 1).expand(-1, 1, 2, 2) / 8 - 1


def given(block: int) -> Condition:
    return {"label": torch.arange(64) % 10 + block}


def draw(model: Any, count: int) -> sampling.GeneratedSamples:
    return sampling.draw(
        FABRIC,
        model,
        SPEC,
        count=count,
        seed=0,
        options={},
        report=lambda event: None,
        given=given if hasattr(model, "conditions") else lambda block: {},
    )


def reverse(model: Any, count: int = 3, frames: int = 5) -> trajectories.Trajectory:
    return trajectories.reverse(
        FABRIC,
        model,
        SPEC,
        count=count,
        frames=frames,
        seed=0,
        options={},
        given=given if hasattr(model, "conditions") else lambda block: {},
    )


def test_samples_are_conditioned_block_by_block() -> None:
    drawn = draw(Labelled(), 70)
    expected = torch.cat([torch.arange(64) % 10, (torch.arange(64) % 10 + 1)[:6]])
    assert torch.equal(drawn.condition["label"], expected)
    assert torch.equal(drawn.data[:, 0, 0, 0].long(), expected)


def test_a_trajectory_ends_in_the_samples() -> None:
    shown = reverse(Straight())
    assert shown.kind == "reverse"
    assert shown.frames.shape == (5, 3, 1, 2, 2)
    assert torch.equal(shown.frames[-1], draw(Straight(), 3).data)
    few = reverse(Straight(), frames=100)
    assert len(few.frames) == 9
    assert torch.equal(few.frames[::2], shown.frames)


def test_without_a_trajectory_it_walks_through_the_noise() -> None:
    shown = reverse(Walker(), count=4, frames=8)
    assert shown.kind == "walk"
    assert shown.frames.shape == (8, 4, 1, 2, 2)
    assert torch.equal(shown.frames[0], draw(Walker(), 4).data)
    # Each row goes on where the next one begins: no jump is larger than a few levels.
    path = shown.frames[:, :, 0, 0, 0].T.flatten().long()
    assert (path - path.roll(1)).abs().max() <= 3


def test_a_walk_keeps_the_length_of_the_noise() -> None:
    seen: list[Tensor] = []
    model = Walker()
    model.sample = lambda noise, condition: (  # type: ignore[method-assign]
        seen.append(noise) or torch.zeros(len(noise), 1, 2, 2)
    )
    trajectories.reverse(
        FABRIC, model, SPEC, count=2, frames=9, seed=0, options={}, given=lambda block: {}
    )
    norms = torch.stack(seen).norm(dim=2)
    start, other = norms[0]
    expected = torch.linspace(float(start), float(other), 10)[:9]
    torch.testing.assert_close(norms[:, 0], expected)


def test_the_forward_process_from_data_to_noise() -> None:
    data = torch.randint(17, (5, 1, 2, 2), dtype=torch.uint8)
    shown = trajectories.forward(
        FABRIC, Straight(), TensorSamples(SPEC, "x", data), count=9, frames=3, seed=0
    )
    assert shown.frames.shape == (3, 5, 1, 2, 2)
    assert torch.equal(shown.frames[0], data)
    assert not torch.equal(shown.frames[2], data)
    with pytest.raises(UsageError, match="no forward process to show"):
        trajectories.forward(
            FABRIC, Walker(), TensorSamples(SPEC, "x", data), count=9, frames=3, seed=0
        )


def test_a_passage_that_is_not_finite_is_refused() -> None:
    model = Walker()
    model.sample = lambda noise, condition: torch.full(  # type: ignore[method-assign]
        (len(noise), 1, 2, 2), math.nan
    )
    with pytest.raises(NonFiniteSamples):
        reverse(model)


class Uniform(Walker):
    """Bits are what it draws: 100 times the first number, and a random share."""

    def bits_per_dim(self, batch: Batch) -> Tensor:
        return 100.0 * batch.data[:, 0, 0, 0].double() + torch.rand(len(batch))


def test_likelihoods_come_block_by_block() -> None:
    data = torch.arange(150).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).to(torch.uint8) % 17

    def bits(count: int, seed: int = 0) -> Tensor:
        samples = TensorSamples(SPEC, "x", data)
        return likelihood.bits_per_dim(
            FABRIC, Uniform(), samples, count=count, seed=seed, report=lambda event: None
        )

    all_bits = bits(150)
    assert all_bits.dtype == torch.float64
    assert torch.equal(all_bits.floor().long() // 100, torch.arange(150) % 17)
    assert torch.equal(bits(128), all_bits[:128])
    assert not torch.equal(bits(64, seed=1), all_bits[:64])
    assert not torch.equal(all_bits[:17] % 1, all_bits[64:81] % 1)


def test_a_likelihood_of_another_shape_is_refused() -> None:
    model = Uniform()
    model.bits_per_dim = lambda batch: torch.zeros(3)  # type: ignore[method-assign]
    data = torch.zeros(10, 1, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"bits_per_dim\(\) returned \(3,\), not \(10,\)"):
        likelihood.bits_per_dim(
            FABRIC,
            model,
            TensorSamples(SPEC, "x", data),
            count=10,
            seed=0,
            report=lambda event: None,
        )


# --- Through the corridor. ---


def call(*arguments: str | Path) -> Result:
    registry.add_plugin_file(TOY)
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capabilities")
    suite = folder / "suite.toml"
    suite.write_text(SUITE, encoding="utf-8")
    done = call("run", suite, "--out", folder / "out", "--jobs", "1", "--plugin", TOY)
    assert done.exit_code == 0, done.output
    assert "its weights are given, nothing is trained" in done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def rows(out: Path) -> dict[str, Record]:
    return {record.entry: record for record in read_records(out)}


def test_generated_samples_carry_the_labels_that_they_obey(
    out: Path, rows: dict[str, Record]
) -> None:
    samples = read_file(out / rows["Capable"].files["samples"])
    labels = samples.condition["label"]
    assert samples.spec.condition["label"].count == 10
    # As random training samples have them: 100 of 898 digits.
    assert len(labels) == 100
    assert len(labels.unique()) == 10
    means = torch.stack([samples.data[labels == k].float().mean() for k in range(10)])
    assert (means.diff() > 0).all()
    assert rows["Capable"].conditions["obeys"] == ["label"]
    assert rows["Plain"].conditions["obeys"] == []
    assert rows["Capable"].value("class_accuracy") is not None
    assert rows["Plain"].value("class_accuracy") is None
    assert "label" in rows["Plain"].skipped_metrics["class_accuracy"]


def test_likelihoods_stand_beside_the_scores(rows: dict[str, Record]) -> None:
    reference = open_samples("digits:test", Path()).take(torch.arange(100)).data
    bits = rows["Capable"].scores["bits_per_dim"]
    expected = reference.double().flatten(1).mean(1).mean() + 0.5
    assert bits["value"] == pytest.approx(float(expected), abs=0.05)
    assert bits["low"] < bits["value"] < bits["high"]  # type: ignore[operator]
    assert rows["Capable"].outputs["bits_per_dim"].heading == "bits / dim"
    assert rows["Plain"].skipped_metrics["bits_per_dim"] == "the model offers no likelihood"
    protocols = [record.protocol for record in rows.values()]
    assert all(protocol == protocols[0] for protocol in protocols)
    assert protocols[0]["likelihood_samples"] == 100


def test_an_entry_may_have_its_own_budget(rows: dict[str, Record]) -> None:
    assert rows["Capable"].conditions["examples"] == 640
    assert rows["Longer"].conditions["examples"] == 1280
    assert rows["Longer"].identities["training"] != rows["Capable"].identities["training"]


def test_given_weights_are_not_trained(out: Path, rows: dict[str, Record]) -> None:
    row = rows["Given"]
    assert row.status == "done"
    assert row.conditions["examples"] == row.conditions["snapshot"] == 0
    assert row.conditions["pretrained"] is True
    assert row.cost["training_flops"] is row.cost["training_seconds"] is None
    table = (out / "table.md").read_text(encoding="utf-8")
    assert "Nothing was trained for Given: the weights were given." in table


def test_the_report_shows_the_passages(out: Path, rows: dict[str, Record]) -> None:
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("noise → samples: ") == 3
    assert page.count("data → noise: ") == 1
    assert page.count("a walk through the noise: Plain") == 1
    assert set(rows["Capable"].files) == {"history", "samples", "asked", "forward", "reverse"}
    assert set(rows["Plain"].files) == {"history", "samples", "reverse"}


def test_passages_that_are_gone_or_have_no_picture_are_named(out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(out, folder)
    rows = {record.entry: record for record in read_records(folder)}
    gone = folder / rows["Capable"].files["reverse"]
    store.remove(store.metadata_path(gone), gone)
    heard = folder / rows["Given"].files["reverse"]
    data, metadata = store.require_artefact(heard)
    store.write_artefact(heard, data, {**metadata, "modality": "audio"})
    write_report([folder], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"noise → samples: {gone.name}: no such file" in page
    assert "noise → samples: no picture of samples of modality &#39;audio&#39;" in page
    heard.write_bytes(data[:-1])
    with pytest.raises(store.Damaged, match=heard.name):
        write_report([folder], tmp_path / "report.html")


def test_again_computes_nothing(out: Path) -> None:
    stamps = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.*") if p.is_file()}
    suite = out.parent / "suite.toml"
    assert call("run", suite, "--out", out, "--jobs", "1", "--plugin", TOY).exit_code == 0
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps


# --- Strips and animations. ---


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    call("train", "capable", "digits", "--examples", "64", "--plugin", TOY, "--out", folder)
    return folder


def test_show_writes_a_strip_and_an_animation(trained: Path, tmp_path: Path) -> None:
    for which, frames in (("reverse", 4), ("forward", 10)):
        strip, animation = tmp_path / f"{which}.png", tmp_path / f"{which}.gif"
        for out in (strip, animation):
            done = call("show", which, trained, "--plugin", TOY, "--out", out, "--count", "3")
            assert done.exit_code == 0, done.output
        # A tile is 8 pixels and one between, each eight times as large: 64 at the least.
        with Image.open(strip) as picture, Image.open(animation) as moving:
            assert picture.size == ((9 * frames - 1) * 8, (9 * 3 - 1) * 8)
            # Equal frames in a row are one, shown for longer.
            assert moving.n_frames == 4 if which == "reverse" else 50 < moving.n_frames <= 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reverse", "--out", "x.jpg"], "a strip is written as .png, an animation as .gif"),
        (["reverse", "--out", "x.wav"], "a strip is written as .png, an animation as .gif"),
        (["forward", "--out", "x.png", "--option", "scale=1"], "--option belongs to show reverse"),
        (["reverse", "--out", "x.png", "--option", "scal=1"], "did you mean 'scale'"),
    ],
)
def test_mistakes_in_show_are_told(
    arguments: list[str], message: str, trained: Path, tmp_path: Path
) -> None:
    which, *others = arguments
    done = call("show", which, trained, "--plugin", TOY, *others)
    assert done.exit_code == 2
    assert message in done.output
    assert not list(tmp_path.iterdir())


def test_a_strip_shows_each_sample_from_left_to_right() -> None:
    data = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 1, 2, 2) % 17
    picture = np.asarray(
        Image.open(
            io.BytesIO(strip_png(Frames("reverse", data, SampleSpec("image", (1, 2, 2), 17))))
        )
    )
    times = 32
    assert picture.shape[:2] == ((3 * 3 - 1) * times, (2 * 3 - 1) * times)
    for frame in range(2):
        for sample in range(3):
            corner = picture[3 * sample * times, 3 * frame * times, 0]
            assert corner == round(int(data[frame, sample, 0, 0, 0]) * 255 / 16)


@pytest.mark.parametrize("kind", ["reverse", "walk"])
def test_points_are_clouds(kind: str) -> None:
    points = np.random.default_rng(0).normal(size=(5, 30, 2)).astype(np.float32)
    frames = Frames(kind, points, SampleSpec("points", (2,), None))
    assert Image.open(io.BytesIO(animation_gif(frames))).n_frames == 5
    width, height = Image.open(io.BytesIO(strip_png(frames))).size
    assert width / height == pytest.approx(5, rel=0.05)
    twice = Frames(kind, np.concatenate([points, points]), SampleSpec("points", (2,), None))
    width, height = Image.open(io.BytesIO(strip_png(twice))).size
    assert width / height == pytest.approx(5 / 2, rel=0.05)


# --- What a run will cost. ---


def test_a_dry_run_says_what_it_will_cost(tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE, encoding="utf-8")
    done = call("run", suite, "--dry-run", "--plugin", TOY, "--out", tmp_path / "out")
    assert done.exit_code == 0
    rows = [re.split("  +", line.strip()) for line in done.stdout.splitlines()]
    assert ["train capable seed 0", "640 examples", "64"] in [row[:3] for row in rows]
    assert ["sample Capable", "as the model does", "64", "1"] in [row[:4] for row in rows]
    assert ["train capable seed 0", "1,280 examples"] in [row[:2] for row in rows]
    assert "4 trainings, 4 entries to score; about" in done.stdout
    assert not (tmp_path / "out").exists()


def test_a_dry_run_counts_evaluations_and_flops_as_the_run_does(tmp_path: Path) -> None:
    """Of real contestants: what the estimate says stands in the records afterwards."""
    suite = tmp_path / "suite.toml"
    entries = """
[entries.DDIM]
model = "ddim"
options = { channels = 4, timesteps = 50 }
sample = { steps = 7 }
[entries.GAN]
model = "gan"
options = { channels = 4 }
"""
    text = SUITE[: SUITE.index("[entries")].replace("likelihood = { samples = 100 }", "")
    suite.write_text(text + entries, encoding="utf-8")
    plan = call("run", suite, "--dry-run").stdout
    assert call("run", suite, "--jobs", "1", "--out", tmp_path / "out").exit_code == 0
    for record in read_records(tmp_path / "out"):
        if record.seed is not None:
            assert re.search(rf"sample {record.entry} .* {record.cost['nfe']:g} ", plan)
            assert amount(float(record.cost["sampling_flops"] or 0), "count") in plan
            assert amount(float(record.cost["training_flops"] or 0), "count") in plan
