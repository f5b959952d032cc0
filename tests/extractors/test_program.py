"""Exported programs as extractors: their features, the shapes they take, and what is refused."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genbench.api import SampleSpec
from genbench.api.errors import DataError
from genbench.extractors.program import program
from genbench.testing import extractor_checks
from genbench.testing.checks import FAILED

SPEC = SampleSpec("image", (3, 8, 8))


class Network(nn.Module):
    def __init__(self, shape: tuple[int, ...] = SPEC.shape) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(shape[0], 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 5)
        self.register_buffer("offset", torch.full((1,), 0.25), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x - self.offset).mean(dim=(2, 3))


class Named(Network):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = super().forward(x)
        return {"features": features, "logits": self.head(features)}


class Pair(Network):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x), x


class Maps(Network):
    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Flagged(Network):
    def forward(self, x: Tensor, twice: bool) -> Tensor:
        return super().forward(2 * x if twice else x)


class Two(Network):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x + y)


DYNAMIC = {0: torch.export.Dim.DYNAMIC}


def export(
    network: nn.Module, path: Path, *, inputs: int = 1, dynamic: dict[int, object] | None = DYNAMIC
) -> Path:
    example = tuple(torch.zeros(2, 3, 8, 8) for _ in range(inputs))
    shapes = None if dynamic is None else tuple(dynamic for _ in range(inputs))
    exported = torch.export.export(network.eval(), example, dynamic_shapes=shapes)
    torch.export.save(exported, path)
    return path


@pytest.mark.parametrize("build", [Network, Named])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_features_are_those_of_the_network(
    build: type[Network], count: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = build()
    path = export(network, tmp_path / "network.pt2")
    extractor = program(path=str(path)).to("cpu")
    stored = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        expected = network(stored.float() / 255)
    seen = extractor(stored, SPEC)
    expected = {"features": expected} if isinstance(expected, Tensor) else expected
    assert seen.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(seen[name], expected[name])
    assert extractor.id == f"program@{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


def test_levels_are_scaled_by_their_number(tmp_path: Path) -> None:
    network = Network()
    extractor = program(path=str(export(network, tmp_path / "network.pt2")))
    stored = torch.randint(0, 17, (3, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        expected = network(stored.float() / 16)
    seen = extractor(stored, SampleSpec("image", (3, 8, 8), levels=17))
    torch.testing.assert_close(seen["features"], expected)


def test_it_keeps_what_an_extractor_promises(tmp_path: Path) -> None:
    class Grey(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)

    example = torch.zeros(2, 1, 8, 8)
    exported = torch.export.export(Grey(), (example,), dynamic_shapes=(DYNAMIC,))
    torch.export.save(exported, tmp_path / "grey.pt2")
    checks = extractor_checks("program", options={"path": str(tmp_path / "grey.pt2")})
    assert [check.promise for check in checks if check.result.status == FAILED] == []


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        (SPEC, True),
        (SampleSpec("image", (3, 8, 8), levels=17), True),
        (SampleSpec("image", (1, 8, 8)), False),
        (SampleSpec("image", (3, 9, 8)), False),
        (SampleSpec("points", (2,), levels=None), False),
        (SampleSpec("field", (3, 8, 8), levels=None), False),
    ],
)
def test_only_samples_of_its_shape_fit(spec: SampleSpec, fits: bool, tmp_path: Path) -> None:
    reason = program(path=str(export(Network(), tmp_path / "network.pt2"))).supports(spec)
    assert (reason is None) == fits
    assert fits or "sees samples of shape (3, 8, 8) in levels" in str(reason)


def test_a_program_may_take_any_size(tmp_path: Path) -> None:
    path = export(Network(), tmp_path / "network.pt2", dynamic=DYNAMIC | {2: DYNAMIC[0]})
    extractor = program(path=str(path))
    spec = SampleSpec("image", (3, 12, 8))
    assert extractor.supports(spec) is None
    stored = torch.randint(0, 256, (3, 3, 12, 8), dtype=torch.uint8)
    assert extractor(stored, spec)["features"].shape == (3, 4)
    assert "shape (3, any, 8)" in str(extractor.supports(SampleSpec("image", (3, 12, 12))))


def test_what_does_not_fit_is_told_when_it_is_opened(tmp_path: Path) -> None:
    fixed = export(Network(), tmp_path / "fixed.pt2", dynamic=None)
    with pytest.raises(DataError, match=r"fixed\.pt2: takes 2 samples at a time; export it with"):
        program(path=str(fixed))
    two = export(Two(), tmp_path / "two.pt2", inputs=2)
    with pytest.raises(DataError, match=r"two\.pt2: its input is not one float32 tensor"):
        program(path=str(two))
    example = (torch.zeros(2, 3, 8, 8), True)
    exported = torch.export.export(Flagged().eval(), example, dynamic_shapes=(DYNAMIC, None))
    torch.export.save(exported, tmp_path / "flagged.pt2")
    with pytest.raises(DataError, match=r"flagged\.pt2: its input is not one float32"):
        program(path=str(tmp_path / "flagged.pt2"))
    pair = program(path=str(export(Pair(), tmp_path / "pair.pt2")))
    maps = program(path=str(export(Maps(), tmp_path / "maps.pt2")))
    for extractor in (pair, maps):
        with pytest.raises(
            DataError, match=r"returns no features \(B, D\), alone or in a dictionary"
        ):
            extractor(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), SPEC)


class Bomb:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.canary,))


def pickled(canary: Path, folder: Path) -> bytes:
    path = folder / "bomb"
    torch.save((Bomb(canary),), path)
    return path.read_bytes()


def rewritten(source: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The program with other records, which are named without its root."""
    with zipfile.ZipFile(source) as archive:
        root = archive.namelist()[0].partition("/")[0]
        records = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(records)
    path = source.with_name("changed.pt2")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in records.items():
            archive.writestr(f"{root}/{name}", data)
    return path


