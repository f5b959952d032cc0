from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from genbench.analysis.comparison import Comparison, comparison, document
from genbench.analysis.diagnostics import diagnostics
from genbench.analysis.document import Table
from genbench.analysis.entry_runs import entry_runs
from genbench.api import Output
from genbench.api.errors import UnknownName
from genbench.registry.outputs import known
from genbench.rendering import FORMATS
from genbench.rendering import render as render_document
from genbench.rendering import show as show_document
from genbench.store.protocol import protocol_differences
from genbench.store.records import Record

OUTPUTS = {name: known()[name] for name in ("frechet_distance", "coverage", "precision")}
MINE = Output(True, "my score", "temporal consistency")
PROTOCOL: dict[str, Any] = {"extractor": "digits@1", "reference": "digits:test", "samples": 500}
HOSTILE = "<script>alert(1)</script> & $x_"
HOSTILE_CELL = "a|b *c* `d` <e> _f_"


def run(
    entry: str,
    seed: int | None,
    distance: float | None = None,
    *,
    status: str = "done",
    coverage: float | None = None,
    deviation: float | None = None,
    **fields: Any,
) -> Record:
    named = {"frechet_distance": distance, "coverage": coverage}
    scores: dict[str, dict[str, float | None]] = {
        name: {"value": value, "low": None, "high": None, "deviation": deviation}
        for name, value in named.items()
        if value is not None
    }
    known: dict[str, Any] = {
        "suite": "s",
        "model": entry.lower(),
        "trains": entry.lower(),
        "dataset": "digits",
        "outputs": OUTPUTS,
        "protocol": PROTOCOL if scores else {},
        "identities": {"training": f"{entry}-{seed}"} if scores and seed is not None else {},
    }
    return Record(entry=entry, seed=seed, status=status, scores=scores, **{**known, **fields})


def render(records: list[Record], form: str) -> str:
    return render_document(document(records), form)


def shown(compared: Comparison | Table, label: str, key: str) -> str:
    table = compared.table if isinstance(compared, Comparison) else compared
    column = [column.key for column in table.columns].index(key)
    row = next(row for row in table.rows if row.label == label)
    return row.cells[column].text


def only(records: list[Record]) -> Comparison:
    (table,) = comparison(records)
    return table


def test_mean_and_deviation_over_seeds() -> None:
    table = only([run("A", 0, 0.10), run("A", 1, 0.14)])
    # Deviation of two values: their difference over √2.
    assert shown(table, "A", "frechet_distance") == f"0.120 ± {0.04 / math.sqrt(2):.3f}"


def test_one_seed_has_no_deviation() -> None:
    assert shown(only([run("A", 0, 0.1)]), "A", "frechet_distance") == "0.100"


def test_the_real_row_is_first_and_has_its_deviation_over_draws() -> None:
    real = run("real", None, 0.037, deviation=0.01)
    table = only([run("B", 0, 0.2), run("A", 0, 0.3), real])
    assert [row.label for row in table.table.rows] == ["real", "B", "A"]
    assert shown(table, "real", "frechet_distance") == "0.037 ± 0.010"


def test_a_diverged_run_is_ranked_last_and_no_mean_of_the_survivors_is_shown() -> None:
    two = [run("A", 0, 0.1), run("A", 1, 0.05, status="diverged")]
    assert shown(only(two), "A", "frechet_distance") == "— (1 of 2)"
    three = [*two, run("A", 2, 0.3)]
    assert shown(only(three), "A", "frechet_distance") == "median 0.300 (2 of 3)"
    assert shown(only(three), "A", "diverged") == "1 of 3"


def test_a_collapsed_run_is_counted_and_named() -> None:
    real = run("real", None, 0.03, coverage=0.9)
    table = only([real, run("A", 0, 0.1, coverage=0.2), run("A", 1, 0.1, coverage=0.3)])
    assert shown(table, "A", "collapsed") == "1 of 2"
    assert shown(table, "A", "diverged") == "0 of 2"
    assert table.outcomes == (
        "A, seed 0 collapsed: coverage 0.200, under a quarter of the real row's 0.900.",
    )


