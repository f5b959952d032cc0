"""A plan refuses whatever the run would, in the same words, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import ring

import genbench
from genbench import registry
from genbench.api.errors import DataError, UsageError
from genbench.experiment.plan import plan
from genbench.suite import Suite

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"
SUITE = ring.SUITE + '[entries.Toy]\nmodel = "toy"\n'
REFUSED = {
    "misspelt metric": ("score.metrics=['frechet_distanse']", "did you mean 'frechet_distance'?"),
    "misspelt metric along training": ("score.snapshots.metrics=['coverag']", "did you mean"),
    "name of the literature": ("score.metrics=['FID']", "did you mean 'frechet_distance'?"),
    "unknown extractor": ("score.extractor=digit", "did you mean 'digits'?"),
    "extractor that cannot embed": ("score.extractor=digits", "cannot embed"),
    "option of the extractor": ("score.extractor_options.x=1", "has no option 'x'"),
    "sampling option": ("entries.Toy.sample.scal=2", "did you mean 'scale'?"),
    "sampling option of snapshots": ("entries.Toy.snapshot_sample.scal=2", "did you mean 'scale'?"),
    "type of a sampling option": ("entries.Toy.sample.scale=wide", "'scale'"),
    "reference of another kind": ("score.reference=digits:test", "does not fit"),
    "data": ("dataset=points-rin", "did you mean 'points-ring'?"),
    "model": ("entries.Toy.model=tou", "unknown model"),
    "augmentation": ("train.augment=['flip']", "unknown augmentation 'flip'"),
    "batch": ("train.accumulate=7", "accumulate = 7 must divide"),
    "prompts": ("prompts={conditions=[{labl=3}], each=32}", "has no condition 'labl'"),
    "more samples than memory": ("samples=900000000000000000", "GiB of memory"),
}


@pytest.fixture(autouse=True)
def toys() -> None:
    registry.add_plugin_file(TOY)


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_run_refuses(name: str, tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    setting, said = REFUSED[name]

    suite = Suite.from_toml(tmp_path / "suite.toml", [setting])
    refusals = []
    for command in (plan, genbench.run):
        with pytest.raises(UsageError) as caught:
            command(suite, tmp_path / "out")
        refusals.append(str(caught.value))
    assert said in refusals[0]
    assert refusals[0] == refusals[1]
    assert [path.name for path in tmp_path.iterdir()] == ["suite.toml"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"executor": "locl"}, "did you mean 'local'?"),
        ({"loggers": ["tensorbord"]}, "did you mean 'tensorboard'?"),
        ({"plugins": ["none.py"]}, "no such Python file"),
        ({"devices": 3}, "cannot be shared evenly by 3 devices"),
        ({"devices": genbench.DeviceOptions(num_nodes=2)}, "on every node"),
        ({"precision": "16-mixed"}, "16-mixed is refused"),
        ({"out": Path(__file__).parent}, "belongs to something else"),
    ],
    ids=str,
)
def test_what_a_run_refuses_of_its_own(given: dict[str, object], said: str, tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    for command in (plan, genbench.run):
        with pytest.raises(UsageError, match=said):
            command(tmp_path / "suite.toml", **{"out": tmp_path / "out", **given})  # type: ignore[arg-type]


def test_a_folder_of_another_suite(tmp_path: Path) -> None:
    from genbench.store.records import seal

    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    (tmp_path / "out").mkdir()
    seal(tmp_path / "out", "other")
    for command in (plan, genbench.run):
        with pytest.raises(UsageError, match="belongs to the suite 'other'"):
            command(tmp_path / "suite.toml", tmp_path / "out")


def test_missing_data_are_tried_once_and_told_once(tmp_path: Path) -> None:
    tried = []

    def absent(argument: str, data_dir: Path) -> None:
        tried.append(argument)
        raise DataError("no network: cannot download absent")

    registry.datasets.add("absent", absent)
    text = SUITE.replace("points-ring", "absent") + '[entries.Two]\nmodel = "toy"\n'
    (tmp_path / "suite.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"^no network: cannot download absent$"):
        plan(tmp_path / "suite.toml", tmp_path / "out", seeds=[0, 1, 2])
    assert len(tried) == 1
