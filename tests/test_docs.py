"""README and the guides: every block is run, page by page, in a folder of its own.

A block of TOML or Python that begins with ``# NAME.toml`` or ``# NAME.py`` is written to that file;
other Python is executed, and ``sh`` is typed. Budgets are made small, and ``quickstart`` stands for
a suite of two entries. A block that cannot run here has ``<!-- not run: REASON -->`` above it.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.distributions import Normal, kl_divergence

from genbench import Batch, Progress, SampleSpec, registry, suite
from genbench.cli import main
from genbench.data import open_samples
from genbench.suite import file
from genbench.suite.train import OPTIONS

ROOT = Path(__file__).resolve().parents[1]
GUIDES = ROOT / "docs" / "guides"
PAGES = {path.name: path for path in (ROOT / "README.md", *sorted(GUIDES.glob("*.md")))}
PACKAGED = ROOT / "tests" / "plugins" / "package" / "moons" / "vae.py"
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NOT_RUN = {
    "README.md": 1,
    "claims.md": 1,
    "contestants.md": 1,
    "clusters.md": 2,
    "loggers.md": 2,
    "scoring.md": 1,
}
"""How many blocks of a page are marked. Another one is a decision, not an oversight."""

QUICKSTART = """
title = "two entries of the quickstart, small"
dataset = "digits"
seeds = [0]
examples = 64
samples = 32

[score]
extractor = "digits"
reference = "digits:test"
metrics = ["frechet_distance", "precision", "recall", "coverage"]
snapshots = { count = 1, samples = 16 }

[entries.DDPM]
model = "ddpm"
options = { timesteps = 25, channels = 8 }
snapshot_sample = { sampler = "ddim", steps = 2 }

[entries.GAN]
model = "gan"
options = { channels = 4 }
"""
SMALLER = (
    (r"\b(examples *= ?)[\d_]+", r"\g<1>64"),
    (r"(--examples )\d+", r"\g<1>64"),
    (r"\b(samples *= ?)\d\d+\b", r"\g<1>32"),
    (r"(--count )\d+", r"\g<1>32"),
    (r"\b(timesteps ?= ?)\d+", r"\g<1>60"),
    (r"\b(channels ?= ?)\d+", r"\g<1>4"),
    (r"\b(seeds *= ?)\[[\d, ]+\]", r"\g<1>[0]"),
    (r"\bseeds=range\(\d+\)", "seeds=range(1)"),
    (r"(,batch=32),128\b", r"\g<1>"),
    (r"\b(run|sensitivity) quickstart\b(?! --dry-run)", r"\g<1> quickstart.toml"),
    (r'"quickstart"', '"quickstart.toml"'),
)


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    reason: str | None
    """Why it is not run."""

    @property
    def file(self) -> str | None:
        """The file that it is."""
        named = re.match(r"# ([\w-]+\.(?:toml|py))\n", self.text)
        return named[1] if named else None


def blocks(page: str) -> list[Block]:
    text = PAGES[page].read_text(encoding="utf-8")
    return [Block(m["language"], m["text"], m["reason"]) for m in BLOCK.finditer(text)]


def smaller(text: str) -> str:
    if "snapshots" not in text:
        text = text.replace("[score]\n", "[score]\nsnapshots = { count = 1, samples = 16 }\n")
    for pattern, replacement in SMALLER:
        text = re.sub(pattern, replacement, text)
    return text


def typed(command: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "genbench", f"{command}: only genbench is typed here; mark the block"
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, f"{command}\n{done.output}"
    return done.stdout


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages speak of."""
    folder = tmp_path_factory.mktemp("material")
    (folder / "quickstart.toml").write_text(QUICKSTART, encoding="utf-8")
    array = open_samples("digits:train", Path()).take(torch.arange(200)).data.numpy()
    np.savez(folder / "samples.npz", samples=array, modality="image", levels=17)
    random = np.random.default_rng(0)
    for name in ("PICTURES", "REFERENCE_PICTURES"):
        (folder / name).mkdir()
        pictures = random.integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / name / f"{number}.png")
    rows = pictures.reshape(30, -1).astype(float)
    np.savez(folder / "fid_stats.npz", mu=rows.mean(0), sigma=np.cov(rows, rowvar=False))
    curves = ["run,step,metric,value"]
    curves += [f"{run},{step},fid,{9 - step + run}" for run in (0, 1) for step in range(5)]
    (folder / "curves.csv").write_text("\n".join(curves) + "\n", encoding="utf-8")
    shutil.copytree(ROOT / "results", folder / "results")
    return folder


