"""The denoising MLP of points."""

from __future__ import annotations

import math

import torch

from baselines.networks.mlp import MLP, CoordinateWaves
from genbench.api.seeding import seed_all


def test_waves_are_sines_and_cosines() -> None:
    waves = CoordinateWaves()(torch.tensor([[0.5, -1.0]]))
    angles = [x * 2**octave for x in (0.5, -1.0) for octave in range(6)]
    expected = [*map(math.sin, angles), *map(math.cos, angles)]
    torch.testing.assert_close(waves, torch.tensor([expected]))


def test_what_changes_over_a_tenth_of_the_range_is_learned() -> None:
    """As narrow modes ask for: a sine of 5 periods over [-1, 1], in 300 steps."""
    seed_all(0, "test")
    network = MLP(1, width=32, blocks=1, dropout=0.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(300):
        x = 2 * torch.rand(128, 1) - 1
        loss = (network(x, torch.zeros(128)) - (5 * math.pi * x).sin()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02  # 0.5 for a network that knows nothing
