"""Similarity of pictures and texts against torchmetrics' CLIPScore, and by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.multimodal import clip_score

from genbench import evaluate
from genbench.analysis.columns import score_heading
from genbench.api.errors import UnknownName
from genbench.metrics.resampling import mean
from genbench.metrics.text_image_similarity import TextImageSimilarity

X, T = torch.randn(2, 50, 12, generator=torch.Generator().manual_seed(0)).unbind()
T = T + X / 2


class Given:
    """A CLIP, with its processor, whose embeddings are those given: a picture holds its number."""

    config = object()

    def to(self, device: Any) -> Given:
        return self

    def __call__(self, **given: Any) -> dict[str, Tensor]:
        if "images" in given:
            return {"pixel_values": torch.stack([i.flatten()[0] for i in given["images"]])}
        return {"input_ids": torch.tensor([int(t) for t in given["text"]]), "attention_mask": X}

    def get_image_features(self, numbers: Tensor) -> Tensor:
        return X[numbers]

    def get_text_features(self, numbers: Tensor, mask: Tensor) -> Tensor:
        return T[numbers]


def theirs(rows: list[int]) -> float:
    pictures = [torch.full((3, 1, 1), row) for row in rows]
    return float(clip_score(pictures, [str(row) for row in rows], lambda: (Given(), Given())))


def computed(x: Tensor, t: Tensor, truncated: Tensor | None = None) -> Any:
    metric = TextImageSimilarity()
    cut = torch.zeros(len(x)) if truncated is None else truncated
    metric.update({"features": x, "text_features": t, "text_truncated": cut}, "generated")
    return metric.compute()


def test_equals_torchmetrics_pair_by_pair() -> None:
    """Some cosines are negative; torchmetrics clamps what it is given as one set."""
    pairs = [theirs([row]) for row in range(50)]
    assert min(pairs) == 0 < max(pairs)
    ours = computed(X, T)["text_image_similarity"]
    assert ours.value == pytest.approx(sum(pairs) / 50, rel=1e-5)


def test_equals_torchmetrics_where_no_cosine_is_negative() -> None:
    rows = [row for row in range(50) if theirs([row]) > 0]
    ours = computed(X[rows], T[rows])["text_image_similarity"]
    assert ours.value == pytest.approx(theirs(rows), rel=1e-5)


def test_hessel_s_is_two_and_a_half_times_the_clamped_cosine() -> None:
    """Their equation 1, with its interval by Student's t."""
    pairs = 2.5 * torch.cosine_similarity(X.double(), T.double()).clamp(min=0)
    expected, ours = mean(pairs), computed(X, T)["text_image_similarity_hessel"]
    assert (ours.value, ours.low, ours.high) == pytest.approx(
        (expected.value, expected.low, expected.high), rel=1e-9
    )


@pytest.mark.parametrize(("sign", "value"), [(1.0, 100.0), (-1.0, 0.0)])
def test_bounds(sign: float, value: float) -> None:
    ours = computed(X, sign * X)["text_image_similarity"]
    assert ours.value == pytest.approx(value)
    assert 0 <= (ours.low or 0) <= ours.value <= (ours.high or 0) <= 100


def test_it_says_how_many_texts_were_cut() -> None:
    cut = (torch.arange(50) < 3).float()
    said = "3 of 50 texts are longer than the network reads: their end is lost"
    assert {estimate.note for estimate in computed(X, T, cut).values()} == {said}
    assert {estimate.note for estimate in computed(X, T).values()} == {None}


@pytest.mark.parametrize(
    ("extractor", "headings"),
    [
        ("clip-text@0123456789ab", ["CLIP score", "CLIPScore"]),
        ("other@0123456789ab", ["text-image similarity", "text-image similarity, w = 2.5"]),
    ],
)
def test_its_name_is_clip_s_over_clip_alone(extractor: str, headings: list[str]) -> None:
    outputs = TextImageSimilarity.outputs
    assert [score_heading(name, outputs, {"extractor": extractor}) for name in outputs] == headings


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ("clip_score", "text_image_similarity"),
        ("CLIPScore", "text_image_similarity_hessel"),
        ("clip-r-precision", "r_precision"),
    ],
)
def test_the_literature_s_names_find_it(asked: str, offered: str) -> None:
    with pytest.raises(UnknownName, match=f"did you mean '{offered}'"):
        evaluate("digits:test", "digits:test", extractor="digits", metrics=[asked])