@pytest.fixture
def desk(tmp_path: Path, material: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the material as the working folder, whose modules and names are then forgotten."""
    folder = tmp_path / "desk"
    shutil.copytree(material, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for group in registry.GROUPS:
        monkeypatch.setattr(group, "added", {})
    modules = set(sys.modules)
    yield folder
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs(page: str, desk: Path) -> None:
    shown: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(page):
        if block.reason is not None:
            continue
        if block.file is not None:
            Path(block.file).write_text(smaller(block.text), encoding="utf-8")
        if block.language == "toml":
            read_toml(block)
        elif block.language == "python":
            execute(block, shown)
        elif block.language == "sh":
            for command in smaller(block.text).replace("\\\n", " ").splitlines():
                # The published network is not at hand: pictures are compared by their pixels.
                pixels = " --extractor identity" if " PICTURES " in command else ""
                typed(command + pixels)
        else:
            pytest.fail(f"a block of {block.language or 'no language'}: mark it, or write sh")


def read_toml(block: Block) -> None:
    """A suite as it is written, before its budget is made small; what a package declares."""
    content = tomllib.loads(block.text)
    if block.file == "pyproject.toml":
        offered = content["project"]["entry-points"].keys()
        assert offered <= {group.group for group in registry.GROUPS}
    elif "entries" in content:
        suite.trainings(suite.parse(str(block.file), content))


def execute(block: Block, shown: dict[str, Any]) -> None:
    """A test's checks are made, a plugin is left to ``--plugin``, and all else is executed."""
    if block.file is None:
        exec(compile(smaller(block.text), "a page", "exec"), shown)
    elif block.file.startswith("test_"):
        for group in registry.GROUPS:
            group.added.clear()  # a test is another process, which imports the plugin itself
        tests: dict[str, Any] = {}
        exec(compile(block.text, block.file, "exec"), tests)
        for name, test in tests.items():
            if not name.startswith("test_"):
                continue
            marks = getattr(test, "pytestmark", [])
            for arguments in marks[0].args[1] if marks else [()]:
                test(*arguments) if isinstance(arguments, tuple) else test(arguments)


def test_few_blocks_are_not_run() -> None:
    marked = {page: sum(b.reason is not None for b in blocks(page)) for page in PAGES}
    assert {page: count for page, count in marked.items() if count} == NOT_RUN
    assert sum(len(blocks(page)) for page in PAGES) > 40


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(PAGES["README.md"].read_text(encoding="utf-8").splitlines()) < 200


def test_every_guide_is_linked_from_the_readme_and_the_site() -> None:
    readme = PAGES["README.md"].read_text(encoding="utf-8")
    site = (ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES.keys() - {"README.md", "index.md"}:
        assert f"(docs/guides/{page})" in readme
        assert f": {page}\n" in site


def test_every_command_is_in_the_table() -> None:
    table = PAGES["commands.md"].read_text(encoding="utf-8")
    for name in main.commands:
        assert f"| `genbench {name}" in table or f", `genbench {name}" in table


def test_every_key_of_a_suite_is_in_its_guide() -> None:
    guide = PAGES["suites.md"].read_text(encoding="utf-8")
    sections = (file.Suite, file.Prompts, file.Score, file.Snapshots, file.Entry)
    for key in (*OPTIONS, *(key for section in sections for key in section.model_fields)):
        assert f"| `{key}` |" in guide, key


def vae_script() -> str:
    (script,) = [block.text for block in blocks("models.md") if block.file == "vae.py"]
    return script


def definitions(source: str) -> dict[str, str | None]:
    """The classes and functions of a file, as they are written."""
    nodes = [n for n in ast.parse(source).body if isinstance(n, (ast.ClassDef, ast.FunctionDef))]
    return {node.name: ast.get_source_segment(source, node) for node in nodes}


def distance(command: str) -> float:
    """What an ``evaluate`` command says, with its digits."""
    scores = json.loads(typed(f"{command} --metrics frechet_distance --json"))
    return float(scores["values"]["frechet_distance"]["value"])


def test_the_model_of_the_guide_learns(desk: Path) -> None:
    """Its script and three commands as written; it beats one that was trained for a single step."""
    Path("vae.py").write_text(vae_script(), encoding="utf-8")
    (commands,) = [b.text for b in blocks("models.md") if "evaluate vae.npz" in b.text]
    train, sample, evaluate = commands.splitlines()
    typed(train)
    typed(sample)
    trained = distance(evaluate)
    budget, renamed = re.subn(r"--examples \d+ --out vae", "--examples 64 --out new", train)
    assert renamed == 1
    typed(budget)
    typed(sample.replace("sample vae ", "sample new "))
    assert trained < distance(evaluate) / 5


def test_the_packaged_model_is_the_one_shown() -> None:
    """What the guide shows and what the tests install as a package cannot drift apart."""
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
