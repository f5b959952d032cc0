"""DINOv2 and CLIP: transformers' own features on tiny random models; files they refuse."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from genbench.api import SampleSpec
from genbench.api.errors import DataError, UsageError
from genbench.extractors import transformer as module
from genbench.extractors.transformer import clip, dinov2

SPEC = SampleSpec("image", (3, 32, 32))
EXTRACTORS = {"dinov2": dinov2, "clip": clip}
REPOSITORIES = {"dinov2": module.DINOV2, "clip": module.CLIP}
TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.2,
}
VISION = {
    **TINY,
    "intermediate_size": 32,
    "projection_dim": 8,
    "image_size": 48,
    "patch_size": 16,
    "initializer_factor": 5.0,
}
TEXT = {
    **TINY,
    "intermediate_size": 32,
    "projection_dim": 8,
    "vocab_size": 10,
    "bos_token_id": 0,
    "eos_token_id": 9,
}

each = pytest.mark.parametrize("name", sorted(EXTRACTORS))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def tiny(name: str) -> Any:
    """Random, with weights as large as lets pictures differ, and rounded to float16."""
    torch.manual_seed(0)
    if name == "dinov2":
        # Its positions are interpolated, as those of the published one are from 518×518.
        config = transformers.Dinov2Config(**TINY, image_size=70, patch_size=14)
        network = transformers.Dinov2Model(config)
    else:
        config = transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)
        network = transformers.CLIPModel(config)
    return network.eval().half()


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    def save(network: Any) -> Path:
        network.save_pretrained(tmp_path / "published")
        return tmp_path / "published"

    return save


def pixels(stored: Tensor, side: int, mean: list[float], deviation: list[float]) -> Tensor:
    """Resized by Pillow, each channel in float, and normalised."""
    pictures = [
        [
            np.asarray(
                Image.fromarray(channel).resize((side, side), Image.Resampling.BICUBIC), np.float32
            )
            for channel in picture
        ]
        for picture in stored.numpy().astype(np.float32)
    ]
    levels = np.asarray(pictures).clip(0, 255).transpose(0, 2, 3, 1)
    return torch.from_numpy(((levels / 255 - mean) / deviation).transpose(0, 3, 1, 2)).float()


@torch.no_grad()
def dinov2_features(network: Any, stored: Tensor) -> Tensor:
    x = pixels(stored, 224, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return network(pixel_values=x).pooler_output  # its class token, behind the last norm


@torch.no_grad()
def clip_features(network: Any, stored: Tensor) -> Tensor:
    mean, deviation = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    x = pixels(stored, 48, mean, deviation)
    return network(pixel_values=x, input_ids=torch.tensor([[0, 1, 9]])).image_embeds


@each
def test_features_are_those_of_transformers(name: str, save: Callable[[Any], Path]) -> None:
    network = tiny(name)
    folder = save(network)
    stored = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    stored[1, :, :, :16] = 0  # an edge, at which a cubic overshoots
    stored[1, :, :, 16:] = 255
    extractor = EXTRACTORS[name](weights=str(folder)).to("cpu")
    seen = extractor(stored, SPEC)["features"]

    own = {"dinov2": dinov2_features, "clip": clip_features}[name]
    expected = own(network.float(), stored)
    assert expected.shape == (5, {"dinov2": 16, "clip": 8}[name])
    assert float(expected.std(dim=0).mean()) > 0.1  # pictures differ
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen, expected, rtol=0, atol=2e-5)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert extractor.id == f"{name}@{digest[:12]}"
    assert extractor.resize == "antialiased bicubic (clean-fid)"


@each
def test_features_stay_those_of_the_weights_that_were_hashed(
    name: str, save: Callable[[Any], Path]
) -> None:
    """A library may map the file into memory, where it would change with the disk."""
    folder = save(tiny(name).float())
    stored = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    extractor = EXTRACTORS[name](weights=str(folder)).to("cpu")
    assert extractor.id  # by which it is loaded
    untouched = EXTRACTORS[name](weights=str(folder)).to("cpu")(stored, SPEC)["features"]
    with (weights := folder / "model.safetensors").open("r+b") as file:
        file.seek(weights.stat().st_size // 2)
        file.write(bytes(weights.stat().st_size // 2))
    assert torch.equal(extractor(stored, SPEC)["features"], untouched)


def test_weights_that_change_while_they_are_read_are_refused(
    save: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tiny("dinov2"))
    build = transformers.Dinov2Model.from_pretrained

    def replaced(*arguments: Any, **options: Any) -> Any:
        save(tiny("dinov2").float())  # after they were hashed
        return build(*arguments, **options)

    monkeypatch.setattr(transformers.Dinov2Model, "from_pretrained", replaced)
    with pytest.raises(DataError, match="changed while it was read"):
        _ = dinov2(weights=str(folder)).to("cpu").id


def test_clip_may_be_its_image_half_alone(save: Callable[[Any], Path]) -> None:
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(**VISION)
    folder = save(transformers.CLIPVisionModelWithProjection(config))
    stored = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    seen = clip(weights=str(folder)).to("cpu")(stored, SPEC)["features"]
    torch.testing.assert_close(seen.norm(dim=1), torch.ones(2))


@each
def test_it_loads_in_silence_and_leaves_the_settings_of_transformers(
    name: str,
    save: Callable[[Any], Path],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = save(tiny(name))
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    caplog.set_level(logging.INFO, "transformers")
    capfd.readouterr()
    EXTRACTORS[name](weights=str(folder)).to("cpu")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert transformers.utils.logging.get_verbosity() == logging.INFO
    assert transformers.utils.logging.is_progress_bar_enabled()


def refusal(name: str, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        EXTRACTORS[name](weights=str(folder)).to("cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@each
@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_folder_without_the_files_is_refused(
    name: str, file: str, save: Callable[[Any], Path]
) -> None:
    folder = save(tiny(name))
    (folder / file).unlink()
    expected = f"{folder / file} is missing: it is one of {REPOSITORIES[name]}'s files"
    assert refusal(name, folder) == expected


@each
def test_pickled_weights_are_never_read(name: str, save: Callable[[Any], Path]) -> None:
    network = tiny(name)
    folder = save(network)
    weights = folder / "model.safetensors"
    weights.unlink()
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    assert "model.safetensors is missing" in refusal(name, folder)
    (folder / "pytorch_model.bin").rename(weights)
    assert f"{folder}: not the weights of a " in refusal(name, folder)


def registers() -> Any:
    """A DINOv2 with tokens that Dinov2Model has not: the rest of its weights would fit."""
    config = transformers.Dinov2WithRegistersConfig(**TINY, image_size=70, patch_size=14)
    return transformers.Dinov2WithRegistersModel(config)


@pytest.mark.parametrize(
    ("name", "other", "told"),
    [
        ("dinov2", lambda: tiny("clip"), "a clip, not a dinov2 as facebook/dinov2-large is"),
        ("dinov2", registers, "a dinov2_with_registers, not a dinov2 "),
        ("clip", lambda: tiny("dinov2"), f"a dinov2, not a clip as {module.CLIP} is"),
    ],
    ids=["clip for dinov2", "registers for dinov2", "dinov2 for clip"],
)
def test_another_architecture_is_refused(
    name: str, other: Callable[[], Any], told: str, save: Callable[[Any], Path]
) -> None:
    folder = save(other())
    assert refusal(name, folder).startswith(f"{folder / 'config.json'}: {told}")


@each
@pytest.mark.parametrize("text", ["{", "[]", "{}", "\x80"])
def test_a_config_that_names_no_model_is_refused(
    name: str, text: str, save: Callable[[Any], Path]
) -> None:
    folder = save(tiny(name))
    (folder / "config.json").write_text(text, encoding="latin-1")
    assert "config.json: does not name its model type" in refusal(name, folder)


@each
def test_missing_weights_are_never_drawn_at_random(name: str, save: Callable[[Any], Path]) -> None:
    folder = save(tiny(name))
    weights = folder / "model.safetensors"
    state = load_file(weights)
    last = {"dinov2": "layernorm.bias", "clip": "visual_projection.weight"}[name]
    del state[last]
    save_file(state, weights, {"format": "pt"})
    assert refusal(name, folder).endswith(f": 1 are missing, {last} first")


@each
def test_weights_of_another_size_are_refused(name: str, save: Callable[[Any], Path]) -> None:
    folder = save(tiny(name))
    config = json.loads((folder / "config.json").read_text())
    config.get("vision_config", config)["hidden_size"] = 32
    (folder / "config.json").write_text(json.dumps(config))
    assert f"{folder}: not the weights of a " in refusal(name, folder)


@each
def test_without_the_package_it_says_how_to_install_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'genbench\[extractors\]'$") as caught:
        EXTRACTORS[name]()
    assert "\n" not in str(caught.value)


@each
def test_offline_it_says_which_files_to_put_where(name: str) -> None:
    with pytest.raises(DataError) as caught:
        EXTRACTORS[name]().to("cpu")
    told, repository = str(caught.value), REPOSITORIES[name]
    assert "\n" not in told
    assert told.startswith(f"cannot download {repository} (")
    assert told.endswith(
        f"put config.json and model.safetensors from https://huggingface.co/{repository} into a "
        "folder, and name it with weights=FOLDER"
    )


@each
def test_only_rgb_images_fit(name: str) -> None:
    extractor = EXTRACTORS[name](weights="not read for this")
    assert extractor.supports(SPEC) is None
    assert f"the {name} extractor sees RGB images with 256 levels" in str(
        extractor.supports(SampleSpec("image", (1, 28, 28)))
    )
