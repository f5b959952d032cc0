"""Published weights in our networks: the output is that of the network they were published with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from pydantic import TypeAdapter
from reference import Reference
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from baselines.networks import NetworkOptions, denoising_network
from baselines.networks.pretrained import Pretrained, load_pretrained, resolve
from genbench.api import Categorical, SampleSpec
from genbench.api.errors import UsageError

CIFAR10 = {
    "sample_size": 32,
    "block_out_channels": (128, 256, 256, 256),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
}
"""config.json of google/ddpm-cifar10-32, as far as it differs from diffusers' defaults."""

SMALL = CIFAR10 | {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
}
BY_DEFAULT = {
    key: SMALL[key]
    for key in ("sample_size", "block_out_channels", "down_block_types", "up_block_types")
}
ADM = SMALL | {
    "block_out_channels": (64, 128),
    "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "resnet_time_scale_shift": "scale_shift",
    "attn_norm_num_groups": 32,
    "attention_head_dim": 64,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "norm_eps": 1e-5,
    "num_class_embeds": 4,
}


def pictures(side: int, classes: int = 0) -> SampleSpec:
    condition = {"label": Categorical(classes)} if classes else {}
    return SampleSpec("image", (3, side, side), condition=condition)


def published(folder: Path, **config: Any) -> diffusers.UNet2DModel:
    """diffusers' network with random weights, stored in ``folder``; its biases are not 0."""
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(**config)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.1)
    network.save_pretrained(folder)
    return network.eval()


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    assert (ours - theirs).norm() < 1e-4 * theirs.norm()


@torch.no_grad()
def test_the_published_ddpm_of_cifar10_gives_its_output(tmp_path: Path) -> None:
    """With equal weights, and the timesteps 0…999 where ours are 1…1000 over 1000."""
    theirs = published(tmp_path, **CIFAR10)
    ours = load_pretrained(pictures(32), str(tmp_path)).eval()
    assert sum(p.numel() for p in ours.parameters()) == theirs.num_parameters() == 35_746_307
    x, t = torch.randn(2, 3, 32, 32), torch.tensor([1, 1000])
    assert_same(ours(x, t / 1000), theirs(x, t - 1).sample)


