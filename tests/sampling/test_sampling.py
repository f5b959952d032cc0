"""Blocks: the same samples for every count, with what they cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from genbench import sampling
from genbench.api import Condition, SampleSpec, Texts
from genbench.api.errors import NonFiniteSamples, UsageError
from genbench.sampling import trajectories

SPEC = SampleSpec("image", (1, 2, 2), levels=17)


class Iterated(nn.Module):
    """Calls its network ``steps`` times, with fresh randomness at each."""

    players: nn.ModuleDict

    def __init__(self) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"used": nn.Linear(4, 4), "idle": nn.Linear(9, 9)})
        self.noise_shape = (4,)

    def sample(self, noise: Tensor, condition: Condition, *, steps: int = 3) -> Tensor:
        x = noise
        for _ in range(steps):
            x = self.players["used"](x) + 0.1 * torch.randn_like(x)
        return x.view(-1, 1, 2, 2)


def draw(model: nn.Module, count: int, seed: int = 0, **options: int) -> sampling.GeneratedSamples:
    return sampling.draw(
        Fabric(accelerator="cpu", devices=1),
        model,  # type: ignore[arg-type]
        SPEC,
        count=count,
        seed=seed,
        options=options,
        report=lambda event: None,
    )


@pytest.fixture
def model() -> Iterated:
    torch.manual_seed(0)
    return Iterated()


def test_the_count_changes_no_sample(model: Iterated) -> None:
    few, many = draw(model, 70).data, draw(model, 200).data
    assert few.dtype == torch.uint8
    assert few.shape == (70, 1, 2, 2)
    assert torch.equal(few, many[:70])
    assert not torch.equal(many[:64], many[64:128])


def test_the_seed_decides_everything(model: Iterated) -> None:
    torch.manual_seed(123)
    once = draw(model, 64, seed=1).data
    torch.manual_seed(456)
    assert torch.equal(once, draw(model, 64, seed=1).data)
    assert not torch.equal(once, draw(model, 64, seed=2).data)


def test_evaluations_flops_and_parameters_are_counted(model: Iterated) -> None:
    drawn = draw(model, 70, steps=5)
    assert drawn.nfe == 5
    assert drawn.flops == 5 * 2 * 4 * 4  # a multiplication and an addition for each weight
    assert drawn.parameters == 4 * 4 + 4  # the idle network costs nothing here


def test_samples_that_are_not_finite_are_refused(model: Iterated) -> None:
    with torch.no_grad():
        model.players["used"].bias.fill_(float("nan"))
    with pytest.raises(NonFiniteSamples, match="70 of 70 samples are not finite"):
        draw(model, 70)


def test_a_wrong_shape_is_refused(model: Iterated) -> None:
    model.sample = lambda noise, condition: noise  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"sample\(\) returned \(64, 4\), not \(64, 1, 2, 2\)"):
        draw(model, 3)


def test_decode_is_the_inverse_of_encode() -> None:
    for levels in (2, 17, 256, 65536):
        spec = SampleSpec("image", (1,), levels=levels)
        stored = torch.arange(levels).view(-1, 1)
        view = spec.encode(stored)
        assert (view.min(), view.max()) == (-1, 1)
        assert torch.equal(spec.decode(view).long(), stored)
    assert SampleSpec("image", (1,)).decode(torch.tensor([[-9.0], [9.0]])).tolist() == [[0], [255]]


class Squares(nn.Module):
    """Latents of 2 numbers; 8 weights decode them."""

    id, licence = "squares@0", "MIT"

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Linear(2, 4, bias=False)

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :2]

    def decode(self, z: Tensor) -> Tensor:
        decoded: Tensor = self.weights(z)
        return decoded


class Latent(nn.Module):
    """Calls its network twice in a latent space, and decodes once."""

    players: nn.ModuleDict

    def __init__(self, codec: nn.Module) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"used": nn.Linear(2, 2, bias=False)})
        self.noise_shape = (2,)
        self.codec = codec

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        used = self.players["used"]
        return self.codec.decode(used(used(noise))).view(-1, 1, 2, 2)  # type: ignore[operator]


def test_the_costs_of_a_codec_are_those_of_sampling() -> None:
    codec = Squares()
    drawn = draw(Latent(codec), 70)
    assert drawn.nfe == 2  # to decode is no evaluation of the model's own networks
    assert drawn.flops == 2 * (2 * 4 + 8)  # two FLOPs a multiplication
    assert drawn.parameters == 4 + 8
    assert "decode" not in vars(codec)
    assert sampling.codec_id(Latent(codec)) == "squares@0"
    assert sampling.codec_id(Iterated()) is None


class Reader(Iterated):
    """Shows how long the word of each sample is."""

    conditions = texts = frozenset({"caption"})

    def sample(  # type: ignore[override]
        self, noise: Tensor, condition: Condition, texts: Texts, *, scale: float = 1.0
    ) -> Tensor:
        assert texts.keys() == {"caption"}
        lengths = torch.tensor([len(word) for word in texts["caption"]])
        return (scale * lengths / 8 - 1).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def words(block: int) -> Texts:
    return {"caption": ["a" * (k % 3 + 4 * block) for k in range(64)], "other": ["b"] * 64}


def tokens(block: int) -> Condition:
    return {"caption": torch.ones(64, 2, dtype=torch.int64)}


def test_a_model_that_reads_words_is_given_those_of_each_block() -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    model: Any = Reader()
    asked: dict[str, Any] = {"given": tokens, "texts": words, "seed": 0, "options": {"scale": 1.0}}
    drawn = sampling.draw(fabric, model, SPEC, count=70, report=lambda event: None, **asked)
    expected = [*(k % 3 for k in range(64)), *(k % 3 + 4 for k in range(6))]
    assert drawn.data[:, 0, 0, 0].tolist() == expected
    shown = trajectories.reverse(fabric, model, SPEC, count=5, frames=3, **asked)
    assert shown.frames[-1, :, 0, 0, 0].tolist() == expected[:5]
    assert sampling.seconds_per_block(fabric, model, SPEC, {"scale": 1.0}, tokens, words) >= 0


def test_words_that_are_not_known_are_refused() -> None:
    told = "the model reads the words of 'caption', and there are tokens alone"
    with pytest.raises(UsageError, match=told):
        draw(Reader(), 3)
