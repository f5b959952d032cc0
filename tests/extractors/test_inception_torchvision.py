"""The extractor over torchvision's Inception v3, against torchvision's own forward."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import Inception3, Inception_V3_Weights, inception_v3
from torchvision.transforms import functional as transform

from genbench.api import SampleSpec
from genbench.api.errors import DataError
from genbench.extractors import inception_torchvision as module
from genbench.extractors.inception_torchvision import PUBLISHED, inception_torchvision


@pytest.fixture(scope="module")
def reference() -> Inception3:
    """As ``inception_v3(weights=…)`` builds it, with random weights and statistics."""
    network = inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    stream = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, generator=stream)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, 0, 0.2, generator=stream)
            nn.init.uniform_(layer.running_var, 0.5, 2, generator=stream)
    return network.requires_grad_(False)


@pytest.fixture
def weights(reference: Inception3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "weights.pth"
    torch.save(reference.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    published = dataclasses.replace(PUBLISHED, sha256=digest[:8])
    monkeypatch.setattr(module, "PUBLISHED", published)
    return path


def test_same_features_and_logits_as_torchvision(reference: Inception3, weights: Path) -> None:
    stored = torch.randint(0, 256, (3, 3, 40, 32), dtype=torch.uint8)
    extractor = inception_torchvision(weights=str(weights)).to("cpu")
    seen = extractor(stored, SampleSpec("image", (3, 40, 32)))

    bicubic = transform.InterpolationMode.BICUBIC
    resized = transform.resize(stored.float() / 255, [299, 299], bicubic, antialias=True)
    published = Inception_V3_Weights.IMAGENET1K_V1.transforms()
    pooled: list[Tensor] = []
    hook = reference.avgpool.register_forward_hook(lambda *of: pooled.append(of[2]))
    levels = resized.clamp(0, 1)  # as torchvision does with a picture of bytes
    logits = reference(transform.normalize(levels, published.mean, published.std))
    hook.remove()

    for name, expected in (("features", pooled[0].flatten(1)), ("logits", logits)):
        assert seen[name].shape == expected.shape
        assert float(expected.std()) > 1e-3
        gap = float((seen[name] - expected).abs().max())
        assert gap < 1e-4 * float(expected.abs().max()), name
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert extractor.id == f"inception-torchvision@{digest[:12]}"
    assert extractor.resize == "antialiased bicubic (clean-fid)"


def test_it_is_the_file_that_torchvision_publishes() -> None:
    assert Inception_V3_Weights.IMAGENET1K_V1.url == PUBLISHED.url
    assert PUBLISHED.url.endswith(PUBLISHED.file)
    assert PUBLISHED.file == f"inception_v3_google-{PUBLISHED.sha256}.pth"


def test_offline_it_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(url: str, target: str, hash_prefix: str) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(DataError) as caught:
        inception_torchvision().to("cpu")
    told = str(caught.value)
    assert "cannot download torchvision's Inception v3" in told
    assert told.endswith(f"put {PUBLISHED.url} at {tmp_path / PUBLISHED.file}")
    assert "\n" not in told


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(DataError, match=r"other\.pth is not torchvision's Inception v3"):
        inception_torchvision(weights=str(path)).to("cpu")
    monkeypatch.setattr(module, "PUBLISHED", dataclasses.replace(PUBLISHED, sha256=""))
    with pytest.raises(DataError, match=r"other\.pth: not the weights of this network") as caught:
        inception_torchvision(weights=str(path)).to("cpu")
    assert "\n" not in str(caught.value)


def test_only_rgb_images_fit() -> None:
    extractor = inception_torchvision(weights="not read for this")
    assert extractor.supports(SampleSpec("image", (3, 32, 32))) is None
    reason = str(extractor.supports(SampleSpec("image", (1, 28, 28))))
    assert "the inception-torchvision extractor sees RGB images with 256 levels" in reason
