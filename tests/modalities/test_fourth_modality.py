"""A modality that genbench does not know goes through the whole corridor as a plugin: waves that
are asked for in words, from data to a report that shows them."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from genbench import registry
from genbench.api import LENGTH, Categorical, Text, Vector
from genbench.api.errors import UsageError
from genbench.cli import main
from genbench.data import open_samples
from genbench.data.files import read_file
from genbench.devices.hardware import Hardware
from genbench.experiment import prompted
from genbench.experiment.context import prompts_inputs
from genbench.store.records import Record, read_records
from genbench.suite import Prompts, parse
from genbench.testing import check_dataset, check_extractor, check_model

WAVES = Path(__file__).parents[1] / "plugins" / "waves.py"

SUITE = """
title = "Waves"
dataset = "waves"
seeds = [0]
examples = 3200
samples = 96

[score]
extractor = "spectrum"
reference = "waves:test"
metrics = ["frechet_distance", "pitch_agreement", "memorized"]
snapshots = { count = 1, samples = 64, metrics = ["frechet_distance"] }

[train]
batch = 32

[prompts]
conditions = [{ caption = "low soft" }, { caption = "high loud" }, { caption = "high soft" }]
each = 32

[entries.Singer]
model = "singer"
"""


@pytest.fixture(scope="module")
def plugged() -> None:
    registry.add_plugin_file(WAVES)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(
        main, [*map(str, arguments), "--plugin", str(WAVES)], catch_exceptions=False
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, plugged: None) -> Path:
    folder = tmp_path_factory.mktemp("waves")
    (folder / "waves.toml").write_text(SUITE, encoding="utf-8")
    done = call("run", folder / "waves.toml", "--jobs", "1", "--out", folder / "out")
    assert done.exit_code == 0, done.output
    return folder / "out"


@pytest.fixture(scope="module")
def record(run: Path) -> Record:
    (found,) = [record for record in read_records(run) if record.seed is not None]
    return found


def test_scores_carry_their_rate_and_prompts(run: Path, record: Record) -> None:
    assert record.status == "done"
    assert record.skipped_metrics == {}
    assert record.value("pitch_agreement") == 1
    assert record.protocol["rate"] == 800
    assert record.protocol["prompts"]
    assert record.conditions["prompts"]["each"] == 32
    real = read_records(run)[0]
    assert real.scores["pitch_agreement"]["value"] == 1
    assert "pitch_agreement" in (run / "table.md").read_text(encoding="utf-8").lower().replace(
        " ", "_"
    )


def test_samples_carry_what_they_were_asked_for(run: Path, record: Record) -> None:
    samples = read_file(run / record.files["samples"])
    assert samples.spec.rate == 800
    assert samples.texts["caption"] == ["low soft"] * 32 + ["high loud"] * 32 + ["high soft"] * 32
    assert samples.condition["caption"][[0, 32, 64]].tolist() == [[1, 3], [2, 4], [2, 3]]
    length = samples.condition[LENGTH]
    assert len(set(length.tolist())) > 10  # the prompts say nothing of it: as in the data
    assert torch.equal(samples.spec.pad(samples.data, length), samples.data)
    assert (samples.data[length < 64][:, :, -1] == 0).all()
    # The spectrum is the one asked for, in this order.
    heard = torch.fft.rfft(samples.data[:, 0]).abs()[:, 1:].argmax(dim=1) + 1
    assert heard.tolist() == [4] * 32 + [16] * 64


def test_the_report_shows_the_modality(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'aria-label="samples: real"' in page
    assert 'aria-label="samples: Singer"' in page
    assert 'aria-label="noise → samples: Singer' in page
    assert "no picture" not in page
    assert page.count('aria-label="sample 1: Singer"') == 1


def test_show_and_sample_write_its_files(run: Path, record: Record, tmp_path: Path) -> None:
    (folder,) = [path for path in (run / "runs").iterdir() if path.name.startswith("singer")]
    for name in ("x.png", "x.gif"):
        done = call("show", "reverse", folder, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
    assert Image.open(io.BytesIO((tmp_path / "x.gif").read_bytes())).n_frames == 3
    done = call("show", "reverse", folder, "--count", "2", "--out", tmp_path / "shown.wav")
    assert done.exit_code == 0, done.output
    with wave.open(io.BytesIO((tmp_path / "shown.wav").read_bytes())) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (800, 2 * 3 * 64)
    done = call("sample", folder, "--count", "5", "--out", tmp_path / "x.wav")
    assert done.exit_code == 0, done.output
    with wave.open(io.BytesIO((tmp_path / "x.wav").read_bytes())) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (800, 5 * 64)
    done = call("sample", folder, "--count", "5", "--out", tmp_path / "x.npz")
    assert read_file(tmp_path / "x.npz").spec == open_samples("waves", tmp_path).spec
    done = call("sample", folder, "--count", "5", "--out", tmp_path / "x.mp3")
    assert done.exit_code == 2
    assert "samples are written as .npz or .wav" in done.output


def test_the_plugin_keeps_its_promises(plugged: None) -> None:
    check_dataset("waves")
    check_extractor("spectrum", data=["waves"])
    check_model("singer", data=["waves"])


def test_a_condition_decides_what_samples_are(plugged: None, tmp_path: Path) -> None:
    """The extractor hears the caption: the same waves under other captions score otherwise."""
    registry.add_plugin_file(WAVES)
    from genbench.evaluation import evaluate

    true = open_samples("waves:test", tmp_path)
    swapped = {"low": "high", "high": "low"}
    texts = [
        " ".join([swapped[text.split()[0]], text.split()[1]]) for text in true.texts["caption"]
    ]
    false = type(true)(true.spec, "false", true.data, true.condition, {"caption": texts})
    scores = [
        evaluate(samples, true, extractor="spectrum", metrics=["pitch_agreement"])
        for samples in (true, false)
    ]
    assert [score.values["pitch_agreement"].value for score in scores] == [1, 0]
    bare = type(true)(true.spec, "bare", true.data)
    refused = evaluate(bare, true, extractor="spectrum", metrics=["pitch_agreement"])
    assert "needs the condition 'caption'" in refused.skipped["pitch_agreement"]


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([{"captoin": "low soft"}], "has no condition 'captoin'; did you mean 'caption'"),
        ([{"caption": "low green"}], "no wave is called 'low green'"),
        ([{"caption": [1, 9]}], "'caption' is a list of up to 2 tokens 1…4, not [1, 9]"),
        ([{"length": 65}], "'length' is a class 0…64, not 65"),
        ([{"length": True}], "'length' is a class 0…64, not True"),
    ],
)
def test_wrong_prompts_are_told(
    conditions: list[dict[str, object]], message: str, plugged: None, tmp_path: Path
) -> None:
    prompts = Prompts(conditions=tuple(conditions))
    with pytest.raises(UsageError) as told:
        prompted(prompts, open_samples("waves", tmp_path), Hardware(tmp_path, "cpu"))
    assert message in str(told.value)


def test_prompts_of_a_data_set_are_its_first(plugged: None, tmp_path: Path) -> None:
    hardware = Hardware(tmp_path, "cpu")
    waves, test = open_samples("waves", tmp_path), open_samples("waves:test", tmp_path)
    asked = prompted(Prompts(dataset="waves:test", count=5), waves, hardware)
    first = test.take(torch.arange(5))
    assert asked.texts == first.texts
    assert asked.condition.keys() == first.condition.keys()
    for name, values in first.condition.items():
        assert torch.equal(asked.condition[name], values)


@pytest.mark.parametrize(
    ("dataset", "count", "message"),
    [
        ("waves:test", 10**6, "prompts: count is 1000000; waves:test@"),
        ("digits", 3, "have no condition in common"),
        ("wavse", 3, "did you mean 'waves'?"),
    ],
)
def test_data_sets_that_cannot_prompt_are_refused(
    dataset: str, count: int, message: str, plugged: None, tmp_path: Path
) -> None:
    prompts = Prompts(dataset=dataset, count=count)
    with pytest.raises(UsageError) as told:
        prompted(prompts, open_samples("waves", tmp_path), Hardware(tmp_path, "cpu"))
    assert message in str(told.value)


def test_what_a_data_set_asks_for_is_in_the_identity(plugged: None, tmp_path: Path) -> None:
    """By its id, which names its contents."""
    hardware = Hardware(tmp_path, "cpu")
    said = prompts_inputs(Prompts(dataset="waves:test", count=5), hardware)
    expected = {"dataset": open_samples("waves:test", tmp_path).id, "count": 5, "each": 1}
    assert said == {"conditions": [], **expected}
    given = Prompts(conditions=({"caption": "low soft"},), each=2)
    assert prompts_inputs(given, hardware) == {"conditions": [{"caption": "low soft"}], "each": 2}


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({"conditions": [{"a": 1}], "file": "a.txt"}, "either conditions, one or more tables"),
        ({"dataset": "digits", "count": 64, "file": "a.txt"}, "or a dataset, or a file"),
        ({"file": "a.txt", "count": 3}, "should have a count with a dataset, and only with one"),
        ({"conditions": [{"a": 1}], "condition": "a"}, "a condition, and captions, only with a fi"),
        ({"dataset": "digits", "count": 64, "captions": "all"}, "captions, only with a file"),
        ({"file": "a.txt", "captions": "last"}, "prompts.captions"),
        ({"conditions": [], "each": 2}, "should have either conditions, one or more tables"),
        ({"conditions": [{"a": 1}], "dataset": "digits"}, "either conditions, one or more tables"),
        ({"dataset": "digits"}, "should have a count with a dataset, and only with one"),
        ({"conditions": [{"a": 1}], "count": 1}, "a count with a dataset, and only with one"),
        ({"dataset": "digits", "count": 32}, "samples is 64; the prompts ask for 32"),
        ({"conditions": [{"a": 1}, {"b": 1}]}, "prompt 2 gives ['b'], the first ['a']"),
        ({"conditions": [{"a": 1}, {"a": 2}], "each": 3}, "samples is 64; the prompts ask for 6"),
    ],
)
def test_wrong_sections_of_prompts_are_told(prompts: dict[str, object], message: str) -> None:
    content = {
        "title": "x",
        "dataset": "digits",
        "seeds": [0],
        "examples": 1,
        "samples": 64,
        "score": {"extractor": "digits", "reference": "digits", "metrics": ["recall"]},
        "entries": {"x": {"model": "ddpm"}},
        "prompts": prompts,
    }
    with pytest.raises(UsageError) as told:
        parse("x.toml", content)
    assert message in str(told.value)


def test_conditions_of_every_kind_are_written_and_read(tmp_path: Path) -> None:
    from genbench.api import SampleSpec, TensorSamples
    from genbench.io.arrays import pack_samples, save_npz, unpack_samples

    declared = {
        "label": Categorical(7),
        "digit": Categorical(10),
        "caption": Text(3, 50),
        "pose": Vector(2),
        LENGTH: Categorical(5),
    }
    condition = {
        "label": torch.tensor([6, 0]),
        "digit": torch.tensor([1, 9]),
        "caption": torch.tensor([[1, 49, 0], [7, 0, 0]]),
        "pose": torch.randn(2, 2),
        LENGTH: torch.tensor([4, 2]),
    }
    spec = SampleSpec("audio", (1, 4), None, declared, 16_000.0)
    data = spec.pad(torch.randn(2, 1, 4), condition[LENGTH])
    samples = TensorSamples(spec, "x", data, condition, {"caption": ["a «b»", "c\n"]})
    save_npz(tmp_path / "x.npz", samples)
    (tmp_path / "x.safetensors").write_bytes(pack_samples(samples))
    again = [read_file(tmp_path / f"x{suffix}") for suffix in (".npz", ".safetensors")]
    again.append(unpack_samples(pack_samples(samples), spec, "x"))
    for read in again:
        assert read.spec == spec
        assert read.texts == samples.texts
        assert torch.equal(read.data, data)
        for name, value in condition.items():
            assert torch.equal(read.condition[name], value)
    other = TensorSamples(spec, "x", data, condition, {"caption": ["a «b»", "d"]})
    save_npz(tmp_path / "y.npz", other)
    ids = [read_file(tmp_path / f"{name}.npz").id.partition("@")[2] for name in "xy"]
    assert ids[0] != ids[1]  # texts are part of the id
    assert SampleSpec.from_dict(spec.to_dict()) == spec
    assert "labels" in np.load(tmp_path / "x.npz")
