"""Every metric in somebody else's Lightning loop, without genbench's harness."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import Metric, MetricCollection

from genbench import registry
from genbench.api import Features

WANTED = {"features": 8, "logits": 4, "spatial": 6, "agreement": 12, "text_features": 8}


def batch_of(x: torch.Tensor, heads: nn.ModuleDict) -> Features:
    features = {name: head(x) for name, head in heads.items()}
    features["agreement"] = (features["agreement"] > 0).float()
    features["sound_statistics"] = features["features"][:, :4]
    # Two rows or so a prompt, and some without another.
    prompt = (features["spatial"][:, 0] * 100).long()
    truncated = (features["spatial"][:, 0] > 0).float()
    labels = features["logits"].argmax(dim=1)
    return {**features, "labels": labels, "prompt": prompt, "text_truncated": truncated}


@pytest.mark.parametrize("name", [*filter(registry.metrics.is_ours, registry.metrics.names())])
def test_in_a_fabric_loop(name: str) -> None:
    """Whole sets in batches, computed, reset, and the same again."""
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.seed_everything(0, verbose=False)
    heads = nn.ModuleDict({head: nn.Linear(5, width) for head, width in WANTED.items()})
    model = fabric.setup(heads)
    metric = registry.metrics.make(name)
    assert isinstance(metric, Metric)
    metric = metric.to(fabric.device)
    loaders = {
        side: fabric.setup_dataloaders(
            DataLoader(TensorDataset(torch.randn(300, 5)), batch_size=64)
        )
        for side in sorted(metric.sides)
    }
    scores = []
    for _ in range(2):
        for side, loader in loaders.items():
            with torch.no_grad():
                for (x,) in loader:
                    metric.update(batch_of(x, model), side)
        scores.append(metric.compute())
        metric.reset()
    assert scores[0] == scores[1]
    assert scores[0].keys() == metric.outputs.keys()
    for estimate in scores[0].values():
        assert torch.tensor(estimate.value).isfinite()
        if estimate.low is not None:
            assert estimate.low <= estimate.value <= estimate.high


def test_in_a_collection() -> None:
    names = ["frechet_distance", "kernel_distance", "manifold"]
    together = MetricCollection({name: registry.metrics.make(name) for name in names})
    for side in ("reference", "generated"):
        together.update({"features": torch.randn(100, 8)}, side)
    computed = together.compute()
    assert computed["frechet_distance"].value > 0
    assert 0 <= computed["precision"].value <= 1
