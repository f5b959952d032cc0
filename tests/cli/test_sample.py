"""``genbench sample`` with prompts, and the same in Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import genbench
from genbench.api.errors import UsageError
from genbench.cli import main
from genbench.data.files import read_file

WAVES = Path(__file__).parents[1] / "plugins" / "waves.py"


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(
        main, [*map(str, arguments), "--plugin", str(WAVES)], catch_exceptions=False
    )


@pytest.fixture(scope="module")
def singer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of texts and lengths."""
    folder = tmp_path_factory.mktemp("singer") / "run"
    done = call("train", "singer", "waves", "--examples", "64", "--out", folder)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def ddpm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of classes."""
    folder = tmp_path_factory.mktemp("ddpm") / "run"
    options = ["--option", "timesteps=25", "--option", "channels=4", "--option", "conditional=true"]
    done = call("train", "ddpm", "digits", "--examples", "64", *options, "--out", folder)
    assert done.exit_code == 0, done.output
    return folder


def test_each_prompt_in_order(singer: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npz"
    asked = ["--prompt", "high loud", "--prompt", "low soft", "--each", "3", "--seed", "7"]
    done = call("sample", singer, *asked, "--out", out)
    assert done.exit_code == 0, done.output
    assert f"{out}: 6 samples" in done.output
    samples = read_file(out)
    assert samples.texts["caption"] == ["high loud"] * 3 + ["low soft"] * 3
    assert samples.condition["caption"].tolist() == [[2, 4]] * 3 + [[1, 3]] * 3
    with np.load(out) as held:
        assert held["prompt"].tolist() == [0, 0, 0, 1, 1, 1]
        assert held["seed"].tolist() == [7] * 6
        assert held["prompt"].dtype == held["seed"].dtype == np.int64


def test_a_file_of_prompts_is_as_if_they_were_typed(singer: Path, tmp_path: Path) -> None:
    table = tmp_path / "asked.csv"
    table.write_text("id,prompt\n1,high loud\n2,low soft\n", encoding="utf-8")
    typed = "--prompt", "high loud", "--prompt", "low soft"
    for name, asked in (("file", ("--prompts", table)), ("typed", typed)):
        done = call("sample", singer, *asked, "--out", tmp_path / f"{name}.npz")
        assert done.exit_code == 0, done.output
    ours, theirs = (read_file(tmp_path / f"{name}.npz") for name in ("file", "typed"))
    assert ours.texts == theirs.texts
    assert torch.equal(ours.data, theirs.data)


def test_classes_are_prompts_too(ddpm: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npz"
    done = call("sample", ddpm, "--prompt", "3", "--prompt", "9", "--each", "2", "--out", out)
    assert done.exit_code == 0, done.output
    assert read_file(out).condition["label"].tolist() == [3, 3, 9, 9]
    (tmp_path / "classes.txt").write_text("9\n3\n", encoding="utf-8")
    done = call("sample", ddpm, "--prompts", tmp_path / "classes.txt", "--out", out)
    assert read_file(out).condition["label"].tolist() == [9, 3]
    samples, cost = genbench.sample(ddpm, out=out, prompts=[1, 5, 1], progress=False)
    assert samples.condition["label"].tolist() == [1, 5, 1]
    assert cost["nfe"] == 25


def test_without_prompts_the_file_is_as_before(ddpm: Path, tmp_path: Path) -> None:
    done = call("sample", ddpm, "--out", tmp_path / "x.npz")
    assert "64 samples" in done.output
    with np.load(tmp_path / "x.npz") as held:
        assert sorted(held) == ["classes", "labels", "levels", "modality", "samples"]


@pytest.mark.parametrize(
    ("which", "arguments", "message"),
    [
        ("ddpm", ["--prompt", "3", "--count", "5"], "count goes without prompts"),
        ("ddpm", ["--each", "3"], "each is how many samples a prompt has"),
        ("ddpm", ["--prompt", "10"], "prompts: 'label' is a class 0…9, not 10"),
        ("ddpm", ["--prompt", "a cat"], "prompts: 'label' is a class 0…9, not 'a cat'"),
        ("ddpm", ["--prompt", "3", "--prompts", "x.txt"], "--prompt and --prompts: give one"),
        ("ddpm", ["--prompts", "none.txt"], "none.txt: No such file or directory"),
        ("ddpm", ["--prompts", "x.md"], "x.md: prompts are read from .txt, .csv"),
        ("singer", ["--prompt", "high green"], "no wave is called 'high green'"),
    ],
)
def test_mistakes_are_told_in_one_line(
    which: str,
    arguments: Sequence[str],
    message: str,
    singer: Path,
    ddpm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = {"singer": singer, "ddpm": ddpm}[which]
    done = call("sample", folder, *arguments, "--out", tmp_path / "x.npz")
    assert done.exit_code == 2
    assert done.stderr.startswith("genbench: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x.npz").exists()


def test_what_obeys_nothing_has_no_prompts(tmp_path: Path) -> None:
    folder, out = tmp_path / "run", tmp_path / "x.npz"
    options = ["--option", "channels=4", "--option", "timesteps=25"]
    call("train", "ddpm", "digits", "--examples", "64", *options, "--out", folder)
    with pytest.raises(UsageError, match="prompts: the model obeys no condition"):
        genbench.sample(folder, out=out, prompts=["3"], progress=False)
    with pytest.raises(UsageError, match="prompts: there is none"):
        genbench.sample(folder, out=out, prompts=[], progress=False)
