"""The published FID network: Inception v3 of 2015-12-05 (Szegedy et al. 2016, Heusel et al. 2017).

The network is torch-fidelity's, which reproduces the original TensorFlow graph.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from genbench.extractors.resize import choose_rule
from genbench.extractors.rgb import RgbExtractor, RgbNetwork, fold_batch_norms
from genbench.extractors.weights import PublishedWeights
from genbench.store import pack_state

PUBLISHED = PublishedWeights(
    "the published Inception network",
    "pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    "6726825d",
)

SPATIAL_CHANNELS = 7
_LOWER = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1"),
    *("Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d"),
)
_UPPER = ("Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool")


class FidInception(RgbNetwork):
    """torch-fidelity's network from resized pictures on, its batch norms folded."""

    side = 299

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        fold_batch_norms(network)
        self.lower = nn.Sequential(*(network.get_submodule(name) for name in _LOWER))
        self.upper = nn.Sequential(*(network.get_submodule(name) for name in _UPPER))
        self.classifier = network.get_submodule("fc")

    def forward(self, levels: Tensor) -> dict[str, Tensor]:
        """Levels 0 … 255, float32 ``(B, 3, 299, 299)`` → ``features``: ``(B, 2048)`` ≥ 0;
        ``logits``: ``(B, 1008)``, without their bias, as the inception score takes them;
        ``spatial``: ``(B, 2023)`` ≥ 0, of sFID (Nash et al. 2021, "Generating Images with Sparse
        Representations").

        The spatial features are OpenAI's ``mixed_6/conv:0``, its first 7 channels at 17×17: the
        1×1 branch of the block that is called ``Mixed_6d`` here, which comes first in its output.
        """
        maps = self.lower((levels - 128) / 128)
        features = self.upper(maps).flatten(start_dim=1)
        spatial = maps[:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(start_dim=1)
        logits = features @ self.classifier.weight.T
        return {"features": features, "logits": logits, "spatial": spatial}


def inception(*, weights: str | None = None, resize: str = "legacy") -> RgbExtractor:
    """The published FID network (2048-d, logits and sFID's spatial features), for RGB images.

    ``weights``: its file; by default the one in ``$GENBENCH_WEIGHTS`` or
    ``~/.cache/genbench/weights``, downloaded there once. When it is first used it raises
    ``DataError`` if there is no such file or it is another one. ``resize``: ``legacy``, as the
    published graph and most FIDs do, or ``antialiased``, as clean-fid does. Raises
    ``UsageError`` for another rule.
    """
    given = None if weights is None else Path(weights)
    load = partial(PUBLISHED.load, given, lambda state: FidInception(build_network(state)))
    return RgbExtractor("inception", choose_rule(resize), load)


def build_network(state: Mapping[str, Any]) -> nn.Module:
    """torch-fidelity's network with the weights of ``state``."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # It loads its weights itself and unpickles them, so it gets a file that we have written.
    network: nn.Module = FeatureExtractorInceptionV3(
        "inception-v3-compat",
        ["2048", "logits_unbiased"],
        feature_extractor_weights_path=io.BytesIO(pack_state(state)),
    )
    return network
