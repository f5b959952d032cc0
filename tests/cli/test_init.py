"""``genbench init``: what it writes runs as it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from genbench import registry
from genbench.cli import main
from genbench.cli.init import NEXT, TEMPLATES

SMALL = ["examples=128", "samples=32", "score.snapshots.count=1", "score.snapshots.samples=16"]


@pytest.fixture(autouse=True)
def names_of_each_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tests register the same model."""
    monkeypatch.setattr(registry.models, "added", {})


def typed(*arguments: str) -> str:
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_suite_and_the_plugin_run_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both written, and the entry that the suite has for the plugin uncommented."""
    monkeypatch.chdir(tmp_path)
    typed("init", "suite", "mine.toml")
    typed("init", "plugin")
    head, marker, entry = Path("mine.toml").read_text(encoding="utf-8").partition("# [entries.mine")
    uncommented = (marker + entry).replace("# ", "")
    Path("mine.toml").write_text(head + uncommented, encoding="utf-8")
    small = [part for setting in SMALL for part in ("--set", setting)]
    typed(
        *("run", "mine.toml", "--plugin", "plugin.py", "--out", "out", "--seeds", "0"),
        *("--jobs", "1", *small),
    )
    lines = Path("out/records.jsonl").read_text(encoding="utf-8").splitlines()
    status = {record["entry"]: record["status"] for record in map(json.loads, lines)}
    names = ("real", "DDPM", "DDIM, 10 steps", "GAN", "mine")
    assert status == dict.fromkeys(names, "done")


def test_the_plugin_passes_the_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = typed("init", "plugin", "my model.py")
    _, check, _ = said.splitlines()
    assert check == "  genbench check model my-model --plugin 'my model.py'"
    shown = typed("check", "model", "my-model", "--plugin", "my model.py", "--data", "digits")
    assert shown.splitlines()[-1] == "19 passed, 0 failed, 0 skipped"


@pytest.mark.parametrize("kind", TEMPLATES)
def test_what_exists_is_left_as_it_is(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(TEMPLATES[kind]).write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["init", kind])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said == f"genbench: {TEMPLATES[kind]} exists already; name another file\n"
    assert Path(TEMPLATES[kind]).read_text(encoding="utf-8") == "mine"


def test_a_folder_that_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", "suite", str(tmp_path / "none" / "mine.toml")])
    assert ended.value.code == 2
    assert "cannot write" in capsys.readouterr().err


def test_every_kind_says_what_comes_next() -> None:
    assert NEXT.keys() == TEMPLATES.keys()
