"""The Inception extractor: torch-fidelity's features on random weights; files it refuses."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from urllib.error import URLError

import pytest
import pytorch_fid.inception as pytorch_fid
import torch
import torch_fidelity.feature_extractor_inceptionv3 as theirs
from torch import Tensor, nn

from genbench.api import SampleSpec
from genbench.api.errors import DataError, UsageError
from genbench.extractors import inception as module
from genbench.extractors.inception import PUBLISHED, build_network, inception
from genbench.extractors.resize import ANTIALIASED
from genbench.extractors.rgb import CHUNK

RGB = SampleSpec("image", (3, 32, 32))


class Random(theirs.FeatureExtractorInceptionV3):
    """torch-fidelity's extractor with random weights and statistics; activations stay near 1."""

    def load_state_dict(self, state_dict: object) -> None:
        stream = torch.Generator().manual_seed(0)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, generator=stream)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5, generator=stream)
                nn.init.normal_(layer.bias, 0, 0.2, generator=stream)
                nn.init.normal_(layer.running_mean, 0, 0.2, generator=stream)
                nn.init.uniform_(layer.running_var, 0.5, 2, generator=stream)


@pytest.fixture(scope="module")
def reference() -> Random:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "load_state_dict_from_url", lambda url, progress: {})
        return Random("random", ["2048", "logits_unbiased"])


@pytest.fixture
def weights(reference: Random, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reference's, as if published."""
    path = tmp_path / "weights.pth"
    torch.save(reference.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    published = dataclasses.replace(PUBLISHED, sha256=digest[:8])
    monkeypatch.setattr(module, "PUBLISHED", published)
    return path


def assert_near(seen: Tensor, expected: Tensor) -> None:
    """To 1e-4 of the largest value."""
    assert seen.shape == expected.shape
    assert float(expected.std()) > 1e-3
    assert float((seen - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def noise(*size: int) -> Tensor:
    return torch.randint(0, 256, size, generator=torch.Generator().manual_seed(1)).byte()


def test_same_features_as_torch_fidelity(reference: Random, weights: Path) -> None:
    """From a file of weights, through the safe reader, to the features."""
    extractor = inception(weights=str(weights))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert extractor.id == f"inception@{digest[:12]}"
    assert extractor.resize == "torch-fidelity bilinear (TF1)"

    kept: list[Tensor] = []
    hook = reference.Mixed_6d.branch1x1.register_forward_hook(lambda *of: kept.append(of[2]))
    stored = noise(CHUNK + 1, 3, 32, 32)
    seen = extractor.to("cpu")(stored, RGB)
    features, logits = reference(stored)
    hook.remove()
    assert_near(seen["features"], features)
    assert_near(seen["logits"], logits)
    # OpenAI's evaluator: the first 7 channels of ``mixed_6/conv``, positions first, channels last.
    assert_near(seen["spatial"], kept[0][:, :7].permute(0, 2, 3, 1).reshape(len(stored), 2023))
    assert seen["features"].shape == (len(stored), 2048)


def test_same_features_as_pytorch_fid_from_resized_pictures_on(
    reference: Random, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = reference.state_dict()
    monkeypatch.setattr(pytorch_fid, "load_state_dict_from_url", lambda url, progress: state)
    peer = pytorch_fid.InceptionV3(resize_input=False, normalize_input=False).eval()
    stored = noise(2, 3, 299, 299)
    (expected,) = peer((stored.float() - 128) / 128)
    seen = inception(weights=str(weights)).to("cpu")(stored, SampleSpec("image", (3, 299, 299)))
    assert_near(seen["features"], expected[:, :, 0, 0])


def test_pictures_can_be_resized_as_clean_fid_does(reference: Random, weights: Path) -> None:
    """torch-fidelity leaves pictures of 299×299 as they are."""
    stored = noise(2, 3, 40, 48)
    extractor = inception(weights=str(weights), resize="antialiased").to("cpu")
    assert extractor.resize == "antialiased bicubic (clean-fid)"
    seen = extractor(stored, SampleSpec("image", (3, 40, 48)))
    assert_near(
        seen["features"], extractor.network(ANTIALIASED.apply(stored.float(), 299))["features"]
    )
    rounded = ANTIALIASED.apply(stored.float(), 299).round().clamp(0, 255).byte()
    gap = (seen["features"] - reference(rounded)[0]).abs().max()
    legacy = inception(weights=str(weights)).to("cpu")(stored, RGB)["features"]
    assert float(gap) < 0.1 * float((seen["features"] - legacy).abs().max())
    with pytest.raises(UsageError, match="unknown resize rule 'clean'"):
        inception(resize="clean")


def test_weights_are_looked_for_in_the_folder_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path))
    (tmp_path / PUBLISHED.file).write_bytes(b"something else")
    digest = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(DataError, match=rf"begins with {digest[:8]}, not 6726825d"):
        inception().to("cpu")


def test_a_failed_download_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(url: str, target: str, hash_prefix: str) -> None:
        assert (url, hash_prefix) == (theirs.URL_INCEPTION_V3, "6726825d")
        raise URLError("Name or service not known")

    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(DataError, match="not known") as caught:
        inception().to("cpu")
    assert str(caught.value).endswith(f"at {tmp_path / 'weights' / PUBLISHED.file}")
    assert "\n" not in str(caught.value)


def test_a_named_file_is_never_downloaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*absent"):
        inception(weights=str(tmp_path / "absent.pth")).to("cpu")


def test_a_pickle_that_holds_code_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "exploded",))  # type: ignore[return-value]

    path = tmp_path / "weights.pth"
    torch.save({"weight": Bomb()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "PUBLISHED", dataclasses.replace(PUBLISHED, sha256=digest[:8]))
    with pytest.raises(DataError, match=r"weights\.pth: cannot be read without running code"):
        inception(weights=str(path)).to("cpu")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        (RGB, True),
        (SampleSpec("image", (1, 32, 32)), False),
        (SampleSpec("image", (3, 32, 32), levels=17), False),
        (SampleSpec("points", (3,), levels=None), False),
    ],
)
def test_only_rgb_images_fit(spec: SampleSpec, fits: bool) -> None:
    reason = inception(weights="not read for this").supports(spec)
    assert (reason is None) == fits
    assert fits or "the inception extractor sees RGB images with 256 levels" in str(reason)


def test_a_network_of_other_weights_does_not_load() -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        build_network({"weight": torch.zeros(1)})
