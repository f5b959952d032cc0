"""Plugins that are at fault when they are used, wherever they are told to be."""

from __future__ import annotations

import sys

import torch
import torchmetrics

from genbench import Optimization, Output, PlayerStep, SampleSpec, TensorSamples


class Model(torch.nn.Module):
    def __init__(self, spec, *, where: str = "nowhere", exits: bool = False):
        super().__init__()
        self.players = torch.nn.ModuleDict({"only": torch.nn.Linear(2, 2)})
        self.noise_shape = spec.shape
        self.where, self.exits = where, exits
        self.fail("factory")

    def fail(self, where):
        if self.where == where and self.exits:
            sys.exit(f"no {where} here")
        if self.where == where:
            raise ZeroDivisionError(f"a bug in {where}")

    def optimization(self, player):
        return Optimization(torch.optim.Adam)

    def losses(self, batch, progress):
        self.fail("training")
        yield PlayerStep("only", self.players["only"](batch.data).square().mean())

    def sample(self, noise, condition, *, last: bool = False):
        self.fail("last" if last else "sampling")
        return self.players["only"](noise)


class Slippery(TensorSamples):
    def take(self, indices):
        raise ZeroDivisionError("a bug in take")


def data(argument, data_dir):
    points = torch.zeros(100, 2)
    if argument == "slippery":
        return Slippery(SampleSpec("points", (2,), levels=None), "careless-data:1", points)
    raise ZeroDivisionError("a bug in the data set")


class Extractor:
    id = "careless"

    def __init__(self, *, where: str = "call"):
        if where == "factory":
            raise ZeroDivisionError("a bug in the factory")

    def supports(self, spec): ...

    def to(self, device):
        return self

    def __call__(self, stored, spec):
        sys.exit("a bug in the extractor")


class Metric(torchmetrics.Metric):
    needs = frozenset({"features"})
    sides = frozenset({"generated"})
    outputs = {"careless": Output(True, "careless", "other scores")}  # noqa: RUF012
    full_state_update = False

    def update(self, features, side): ...

    def compute(self):
        raise ZeroDivisionError("a bug in the metric")
