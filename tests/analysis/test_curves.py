"""Training curves from a CSV file, some of them real and published."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from genbench.analysis.curves import (
    CurveSummary,
    exceeding,
    read_curves,
    stability,
    summarize_curves,
)
from genbench.api.errors import DataError, UnknownName, UsageError
from genbench.cli import main
from genbench.training.stability import max_drawdown, mean_along_training

PUBLISHED = "published-metrics/studiogan_cifar10_curves.csv"
"""In the folder of real data."""

HEAD = "run,step,metric,value\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "curves.csv"
    path.write_text(text)
    return path


def read(path: Path, higher_is_better: bool = False) -> tuple[CurveSummary, ...]:
    return summarize_curves(read_curves(path)[1], higher_is_better)


def falls(rows: list[tuple[float, float]]) -> tuple[float, float]:
    """Last over best, and worst after the best over it: of ``(step, value)`` in file order, written
    anew from the definition."""
    by_step = dict(rows)
    values = [by_step[step] for step in sorted(by_step)]
    best = min(values)
    after = values[values.index(best) :]
    return values[-1] / best, max(after) / best


def test_published_runs_that_fell(shared_data: Path) -> None:
    published = shared_data / PUBLISHED
    _, curves = read_curves(published, "fid")
    summaries = summarize_curves(curves)
    series = defaultdict(list)
    with published.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"] == "fid":
                name = f"{row['run']}, {row['reference_or_n']}"
                series[name].append((float(row["step"]), float(row["value"])))
    assert len(summaries) == len(series) == 30
    known = {name: falls(rows) for name, rows in series.items()}
    last = {name for name, (ratio, _) in known.items() if ratio > 1.2}
    worst = {name for name, (_, ratio) in known.items() if ratio > 1.2}
    assert set(exceeding(summaries, "last_over_best", 1.2)) == last
    assert set(exceeding(summaries, "worst_after_best", 1.2)) == worst
    assert {name.split("-train-")[0] for name in last} == {
        "ACGAN", "ADAGAN(C)", "DCGAN", "GGAN", "LSGAN", "ProjGAN", "WGAN-DRA",
    }  # fmt: skip
    assert {name.split("-train-")[0] for name in worst - last} == {"WGAN-GP"}
    rows = sum(map(len, series.values()))
    repeated = rows - sum(len({step for step, _ in of_one}) for of_one in series.values())
    assert curves.repeated == repeated == 28
    for each in summaries:
        assert (each.last_over_best, each.worst_after_best) == pytest.approx(known[each.name])


def test_a_course(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "r,0,fid,8\nr,10,fid,2\nr,20,fid,6\nr,30,fid,4\n")
    (found,) = read(path)
    assert (read_curves(path)[0], found.name, found.points) == ("fid", "r", 4)
    assert (found.best, found.best_step, found.last) == (2, 10, 4)
    assert (found.last_over_best, found.worst_after_best, found.max_drawdown) == (2, 3, 2)
    assert found.mean == pytest.approx((5 + 4 + 5) / 3)


def test_higher_is_better(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "r,0,is,2\nr,1,is,8\nr,2,is,4\nr,3,is,5\n")
    (found,) = read(path, higher_is_better=True)
    assert (found.best, found.best_step) == (8, 1)
    assert found.last_over_best == pytest.approx(8 / 5)
    assert found.worst_after_best == pytest.approx(2)


def test_of_repeated_rows_the_last_counts_and_steps_are_sorted(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "r,2,fid,9\nr,1,fid,5\nr,2,fid,7\n")
    curves = read_curves(path)[1]
    assert (curves.steps.tolist(), curves.values.tolist(), curves.repeated) == ([1, 2], [5, 7], 1)


def test_further_columns_are_part_of_the_name(tmp_path: Path) -> None:
    text = "run,step,metric,value,split\nr,1,fid,5,train\nr,1,fid,6,test\n"
    assert read_curves(write(tmp_path, text))[1].names == ("r, train", "r, test")


def test_what_is_not_finite_is_without_bound(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "r,1,fid,5\nr,2,fid,nan\ns,1,fid,5\ns,2,fid,5\n")
    broken, whole = read(path)
    assert (broken.best, broken.last, broken.last_over_best) == (5, None, None)
    assert (broken.worst_after_best, broken.max_drawdown, broken.mean) == (None, None, None)
    assert exceeding([broken, whole], "last_over_best", 1.2) == ["r"]


def test_curves_that_reach_0_or_below_fall_too(tmp_path: Path) -> None:
    """A ratio of them means nothing: they are measured by the range of their own values."""
    rows = "p,1,d,5\np,2,d,2\np,3,d,4\n"
    rows += "z,1,d,4\nz,2,d,0\nz,3,d,3\n"
    rows += "n,1,d,1\nn,2,d,-1\nn,3,d,0\nn,4,d,-0.5\n"
    found = stability(write(tmp_path, HEAD + rows))
    assert found.exceeding == {
        "last_over_best": ["p", "z", "n"],
        "worst_after_best": ["p", "z", "n"],
    }
    positive, zero, negative = found.runs
    assert [each.by_range for each in found.runs] == [False, True, True]
    assert (positive.last_over_best, positive.max_drawdown) == (2, 1)
    assert (zero.last_over_best, zero.worst_after_best, zero.max_drawdown) == (1.75, 1.75, 0.75)
    numbers = negative.last_over_best, negative.worst_after_best, negative.max_drawdown
    assert numbers == (1.25, 1.5, 0.5)
    shown = CliRunner().invoke(main, ["stability", str(tmp_path / "curves.csv")]).output
    assert "last over best exceeds 1.2 in 3 of 3" in shown
    assert "has values of 0 or below, of which no ratio is taken, in 2 of 3:\n   z\n   n\n" in shown


def test_what_rises_to_its_best_from_below_0_has_not_fallen(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "r,1,s,0\nr,2,s,0.5\nt,1,s,-3\nt,2,s,2\nc,1,s,0\nc,2,s,0\n")
    found = stability(path, higher_is_better=True)
    assert [each.best for each in found.runs] == [0.5, 2, 0]
    assert [each.last_over_best for each in found.runs] == [1, 1, 1]
    assert [each.max_drawdown for each in found.runs] == [0, 0, 0]
    assert found.exceeding == {"last_over_best": [], "worst_after_best": []}
    fell = write(tmp_path, HEAD + "r,1,s,-1\nr,2,s,1\nr,3,s,0\n")
    assert stability(fell, higher_is_better=True).runs[0].last_over_best == 1.5


def test_many_curves_are_those_of_each_alone(tmp_path: Path) -> None:
    """All at once, in any order of the rows, as one after the other by the definition."""
    rng = np.random.default_rng(0)
    rows = [(f"run {i}", s, rng.lognormal()) for i in range(300) for s in range(rng.integers(1, 9))]
    rng.shuffle(rows)
    text = "".join(f"{name},{step},d,{value!r}\n" for name, step, value in rows)
    found = {each.name: each for each in read(write(tmp_path, HEAD + text))}
    assert len(found) == 300
    for name, each in found.items():
        own = [(float(step), float(value)) for run, step, value in rows if run == name]
        assert (each.last_over_best, each.worst_after_best) == pytest.approx(falls(own))
        steps, values = zip(*sorted(own), strict=True)
        assert each.max_drawdown == pytest.approx(max_drawdown(values))
        assert each.mean == pytest.approx(mean_along_training(steps, values))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run,step,value\nr,1,2\n", "no column 'metric'"),
        (HEAD, "no rows"),
        (HEAD + "r,1,fid,2\nr,x,fid,2\n", ":3: step 'x' is not a number"),
        (HEAD + "r,nan,fid,2\n", ":2: step 'nan' is not a number"),
        (HEAD + "r,inf,fid,2\n", ":2: step 'inf' is not a number"),
        (HEAD + "r,1,fid,\n", ":2: value '' is not a number"),
        (HEAD + "r,1,fid,2,3,4\n", "cannot read"),
        ("", "cannot read"),
    ],
)
def test_bad_files_are_one_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"curves\.csv") as caught:
        read_curves(write(tmp_path, text))
    assert said in str(caught.value)


def test_a_metric_must_be_named_among_several(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "r,1,fid,5\nr,1,recall,0.5\n")
    with pytest.raises(UsageError, match="fid, recall: name one with --metric"):
        read_curves(path)
    with pytest.raises(UnknownName, match="did you mean 'fid'"):
        read_curves(path, "fjd")


def test_the_command(tmp_path: Path) -> None:
    path = write(
        tmp_path, HEAD + "[b]r[/b],1,fid,5\n[b]r[/b],2,fid,9\n[b]r[/b],2,fid,7\ns,1,fid,1\n"
    )
    shown = CliRunner().invoke(main, ["stability", str(path)])
    assert shown.exit_code == 0
    assert "last over best exceeds 1.2 in 1 of 2:\n   [b]r[/b]\n" in shown.output
    assert "1 row was left out" in shown.output
    told = json.loads(CliRunner().invoke(main, ["stability", str(path), "--json"]).stdout)
    assert told["exceeding"]["last_over_best"] == ["[b]r[/b]"]
    assert told["repeated_rows"] == 1
    assert told["runs"][0]["last_over_best"] == pytest.approx(1.4)
