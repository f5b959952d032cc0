"""The resize rules, against Pillow channel by channel, clean-fid and torch-fidelity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cleanfid.resize import build_resizer
from PIL import Image
from torch import Tensor
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from genbench.api.errors import UsageError
from genbench.extractors.resize import ANTIALIASED, LEGACY, choose_rule

SIZES = [(32, 32), (28, 28), (64, 48), (299, 299), (300, 298), (400, 640), (1024, 1024), (7, 500)]


def pictures(size: tuple[int, int]) -> Tensor:
    """Noise, which has all frequencies; and black beside white, at which a cubic overshoots."""
    noise = torch.randint(0, 256, (2, 3, *size), generator=torch.Generator().manual_seed(0))
    noise[1, :, :, : size[1] // 2] = 0
    noise[1, :, :, size[1] // 2 :] = 255
    return noise.float()


def pillow(picture: Tensor, side: int) -> Tensor:
    """Each channel a picture of floats (mode F), not rounded; overshoots are cut."""
    channels = [
        Image.fromarray(channel.numpy().astype(np.float32)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        for channel in picture
    ]
    assert {channel.mode for channel in channels} == {"F"}
    return torch.stack([torch.from_numpy(np.array(channel)).clamp(0, 255) for channel in channels])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [224, 299])
def test_antialiased_is_pillow_on_floats(size: tuple[int, int], side: int) -> None:
    x = pictures(size)
    expected = torch.stack([pillow(picture, side) for picture in x])
    resized = ANTIALIASED.apply(x, side)
    assert resized.shape == (2, 3, side, side)
    assert float((resized - expected).abs().max()) < 1e-2  # of a level


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("size", SIZES)
def test_antialiased_is_clean_fid(size: tuple[int, int]) -> None:
    x = pictures(size)
    resize = build_resizer("clean")  # to 299×299
    expected = np.stack([resize(picture) for picture in x.byte().permute(0, 2, 3, 1).numpy()])
    difference = ANTIALIASED.apply(x, 299).permute(0, 2, 3, 1) - torch.from_numpy(expected)
    assert float(difference.abs().max()) < 1e-2  # of a level


@pytest.mark.parametrize("size", SIZES)
def test_legacy_is_torch_fidelity_to_the_bit(size: tuple[int, int]) -> None:
    x = pictures(size)
    expected = interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    assert torch.equal(LEGACY.apply(x, 299), expected)


def test_only_one_of_them_is_antialiased() -> None:
    """A grating finer than the new pixels: averaged, or seen through every third of its pixels."""
    grating = (torch.arange(897) % 2 * 255).float().expand(1, 3, 897, 897)
    inside = (slice(None), slice(None), slice(10, -10), slice(10, -10))
    assert float((ANTIALIASED.apply(grating, 299)[inside] - 127.5).abs().max()) < 20
    assert float((LEGACY.apply(grating, 299)[inside] - 127.5).abs().max()) == 127.5


def test_an_unknown_rule_is_told_with_the_nearest() -> None:
    assert choose_rule("legacy") is LEGACY
    with pytest.raises(UsageError, match="unknown resize rule 'antialias'; did you mean 'antial"):
        choose_rule("antialias")
