"""The Inception extractor: torch-fidelity's features on random weights; files it refuses."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torch_fidelity.feature_extractor_inceptionv3 as theirs
from torch import nn

from genbench.errors import DataError
from genbench.extractors import inception as module
from genbench.extractors.inception import FILE, Inception, build_network, inception
from genbench.types import SampleSpec

RGB = SampleSpec("image", (3, 32, 32))


class Random(theirs.FeatureExtractorInceptionV3):
    """torch-fidelity's extractor with random weights that keep activations near 1."""

    def load_state_dict(self, state_dict: object) -> None:
        stream = torch.Generator().manual_seed(0)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, generator=stream)


@pytest.fixture(scope="module")
def reference() -> Random:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "load_state_dict_from_url", lambda url, progress: {})
        return Random("random", ["2048", "logits_unbiased"])


def test_same_features_as_torch_fidelity(
    reference: Random, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file of weights, through the safe reader, to the features."""
    path = tmp_path / "weights.pth"
    torch.save(reference.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "SHA256", digest[:8])
    extractor = inception(weights=str(path))
    assert extractor.id == f"inception@{digest[:12]}"

    stored = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    seen = extractor.to("cpu")(stored, RGB)
    features, logits = reference(stored)
    assert features.std() > 1e-3
    torch.testing.assert_close(seen["features"], features)
    torch.testing.assert_close(seen["logits"], logits)
    assert seen["features"].shape == (2, 2048)


def test_weights_are_looked_for_in_the_folder_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path))
    (tmp_path / FILE).write_bytes(b"something else")
    digest = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(DataError, match=rf"begins with {digest[:8]}, not 6726825d"):
        inception().to("cpu")


def test_a_failed_download_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(url: str, target: str, hash_prefix: str) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(DataError, match="not known") as caught:
        inception().to("cpu")
    assert str(caught.value).endswith(f"at {tmp_path / 'weights' / FILE}")
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
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
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
    reason = Inception(Path("not read for this")).supports(spec)
    assert (reason is None) == fits
    assert fits or "RGB images with 256 levels" in str(reason)
    assert Inception.resize == "torch-fidelity bilinear (TF1)"


def test_a_network_of_other_weights_does_not_load() -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        build_network({"weight": torch.zeros(1)})
