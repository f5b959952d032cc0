"""The Python API: whatever the command line does, in one call."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import genbench
from genbench import registry
from genbench.api import SampleSpec
from genbench.api.errors import DataError, UnknownName, UsageError
from genbench.store.records import read_records

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"


@pytest.fixture(scope="module")
def suite() -> genbench.Suite:
    return genbench.Suite(
        name="small",
        dataset="points-ring",
        seeds=range(2),
        examples=320,
        samples=64,
        score=genbench.Score(
            extractor="identity",
            reference="points-ring:test",
            metrics=["frechet_distance", "precision"],
            snapshots={"count": 1, "samples": 64, "metrics": ("frechet_distance",)},
        ),
        entries={
            "VAE": genbench.Entry("vae"),
            "wide": {"model": "vae", "options": {"channels": 24}},
        },
    )


@pytest.fixture(scope="module")
def results(suite: genbench.Suite, tmp_path_factory: pytest.TempPathFactory) -> genbench.Results:
    return genbench.run(suite, tmp_path_factory.mktemp("api") / "run", progress=False)


def test_a_run_is_one_call(results: genbench.Results) -> None:
    assert results.status == {"done": 5}
    assert not results.has_faults
    assert [r.entry for r in results.records] == ["real", "VAE", "VAE", "wide", "wide"]
    frame = results.frame()
    assert set(frame["metric"]) == {"frechet_distance", "precision"}
    assert len(frame) == 10
    seeds = [line.split(",")[5] for line in frame.to_csv(index=False).splitlines()]
    assert set(seeds) == {"seed", "", "0", "1"}


def test_another_note_is_in_the_records_and_trains_nothing(
    results: genbench.Results, suite: genbench.Suite, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(results.folder, folder)
    weights = {path: path.stat().st_mtime_ns for path in folder.rglob("snapshots/*.safetensors")}
    wide = suite.entries["wide"].model_copy(update={"note": "Twice as wide."})
    noted = suite.model_copy(update={"entries": {**suite.entries, "wide": wide}})
    again = genbench.run(noted, folder, progress=False)
    assert {record.entry: record.note for record in again.records} == {
        "real": "",
        "VAE": "",
        "wide": "Twice as wide.",
    }
    assert weights == {path: path.stat().st_mtime_ns for path in weights}
    assert "wide: Twice as wide." in str(again.table())


def test_a_folder_gives_the_same_results(results: genbench.Results, suite: genbench.Suite) -> None:
    again = genbench.load(results.folder)
    assert again.records == results.records == read_records(results.folder)
    assert again.suite == suite
    assert repr(again) == repr(results)
    assert "2 entries" in repr(again)


def test_running_again_changes_nothing(results: genbench.Results, suite: genbench.Suite) -> None:
    before = {path: path.stat().st_mtime_ns for path in results.folder.rglob("*.safetensors")}
    assert genbench.run(suite, results.folder, progress=False).records == results.records
    assert {p: p.stat().st_mtime_ns for p in results.folder.rglob("*.safetensors")} == before


def test_tables_show_themselves(results: genbench.Results) -> None:
    table = results.table()
    assert "VAE" in repr(table)
    assert "| VAE" in table._repr_markdown_()
    assert "<table" in table._repr_html_()
    one = results.table(scores=["precision"], entries=["wide"])
    assert "precision" in repr(one)
    assert "Fréchet distance ↓" not in repr(one)
    assert "VAE" not in one._repr_markdown_()
    with pytest.raises(UnknownName, match="unknown entry 'wid'; did you mean 'wide'"):
        results.table(entries=["wid"])
    with pytest.raises(UnknownName, match="unknown score"):
        results.table(scores=["presicion"])


def test_charts_of_a_run(results: genbench.Results, tmp_path: Path) -> None:
    assert results.plots() == [
        "intervals",
        "frechet-distance-against-training-flops",
        "frechet-distance-against-training-seconds",
        "frechet-distance-against-nfe",
        "frechet-distance-along-training",
        "frechet-distance-along-training-raw-weights",
        "training-loss-vae",
        "gradient-norm-vae",
    ]
    figure = results.plot("training-loss-vae")
    (legend,) = figure.legends
    named = {text.get_text().partition(" · ")[0] for text in legend.get_texts()}
    assert named == {"VAE", "wide", "not trained"}  # a few steps are not enough
    figure.savefig(tmp_path / "loss.pdf")
    assert (tmp_path / "loss.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(UnknownName, match="unknown chart 'interval'; did you mean 'intervals'"):
        results.plot("interval")


def test_samples_of_a_run(results: genbench.Results) -> None:
    samples = results.samples("wide", 1)
    assert len(samples) == 64
    assert samples.spec.shape == (2,)
    first = results.samples("wide")
    everything = torch.arange(64)
    assert not torch.equal(first.take(everything).data, samples.take(everything).data)
    with pytest.raises(UnknownName, match="did you mean 'wide'"):
        results.samples("wid")
    with pytest.raises(UnknownName, match="unknown seed of wide '7'"):
        results.samples("wide", 7)


def test_the_report_and_what_was_compared(results: genbench.Results, tmp_path: Path) -> None:
    assert results.report() == results.folder / "report.html"
    page = results.report(tmp_path / "page.html")
    assert page.read_text() == (results.folder / "report.html").read_text()
    same = results.compare(results)
    assert {change.outcome for change in same.changes} <= {"within noise", "undecided"}
    with pytest.raises(UsageError, match="no entries for the claims"):
        results.verdict()


def test_a_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a finished genbench run"):
        genbench.load(tmp_path)


def test_the_run_folder_keeps_the_suite_with_what_was_given(
    suite: genbench.Suite, results: genbench.Results, tmp_path: Path
) -> None:
    """And what is kept runs to the same records."""
    given = genbench.run(suite, tmp_path / "given", seeds=[1], examples=128, progress=False)
    kept = genbench.Suite.from_toml(tmp_path / "given" / "suite.toml")
    assert (kept.seeds, kept.examples, kept.name) == ((1,), 128, "small")
    again = genbench.run(kept, tmp_path / "again", progress=False)
    assert [r.scores for r in again.records] == [r.scores for r in given.records]
    assert "git revision" in (tmp_path / "given" / "suite.toml").read_text().splitlines()[0]


def test_a_suite_in_python_and_its_file_are_one(suite: genbench.Suite, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(suite.to_toml(), encoding="utf-8")
    assert genbench.Suite.from_toml(tmp_path / "other.toml") == suite


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"example": 3}, "Suite: unknown key 'example'; did you mean 'examples'?"),
        ({"seeds": []}, "seeds: should be one or more different numbers"),
        ({"entries": {"a": {"modle": "vae"}}}, "unknown key 'entries.a.modle'; did you mean"),
    ],
)
def test_mistakes_in_python_are_one_line(
    suite: genbench.Suite, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        genbench.Suite(**{**dict(suite), **wrong})  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_writes_nothing(suite: genbench.Suite, tmp_path: Path) -> None:
    plan = genbench.plan(suite, jobs=1)
    assert plan.seconds is not None
    assert plan.seconds > 0
    assert len(plan.trainings) == 4
    assert "4 trainings, 4 entries to score" in repr(plan)


NOTEBOOK = '''
import sys
import genbench
from genbench.api import SampleSpec

sys.path.insert(0, {plugins!r})
import toy

def at(rate):
    def factory(spec: SampleSpec):
        """The toy model, at a rate that the function closes over."""
        return toy.toy(spec, learning_rate=rate)

    return factory

suite = genbench.Suite(
    dataset="points-ring", seeds=[0], examples=320, samples=64,
    score=genbench.Score(extractor="identity", reference="points-ring:test",
                         metrics=["frechet_distance"]),
    entries={{f"{{rate}}": genbench.Entry(model=at(rate)) for rate in {rates}}},
)
if __name__ == "__main__":
    results = genbench.run(suite, {out!r}, progress=False)
    for record in results.records[1:]:
        print(record.status, record.model, record.value("frechet_distance"))
    print("cannot be rerun" in suite.to_toml())
'''


def test_two_functions_of_one_name_are_two_models() -> None:
    def at(rate: float) -> Callable[[SampleSpec], float]:
        def factory(spec: SampleSpec) -> float:
            return rate

        return factory

    names = [genbench.Entry(model=at(rate)).model for rate in (0.1, 0.2, 0.1)]
    assert names[0] == names[2] != names[1]
    spec = SampleSpec("points", (2,), None)
    assert [registry.models.get(name)(spec) for name in names] == [0.1, 0.2, 0.1]


def notebook(tmp_path: Path, *rates: float) -> list[str]:
    script = tmp_path / "script.py"
    known = {"plugins": str(TOY.parent), "rates": rates, "out": str(tmp_path / "out")}
    script.write_text(NOTEBOOK.format(**known), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_function_is_trained_on_a_data_set_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train a function: name its data set"):
        genbench.train(lambda spec: None, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_function_that_nobody_registered_is_a_model(tmp_path: Path) -> None:
    """And what it closes over is part of its identity: another rate is another training, and the
    same one in another process is the same."""
    slow, cannot = notebook(tmp_path, 0.001)
    status, model, distance = slow.split()
    assert (status, model, cannot) == ("done", "__main__:at.<locals>.factory", "True")
    (folder,) = (tmp_path / "out" / "runs").glob("*factory*")
    weights = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    again, fast, _ = notebook(tmp_path, 0.001, 0.5)
    assert again == slow
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == weights
    assert fast.split()[2] != distance
    assert len(list((tmp_path / "out" / "runs").glob("*factory*"))) == 2
