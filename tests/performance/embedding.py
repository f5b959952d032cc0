"""Pictures through the published Inception graph, ours against torch-fidelity's, equal weights.

The weights are random, as the published ones need not be here. Ours goes by the extractor, as
``genbench evaluate`` does; theirs by their network, as their own metrics do.
"""

from __future__ import annotations

from unittest.mock import patch

import torch
import torch_fidelity.feature_extractor_inceptionv3 as theirs
from race import fastest
from ratio import Ratio
from torch import Tensor, nn

from genbench.api import SampleSpec
from genbench.extractors.inception import FidInception, build_network
from genbench.extractors.resize import LEGACY
from genbench.extractors.rgb import RgbExtractor

SPEC = SampleSpec("image", (3, 32, 32))


def measure(tiny: bool = False) -> list[Ratio]:
    """Pictures a second, 32×32, resized and embedded; the features must agree."""
    count, batch, rounds = (2, 2, 1) if tiny else (500, 50, 2)
    network = random_network()
    extractor = RgbExtractor(
        "inception", LEGACY, lambda: (FidInception(build_network(network.state_dict())), "")
    ).to("cpu")
    pictures = torch.randint(0, 256, (count, *SPEC.shape)).byte()
    features: dict[str, Tensor] = {}

    def ours() -> None:
        parts = [extractor(part, SPEC)["features"] for part in pictures.split(batch)]
        features["ours"] = torch.cat(parts)

    @torch.no_grad()
    def peer() -> None:
        features["theirs"] = torch.cat([network(part)[0] for part in pictures.split(batch)])

    seconds = fastest({"ours": ours, "theirs": peer}, rounds)
    apart = float((features["ours"] - features["theirs"]).abs().max() / features["theirs"].max())
    if apart > 1e-4:
        raise AssertionError(f"not the same features: {apart:.0e} of the largest apart")
    rates = {who: count / spent for who, spent in seconds.items()}
    note = f"torch-fidelity, features {apart:.0e} of the largest apart"
    what = "Inception features of 32×32 pictures"
    return [Ratio(what, rates["ours"], rates["theirs"], "pictures/s", True, 1.5, note)]


def random_network() -> nn.Module:
    """torch-fidelity's, with activations that stay near 1."""
    torch.manual_seed(0)
    with (
        patch.object(theirs, "load_state_dict_from_url", lambda url, progress: {}),
        patch.object(theirs.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None),
    ):
        network: nn.Module = theirs.FeatureExtractorInceptionV3("random", ["2048"])
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return network.eval()
