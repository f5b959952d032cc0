"""What is stored is found again only for the very same thing: every field of an identity counts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from genbench import evaluation, registry
from genbench.data import open_samples
from genbench.devices import hardware as hardware_module
from genbench.devices.hardware import Hardware
from genbench.experiment import RunContext, context, record, trained
from genbench.experiment.stage_table import RECORD, STAGES
from genbench.extractors import digits as digits_module
from genbench.extractors import inception as inception_module
from genbench.metrics.frechet import FrechetDistance
from genbench.registry.code import Code
from genbench.suite import Score, SeededEntry, Training
from genbench.suite.file import Likelihood, Prompts, Snapshots

TRAINING = Training(
    model="toy",
    options={"learning_rate": 0.1, "widths": [1, 2], "norm": None},
    dataset="points-ring",
    examples=64,
    batch=32,
    ema_halflife=10.0,
    augment=("horizontal_flip",),
    precision="32-true",
    threads=1,
    snapshots=2,
    seed=0,
)
HOST = Hardware(Path(), "cpu")
SCORE = Score(
    extractor="identity",
    extractor_options={"a": 1},
    reference="points-ring:test",
    metrics=("frechet_distance",),
    snapshots=Snapshots(threshold=0.5),
    likelihood=Likelihood(samples=64),
)


def changes(value: Any) -> Iterator[Any]:
    """Values that differ from one in a single place; at least one of them."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from ({**value, name: other} for other in changes(inner))
            yield {k: v for k, v in value.items() if k != name}
        yield {**value, "another": 1}
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            for other in changes(inner):
                yield type(value)([*value[:number], other, *value[number + 1 :]])
        yield type(value)([*value, value[0] if value else 1])
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, (int, float)):
        yield value + 1
        yield None
    elif isinstance(value, str):
        yield value + "x"
    else:
        assert value is None
        yield 0


def protocol() -> dict[str, Any]:
    """A real one: each of its fields counts, and each metric's version."""
    ring = open_samples("points-ring:test", Path())
    scorer = evaluation.scorer(
        reference=ring, train=ring, extractor="identity", outputs=["frechet_distance", "memorized"]
    )
    found = scorer.protocol(64)
    assert found["metrics"].keys() == {"frechet_distance", "memorization"}
    return found


CONTEXT = {
    "score": SCORE.model_dump(mode="json"),
    "samples": 64,
    "train": "points-ring@1f",
    "reference": "points-ring:test@2e",
    "genbench": "3d",
    "plugins": {"metric mine": "4c"},
}
VALUES: dict[str, Any] = {
    "code": "2e",
    "codec": "vae@1f",
    "context": CONTEXT,
    "control": "control: random training sample",
    "count": 64,
    "data": "points-ring@1f",
    "device": "cpu",
    "examples": 64,
    "extractor": "digits@1f",
    "frames": 10,
    "hardware": HOST.identity(),
    "kind": "forward",
    "made_by": {"options": {"a": 1}, "code": None},
    "model": "toy",
    "names": ["features", "logits"],
    "options": {"steps": 10, "eta": 0.0},
    "outputs": ["memorized", "precision"],
    "precision": "32-true",
    "prompts": Prompts(conditions=({"label": 1},)).model_dump(mode="json"),
    "protocol": protocol(),
    "reference": "digits:test@1f",
    "resize": "none",
    "sample": {"scale": 1.0},
    "samples": "generated@1f",
    "scoring": "5b",
    "seed": 0,
    "snapshot": "3d",
    "snapshot_sample": {},
    "torch": "2.9",
    "training": dataclasses.asdict(TRAINING),
    "weights": "ema",
}
"""One for each name of an input."""


@pytest.mark.parametrize("number", range(len(STAGES)), ids=[stage.name for stage in STAGES])
def test_every_change_of_every_input_gives_another_identity(number: int) -> None:
    stage = STAGES[number]
    inputs = {name: VALUES[name] for name in stage.inputs}
    found = [dataclasses.replace(stage, version=stage.version + 1).identity(inputs)]
    for changed in changes(inputs):
        if changed.keys() == inputs.keys():
            found.append(stage.identity(changed))
        else:
            with pytest.raises(ValueError, match=f"{stage.name} is decided by"):
                stage.identity(changed)
    assert len({*found, stage.identity(inputs)}) == len(found) + 1
    assert len(found) > len(inputs)


def test_no_two_stages_share_an_identity() -> None:
    inputs = [{name: VALUES[name] for name in stage.inputs} for stage in STAGES]
    found = {stage.identity(own) for stage, own in zip(STAGES, inputs, strict=True)}
    assert len(found) == len(STAGES)


