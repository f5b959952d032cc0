"""The README, typed as written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from genbench.cli import main

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_add_your_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The section's script and its three commands; the learned model beats the untrained one."""
    monkeypatch.chdir(tmp_path)
    (script,) = [text for text in blocks("python") if text.startswith("# mymodel.py")]
    Path("mymodel.py").write_text(script, encoding="utf-8")
    (commands,) = [text for text in blocks("sh") if "--plugin mymodel.py" in text]
    outputs = []
    for line in commands.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "genbench"
        done = CliRunner().invoke(main, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        outputs.append(done.output)
    distance = re.search(r"frechet_distance +↓ +([\d.]+)", outputs[-1])
    assert distance
    assert float(distance.group(1)) < 3


def test_every_command_is_in_the_table() -> None:
    for name in main.commands:
        assert f"genbench {name}" in README
