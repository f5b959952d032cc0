"""The published FID network: Inception v3 of 2015-12-05 (Szegedy et al. 2016, Heusel et al. 2017).

The network and its resizing are torch-fidelity's, which reproduce the original TensorFlow graph.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genbench.errors import DataError, one_line
from genbench.precision import full_float32
from genbench.storage import CannotWrite, make_folder, pack_state, refused, unpack_state
from genbench.types import Features, SampleSpec

FILE = "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d"
"""How the hash of the published file begins, as its name says."""


class Inception:
    """2048 pooled features and the logits without their bias, as FID, KID and IS take them."""

    resize = "torch-fidelity bilinear (TF1)"

    def __init__(self, weights: Path | None) -> None:
        """``weights``: the published file; ``None``: where it is looked for, or downloaded to.

        It is read when it is first needed, so that what cannot be embedded is told without it.
        """
        self._weights = weights

    @property
    def id(self) -> str:
        return f"inception@{self._loaded[1][:12]}"

    @property
    def _network(self) -> nn.Module:
        return self._loaded[0]

    @cached_property
    def _loaded(self) -> tuple[nn.Module, str]:
        """uint8 ``(B, 3, H, W)`` → features ``(B, 2048)``, logits ``(B, 1008)``; and its hash."""
        state, digest = read_weights(self._weights)
        try:
            network = build_network(state)
        except Exception as error:  # of whatever else a file may hold
            path = self._weights or weights_path()
            raise DataError(f"{path}: not the weights of this network ({_brief(error)})") from error
        return network.eval().requires_grad_(False), digest

    def supports(self, spec: SampleSpec) -> str | None:
        if (
            spec.modality == "image"
            and len(spec.shape) == 3
            and spec.shape[0] == 3
            and spec.levels == 256
        ):
            return None
        return (
            "the inception extractor sees RGB images with 256 levels, "
            f"not {spec.modality} of shape {spec.shape} with {spec.levels} levels"
        )

    def to(self, device: torch.device | str) -> Inception:
        self._network.to(device)
        return self

    @torch.no_grad()
    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """``features``: ``(B, 2048)`` float32 ≥ 0; ``logits``: ``(B, 1008)``."""
        device = next(self._network.parameters()).device
        with full_float32():
            features, logits = self._network(stored.to(device))
        return {"features": features, "logits": logits}


def inception(*, weights: str | None = None) -> Inception:
    """The published FID network (2048-d and logits), for RGB images.

    ``weights``: its file; by default the one in ``$GENBENCH_WEIGHTS`` or
    ``~/.cache/genbench/weights``, downloaded there once. When it is first used it raises
    ``DataError`` where there is no such file or it is another one.
    """
    return Inception(None if weights is None else Path(weights))


def read_weights(given: Path | None) -> tuple[dict[str, Any], str]:
    """The state of the published network and the SHA-256 of its file. Raises ``DataError``."""
    path = given or weights_path()
    if given is None and not path.exists():
        _download(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    digest = hashlib.sha256(data).hexdigest()
    if not digest.startswith(SHA256):
        raise DataError(
            f"{path} is not the published Inception network: its SHA-256 begins with "
            f"{digest[:8]}, not {SHA256}"
        )
    try:
        return unpack_state(data), digest
    except Exception as error:  # torch raises anything on what it did not write
        raise DataError(f"{path}: cannot be read without running code ({_brief(error)})") from error


def _brief(error: Exception) -> str:
    return one_line(error)[:200]


def weights_path() -> Path:
    """Where the published file is looked for."""
    given = os.environ.get("GENBENCH_WEIGHTS")
    return (Path(given) if given else Path.home() / ".cache" / "genbench" / "weights") / FILE


def build_network(state: Mapping[str, Any]) -> nn.Module:
    """torch-fidelity's network with the weights of ``state``."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # It loads its weights itself, unpickling whatever is there: it gets a file of our own making.
    network: nn.Module = FeatureExtractorInceptionV3(
        "inception-v3-compat",
        ["2048", "logits_unbiased"],
        feature_extractor_weights_path=io.BytesIO(pack_state(state)),
    )
    return network


def _download(path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    fetch: Callable[..., None] = torch.hub.download_url_to_file
    try:
        make_folder(path.parent)
        fetch(URL_INCEPTION_V3, str(path), hash_prefix=SHA256)
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and refused(error):
            raise CannotWrite(f"cannot write {path}: {error.strerror}") from error
        raise DataError(
            f"cannot download the Inception network ({error}): put {URL_INCEPTION_V3} at {path}"
        ) from error