def test_the_worst_half_is_a_mean_of_the_worst_and_has_none_where_one_diverged() -> None:
    runs = [run("A", seed, distance) for seed, distance in enumerate((0.1, 0.2, 0.6, 0.4))]
    assert shown(only(runs), "A", "cvar") == "0.500"
    diverged = run("A", 4, 0.1, status="diverged")
    assert shown(only([*runs, diverged]), "A", "cvar") == "— (4 of 5)"


def test_where_higher_is_better_a_run_without_a_score_ranks_lowest() -> None:
    protocol = PROTOCOL | {"headline": "coverage"}
    values = [0.1, 0.2, 0.4, 0.8]
    runs = [run("A", i, coverage=v, protocol=protocol) for i, v in enumerate(values)]
    lost = run("A", 4, status="diverged", protocol=protocol)
    table = only([*runs, lost])
    # In order: none, 0.1, 0.2, 0.4, 0.8; the quartiles are the second and the fourth.
    assert shown(table, "A", "iqr") == "0.300"
    assert shown(table, "A", "coverage") == "median 0.200 (4 of 5)"


def ranking(extractor: str, **distances: float) -> list[Record]:
    protocol = {**PROTOCOL, "extractor": extractor}
    return [run(name, 0, distance, protocol=protocol) for name, distance in distances.items()]


def test_a_ranking_that_changes_with_the_extractor_is_told() -> None:
    one = ranking("digits@1", A=0.1, B=0.2, C=0.3)
    _, second = comparison([*one, *ranking("inception@2", A=3.0, B=2.0, C=4.0, D=1.0)])
    said = next(note for note in second.notes if "ranking" in note)
    assert said == (
        "The ranking changes with the extractor: by Fréchet distance, A and B stand the other way "
        "round under protocol 1 (Kendall's τ 0.33 over 3 entries)."
    )


@pytest.mark.parametrize("other", [{"A": 3.0, "B": 4.0}, {"A": 3.0, "C": 1.0}])
def test_a_ranking_that_stays_is_not(other: dict[str, float]) -> None:
    for table in comparison([*ranking("digits@1", A=0.1, B=0.2), *ranking("inception@2", **other)]):
        assert not any("ranking" in note for note in table.notes)


def test_a_ranking_under_another_reference_says_nothing_of_the_extractor() -> None:
    protocol = {**PROTOCOL, "extractor": "inception@2", "reference": "digits:train"}
    other = [run("A", 0, 3.0, protocol=protocol), run("B", 0, 2.0, protocol=protocol)]
    for table in comparison([*ranking("digits@1", A=0.1, B=0.2), *other]):
        assert not any("ranking" in note for note in table.notes)


def test_failed_and_skipped_entries_are_rows_with_their_reason() -> None:
    table = only(
        [
            run("A", 0, 0.1),
            run("B", 0, status="failed", reason="out of memory."),
            run("B", 1, status="failed", reason="out of memory."),
            run("C", 0, status="skipped", reason="needs images"),
        ]
    )
    assert shown(table, "B", "frechet_distance") == "failed"
    assert shown(table, "C", "frechet_distance") == "skipped"
    assert table.outcomes == (
        "B, seeds 0 and 1 failed: out of memory.",
        "C, seed 0 was skipped: needs images.",
    )


def test_a_failed_seed_joins_the_row_of_the_others_whatever_it_knew() -> None:
    conditions = {"batch": 64, "sample": {"steps": 10}}
    resolved = conditions | {"sample": {"steps": 10, "eta": 0.0}, "weights": "ema", "snapshot": 9}
    table = only(
        [
            run("A", 0, status="failed", reason="fault", conditions=conditions),
            run("A", 1, 0.1, conditions=resolved),
            run("A", 2, 0.2, conditions=resolved | {"snapshot": 8}),
        ]
    )
    assert [row.label for row in table.table.rows] == ["A"]
    assert shown(table, "A", "frechet_distance") == "median 0.200 (2 of 3)"


def five(entry: str, mean: float, seeds: int = 5) -> list[Record]:
    return [run(entry, seed, mean + seed / 1000) for seed in range(seeds)]


