"""Inception v3 as torchvision has it, trained on ImageNet: not the network of published FIDs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models import Inception3
from torchvision.transforms.functional import normalize

from genbench.extractors.resize import ANTIALIASED
from genbench.extractors.rgb import IMAGENET, RgbExtractor, RgbNetwork, fold_batch_norms
from genbench.extractors.weights import PublishedWeights

PUBLISHED = PublishedWeights(
    "torchvision's Inception v3",
    "inception_v3_google-0cc3c7bd.pth",
    "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
    "0cc3c7bd",
)


class TorchvisionInception(RgbNetwork):
    """torchvision's network from resized pictures on, its batch norms folded."""

    side = 299

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        fold_batch_norms(network)
        self.classifier = network.get_submodule("fc")
        network.fc = nn.Identity()
        self.trunk = network

    def forward(self, levels: Tensor) -> dict[str, Tensor]:
        """Levels 0 … 255, float32 ``(B, 3, 299, 299)`` → ``features``: ``(B, 2048)`` ≥ 0, pooled;
        ``logits``: ``(B, 1000)``."""
        features = self.trunk(normalize(levels / 255, **IMAGENET))
        return {"features": features, "logits": self.classifier(features)}


def inception_torchvision(*, weights: str | None = None) -> RgbExtractor:
    """torchvision's Inception v3 (2048-d and logits), for RGB images.

    The whole picture is resized, antialiased; torchvision's own transform crops it.
    ``weights``: torchvision's file; by default the one in ``$GENBENCH_WEIGHTS`` or
    ``~/.cache/genbench/weights``, downloaded there once. When it is first used it raises
    ``DataError`` if there is no such file or it is another one.
    """
    given = None if weights is None else Path(weights)
    load = partial(PUBLISHED.load, given, _build)
    return RgbExtractor("inception-torchvision", ANTIALIASED, load)


def _build(state: Mapping[str, Any]) -> TorchvisionInception:
    # ``transform_input``: the weights were trained by TensorFlow, on pictures in [-1, 1].
    network = Inception3(transform_input=True, init_weights=False)
    network.load_state_dict(state)
    return TorchvisionInception(network)
