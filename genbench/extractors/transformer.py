"""Vision transformers as Hugging Face publishes them: DINOv2 and CLIP, through transformers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import normalize

from genbench.api.errors import DataError, UsageError
from genbench.extractors.resize import ANTIALIASED
from genbench.extractors.rgb import IMAGENET, RgbExtractor, RgbNetwork
from genbench.extractors.weights import brief
from genbench.io.files import unchanging

FILES = ("config.json", "model.safetensors")
DINOV2 = "facebook/dinov2-large"
CLIP = "openai/clip-vit-large-patch14"
CLIP_CHANNELS: Mapping[str, tuple[float, ...]] = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}
"""Of the channels of CLIP's pictures, in [0, 1]."""


class Dinov2(RgbNetwork):
    """Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (2023)."""

    model = "Dinov2Model"
    kinds = ("dinov2",)
    side = 224

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, levels: Tensor) -> dict[str, Tensor]:
        """Levels 0 … 255, float32 ``(B, 3, 224, 224)`` → ``features``: ``(B, D)``, the class token
        after the last norm, as Stein et al. 2023 take it."""
        seen = self.network(pixel_values=normalize(levels / 255, **IMAGENET))
        return {"features": seen.last_hidden_state[:, 0]}


class Clip(RgbNetwork):
    """Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
    (2021)."""

    model = "CLIPVisionModelWithProjection"
    kinds = ("clip", "clip_vision_model")

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.side = network.config.image_size

    def forward(self, levels: Tensor) -> dict[str, Tensor]:
        """Levels 0 … 255, float32 ``(B, 3, side, side)`` → ``features``: ``(B, D)``, the embedding
        of the image, at length 1, as CMMD takes it (Jayasumana et al. 2024)."""
        seen = self.network(pixel_values=normalize(levels / 255, **CLIP_CHANNELS))
        return {"features": F.normalize(seen.image_embeds, dim=1)}


def dinov2(*, weights: str | None = None) -> RgbExtractor:
    """DINOv2, ViT-L/14 (class token, 1024-d), for RGB images.

    ``weights``: a folder with ``config.json`` and ``model.safetensors`` of any DINOv2, as Hugging
    Face publishes it; by default ``facebook/dinov2-large``, downloaded once to the cache of Hugging
    Face. Raises ``UsageError`` without the package transformers, and, when it is first used,
    ``DataError`` if the files are missing, or are not those of a DINOv2.
    """
    load = partial(_load, Dinov2, DINOV2, weights)
    require_transformers()
    return RgbExtractor("dinov2", ANTIALIASED, load)


def clip(*, weights: str | None = None) -> RgbExtractor:
    """CLIP, ViT-L/14 (image embedding of length 1, 768-d), for RGB images.

    ``weights`` as ``dinov2`` has it, of a CLIP at any size; by default
    ``openai/clip-vit-large-patch14``, at 224×224. Raises as ``dinov2`` does.
    """
    load = partial(_load, Clip, CLIP, weights)
    require_transformers()
    return RgbExtractor("clip", ANTIALIASED, load)


def require_transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UsageError(
            f"needs the package transformers ({error}): pip install 'genbench[extractors]'"
        ) from error
    return transformers


def _load(
    wrap: type[Dinov2] | type[Clip], repository: str, given: str | None
) -> tuple[Dinov2 | Clip, str]:
    network, digest = read_network(
        wrap.model, wrap.kinds, repository, folder_of(repository, given, FILES)
    )
    return wrap(network), digest


def folder_of(repository: str, given: str | None, files: Sequence[str]) -> Path:
    """The folder that is ``given``, or the one of a repository's ``files``, downloaded once. Raises
    ``DataError`` where one of ``FILES`` is missing."""
    folder = _download(repository, files) if given is None else Path(given)
    for name in FILES:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is missing: it is one of {repository}'s files")
    return folder


def read_network(
    model: str, kinds: Sequence[str], repository: str, folder: Path
) -> tuple[Any, str]:
    """transformers' ``model`` in float32, from ``FILES`` in ``folder``, and the SHA-256 of its
    weights. Raises ``DataError`` if ``config.json`` names none of ``kinds``, or if the weights are
    not those of such a model."""
    config, weights = (folder / name for name in FILES)
    # transformers leaves out weights that do not fit, and draws missing ones at random.
    kind = _kind(config)
    if kind not in kinds:
        raise DataError(f"{config}: a {kind}, not a {kinds[0]} as {repository} is")
    transformers = require_transformers()
    build = getattr(transformers, model).from_pretrained
    options = {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    try:
        with unchanging(config, weights), _quiet(transformers.utils.logging):
            with weights.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            network, info = build(folder, **options)
            # The tensors may be the file itself, and would change with it.
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.data = tensor.data.clone()
    except Exception as error:  # the files may hold anything
        raise DataError(f"{folder}: not the weights of a {model} ({brief(error)})") from error
    if missing := sorted(info["missing_keys"]):
        raise DataError(
            f"{weights}: not the weights of a {model}: "
            f"{len(missing)} are missing, {missing[0]} first"
        )
    return network.float(), digest


def _kind(config: Path) -> object:
    try:
        return json.loads(config.read_bytes())["model_type"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{config}: does not name its model type ({brief(error)})") from error


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Without a progress bar, and without a report on CLIP's text half, which is not loaded."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _download(repository: str, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=list(files)))
    except Exception as error:  # an error of the network, of the disk, or of the hub
        raise DataError(
            f"cannot download {repository} ({brief(error)}): put {', '.join(files[:-1])} and "
            f"{files[-1]} from https://huggingface.co/{repository} into a folder, and name it with "
            "weights=FOLDER"
        ) from error
