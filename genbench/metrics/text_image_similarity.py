"""How near pictures lie to their texts in the space of one network: CLIPScore."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.api import Estimate, Features, Output
from genbench.metrics.distances import directions
from genbench.metrics.resampling import mean, rescaled

HESSEL = 2.5
"""w of Hessel et al. 2021."""


def text_image_similarity(features: Tensor, text_features: Tensor) -> Estimate:
    """The mean over pairs of max(cos(x, t), 0), in [0, 1], of ``(N, D)`` embeddings of pictures and
    of their texts. Computed in float64.

    Its interval, by Student's t, is over draws of the pairs.
    """
    cosines = (directions(features) * directions(text_features)).sum(dim=1)
    estimate = mean(cosines.clamp(0, 1), least=0.0)
    return replace(estimate, high=None if estimate.high is None else min(estimate.high, 1.0))


class TextImageSimilarity(Metric):
    """Cosine of generated samples and their texts, a pair that points apart counted as 0.

    ``text_image_similarity``: 100 max(cos, 0), in [0, 100], as torchmetrics' CLIPScore states it;
    its code takes the mean before the maximum, which differs only where pairs have a negative
    cosine. ``text_image_similarity_hessel``: 2.5 max(cos, 0), in [0, 2.5], of Hessel et al.,
    "CLIPScore: A Reference-free Evaluation Metric for Image Captioning" (2021), equation 1. Both
    are named after CLIP over ``clip-text`` alone. Hessel et al. put "A photo depicts" before each
    text; here it is embedded as it is, as in torchmetrics.

    Values of different CLIPs cannot be compared. The intervals are over draws of the generated
    samples; a note says how many texts were longer than the network reads.
    """

    needs: Set[str] = frozenset({"features", "text_features", "text_truncated"})
    sides: Set[str] = frozenset({"generated"})
    outputs: Mapping[str, Output] = {
        "text_image_similarity": Output(
            True,
            "text-image similarity",
            "agreement",
            decimals=2,
            names={"clip-text": "CLIP score"},
        ),
        "text_image_similarity_hessel": Output(
            True,
            "text-image similarity, w = 2.5",
            "agreement",
            decimals=3,
            names={"clip-text": "CLIPScore"},
        ),
    }
    version = 1
    full_state_update = False

    features: list[Tensor]
    text_features: list[Tensor]
    text_truncated: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in sorted(self.needs):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]`` and ``["text_features"]``, ``(B, D)``, and
        ``["text_truncated"]``, ``(B,)`` of 0 and 1, of ``"generated"``."""
        for name in self.needs:
            getattr(self, name).append(features[name])

    def compute(self) -> Mapping[str, Estimate]:
        estimate = text_image_similarity(
            dim_zero_cat(self.features), dim_zero_cat(self.text_features)
        )
        noted = replace(estimate, note=truncation_note(dim_zero_cat(self.text_truncated)))
        return {
            "text_image_similarity": rescaled(noted, lambda value: 100 * value),
            "text_image_similarity_hessel": rescaled(noted, lambda value: HESSEL * value),
        }


def truncation_note(truncated: Tensor) -> str | None:
    """What to say of ``(N,)`` of 0 and 1: whether each text was cut."""
    count = int(truncated.sum())
    if not count:
        return None
    return f"{count} of {len(truncated)} texts are longer than the network reads: their end is lost"
