"""Features of a reference are kept for the next command, under what decides them, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import genbench
from genbench import evaluation, registry, store
from genbench.api import Features, SampleSpec, TensorSamples
from genbench.api.errors import UsageError
from genbench.evaluation import embedding


def test_a_reference_is_embedded_once_for_all_commands(
    halves: tuple[TensorSamples, TensorSamples],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it took long; and only where its id names its contents."""
    train, test = halves
    made = TensorSamples(train.spec, "made", train.data[:100])
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(embedding, "WORTH_KEEPING", 0.0)
    stages: list[str] = []

    def score(reference: TensorSamples) -> evaluation.Scores:
        stages.clear()
        return genbench.evaluate(
            made,
            reference,
            extractor="digits",
            metrics=["frechet_distance", "recall"],
            report=lambda event: stages.append(event.stage),
        )

    first = score(test)
    computing = {"compute frechet_distance", "compute manifold"}
    assert set(stages) == {f"embed {test.id}", f"embed {made.id}", *computing}
    assert score(test) == first
    assert set(stages) == {f"embed {made.id}", *computing}
    (kept,) = (tmp_path / "features").glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert score(test) == first  # what is damaged is made anew
    assert store.read_artefact(kept) is not None
    foreign = store.pack_tensors({"features": torch.zeros(899, 64)})
    known = store.require_artefact(kept)[1]
    short = store.pack_tensors({"features": torch.zeros(898, 64, dtype=torch.float64)})
    another = store.pack_tensors({"others": torch.zeros(899, 64)})
    for data, metadata in (
        *((data, known) for data in (b"", b"no tensors", short, another)),
        *((foreign, metadata) for metadata in ({}, {**known, "identity": "0" * 16})),
    ):
        store.write_artefact(kept, data, metadata)  # whose checksum is right
        assert score(test) == first
        assert set(stages) == {f"embed {test.id}", f"embed {made.id}", *computing}
    score(TensorSamples(test.spec, "mine", test.data))
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 1


UNIT = 1.0


class Scaled:
    """An extractor whose id tells nothing of its options."""

    id = "scaled"

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def supports(self, spec: SampleSpec) -> None:
        """Anything."""

    def to(self, device: torch.device | str) -> Scaled:
        return self

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        return {"features": UNIT * self.factor * stored.double().flatten(1)}


def scaled(*, factor: float = 1.0) -> Scaled:
    """The samples themselves, in another unit."""
    return Scaled(factor)


def test_a_kept_reference_follows_the_extractor_s_options_and_its_code(
    halves: tuple[TensorSamples, TensorSamples], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(embedding, "WORTH_KEEPING", 0.0)
    monkeypatch.setitem(registry.extractors.added, "scaled", scaled)

    def score(factor: float) -> float:
        scores = genbench.evaluate(
            *halves,
            extractor="scaled",
            extractor_options={"factor": factor},
            metrics=["energy_distance"],
        )
        return scores.values["energy_distance"].value

    once = score(1.0)
    assert score(3.0) == pytest.approx(3 * once)
    monkeypatch.setattr(f"{__name__}.UNIT", 2.0)
    monkeypatch.setattr(registry.extractors, "code", lambda name: registry.Code("edited", {}))
    assert score(1.0) == pytest.approx(2 * once)
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 3

    def unknown(name: str) -> str:
        raise UsageError(f"{name} has no source file: put it in one")

    monkeypatch.setattr(registry.extractors, "code", unknown)  # as at an interactive prompt
    monkeypatch.setattr(f"{__name__}.UNIT", 5.0)
    assert score(1.0) == pytest.approx(5 * once)
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 3


def test_a_cache_that_cannot_be_written_costs_nothing(
    halves: tuple[TensorSamples, TensorSamples], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "WORTH_KEEPING", 0.0)
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "file" / "cache"))
    scores = genbench.evaluate(*halves, extractor="digits", metrics=["frechet_distance"])
    assert scores.values.keys() == {"frechet_distance"}
