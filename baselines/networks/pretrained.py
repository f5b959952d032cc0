"""Published weights: a folder of configuration and safetensors, never unpickled, as a network."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import safetensors.torch
from pydantic import AfterValidator
from safetensors import SafetensorError
from torch import nn

from baselines.networks import NetworkOptions, diffusers_layout, edm_layout
from baselines.networks.layout import Stored
from baselines.sentences import Sentences
from genbench.api import SampleSpec, Text
from genbench.api.errors import UsageError

CONFIG = "config.json"
DIFFUSERS = "diffusion_pytorch_model.safetensors"


def resolve(pretrained: str) -> str:
    """``"DIR"`` to ``"DIR@HASH"``, HASH being of what the folder holds, so that an option names the
    very weights; the hash of ``"DIR@HASH"`` is compared.

    Raises:
        UsageError: No such folder, no weights in it, or weights with another hash than HASH.
    """
    found = _open(pretrained)
    return f"{found.folder}@{found.hash}"


Pretrained: TypeAlias = Annotated[str, AfterValidator(resolve)]
"""A contestant's option: a folder as ``load_pretrained`` takes it, resolved to "DIR@HASH"."""


def require_defaults(options: NetworkOptions, text: Text | Sentences | None) -> None:
    """Published weights decide the network, so its options must have their default values, and
    there must be no ``text``.

    Raises:
        UsageError: The first option that has another value, by name; a text.
    """
    if text is not None:
        raise UsageError("pretrained networks take labels, and this data has texts")
    for name, default in asdict(NetworkOptions()).items():
        value = getattr(options, name)
        if value != default:
            raise UsageError(
                f"{name} = {value!r} is an option of a network that is trained; pretrained weights "
                "decide their own network"
            )


def load_pretrained(
    spec: SampleSpec, pretrained: str, *, conditional: bool = False, outputs: int = 1
) -> nn.Module:
    """The network that a folder of published weights holds: ``network(x, time, labels=None)``.

    What is published decides the network. The folder has either of

    - a diffusers ``UNet2DModel``, as ``google/ddpm-cifar10-32``: ``config.json`` and
      ``diffusion_pytorch_model.safetensors``. ``time`` is t/1000 with t in 1…1000, and the network
      embeds t - 1, the timestep as diffusers counts it;
    - a DDPM++, NCSN++ or ADM of Karras et al. 2022: the ``state_dict()`` of their network as the
      one ``.safetensors`` file. ``time`` is their c_noise, as (log σ)/4 under EDM's
      preconditioning. The branch for augmentations is left out, as when they sample.

    Args:
        spec: Of the samples, pictures ``(C, H, W)`` that the network sees in [-1, 1].
        pretrained: ``"DIR"``, or ``"DIR@HASH"`` as ``resolve`` gives it.
        conditional: Whether labels come too, in 0…K, K for none.
        outputs: How many times C channels are to come out; 2 for learned variances.

    Raises:
        UsageError: As ``resolve`` does; a network of another kind, or one made for samples of
            another shape, other labels or outputs; a weight that is missing, left over, or of
            another shape than its place, the first by name.
    """
    found = _open(pretrained)
    try:
        tensors = safetensors.torch.load(found.weights)
    except SafetensorError as error:
        raise UsageError(f"{found.folder}: the weights cannot be read: {error}") from None
    stored = Stored(str(found.folder), tensors)
    if found.config is None:
        return edm_layout.load(stored, spec, conditional=conditional, outputs=outputs)
    return diffusers_layout.load(
        stored, found.config, spec, conditional=conditional, outputs=outputs
    )


@dataclass(frozen=True)
class _Found:
    folder: Path
    config: bytes | None
    weights: bytes

    @property
    def hash(self) -> str:
        """The first 16 hex digits of the SHA-256 of the configuration and the weights."""
        digest = hashlib.sha256(self.config or b"")
        digest.update(self.weights)
        return digest.hexdigest()[:16]


def _open(pretrained: str) -> _Found:
    named = re.fullmatch(r"(.+)@([0-9a-f]{16})", pretrained)
    folder = Path(named[1] if named else pretrained)
    if not folder.is_dir():
        raise UsageError(f"no folder {str(folder)!r} of pretrained weights")
    config = folder / CONFIG
    files = [folder / DIFFUSERS] if config.is_file() else sorted(folder.glob("*.safetensors"))
    if len(files) != 1 or not files[0].is_file():
        expected = DIFFUSERS if config.is_file() else f"{CONFIG}, nor one .safetensors file alone"
        raise UsageError(f"{folder} has no {expected}; pickled weights are not read")
    try:
        text = config.read_bytes() if config.is_file() else None
        found = _Found(folder, text, files[0].read_bytes())
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from None
    if named and named[2] != found.hash:
        raise UsageError(
            f"{folder} holds other weights than {pretrained!r}: their hash is {found.hash}"
        )
    return found