@pytest.mark.parametrize(
    ("records", "bold"),
    [
        (five("A", 0.1) + five("B", 0.2), ["A"]),
        (five("A", 0.1) + five("B", 0.1), ["A", "B"]),
        (five("A", 0.1, seeds=4) + five("B", 0.2), []),
        (five("A", 0.1) + five("B", 0.2, seeds=4), []),
        (five("A", 0.1), []),
        ([*five("A", 0.1)[:4], run("A", 4, 0.1, status="diverged"), *five("B", 0.2)], ["B"]),
        ([run("real", None, 0.01), *five("A", 0.1), *five("B", 0.2)], ["A"]),
    ],
)
def test_bold_is_the_best_mean_from_five_seeds_on(records: list[Record], bold: list[str]) -> None:
    table = only(records)
    column = [column.key for column in table.table.columns].index("frechet_distance")
    assert [row.label for row in table.table.rows if row.cells[column].bold] == bold


def test_entries_of_two_suites_are_told_apart_by_their_suites() -> None:
    """Whatever else differs: a dozen options would be a label of hundreds of characters."""
    one = run("A", 0, 0.1, suite="small", conditions={"options": {"width": 1, "depth": 2}})
    other = run("A", 0, 0.2, suite="large", conditions={"options": {"width": 9, "depth": 8}})
    again = run("A", 0, 0.3, suite="large", conditions={"options": {"width": 9, "depth": 7}})
    labels = [row.label for row in entry_runs([one, other])]
    assert labels == ["A (suite small)", "A (suite large)"]
    assert "options.depth 7" in entry_runs([one, other, again])[2].label


def test_sampling_options_stand_in_lines_of_their_own() -> None:
    sampled = {"A": {"steps": 10, "eta": 0.0, "noise": None}, "B": {"sampler": "pc"}, "C": {}}
    records = [run(name, 0, 0.1, conditions={"sample": said}) for name, said in sampled.items()]
    table = only(records)
    assert table.details == {"Sampling options": ("A: steps 10, eta 0", "B: sampler pc")}
    assert not any("Sampling" in note for note in table.notes)
    lines = "- Sampling options:\n  - A: steps 10, eta 0\n  - B: sampler pc\n"
    assert render(records, "markdown").endswith(lines)
    assert "<summary>Sampling options</summary>" in render(records, "html")
    assert "Sampling options: A: steps 10, eta 0; B: sampler pc." in render(records, "latex")
    lines = " Sampling options:\n   A: steps 10, eta 0\n   B: sampler pc\n"
    assert lines in render(records, "terminal")


def test_the_note_of_an_entry_stands_first_among_its_cautions() -> None:
    score = {"value": 0.1, "low": None, "high": None, "note": "few samples"}
    record = replace(run("A", 0, note="Out of its range."), scores={"frechet_distance": score})
    expected = ("A: Out of its range.", "A, frechet_distance: few samples")
    assert only([record]).details == {"Cautions": expected}


def test_protocols_never_share_a_table_and_the_second_says_what_differs() -> None:
    other = PROTOCOL | {"samples": 1000, "extractor": "digits@2"}
    first, second = comparison([run("A", 0, 0.1), run("B", 0, 0.2, protocol=other)])
    assert [row.label for row in first.table.rows] == ["A"]
    assert [row.label for row in second.table.rows] == ["B"]
    assert "samples 1000" in second.notes[0]
    assert "extractor: digits@1 against digits@2; samples: 500 against 1000" in second.notes[1]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"samples": 500}, {"samples": 500}, []),
        ({"samples": 500}, {"samples": 501}, ["samples: 500 against 501"]),
        ({"shape": [1, 8, 8]}, {"shape": [3, 8, 8]}, ["shape: 1×8×8 against 3×8×8"]),
        ({"metrics": {"f": 1, "g": 1}}, {"metrics": {"f": 2}}, ["metrics.f: 1 against 2",
                                                                "metrics.g: 1 against none"]),
        ({}, {"train": "digits:train"}, ["train: none against digits:train"]),
    ],
)  # fmt: skip
def test_protocol_differences(a: dict[str, Any], b: dict[str, Any], expected: list[str]) -> None:
    assert protocol_differences(a, b) == expected
    assert len(protocol_differences(b, a)) == len(expected)


@pytest.mark.parametrize(
    ("extractor", "heading"),
    [
        ("inception@abc", "FID"),
        ("digits@abc", "Fréchet distance"),
        ("my-inception@abc", "Fréchet distance"),
        ("inception-torchvision@abc", "Fréchet distance"),
    ],
)
def test_published_names_belong_to_the_published_network(extractor: str, heading: str) -> None:
    table = only([run("A", 0, 0.1, protocol=PROTOCOL | {"extractor": extractor})])
    assert table.table.columns[1].heading == heading