@torch.no_grad()
def test_the_ddpm_that_is_trained_here_is_the_published_one(tmp_path: Path) -> None:
    published(tmp_path, **SMALL)
    pretrained = load_pretrained(pictures(8), str(tmp_path)).eval()
    options = NetworkOptions("ddpm", channels=32, blocks=1, dropout=0.1, attention=(4,))
    ours = denoising_network(pictures(8), options=options).eval()
    ours.load_state_dict(pretrained.state_dict())
    # Of 32 channels the published ones, never so few, would be normalised one by one.
    for module in ours.modules():
        if isinstance(module, nn.GroupNorm):
            module.num_groups = 32
    x, time = torch.randn(2, 3, 8, 8), torch.rand(2)
    assert torch.equal(ours(x, time), pretrained(x, time))


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        BY_DEFAULT,
        SMALL | {"layers_per_block": 2, "attention_head_dim": 16, "norm_num_groups": 8},
        SMALL | {"in_channels": 1, "out_channels": 2, "sample_size": (8, 12)},
    ],
)
@torch.no_grad()
def test_networks_of_other_configurations_give_their_output(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    theirs = published(tmp_path, **config)
    sides = config["sample_size"]
    sides = sides if isinstance(sides, tuple) else (sides, sides)
    channels = config.get("in_channels", 3)
    spec = SampleSpec("image", (channels, *sides))
    outputs = config.get("out_channels", 3) // channels
    ours = load_pretrained(spec, str(tmp_path), outputs=outputs).eval()
    x, t = torch.randn(3, *spec.shape), torch.tensor([1, 300, 1000])
    assert_same(ours(x, t / 1000), theirs(x, t - 1).sample)


@pytest.mark.parametrize(("classes", "null"), [(3, True), (4, False)])
@torch.no_grad()
def test_an_adm_with_labels_gives_its_output(tmp_path: Path, classes: int, null: bool) -> None:
    """Its four rows are of three classes and none, or of four."""
    theirs = published(tmp_path, **ADM)
    ours = load_pretrained(pictures(8, classes), str(tmp_path), conditional=True).eval()
    x, t, labels = torch.randn(4, 3, 8, 8), torch.tensor([1, 300, 700, 1000]), torch.arange(4)
    assert_same(ours(x, t / 1000, labels), theirs(x, t - 1, labels).sample)
    if not null:
        theirs.class_embedding.weight[3] = 0
        assert_same(ours(x, t / 1000, labels.clamp(min=4)), theirs(x, t - 1, labels * 0 + 3).sample)


@torch.no_grad()
def test_attention_under_its_old_names(tmp_path: Path) -> None:
    theirs = published(tmp_path, **SMALL)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {re.sub("|".join(names), lambda m: names[m[0]], n): w for n, w in load_file(file).items()}
    assert sum("proj_attn" in name for name in old) == 8
    save_file(old, file)
    ours = load_pretrained(pictures(8), str(tmp_path)).eval()
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([1, 1000])
    assert_same(ours(x, t / 1000), theirs(x, t - 1).sample)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("kind", ["ddpmpp", "ncsnpp", "adm"])
@torch.no_grad()
def test_the_networks_of_karras_give_their_output(tmp_path: Path, kind: str, classes: int) -> None:
    torch.manual_seed(0)
    channels, multipliers = (64, (1, 2, 3)) if kind == "adm" else (32, (1, 2, 2))
    theirs = Reference(kind, 16, channels, multipliers, 2, {8}, classes).eval()
    for parameter in theirs.parameters():
        if parameter.ndim == 1 and parameter.requires_grad:
            nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.1)
    save_file(theirs.published_state(), tmp_path / "edm.safetensors")
    spec = pictures(16, classes)
    ours = load_pretrained(spec, str(tmp_path), conditional=classes > 0).eval()
    x, time = torch.randn(4, 3, 16, 16), torch.tensor([-1.5, -0.3, 0.2, 1.1])
    labels = torch.arange(4) if classes else None
    one_hot = torch.eye(4)[:, :3] if classes else None
    assert_same(ours(x, time, labels), theirs(x, time, one_hot))
    same = denoising_network(
        spec,
        options=NetworkOptions(
            kind,  # type: ignore[arg-type]
            channels=channels,
            multipliers=multipliers,
            blocks=2,
            dropout=0.1,
            attention=(8,),
        ),
        classes=classes,
        time_scale=1.0,
    ).eval()
    same.load_state_dict(ours.state_dict())
    assert torch.equal(same(x, time, labels), ours(x, time, labels))


def test_a_folder_is_named_by_what_it_holds(tmp_path: Path) -> None:
    published(tmp_path / "one", **SMALL)
    name = resolve(str(tmp_path / "one"))
    assert re.fullmatch(rf"{re.escape(str(tmp_path))}/one@[0-9a-f]{{16}}", name)
    assert resolve(name) == name
    (tmp_path / "one").rename(tmp_path / "two")
    assert resolve(str(tmp_path / "two")).partition("@")[2] == name.partition("@")[2]
    (tmp_path / "two").rename(tmp_path / "one")
    assert TypeAdapter(Pretrained).validate_python(str(tmp_path / "one")) == name


@pytest.mark.parametrize("file", ["config.json", "diffusion_pytorch_model.safetensors"])
def test_other_content_has_another_name(tmp_path: Path, file: str) -> None:
    published(tmp_path, **SMALL)
    name = resolve(str(tmp_path))
    path = tmp_path / file
    path.write_bytes(path.read_bytes() + b" ")
    assert resolve(str(tmp_path)) != name
    for use in (resolve, lambda name: load_pretrained(pictures(8), name)):
        with pytest.raises(UsageError, match=f"holds other weights than '{name}': their hash is"):
            use(name)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no folder '.*nowhere' of pretrained weights"):
        resolve(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "files", [[], ["config.json"], ["config.json", "model.safetensors"], ["a.bin"], ["a", "b"]]
)
def test_a_folder_without_one_file_of_weights_is_refused(tmp_path: Path, files: list[str]) -> None:
    for file in files:
        (tmp_path / f"{file}.safetensors" if len(file) == 1 else tmp_path / file).touch()
    with pytest.raises(UsageError, match=r"has no .*; pickled weights are not read"):
        resolve(str(tmp_path))


