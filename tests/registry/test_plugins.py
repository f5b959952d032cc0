"""Strangers' plugins: packages that pip installs, and scripts, beside the built-ins; and what
theirs cost when they are at fault, which is their own rows."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genbench import registry
from genbench.cli import main
from genbench.store.records import Record, read_records

PLUGINS = Path(__file__).parents[1] / "plugins"
PACKAGE = PLUGINS / "package"
FAULTY = PLUGINS / "faulty"
SUITE = PACKAGE / "moons" / "suites" / "two-moons.toml"

RIVAL = "[genbench.models]\npopular = rival_{name}:build\n"
"""The entry points of two packages that claim one name."""

ADDS = """
from genbench import registry
from genbench.api.errors import UsageError

def pictures(spec):
    raise UsageError(f"it draws pictures, not {spec.modality}")

registry.models.add("pictures", pictures)
registry.models.add("small-vae", vae)
registry.datasets.add("moons", moons)
registry.extractors.add("fourier", fourier)
registry.metrics.add("chamfer_distance", ChamferDistance)
"""

PICTURES = """
[entries.Pictures]
model = "pictures"
"""

POINTS = """
title = "Faults"
dataset = "points-ring"
seeds = [0]
examples = 128
samples = 64
[score]
extractor = "identity"
reference = "points-ring:test"
metrics = ["frechet_distance", "careless"]
snapshots = { count = 1, samples = 64, metrics = ["frechet_distance"] }
[entries.Sound]
model = "gan"
"""

FAULTS = {
    "Needs a package": ("needs-a-package", "", "No module named 'a_package_that_is_not_there'"),
    "Not Python": ("not-python", "", "SyntaxError: "),
    "Exits": ("exits", "", "SystemExit: this is a script"),
    "In its factory": ("fails", "where = 'factory'", "ZeroDivisionError: a bug in factory"),
    "Leaves its factory": ("fails", "where = 'factory', exits = true", "SystemExit: no factory"),
    "In training": ("fails", "where = 'training'", "ZeroDivisionError: a bug in training"),
    "Leaves training": ("fails", "where = 'training', exits = true", "SystemExit: no training"),
    "In sampling": ("fails", "where = 'sampling'", "ZeroDivisionError: a bug in sampling"),
    "Leaves sampling": ("fails", "where = 'sampling', exits = true", "SystemExit: no sampling"),
    "At last": ("fails", "where = 'last', exits = true", "SystemExit: no last"),
}
"""Entry → its model, its options, and the reason of its row. *At last*: in sampling, but not along
training."""


def install(target: Path, source: Path) -> Path:
    """What ``pip install`` leaves, in a folder of its own: this environment stays as it is."""
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, "-m", "pip", "install", *quiet, *offline, "--target", target]
    subprocess.run([*command, source], check=True)
    return target


@pytest.fixture(scope="module")
def moons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the stranger's package."""
    folder = tmp_path_factory.mktemp("moons")
    shutil.copytree(PACKAGE, folder / "source")  # setuptools builds in the source tree
    return install(folder / "site", folder / "source")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with a package at fault in every way, and two that claim one name."""
    folder = tmp_path_factory.mktemp("faulty")
    shutil.copytree(FAULTY, folder / "faulty")
    (folder / "faulty" / "faulty_syntax.py").write_text("def build(spec:", encoding="utf-8")
    site = install(folder / "site", folder / "faulty")
    for name in ("one", "two"):  # as pip leaves them, without the seconds that it takes
        (site / f"rival_{name}.py").write_text("def build(spec): ...", encoding="utf-8")
        info = site / f"rival_{name}-1.0.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: rival-{name}\nVersion: 1.0\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        (info / "entry_points.txt").write_text(RIVAL.format(name=name), encoding="utf-8")
    return site


@pytest.fixture
def beside_faults(faulty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process, and those that it starts, in the environment ``faulty``."""
    monkeypatch.syspath_prepend(faulty)
    for group in registry.GROUPS:
        monkeypatch.delattr(group, "installed")


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "faults.toml"
    path.write_text(POINTS, encoding="utf-8")
    return path