def test_a_plugins_score_stands_in_the_group_that_it_declares() -> None:
    record = run("A", 0, 0.1)
    scores = {**record.scores, "my_score": {"value": 3.0, "low": None, "high": None}}
    table = only([replace(record, scores=scores, outputs={**record.outputs, "my_score": MINE})])
    column = next(column for column in table.table.columns if column.key == "my_score")
    assert (column.group, column.heading, column.arrow) == ("temporal consistency", "my score", "↑")


def test_conditions_that_differ_make_rows_that_say_so() -> None:
    small, large = {"examples": 10, "options": {"channels": 8}}, {"examples": 10, "options": {}}
    table = only(
        [
            run("A", 0, 0.1, conditions=small),
            run("A", 0, 0.2, conditions=large | {"options": {"channels": 16}}),
        ]
    )
    labels = [row.label for row in table.table.rows]
    assert labels == ["A (options.channels 8)", "A (options.channels 16)"]


def test_the_same_run_given_twice_counts_once_and_another_one_is_another_row() -> None:
    same = run("A", 0, 0.1)
    other = run("A", 0, 0.3, identities={"training": "other code"})
    assert shown(only([same, same]), "A", "frechet_distance") == "0.100"
    assert [row.label for row in only([same, other]).table.rows] == ["A", "A (repeat 2)"]


def test_numbers_that_no_seed_touches_have_no_deviation_and_costs_have_units() -> None:
    costs = {"parameters": 482_113, "nfe": 250, "training_seconds": 43.2}
    table = only(
        [
            run("A", 0, 0.1, cost={**costs, "seconds_per_sample": 0.0069}),
            run("A", 1, 0.1, cost={**costs, "training_seconds": 45.2, "seconds_per_sample": None}),
        ]
    )
    assert shown(table, "A", "parameters") == "482 k"
    assert shown(table, "A", "nfe") == "250"
    assert shown(table, "A", "training_seconds") == "44.2 ± 1.4 s"
    assert shown(table, "A", "seconds_per_sample") == "6.90 ms"


def test_what_a_diverged_run_shares_with_the_others_is_shown() -> None:
    cost = {"parameters": 10, "training_flops": 1e12}
    table = only(
        [run("A", 0, 0.1, cost=cost), run("A", 1, 0.1, cost=cost, status="diverged")],
    )
    assert shown(table, "A", "parameters") == "10"
    assert shown(table, "A", "training_flops") == "— (1 of 2)"


def test_shared_weights_are_named_by_who_trained_them(example_records: list[Record]) -> None:
    notes = only(example_records).notes
    assert "Trained once: DDIM-10 and DDIM-50 sample the weights of DDPM." in notes
    assert "Trained once: Score-SDE ODE samples the weights of Score-SDE PC." in notes


def test_skipped_metrics_are_footnotes(example_records: list[Record]) -> None:
    table = only(example_records)
    assert "memorized was not scored: needs the training set, which was not given." in table.notes
    assert "memorized" not in [column.key for column in table.table.columns]


def test_diagnostics_stand_apart_a_row_a_player(example_records: list[Record]) -> None:
    assert not {column.key for column in only(example_records).table.columns} & {
        "loss_spikes",
        "gradient_tail",
    }
    section = diagnostics(entry_runs(example_records))
    assert section is not None
    (table,) = section.tables
    assert [row.label for row in table.rows] == [
        "DDPM · denoiser",
        "Score-SDE PC · denoiser",
        "GAN · discriminator",
        "GAN · generator",
    ]
    assert shown(table, "GAN · generator", "first_nonfinite_step") == "412 (seed 1)"
    assert diagnostics(entry_runs([run("A", 0, 0.1)])) is None


def figures(records: list[Record]) -> list[str]:
    rows = [row for compared in comparison(records) for row in compared.table.rows]
    return [cell.text for row in rows for cell in row.cells[1:]]