def test_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field of ``Training``, those of a later version too; the data, the code, the hardware
    and the loop."""
    facts = {"data": "d", "code": "2e", "augmentation": "3d"}
    monkeypatch.setattr(
        trained, "open_cached", lambda name, folder: SimpleNamespace(id=facts["data"])
    )
    monkeypatch.setattr(registry.models, "code", lambda name: Code(facts["code"], {}))
    monkeypatch.setattr(
        registry.augmentations, "code", lambda name: Code(facts["augmentation"], {})
    )
    monkeypatch.setattr(registry.augmentations, "is_ours", lambda name: False)

    def identity(hardware: Hardware = HOST, **fields: Any) -> str:
        return trained.training_identity(hardware, dataclasses.replace(TRAINING, **fields))

    found = [identity(), identity(dataclasses.replace(HOST, device="cuda"))]
    for field in dataclasses.fields(Training):
        before = len(found)
        value = getattr(TRAINING, field.name)
        for new in ["bf16-mixed"] if field.name == "precision" else changes(value):
            with suppress(ValidationError):  # nothing that a suite could say
                found.append(identity(**{field.name: new}))
        assert len(found) > before, field.name
    for fact in facts:
        facts[fact] += "x"
        found.append(identity())
    stage = dataclasses.replace(trained.TRAINING, version=trained.TRAINING.version + 1)
    monkeypatch.setattr(trained, "TRAINING", stage)
    found.append(identity())
    assert len(set(found)) == len(found)


def test_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices on one node, and one on each of two, are the same world; where the data lies
    does not count, since its content does."""
    hardware = Hardware(Path(), "cpu")
    hosts = [
        hardware,
        dataclasses.replace(hardware, device="cuda"),
        dataclasses.replace(hardware, devices=2),
        dataclasses.replace(hardware, num_nodes=3),
        dataclasses.replace(hardware, devices=2, strategy="ddp_find_unused_parameters_true"),
    ]
    found = [hardware.identity() for hardware in hosts]
    monkeypatch.setattr(hardware_module, "version", lambda name: f"{name} 0.0")
    found.append(hardware.identity())
    sampled = [hardware.sampling_identity(), found[1] | hardware.sampling_identity()]
    assert len({str(identity) for identity in found}) == len(found)
    assert sampled[0]["torch"] == "torch 0.0"
    assert {f.name for f in dataclasses.fields(Hardware)} == {
        *("data_dir", "device", "devices", "num_nodes", "strategy")
    }


def test_what_a_score_depends_on_is_in_its_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    ring, grid = (open_samples(name, Path()) for name in ("points-ring:test", "points-grid:test"))

    def protocol(count: int = 64, **changed: Any) -> str:
        fields = {"reference": ring, "train": ring, "outputs": ["memorized"], "seed": 0} | changed
        return str(evaluation.scorer(extractor="identity", **fields).protocol(count))

    found = [
        protocol(),
        protocol(count=65),
        protocol(reference=grid),
        protocol(train=grid),
        protocol(outputs=["memorized", "frechet_distance"]),
        protocol(seed=1),
    ]
    version = getattr(FrechetDistance, "version", 1)
    monkeypatch.setattr(FrechetDistance, "version", version + 1, raising=False)
    found.append(protocol(outputs=["memorized", "frechet_distance"]))
    assert len(set(found)) == len(found)


def other_scores() -> list[Score]:
    """Every change of ``SCORE`` that is a valid one."""
    found: list[Score] = []
    whole = SCORE.model_dump(mode="json")
    judged = [whole | {"headline": "coverage"}, whole | {"collapse": {"below": 0.1}}]
    for changed in (*changes(whole), *judged):
        try:
            score = Score.model_validate_json(json.dumps(changed))
        except ValidationError:
            continue
        found += [score] if score not in (SCORE, *found) else []
    for section, unchanged in ((Score, SCORE), (type(SCORE.snapshots), SCORE.snapshots)):
        parts = [score if section is Score else score.snapshots for score in found]
        for name in section.model_fields:  # at least one
            assert any(getattr(part, name) != getattr(unchanged, name) for part in parts), name
    return found


