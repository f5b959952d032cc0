"""Every contestant with compiled networks: the same losses, gradients and samples, or the reason
why not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusions import LABELS
from torch import Tensor

from genbench import registry
from genbench.api import Batch, GenerativeModel, Progress, SampleSpec, Text, Variant
from genbench.api.errors import UsageError
from genbench.devices.compiling import compile_networks, require_compilable

PICTURES = SampleSpec("image", (1, 8, 8), 17, LABELS)
CAPTIONED = SampleSpec("image", (1, 8, 8), 17, {"caption": Text(1, 6)})
POINTS = SampleSpec("points", (2,), None, LABELS)
SOUNDS = SampleSpec("audio", (1, 512), 1 << 16, LABELS, 8000.0)
SMALL = {"channels": 2, "latent": 3}
COMPILED: list[tuple[str, SampleSpec, dict[str, Any]]] = [
    ("ddpm", PICTURES, {"channels": 4, "conditional": True}),
    ("ddpm", PICTURES, {"channels": 4, "network": "dit"}),
    ("ddpm", POINTS, {"channels": 4}),
    ("score-sde", POINTS, {"channels": 4}),
    ("edm", POINTS, {"channels": 4}),
    ("edm", SOUNDS, {"channels": 4, "codec": "spectrogram", "window": 64, "hop": 32}),
    ("diffwave", SOUNDS, {"channels": 4, "layers": 3, "frame": 4, "conditional": True}),
    ("flow-matching", POINTS, {"channels": 4}),
    # The teacher has the student's dropout mask, though it is computed without gradients.
    ("consistency", PICTURES, {"channels": 4, "dropout": 0.3}),
    ("gan", PICTURES, SMALL | {"r1": 0.0, "spectral_norm": True, "conditional": True}),
    ("dcgan", PICTURES, SMALL | {"conditional": True}),
    ("wgan-gp", PICTURES, SMALL | {"penalty": 0.0}),
    ("sngan", PICTURES, SMALL | {"conditional": True}),
    ("stylegan2-ada", PICTURES, SMALL | {"channels": 4, "r1": 0.0}),
    ("df-gan", CAPTIONED, SMALL | {"penalty": 0.0, "text_width": 4}),
    ("vae", PICTURES, SMALL),
    ("wavegan", SOUNDS, SMALL | {"penalty": 0.0}),
    ("specgan", SOUNDS, SMALL | {"penalty": 0.0, "window": 64, "hop": 32}),
]
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("gan", SMALL),
    ("wgan-gp", SMALL),
    ("r3gan", {"channels": 16, "latent": 3}),
    ("df-gan", SMALL | {"text_width": 4}),
    ("stylegan2-ada", {"channels": 4, "latent": 3}),
    ("stylegan2-ada", {"channels": 4, "latent": 3, "r1": 0.0, "path_length": 2.0}),
    ("wavegan", SMALL),
    ("specgan", SMALL | {"window": 64, "hop": 32}),
]


def build(name: str, spec: SampleSpec, options: dict[str, Any]) -> Any:
    factory = registry.models.get(name)
    torch.manual_seed(0)
    model = registry.call(factory, spec, **registry.check_options(name, factory, options))
    with torch.no_grad():  # some begin at zero
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def seen(model: GenerativeModel, spec: SampleSpec) -> list[Tensor]:
    """Losses and gradients of a step, and samples."""
    torch.manual_seed(1)
    numbers = torch.arange(6) % 5
    asked = {"caption": numbers[:, None]} if "caption" in spec.condition else {"label": numbers}
    batch = Batch(torch.rand(6, *spec.shape) * 2 - 1, asked)
    model.train(True)
    found = []
    for turn in model.losses(batch, Progress(4, 24, 60)):  # each player's turn
        player = model.players[turn.player]
        player.zero_grad()
        turn.loss.backward()
        found += [turn.loss.detach()]
        found += [p.grad for p in player.parameters() if p.grad is not None]
    model.train(False)
    torch.manual_seed(2)
    steps = {"steps": 2} if "steps" in registry.schema(model.sample) else {}
    given = asked if getattr(model, "conditions", ()) else {}
    with torch.no_grad():
        found.append(model.sample(torch.randn(6, *model.noise_shape), given, **steps))
    return found


@pytest.mark.parametrize(
    ("name", "spec", "options"),
    COMPILED,
    ids=[f"{name}-{spec.modality}-{number}" for number, (name, spec, _) in enumerate(COMPILED)],
)
def test_a_compiled_model_is_the_eager_one(
    name: str, spec: SampleSpec, options: dict[str, Any]
) -> None:
    """By the backend that compiles to a graph, forward and backward, and generates no code."""
    eager, compiled = build(name, spec, options), build(name, spec, options)
    require_compilable(name, compiled)
    compile_networks(compiled.players.values(), backend="aot_eager")
    expected, found = seen(eager, spec), seen(compiled, spec)
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "options"), REFUSED)
def test_what_differentiates_twice_is_refused_with_the_reason(
    name: str, options: dict[str, Any]
) -> None:
    spec = {"df-gan": CAPTIONED, "wavegan": SOUNDS, "specgan": SOUNDS}.get(name, PICTURES)
    with pytest.raises(UsageError, match=f"^{name} cannot be compiled: its penalty on a gradient"):
        require_compilable(name, build(name, spec, options))


def test_no_contestant_is_left_out() -> None:
    names = {name for name, *_ in COMPILED} | {name for name, _ in REFUSED}
    ours = [name for name in registry.models.names() if registry.models.is_ours(name)]
    trained = {n for n in ours if not isinstance(registry.models.get(n), Variant)}
    assert trained - {"samples"} <= names  # of which nothing is trained