def typed(site: Path, *arguments: str | Path) -> str:
    """The installed command, in a fresh process of the environment ``site``."""
    command = shutil.which("genbench", path=sysconfig.get_path("scripts"))
    assert command
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [command, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def rows(out: Path) -> dict[str, Record]:
    return {record.entry: record for record in read_records(out)}


@pytest.fixture(scope="module")
def run_of_the_package(moons: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    typed(moons, "run", "two-moons", "--jobs", "1", "--out", out)
    return out


def test_a_strangers_package_runs_beside_the_built_ins(run_of_the_package: Path) -> None:
    found = rows(run_of_the_package)
    assert {name: row.status for name, row in found.items()} == dict.fromkeys(
        ["real", "VAE", "GAN", "DDPM"], "done"
    )
    real = found.pop("real").value("chamfer_distance")
    assert real is not None
    for row in found.values():
        assert (row.value("chamfer_distance") or 0) > real > 0
        assert (row.value("frechet_distance") or 0) > 0
        assert row.protocol["extractor"] == "fourier@32-0.5"
        assert row.protocol["reference"].startswith("moons:test@")
    assert found["VAE"].cost["nfe"] == 1
    table = (run_of_the_package / "table.md").read_text(encoding="utf-8")
    page = (run_of_the_package / "report.html").read_text(encoding="utf-8")
    for text in (table, page):
        assert all(word in text for word in ("VAE", "GAN", "DDPM", "Chamfer distance"))


def test_a_strangers_package_is_listed(moons: Path) -> None:
    assert "small-vae      Variational autoencoder" in typed(moons, "list", "models")
    assert "two-moons          A VAE beside a GAN" in typed(moons, "list", "suites")
    found = typed(moons, "doctor")
    for name in ("small-vae", "moons", "fourier", "chamfer_distance"):
        assert f"{name} (genbench-moons 1.0)" in found


@pytest.fixture(scope="module")
def run_of_a_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's sources in one file that adds them by name, and a model that cannot fit."""
    folder = tmp_path_factory.mktemp("script")
    future = "from __future__ import annotations\n"
    files = [PACKAGE / "moons" / f"{name}.py" for name in ("vae", "data", "fourier", "chamfer")]
    sources = [file.read_text(encoding="utf-8").replace(future, "") for file in files]
    script, suite = folder / "script.py", folder / "script.toml"
    script.write_text(future + "\n".join([*sources, ADDS]), encoding="utf-8")
    text = SUITE.read_text(encoding="utf-8")
    suite.write_text(text[: text.index("[entries.GAN]")] + PICTURES, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for group in registry.GROUPS:
            patch.setattr(group, "added", {})
        done = call("run", suite, "--jobs", "1", "--out", folder / "out", "--plugin", script)
        assert "small-vae      Variational autoencoder" in call("list", "models").stdout
    assert done.exit_code == 0, done.output
    return folder / "out"


def test_a_script_does_what_the_package_does(
    run_of_the_package: Path, run_of_a_script: Path
) -> None:
    """To the last digit."""
    ours, theirs = rows(run_of_a_script), rows(run_of_the_package)
    for name in ("real", "VAE"):
        assert ours[name].scores == theirs[name].scores != {}
        assert ours[name].protocol == theirs[name].protocol


def test_an_entry_that_cannot_fit_is_skipped(run_of_a_script: Path) -> None:
    row = rows(run_of_a_script)["Pictures"]
    assert (row.status, row.reason) == ("skipped", "it draws pictures, not points")
    for name in ("table.md", "report.html"):
        text = (run_of_a_script / name).read_text(encoding="utf-8")
        assert "Pictures, seed 0 was skipped: it draws pictures, not points" in text


@pytest.mark.usefixtures("beside_faults")
def test_faults_cost_their_own_rows_and_columns(suite: Path, tmp_path: Path) -> None:
    entries = [
        f'[entries."{name}"]\nmodel = "{model}"\noptions = {{ {options} }}\n'
        + "sample = { last = true }\nsnapshot_sample = { last = false }\n" * (name == "At last")
        for name, (model, options, _) in FAULTS.items()
    ]
    suite.write_text(POINTS + "".join(entries), encoding="utf-8")
    out = tmp_path / "out"
    plan = call("run", suite, "--dry-run")
    assert plan.exit_code == 0
    reason = "train exits seed 0: cost unknown: model 'exits' of faulty-things 1.0 cannot be loaded"
    assert reason in " ".join(plan.stdout.split())
    done = call("run", suite, "--jobs", "1", "--out", out)
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.stderr
    found = rows(out)
    assert list(found) == ["real", "Sound", *FAULTS]
    table = (out / "table.md").read_text(encoding="utf-8")
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    for name, (model, _, reason) in FAULTS.items():
        row = found[name]
        assert row.status == "failed"
        assert reason in (row.reason or "")
        assert (row.model, row.seed, row.scores) == (model, 0, {})
        for text in (table, page):
            assert f"{name}, seed 0 failed" in text
            assert reason in text
    for sound in (found["real"], found["Sound"]):
        assert sound.status == "done"
        assert (sound.value("frechet_distance") or 0) > 0
        assert "ZeroDivisionError: a bug in the metric" in sound.skipped_metrics["careless"]
        assert sound.faults == ["careless"]


NEEDS = "ModuleNotFoundError: No module named 'a_package_that_is_not_there'"
CARELESS = "score.extractor='careless-extractor'"


@pytest.mark.usefixtures("beside_faults")
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["dataset=broken-data"],
            f"dataset 'broken-data' of faulty-things 1.0 cannot be loaded: {NEEDS}",
        ),
        (
            ["dataset=careless-data"],
            "dataset 'careless-data' of faulty-things 1.0 failed: ZeroDivisionError: a bug in the",
        ),
        (
            ["score.reference=careless-data:slippery"],
            "data set careless-data:1 failed: ZeroDivisionError: a bug in take",
        ),
        (["score.extractor=broken-extractor"], "extractor 'broken-extractor' of faulty-things 1.0"),
        (
            [CARELESS, "score.extractor_options.where=factory"],
            "extractor 'careless-extractor' of faulty-things 1.0 failed: ZeroDivisionError: a bug",
        ),
        ([CARELESS], "extractor careless failed: SystemExit: a bug in the extractor"),
        (
            ["score.metrics=['frechet']"],
            "unknown metric 'frechet'; did you mean 'frechet_distance'?; metric "
            f"'broken-metric' of faulty-things 1.0 cannot be loaded: {NEEDS}",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_data_set_or_an_extractor_at_fault_ends_the_run(
    overrides: list[str], message: str, suite: Path, tmp_path: Path
) -> None:
    """In one line, before anything is written."""
    sets = [part for override in overrides for part in ("--set", override)]
    done = call("run", suite, *sets, "--out", tmp_path / "out")
    assert done.exit_code == 1, done.output
    assert message in done.stderr
    assert done.stderr.startswith("genbench: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["faults.toml"]


@pytest.mark.usefixtures("beside_faults")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["run", "{suite}", "--set", "entries.Sound.model=popular", "--out", "{tmp}/out"],
            2,
            "model 'popular' is claimed by rival-one 1.0 and rival-two 1.0; uninstall one of them",
        ),
        (
            ["train", "popular", "digits", "--out", "{tmp}/out"],
            2,
            "model 'popular' is claimed by rival-one 1.0 and rival-two 1.0; uninstall one of them",
        ),
        (
            ["train", "exits", "digits", "--out", "{tmp}/out"],
            1,
            "model 'exits' of faulty-things 1.0 cannot be loaded: SystemExit: this is a script",
        ),
        (
            ["train", "{suite}:Exits", "--out", "{tmp}/out"],
            1,
            "model 'exits' of faulty-things 1.0 cannot be loaded: SystemExit: this is a script",
        ),
        (
            ["run", "two-moons", "--out", "{tmp}/out"],
            2,
            "unknown suite 'two-moons'; known: cifar10, digits-full, fashion-mnist, mnist-small, "
            "nfe, points, quickstart, shapes-quickstart; suite 'faulty' of faulty-things 1.0",
        ),
    ],
    ids=["claimed, run", "claimed, train", "exits", "exits, entry", "suites"],
)
def test_what_cannot_be_used_is_told_when_it_is_used(
    arguments: list[str], code: int, message: str, suite: Path, tmp_path: Path
) -> None:
    suite.write_text(POINTS + '[entries.Exits]\nmodel = "exits"\n', encoding="utf-8")
    places = {"suite": suite, "tmp": tmp_path}
    done = call(*(argument.format(**places) for argument in arguments))
    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("beside_faults")
def test_looking_around_among_faults() -> None:
    """Every name is shown, with what is wrong; nothing is in the way of the others."""
    listed = call("list", "models")
    assert listed.exit_code == 0
    lines = {
        n: said.strip() for n, _, said in (li.partition(" ") for li in listed.stdout.splitlines())
    }
    assert lines["popular"] == "claimed by rival-one 1.0 and rival-two 1.0"
    assert lines["not-python"].startswith("cannot be read: SyntaxError")
    assert lines["gan"].startswith("A convolutional ResNet GAN")
    assert "quickstart         Diffusion against a GAN" in call("list", "suites").stdout
    done = call("doctor")
    assert done.exit_code == 1
    for kind, name in (
        ("model", "needs-a-package"),
        ("dataset", "broken-data"),
        ("extractor", "broken-extractor"),
        ("metric", "broken-metric"),
        ("suite", "faulty"),
    ):
        (line,) = (li for li in done.stdout.splitlines() if li.startswith(f"BAD  {kind} {name} "))
        assert NEEDS in line
    assert "BAD  model popular" in done.stdout
    assert "fix: uninstall one of them" in done.stdout
    assert "repair or uninstall faulty-things 1.0; python -c 'import faulty_needs'" in done.stdout