def test_a_stored_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What names a record before anything is loaded: the entry, all of ``[score]``, the data, the
    source of genbench and of every plugin."""
    hashes = {"model": "1f", "metric": "2e", "genbench": "3d"}
    for module in (context, trained):
        patch = partial(monkeypatch.setattr, module)
        patch("open_cached", lambda name, folder: SimpleNamespace(id=name))
    monkeypatch.setattr(registry, "own_code", lambda: Code(hashes["genbench"], {}))
    monkeypatch.setattr(registry.models, "code", lambda name: Code(hashes["model"], {}))
    monkeypatch.setattr(registry.metrics, "names", lambda: ["mine"])
    monkeypatch.setattr(registry.metrics, "is_ours", lambda name: False)
    monkeypatch.setattr(registry.metrics, "code", lambda name: Code(hashes["metric"], {}))
    base = RunContext("s", tmp_path, Hardware(tmp_path, "cpu"), 64, SCORE)
    entry = SeededEntry("E", "toy", TRAINING, {"scale": 1.0}, {})

    def identity(entry: SeededEntry = entry, **changed: Any) -> str:
        return RECORD.identity(
            record.record_inputs(dataclasses.replace(base, **changed), entry, [entry])
        )

    found = [identity(), identity(samples=65), identity(hardware=Hardware(tmp_path, "cuda"))]
    found += [identity(score=score) for score in other_scores()]
    found += [identity(prompts=Prompts(conditions=({"label": k},))) for k in range(2)]
    found += [identity(prompts=Prompts(dataset=name, count=64)) for name in ("a:test", "a:train")]
    fields: dict[str, Any] = {
        "model": "another",
        "training": dataclasses.replace(TRAINING, dataset="points-grid"),
        "sample": {"scale": 2.0},
        "snapshot_sample": {"scale": 3.0},
    }
    found += [identity(dataclasses.replace(entry, **{name: new})) for name, new in fields.items()]
    for kind in hashes:
        hashes[kind] += "0"
        found.append(identity())
    assert len(set(found)) == len(found)
    # A record is the same under another name and in whatever tool it is followed, and one with a
    # fault is not stored.
    noted = dataclasses.replace(entry, note="Out of its range.")
    assert identity(loggers=("csv",)) == identity(name="another") == identity(noted) == identity()
    assert {f.name for f in dataclasses.fields(SeededEntry)} == {"name", "note", "fault", *fields}
    assert {f.name for f in dataclasses.fields(RunContext)} == {
        *("name", "out", "hardware", "samples", "score", "loggers", "prompts")
    }


def test_one_byte_of_data(tmp_path: Path) -> None:
    """Of an array, a label, a picture or its name; and what the numbers mean."""
    levels = np.zeros((3, 1, 4, 4), np.uint8)
    other = levels.copy()
    other[2, 0, 3, 3] = 1
    reals = np.zeros((3, 2), np.float32)
    near = reals.copy()
    near[2, 1] = np.nextafter(np.float32(0), np.float32(1))
    arrays: list[dict[str, Any]] = [
        {"samples": levels, "modality": "image", "levels": 256},
        {"samples": other, "modality": "image", "levels": 256},
        {"samples": levels, "modality": "image", "levels": 17},
        {"samples": levels, "modality": "image", "levels": 256, "labels": np.array([0, 1, 0])},
        {"samples": levels, "modality": "image", "levels": 256, "labels": np.array([0, 1, 1])},
        {"samples": reals, "modality": "points"},
        {"samples": near, "modality": "points"},
        {"samples": reals, "modality": "other"},
    ]
    found = []
    for content in arrays:
        np.savez(tmp_path / "data.npz", **content)
        found.append(open_samples(str(tmp_path / "data.npz"), tmp_path).id)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for value in (0, 1):
        for number in range(2):
            picture = np.full((8, 8), value * number, np.uint8)
            Image.fromarray(picture).save(folder / f"{number}.png")
        found.append(open_samples(f"folder:{folder}", tmp_path).id)
    assert len(set(found)) == len(found)


def test_one_byte_of_an_extractor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped = Path(digits_module.__file__).parent
    for name in ("digits.safetensors", "digits.json"):
        shutil.copy(shipped / name, tmp_path / name)
    monkeypatch.setattr(digits_module, "files", lambda package: tmp_path)
    before = digits_module.digits().id
    weights, metadata_path = tmp_path / "digits.safetensors", tmp_path / "digits.json"
    altered = weights.read_bytes()[:-1] + bytes([weights.read_bytes()[-1] ^ 1])
    weights.write_bytes(altered)
    metadata = json.loads(metadata_path.read_text())
    metadata["sha256"] = hashlib.sha256(altered).hexdigest()
    metadata_path.write_text(json.dumps(metadata))
    assert digits_module.digits().id != before

    published = dataclasses.replace(inception_module.PUBLISHED, sha256="")
    hashes = set()
    for value in (0.0, 1.0):
        torch.save({"w": torch.full((2,), value)}, tmp_path / "w.pth")
        hashes.add(published.read(tmp_path / "w.pth")[1])
    assert len(hashes) == 2
