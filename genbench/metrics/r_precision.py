"""R-precision: is a picture's own text the nearest one among many? (Xu et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.api import Estimate, Features, Output
from genbench.api.errors import UsageError
from genbench.api.seeding import generator
from genbench.metrics.distances import directions
from genbench.metrics.resampling import share
from genbench.metrics.text_image_similarity import truncation_note


def own_text_is_nearest(
    features: Tensor, text_features: Tensor, prompt: Tensor, candidates: int, seed: int
) -> Tensor:
    """For each picture, whether its own text has the largest cosine with it among ``candidates``
    texts, the others being drawn at random, by ``seed``, from those with other words: ``(N,)``
    bool. A tie does not count.

    ``features`` and ``text_features``: ``(N, D)``; ``prompt``: ``(N,)``, equal for equal words.
    Raises ``UsageError`` if there are fewer than ``candidates`` different texts.
    """
    different, number = torch.unique(prompt, return_inverse=True)
    if len(different) < candidates:
        raise UsageError(
            f"r_precision needs {candidates} different texts; there are {len(different)}"
        )
    first = torch.full_like(different, len(prompt)).scatter_reduce_(
        0, number, torch.arange(len(prompt), device=prompt.device), "amin"
    )
    pictures, texts = directions(features), directions(text_features)[first]
    stream = generator(seed, "r_precision")
    nearest = []
    for row, own in enumerate(number.tolist()):
        others = torch.randperm(len(different) - 1, generator=stream)[: candidates - 1]
        others = others + (others >= own)  # which leaves out its own
        cosines = texts[torch.cat([torch.tensor([own]), others]).to(texts.device)] @ pictures[row]
        nearest.append(bool((cosines[0] > cosines[1:]).all()))
    return torch.tensor(nearest)


class RPrecision(Metric):
    """Share of generated samples whose own text is the nearest of ``candidates`` = 100; the other
    99 are drawn from the texts of the other samples with different words.

    It is the R-precision, R = 1, of Xu et al., "AttnGAN: Fine-Grained Text to Image Generation with
    Attentional Generative Adversarial Networks" (2018), section 4, over the extractor's embeddings
    instead of DAMSM's; over CLIP's it is the CLIP-R-Precision of Park et al., "Benchmark for
    Compositional Text-to-Image Synthesis" (2021). Chance gives 1/100. The interval, Wilson's, is
    over draws of the generated samples. Needs 100 different texts.
    """

    needs: Set[str] = frozenset({"features", "text_features", "text_truncated", "prompt"})
    sides: Set[str] = frozenset({"generated"})
    outputs: Mapping[str, Output] = {
        "r_precision": Output(
            True, "R-precision", "agreement", decimals=3, names={"clip-text": "CLIP-R-Precision"}
        )
    }
    version = 1
    full_state_update = False

    features: list[Tensor]
    text_features: list[Tensor]
    text_truncated: list[Tensor]
    prompt: list[Tensor]

    def __init__(self, *, candidates: int = 100, seed: int = 0) -> None:
        super().__init__()
        self.candidates = candidates
        self.seed = seed
        for name in sorted(self.needs):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]`` and ``["text_features"]``, ``(B, D)``, ``["prompt"]``,
        ``(B,)``, and ``["text_truncated"]``, ``(B,)`` of 0 and 1, of ``"generated"``."""
        for name in self.needs:
            getattr(self, name).append(features[name])

    def compute(self) -> Mapping[str, Estimate]:
        nearest = own_text_is_nearest(
            dim_zero_cat(self.features),
            dim_zero_cat(self.text_features),
            dim_zero_cat(self.prompt),
            self.candidates,
            self.seed,
        )
        note = truncation_note(dim_zero_cat(self.text_truncated))
        return {"r_precision": replace(share(nearest), note=note)}
