"""Weights laid out as is fastest on a device, and the state of optimizers with them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genbench.devices.layout import match_layout, to_device

CPU = torch.device("cpu")
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def network(sides: int) -> Any:
    return nn.Sequential(CONVOLUTIONS[sides](3, 4, 3), nn.SiLU(), CONVOLUTIONS[sides](4, 2, 3))


def train(module: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("sides", CONVOLUTIONS)
def test_another_layout_gives_the_same_to_the_last_bits(sides: int) -> None:
    plain = network(sides)
    placed = copy.deepcopy(plain)
    to_device(placed, CPU)
    x = torch.randn(2, 3, *[7] * sides)
    torch.testing.assert_close(placed(x), plain(x))
    weight = next(placed.parameters())
    if sides > 1:
        assert weight.stride(1) == 1  # the channels are the last
    for ours, theirs in zip(placed.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_state_from_another_layout_goes_on_as_it_would_have_there() -> None:
    """Fused Adam walks over weights and moments by address."""
    x = torch.randn(2, 3, 7, 7)
    plain = network(2)
    optimizer = torch.optim.Adam(plain.parameters(), fused=True)
    train(plain, optimizer, x, steps=3)

    placed = copy.deepcopy(plain)
    to_device(placed, CPU)
    resumed = torch.optim.Adam(placed.parameters(), fused=True)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    match_layout(resumed)

    train(plain, optimizer, x, steps=3)
    train(placed, resumed, x, steps=3)
    for ours, theirs in zip(placed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
