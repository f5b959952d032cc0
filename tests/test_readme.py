"""The README, typed as written."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.distributions import Normal, kl_divergence

from genbench import Batch, Progress, SampleSpec
from genbench.cli import main
from genbench.data import open_samples

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGED = ROOT / "tests" / "plugins" / "package" / "moons" / "vae.py"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def vae_script() -> str:
    (script,) = [text for text in blocks("python") if text.startswith("# vae.py")]
    return script


def definitions(source: str) -> dict[str, str | None]:
    """The classes and functions of a file, as they are written."""
    nodes = [n for n in ast.parse(source).body if isinstance(n, (ast.ClassDef, ast.FunctionDef))]
    return {node.name: ast.get_source_segment(source, node) for node in nodes}


def typed(command: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "genbench"
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def distance(command: str) -> float:
    """What an ``evaluate`` command says, with its digits."""
    scores = json.loads(typed(f"{command} --metrics frechet_distance --json"))
    return float(scores["values"]["frechet_distance"]["value"])


def test_add_your_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The section's script and its three commands; the trained model beats one of a single step."""
    monkeypatch.chdir(tmp_path)
    script = vae_script()
    assert script.count("\n") <= 60
    Path("vae.py").write_text(script, encoding="utf-8")
    (commands,) = [text for text in blocks("sh") if "--plugin vae.py" in text]
    train, sample, evaluate = commands.splitlines()
    typed(train)
    typed(sample)
    assert re.search(r"frechet_distance +↓ +[\d.]+", typed(evaluate))
    trained = distance(evaluate)
    budget, renamed = re.subn(r"--examples \d+ --out vae", "--examples 64 --out new", train)
    assert renamed == 1
    typed(budget)
    typed(sample.replace("sample vae ", "sample new "))
    assert trained < distance(evaluate) / 5


def test_score_samples_you_already_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The section's commands on pictures and files of these names; over the pixels, since the
    published network is not at hand."""
    monkeypatch.chdir(tmp_path)
    digits = open_samples("digits:train", Path())
    array = digits.take(torch.arange(200)).data.numpy()
    np.savez("samples.npz", samples=array, modality="image", levels=17)
    random = np.random.default_rng(0)
    for name in ("PICTURES", "REFERENCE_PICTURES"):
        Path(name).mkdir()
        pictures = random.integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(Path(name) / f"{number}.png")
    rows = pictures.reshape(30, -1).astype(float)
    np.savez("fid_stats.npz", mu=rows.mean(0), sigma=np.cov(rows, rowvar=False))
    (commands,) = [text for text in blocks("sh") if "fid_stats.npz" in text]
    own, against_pictures, against_statistics = commands.splitlines()
    assert re.search(r"precision +↑ +[\d.]+ +\[[\d.]+, [\d.]+\]", typed(own))
    shown = typed(f"{against_pictures} --extractor identity")
    assert "look at kernel_distance" in shown
    assert re.search(r"reference: folder:REFERENCE_PICTURES.*@", shown)
    shown = typed(f"{against_statistics} --extractor identity")
    assert re.search(r"frechet_distance +↓ +[\d.]+", shown)
    (python,) = [text for text in blocks("python") if "scores.differences" in text]
    exec(python, {})
    assert "extractor: digits@" in capsys.readouterr().out


def test_the_packaged_model_is_the_one_shown() -> None:
    """What the README shows and what the tests install as a package cannot drift apart."""
    packaged = PACKAGED.read_text(encoding="utf-8")
    assert packaged.count("\n") <= 60
    assert definitions(packaged) == definitions(vae_script())
    assert definitions(packaged).keys() == {"Autoencoder", "VAE", "mlp", "vae"}


def test_the_loss_is_the_negative_elbo() -> None:
    """Of the model shown, in nats a dimension, by torch's own densities."""
    shown: dict[str, Any] = {}
    exec(vae_script().rpartition("registry.models.add")[0], shown)
    torch.manual_seed(0)
    model = shown["vae"](SampleSpec("image", (1, 4, 4)), latent=3, width=8)
    x = torch.randn(5, 1, 4, 4)
    torch.manual_seed(1)
    (turn,) = model.losses(Batch(x), Progress(0, 0, 5))
    torch.manual_seed(1)
    decoded, mean, log_variance = model.players["autoencoder"](torch.randn(5, 3), x)
    likelihood = Normal(decoded, (x - decoded).square().mean().sqrt()).log_prob(x).sum()
    posterior = Normal(mean, (0.5 * log_variance).exp())
    kl = kl_divergence(posterior, Normal(0.0, 1.0)).sum()
    torch.testing.assert_close(turn.loss, (kl - likelihood) / x.numel())
    torch.testing.assert_close(turn.diagnostics["kl"], (kl / x.numel()).detach())


def test_every_command_is_in_the_table() -> None:
    for name in main.commands:
        assert f"genbench {name}" in README