@pytest.mark.parametrize("form", ["markdown", "latex", "html", "terminal"])
def test_every_figure_is_in_every_format(form: str, example_records: list[Record]) -> None:
    text = render(example_records, form)
    for symbol, command in {"±": "$\\pm$", "—": "---", "µ": "\\textmu{}"}.items():
        text = text.replace(command, symbol)
    for figure in figures(example_records):
        assert figure in text
    assert text.endswith("\n")


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_terminal_shows_whole_cells_at_any_width(
    width: int, example_records: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    file = io.StringIO()
    show_document(document(example_records), Console(file=file, width=width, color_system=None))
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert all(figure in text for figure in figures(example_records))
    assert "\x1b" not in text
    show_document(document(example_records))
    assert "quickstart on digits" in capsys.readouterr().out


def test_a_pipe_has_lines_of_any_length(
    example_records: list[Record],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    show_document(document(example_records))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) > 200
    assert not [line for line in lines if len(line) > 1000]  # nothing is filled up
    monkeypatch.setenv("COLUMNS", "90")
    show_document(document(example_records))
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 90


def test_columns_can_be_chosen_by_key_or_heading(example_records: list[Record]) -> None:
    chosen = document(example_records).with_columns(["NFE", "frechet_distance"])
    (table,) = [table for section in chosen.sections for table in section.tables]
    assert [column.key for column in table.columns] == ["entry", "nfe", "frechet_distance"]
    assert all(len(row.cells) == 3 for row in table.rows)
    text = render_document(chosen, "markdown")
    assert "NFE" in text
    assert "precision ↑" not in text
    with pytest.raises(UnknownName, match="unknown column 'recal'; did you mean 'recall'"):
        document(example_records).with_columns(["recal"])


def test_markdown_rows_have_as_many_cells_as_their_head(example_records: list[Record]) -> None:
    heads = 0
    for block in render(example_records, "markdown").split("\n\n"):
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        heads += bool(lines)
        assert len({line.count("|") for line in lines}) <= 1
        assert len({len(line) for line in block.splitlines() if line.startswith("|")}) <= 1
    assert heads >= 5


@pytest.mark.parametrize(
    ("form", "absent"),
    [
        ("markdown", ["<script>", "| b *c*", "\n_f_"]),
        ("html", ["<script>", "<e>"]),
        ("latex", ["& $x_", "<script>"]),
    ],
)
def test_names_stay_text(form: str, absent: list[str]) -> None:
    records = [run(HOSTILE, 0, 0.1), run(HOSTILE_CELL, 0, 0.1)]
    text = render(records, form)
    assert not [mark for mark in absent if mark in text]


def test_csv_is_one_row_a_score(example_records: list[Record]) -> None:
    rows = list(csv.DictReader(io.StringIO(render(example_records, "csv"))))
    assert len(rows) == sum(len(record.scores) for record in example_records)
    row = next(r for r in rows if (r["entry"], r["metric"]) == ("DDIM-50", "precision"))
    record = next(r for r in example_records if r.entry == "DDIM-50")
    assert float(row["value"]) == record.value("precision")


def test_json_is_the_records(example_records: list[Record]) -> None:
    rows = json.loads(render(example_records, "json"))
    assert [Record(**row).entry for row in rows] == [record.entry for record in example_records]


def test_an_unknown_format_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown format 'markdwn'; did you mean 'markdown'"):
        render([], "markdwn")


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_no_records_are_no_error(form: str) -> None:
    render([], form)


@pytest.mark.parametrize("form", sorted(FORMATS.keys() - {"csv"}))
def test_only_failures_are_shown_with_their_reason(form: str) -> None:
    text = render([run("A", 0, status="failed", reason="no memory")], form)
    assert "no memory" in text


def test_a_ratio_that_is_not_defined_is_not_the_worst() -> None:
    """Of a curve that reached 0; one that was lost on the way is without bound, and ranks last."""

    def fell(seed: int, by: float | None, last: float | None) -> Record:
        snapshots = [
            {"examples": n, "weights": "ema", "scores": {"frechet_distance": value}}
            for n, value in ((1, 1.0), (2, last))
        ]
        return run("A", seed, 1.0, stability={"max_drawdown": {"ema": by}}, snapshots=snapshots)

    whole = [fell(0, 0.5, 1.5), fell(1, 0.3, 1.3)]
    undefined = only([*whole, fell(2, None, 0.0)])
    assert shown(undefined, "A", "max_drawdown.ema") == "0.40 ± 0.14"
    lost = only([*whole, fell(2, None, None)])
    assert shown(lost, "A", "max_drawdown.ema") == "median 0.50 (2 of 3)"
