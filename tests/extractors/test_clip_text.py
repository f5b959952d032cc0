"""CLIP with its texts: transformers' own embeddings of a tiny random one; files it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_clip import TOKENS, write_clip

from genbench import evaluate
from genbench.api import SampleSpec, TensorSamples, Text
from genbench.api.errors import DataError, UsageError
from genbench.extractors.clip_text import clip_text
from genbench.extractors.transformer import clip

SPEC = SampleSpec("image", (3, 40, 40), condition={"caption": Text(8, 100)})
WORDS = ["a red circle", "two stars", "a " + "very " * 9 + "long caption", "\U0001f408"]
PICTURES = torch.randint(0, 256, (4, 3, 40, 40), generator=torch.Generator().manual_seed(1)).byte()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("clip")
    return folder, write_clip(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One to change."""
    write_clip(tmp_path / "own")
    return tmp_path / "own"


def embed(extractor: Any, words: list[str] = WORDS) -> dict[str, torch.Tensor]:
    return extractor.to("cpu")(PICTURES[: len(words)], SPEC, {}, {"caption": words})


@torch.no_grad()
def test_texts_are_embedded_as_transformers_does(published: tuple[Path, Any]) -> None:
    """One by one, without padding."""
    folder, network = published
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    seen = embed(clip_text(weights=str(folder)))
    for row, text in zip(seen["text_features"], WORDS, strict=True):
        given = tokenizer(text, return_tensors="pt", truncation=True, max_length=TOKENS)
        theirs = network.get_text_features(**given)
        theirs = getattr(theirs, "pooler_output", theirs)[0]  # a tensor in older versions
        torch.testing.assert_close(row, theirs / theirs.norm(), rtol=0, atol=1e-5)
    assert float(seen["text_features"].std(dim=0).mean()) > 0.05  # texts differ
    assert seen["text_features"].dtype == torch.float32
    assert seen["text_truncated"].tolist() == [0, 0, 1, 0]


def test_pictures_are_embedded_as_clip_does(published: tuple[Path, Any]) -> None:
    folder, _ = published
    theirs = clip(weights=str(folder)).to("cpu")(PICTURES, SPEC)["features"]
    assert torch.equal(embed(clip_text(weights=str(folder)))["features"], theirs)


def test_a_text_does_not_depend_on_the_others(published: tuple[Path, Any]) -> None:
    extractor = clip_text(weights=str(published[0]))
    alone = embed(extractor, WORDS[:1])["text_features"]
    torch.testing.assert_close(embed(extractor)["text_features"][:1], alone, rtol=0, atol=1e-6)


def drop_tokenizer(folder: Path) -> None:
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (folder / name).unlink()


def image_half(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config["vision_config"]}))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (drop_tokenizer, "own has no tokenizer: it needs tokenizer.json"),
        (image_half, "config.json: a clip_vision_model, not a clip as openai/clip-vit-large"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (
            lambda folder: (folder / "vocab.json").write_text("{"),
            "own: not the tokenizer of a CLIP",
        ),
    ],
    ids=["no tokenizer", "the image half alone", "no weights", "broken tokenizer"],
)
def test_refused_folders(folder: Path, change: Callable[[Path], Any], told: str) -> None:
    change(folder)
    with pytest.raises(DataError) as caught:
        clip_text(weights=str(folder)).to("cpu")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_id_names_weights_tokenizer_and_condition(folder: Path) -> None:
    def id_of(**options: str) -> str:
        return clip_text(weights=str(folder), **options).id

    first = id_of()
    assert first.startswith("clip-text@")
    assert first == id_of()
    assert first != id_of(condition="title")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    assert first != id_of()


def samples(count: int, texts: dict[str, list[str]]) -> TensorSamples:
    condition = {"caption": torch.ones(count, 8, dtype=torch.int64)}
    return TensorSamples(SPEC, f"by-hand@{len(texts)}", PICTURES[:count], condition, texts)


def test_a_whole_evaluation(published: tuple[Path, Any]) -> None:
    folder, _ = published
    asked = samples(4, {"caption": WORDS})
    scores = evaluate(
        asked,
        asked,
        extractor="clip-text",
        extractor_options={"weights": str(folder)},
        metrics=["text_image_similarity", "r_precision", "prompt_diversity"],
    )
    seen = embed(clip_text(weights=str(folder)))
    cosines = (seen["features"] * seen["text_features"]).sum(dim=1).clamp(min=0)
    value = scores.values["text_image_similarity"].value
    assert value == pytest.approx(100 * float(cosines.mean()), rel=1e-5)
    assert scores.notes == [
        "text_image_similarity: 1 of 4 texts are longer than the network reads: their end is lost"
    ]
    assert scores.skipped == {
        "r_precision": "r_precision needs 100 different texts; there are 4",
        "prompt_diversity": "prompt_diversity needs several samples of a prompt; each of these 4 "
        "prompts has one",
    }
    metrics = scores.protocol["metrics"]
    assert metrics["r_precision"] == "1 (candidates 100)"


def test_samples_without_words_are_refused(published: tuple[Path, Any]) -> None:
    bare = samples(2, {})
    with pytest.raises(UsageError, match="clip-text needs the words of 'caption'; these samples"):
        evaluate(
            bare,
            bare,
            extractor="clip-text",
            extractor_options={"weights": str(published[0])},
            metrics=["text_image_similarity"],
        )


def test_only_rgb_images_fit() -> None:
    extractor = clip_text(weights="not read for this")
    assert extractor.supports(SPEC) is None
    assert "the clip-text extractor sees RGB images" in str(
        extractor.supports(SampleSpec("image", (1, 28, 28)))
    )
