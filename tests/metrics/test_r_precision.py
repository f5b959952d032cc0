"""R-precision by hand, at chance, and among equal words."""

from __future__ import annotations

import pytest
import torch

from genbench.api.errors import UsageError
from genbench.metrics.r_precision import RPrecision, own_text_is_nearest
from genbench.metrics.resampling import share

STREAM = torch.Generator().manual_seed(0)


def test_by_hand_where_every_other_text_is_a_candidate() -> None:
    """With as many candidates as texts nothing is drawn: the row's largest cosine is its own."""
    x, t = torch.randn(2, 30, 8, generator=STREAM).unbind()
    t = t + x
    cosines = torch.cosine_similarity(x[:, None], t[None], dim=2)
    expected = cosines.argmax(dim=1) == torch.arange(30)
    assert 0 < expected.sum() < 30
    assert torch.equal(own_text_is_nearest(x, t, torch.arange(30), 30, 0), expected)


def test_random_embeddings_are_at_chance() -> None:
    x, t = torch.randn(2, 4000, 16, generator=STREAM).unbind()
    estimate = share(own_text_is_nearest(x, t, torch.arange(4000), 100, 0))
    assert (estimate.low or 1) < 0.01 < (estimate.high or 0)


def test_candidates_are_drawn_evenly() -> None:
    """Texts lie nearer to all pictures in turn: the i-th of n beats another with chance i/(n-1)."""
    angles = torch.linspace(1.5, 0.5, 4000)
    t = torch.stack([angles.cos(), angles.sin()], dim=1)
    x = torch.tensor([[1.0, 0.0]]).expand(4000, 2)
    right = own_text_is_nearest(x, t, torch.arange(4000), 2, 3).double()
    quarters = right.view(4, 1000).mean(dim=1)
    assert quarters.tolist() == pytest.approx([0.125, 0.375, 0.625, 0.875], abs=0.05)


def test_samples_of_one_prompt_are_not_each_other_s_rivals() -> None:
    """Their texts are equal, and would tie."""
    t = torch.eye(12).repeat_interleave(5, dim=0)
    prompt = torch.arange(12).repeat_interleave(5) * 7 - 3
    assert own_text_is_nearest(t, t, prompt, 12, 0).all()


def test_different_words_with_one_embedding_tie_and_do_not_count() -> None:
    t = torch.eye(4)[[0, 0, 1, 2]]
    right = own_text_is_nearest(t, t, torch.arange(4), 4, 0)
    assert right.tolist() == [False, False, True, True]


def test_the_seed_alone_decides() -> None:
    x, t = torch.randn(2, 300, 4, generator=STREAM).unbind()
    draws = [own_text_is_nearest(x, t + x, torch.arange(300), 20, seed) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_it_needs_as_many_texts_as_candidates() -> None:
    metric = RPrecision()
    x = torch.randn(200, 4)
    given = {"features": x, "text_features": x, "text_truncated": torch.zeros(200)}
    metric.update({**given, "prompt": torch.arange(200) % 99}, "generated")
    with pytest.raises(UsageError, match="needs 100 different texts; there are 99"):
        metric.compute()