def test_what_is_not_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "edm.safetensors").write_bytes(b"pickled")
    with pytest.raises(UsageError, match="the weights cannot be read"):
        load_pretrained(pictures(8), str(tmp_path))


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (pictures(16), {}, "is for samples of 3×8×8; these are 3×16×16"),
        (SampleSpec("image", (1, 8, 8)), {}, "is for samples of 3×8×8; these are 1×8×8"),
        (SampleSpec("points", (2,)), {}, "is for samples of 3×8×8; these are 2"),
        (
            pictures(8, 10),
            {"conditional": True},
            "trained with no classes: set conditional = false",
        ),
        (pictures(8), {"outputs": 2}, "makes 3 channels of 3, where 6 are needed"),
    ],
)
def test_samples_that_a_network_was_not_made_for_are_refused(
    tmp_path: Path, spec: SampleSpec, options: dict[str, Any], message: str
) -> None:
    published(tmp_path / "diffusers", **SMALL)
    torch.manual_seed(0)
    (tmp_path / "edm").mkdir()
    state = Reference("ddpmpp", 8, 32, (1, 2), 1, {4}).published_state()
    save_file(state, tmp_path / "edm" / "edm.safetensors")
    for folder in ("diffusers", "edm"):
        with pytest.raises(UsageError, match=message):
            load_pretrained(spec, str(tmp_path / folder), **options)


@pytest.mark.parametrize(
    ("classes", "conditional", "message"),
    [
        (3, False, "trained with 3 classes: set conditional = true"),
        (10, True, "trained with 4 classes; the samples have 10"),
        (0, True, "trained with 4 classes; the samples have 0"),
    ],
)
def test_other_labels_are_refused(
    tmp_path: Path, classes: int, conditional: bool, message: str
) -> None:
    published(tmp_path, **ADM)
    with pytest.raises(UsageError, match=message):
        load_pretrained(pictures(8, classes), str(tmp_path), conditional=conditional)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "config.json: _class_name: .*'UNet2DModel'"),
        ({"act_fn": "gelu"}, "config.json: act_fn: .*'silu' or 'swish'"),
        ({"center_input_sample": True}, "config.json: center_input_sample: "),
        (
            {"down_block_types": ["DownBlock2D", "AttnSkipDownBlock2D"]},
            "config.json: down_block_types: 1: .*'AttnDownBlock2D'",
        ),
        ({"up_block_types": ["UpBlock2D", "UpBlock2D"]}, "the levels that attend differ"),
        ({"upsample_type": "resnet"}, "some levels change the sides by convolutions"),
        ({"block_out_channels": [32, 64, 64]}, "not as many blocks down as up, or as channels"),
        ({"resnet_time_scale_shift": "scale_shift"}, "the attention in the middle is not norm"),
        ({"layers_per_block": 2}, "has no weight 'down_blocks.0.resnets.1.norm1.weight'"),
        ({"block_out_channels": [64, 64]}, r"'conv_norm_out.weight' of shape \(32,\) does not fit"),
    ],
)
def test_a_configuration_that_is_not_of_these_networks_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    published(tmp_path, **SMALL)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError, match=message) as caught:
        load_pretrained(pictures(8), str(tmp_path))
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = Reference("ncsnpp", 8, 32, (1, 2), 1, {4}).published_state()
    name = "model.enc.4x4_block0.qkv.weight"
    for changed, message in [
        (
            {n: w for n, w in state.items() if "map_layer0" not in n},
            "no weight 'map_layer0.weight'",
        ),
        ({"enc.8x8_conv.weight": torch.zeros(1)}, "holds no network of Karras et al. 2022"),
        (
            state | {name: state[name][1:]},
            r"'enc.4x4_block0.qkv.weight' of shape \(191, 64, 1, 1\)",
        ),
        (state | {"model.more": torch.zeros(1)}, "no place for the weight 'more'"),
    ]:
        save_file(changed, tmp_path / "edm.safetensors")
        with pytest.raises(UsageError, match=message):
            load_pretrained(pictures(8), str(tmp_path))