def as_pickle(records: dict[str, bytes], bomb: bytes) -> None:
    config = json.loads(records["data/weights/model_weights_config.json"])
    entry = next(iter(config["config"].values()))
    entry["use_pickle"] = True
    records[f"data/weights/{entry['path_name']}"] = bomb
    records["data/weights/model_weights_config.json"] = json.dumps(config).encode()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r, b: r.update({"data/sample_inputs/model.pt": b}), "not a program of torch"),
        (lambda r, b: r.update({"data/weights/model.pt": b}), "holds data/weights/model.pt"),
        (lambda r, b: r.update({"data/constants/model.pt": b}), "holds data/constants/model.pt"),
        (lambda r, b: r.update({"data/constants/opaque_obj_0": b}), "opaque_obj_0, which may be"),
        (lambda r, b: r.update({"data/constants/custom_obj_0": b}), "custom_obj_0, which may be"),
        (lambda r, b: r.update({"data/aotinductor/model/m.so": b}), "m.so, which may be code"),
        (lambda r, b: r.update({"models/other.json": b}), "holds models/other.json"),
        (as_pickle, "as a pickle, which may be code"),
    ],
)
def test_nothing_is_unpickled(
    change: Callable[[dict[str, bytes], bytes], None], reason: str, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    bomb = pickled(canary, tmp_path)
    source = export(Network(), tmp_path / "network.pt2")
    path = rewritten(source, lambda records: change(records, bomb))
    with pytest.raises(DataError, match=r"changed\.pt2: ") as caught:
        program(path=str(path))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not canary.exists()
    torch.load(tmp_path / "bomb", weights_only=False)
    assert canary.exists(), "the bomb is none"


def spoiled(records: dict[str, bytes]) -> None:
    records["models/model.json"] = records["models/model.json"].replace(b"aten", b"nota")


@pytest.mark.parametrize(
    "content",
    [
        lambda path: b"",
        lambda path: b"not a program",
        lambda path: path.read_bytes()[:-40],
        lambda path: rewritten(path, lambda records: records.pop("models/model.json")).read_bytes(),
        lambda path: rewritten(path, spoiled).read_bytes(),
    ],
    ids=["empty", "text", "truncated", "no model", "unknown operator"],
)
def test_a_damaged_file_is_one_line(
    content: Callable[[Path], bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.pt2"
    bad.write_bytes(content(export(Network(), tmp_path / "network.pt2")))
    capfd.readouterr()
    with pytest.raises(DataError, match=r"bad\.pt2: ") as caught:
        program(path=str(bad))
    assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*absent\.pt2: No such file"):
        program(path=str(tmp_path / "absent.pt2"))
