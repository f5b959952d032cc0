"""Diversity among the pictures of one prompt."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.api import Estimate, Features, Output
from genbench.api.errors import UsageError
from genbench.metrics.distances import directions
from genbench.metrics.resampling import mean


def cosine_distances(features: Tensor, prompt: Tensor) -> Tensor:
    """The mean of 1 - cos over the pairs of different rows of each prompt that has two or more,
    ``(P,)`` float64, in [0, 2], in the order of the prompts' numbers.

    ``features``: ``(N, D)``; ``prompt``: ``(N,)``, equal for equal prompts.
    """
    x = directions(features)
    _, number, counts = torch.unique(prompt, return_inverse=True, return_counts=True)
    sums = x.new_zeros(len(counts), x.shape[1]).index_add_(0, number, x)
    squares = x.new_zeros(len(counts)).index_add_(0, number, x.square().sum(dim=1))
    several = counts > 1
    n = counts[several].double()
    # Σ cos over ordered pairs of different rows is |Σ x|² - Σ |x|².
    cosines = (sums.square().sum(dim=1) - squares)[several] / (n * (n - 1))
    distances: Tensor = 1 - cosines
    return distances


class PromptDiversity(Metric):
    """Mean cosine distance of pairs of generated samples of one prompt, averaged over the prompts:
    in [0, 2], 0 where every prompt gives one sample over and over.

    Zhu et al., "Toward Multimodal Image-to-Image Translation" (2017), section 5.2, introduced the
    mean distance between samples of one input as the diversity of a conditional model, with LPIPS
    as the distance. Here it is the cosine distance of the extractor's features, so that it is one
    minus the mean pairwise similarity by which Sadat et al., "CADS" (2024), compare samples of one
    condition. Random samples of any kind are diverse: read it beside a score of agreement.

    The interval, by Student's t, is over draws of the prompts. Prompts with a single sample do not
    count, and a note says how many there are. Needs a prompt with 2 samples.
    """

    needs: Set[str] = frozenset({"features", "prompt"})
    sides: Set[str] = frozenset({"generated"})
    outputs: Mapping[str, Output] = {
        "prompt_diversity": Output(True, "prompt diversity", "diversity", decimals=3)
    }
    version = 1
    full_state_update = False

    features: list[Tensor]
    prompt: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in sorted(self.needs):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]``, ``(B, D)``, and ``features["prompt"]``, ``(B,)``, of
        ``"generated"``. Raises ``UsageError`` for samples without conditions."""
        if "prompt" not in features:
            raise UsageError(
                f"prompt_diversity needs {side} samples with conditions; these have none"
            )
        for name in self.needs:
            getattr(self, name).append(features[name])

    def compute(self) -> Mapping[str, Estimate]:
        prompt = dim_zero_cat(self.prompt)
        distances = cosine_distances(dim_zero_cat(self.features), prompt)
        prompts = len(torch.unique(prompt))
        if not len(distances):
            raise UsageError(
                "prompt_diversity needs several samples of a prompt; each of these "
                f"{prompts} prompts has one"
            )
        note = None
        if single := prompts - len(distances):
            note = f"{single} of {prompts} prompts have a single sample, and do not count"
        return {"prompt_diversity": replace(mean(distances, least=0.0), note=note)}
