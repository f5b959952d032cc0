"""Published and measured rows: what is accepted, what is shown, and in which order."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from genbench import registry
from genbench.analysis.published import Leaderboard, load, offered
from genbench.analysis.reproduction import recipe, reproduced, row
from genbench.analysis.standings import (
    Imported,
    Standing,
    StandingScore,
    left_out,
    standings,
)
from genbench.analysis.standings_document import document
from genbench.api.errors import UsageError
from genbench.cli import main
from genbench.extractors.resize import ANTIALIASED, LEGACY
from genbench.io.geneval import OWN_PROMPTS
from genbench.io.geneval import TASKS as GENEVAL_TASKS
from genbench.registry.outputs import known
from genbench.registry.texts import titles
from genbench.rendering import render
from genbench.store import canonical
from genbench.store.records import Record, read_records, write_records
from genbench.suite import parse, trainings

RESULTS = Path(__file__).resolve().parents[2] / "results"

BOARD = """
title   = "CIFAR-10"
dataset = "cifar10"

[sources.ho]
title   = "Ho et al. 2020"
address = "https://example.org/ho"

[[rows]]
model     = "DDPM"
settings  = "L_simple"
family    = "diffusion"
nfe       = 1000
scores    = { frechet_distance = 3.17, inception_score = 9.46 }
source    = "ho"
table     = "Table 1"
quote     = "9.46±0.11 3.17"
count     = 50_000
reference = "train"
selected  = "minimum over training"
seen      = true
"""


def board(text: str, tmp_path: Path) -> Leaderboard:
    path = tmp_path / "board.toml"
    path.write_text(text, encoding="utf-8")
    return load(str(path))


def another(**changes: str) -> str:
    """The row of ``BOARD``, with some of its lines changed; an empty value drops the line."""
    lines = []
    for line in BOARD[BOARD.index("[[rows]]") :].splitlines():
        key = line.partition("=")[0].strip()
        lines.append(f"{key} = {changes[key]}" if key in changes else line)
    return "\n".join(line for line in lines if not line.endswith("= ")) + "\n"


def run(seed: int | None, distance: float, entry: str = "ours", **changes: object) -> Record:
    record = Record(
        suite="mine",
        entry="real" if seed is None else entry,
        model="real" if seed is None else "ddpm",
        trains=None if seed is None else "ddpm",
        dataset="cifar10",
        seed=seed,
        status="done",
        scores={"frechet_distance": {"value": distance, "low": None, "high": None}},
        outputs={"frechet_distance": known()["frechet_distance"]},
        protocol={
            "extractor": "inception@0123456789ab",
            "resize": LEGACY.name,
            "reference": "cifar10:train@0123",
            "samples": 50_000,
        },
        conditions={} if seed is None else {"examples": 1000, "options": {}, "obeys": []},
        cost={} if seed is None else {"nfe": 50.0},
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def test_rows_of_one_protocol_are_ranked_together(tmp_path: Path) -> None:
    published = board(
        BOARD + another(model='"worse"', scores="{ frechet_distance = 9.46 }"), tmp_path
    )
    measured = [run(None, 1.0), *(run(seed, 4.0 + seed) for seed in range(5))]
    (group,) = standings(published, [("out", measured)])
    assert [(r.rank, r.label) for r in group.rows] == [
        (None, "real"),
        (1, "DDPM"),
        (2, "ours"),
        (3, "worse"),
    ]
    ours = group.rows[2].scores["frechet_distance"]
    # Student's t with four degrees of freedom, of the logarithms.
    logs = np.log([4, 5, 6, 7, 8])
    half = 2.7764451 * logs.std(ddof=1) / 5**0.5
    assert ours.value == 6
    assert ours.low == pytest.approx(np.exp(logs.mean() - half))
    assert ours.high == pytest.approx(np.exp(logs.mean() + half))
    assert group.rows[2].origin == "genbench reproduce out:ours"


def test_a_measured_row_has_its_note_by_a_letter_too(tmp_path: Path) -> None:
    published = board(BOARD + 'note = "Their own code."\n', tmp_path)
    groups = standings(published, [("out", [run(0, 4.0, note="Out of its range.")])])
    text = render(document(published, groups), "markdown")
    assert "a: Their own code." in text
    assert "b: Out of its range." in text
    keys = [row.cells[-3].text for row in document(published, groups).sections[1].tables[0].rows]
    assert keys == ["1a", "b"]


def test_imported_samples_have_no_command_but_their_origin(tmp_path: Path) -> None:
    origin = {"system": "DALL·E 3", "version": "v1", "date": "2024-05-13"}
    conditions = {"examples": 0, "pretrained": True, "obeys": [], "imported": origin}
    record = run(0, 4.0, conditions=conditions, cost={"nfe": None}, note="Bought.")
    published = board(BOARD, tmp_path)
    groups = standings(published, [("out", [record])])
    (ours,) = [each for each in groups[0].rows if each.published is None]
    assert (ours.origin, ours.nfe) == ("", None)
    assert ours.settings == "mine: no training, 1 seed"
    said = "it cannot be rerun: its samples are those of DALL·E 3 (v1), made on 2024-05-13; Bought."
    assert f"a: {said}" in render(document(published, groups), "markdown")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("extractor", "inception-torchvision@0123456789ab"),
        ("reference", "cifar10:test@0123"),
        ("samples", 10_000),
        ("resize", ANTIALIASED.name),
    ],
)
def test_other_protocols_have_a_ranking_of_their_own(
    part: str, value: object, tmp_path: Path
) -> None:
    other = run(0, 1.0)
    other = replace(other, protocol={**other.protocol, part: value})
    first, second = standings(board(BOARD, tmp_path), [("out", [other])])
    assert [r.label for r in first.rows] == ["DDPM"]
    assert [(r.rank, r.label) for r in second.rows] == [(1, "ours")]


def test_runs_on_other_data_or_of_another_kind_do_not_join_and_are_named(tmp_path: Path) -> None:
    given = {"examples": 1000, "options": {}, "obeys": ["label"]}
    silent = {"examples": 1000, "options": {}}
    records = [
        run(0, 1.0, "elsewhere", dataset="mnist"),
        run(0, 1.0, "with labels", conditions=given),
        run(0, 1.0, "with labels, too", conditions=given),
        run(0, 1.0, "nowhere", dataset="mine"),
        run(0, 1.0, "silent", conditions=silent),
    ]
    told = board(BOARD, tmp_path)
    (group,) = standings(told, [("out", records)])
    assert [r.label for r in group.rows] == ["DDPM"]
    others = left_out(told, [("out", records)], offered())
    assert list(map(str, others)) == [
        "out: elsewhere (mnist, unconditional: genbench leaderboard mnist)",
        "out: with labels; with labels, too (cifar10, given label: "
        "genbench leaderboard cifar10-conditional)",
        "out: nowhere (mine, unconditional: no leaderboard is for these)",
        "out: silent (cifar10: the record does not say which conditions its model obeys)",
    ]
    text = render(document(told, [group], others), "markdown")
    for name in ("elsewhere", "with labels, too", "nowhere", "silent"):
        assert name in text


def test_what_a_model_obeys_counts_and_no_option_of_that_name(tmp_path: Path) -> None:
    named = {"examples": 1000, "options": {"conditional": True}, "obeys": []}
    (group,) = standings(board(BOARD, tmp_path), [("out", [run(0, 4.0, conditions=named)])])
    assert [r.label for r in group.rows] == ["DDPM", "ours"]
    given = {"examples": 1000, "options": {}, "obeys": ["label"]}
    conditional = board(BOARD.replace("[sources.ho]", "conditional = true\n[sources.ho]"), tmp_path)
    (group,) = standings(conditional, [("out", [run(0, 4.0, conditions=given)])])
    assert [r.label for r in group.rows] == ["DDPM", "ours"]


def test_a_diverged_run_gives_a_median_and_no_interval(tmp_path: Path) -> None:
    runs = [run(0, 4.0), run(1, 5.0), run(2, 0.1, status="diverged")]
    (group,) = standings(board(BOARD, tmp_path), [("out", runs)])
    ours = next(r for r in group.rows if r.label == "ours").scores["frechet_distance"]
    assert (ours.value, ours.low, ours.high, ours.ended) == (5.0, None, None, "2 of 3")


def test_the_floor_of_one_protocol_stands_once_whatever_its_last_digits(tmp_path: Path) -> None:
    measured = [(name, [run(None, at), run(0, 4.0)]) for name, at in (("a", 1.0), ("b", 1 + 1e-15))]
    (group,) = standings(board(BOARD, tmp_path), measured)
    assert [row.label for row in group.rows] == ["real", "DDPM", "ours", "ours"]


def test_a_narrow_terminal_has_one_line_a_row_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    told = board(BOARD, tmp_path)
    groups = standings(
        told, [("out", [run(seed, 4.0 + seed, entry="a long name") for seed in range(5)])]
    )
    score = groups[0].rows[1].scores["frechet_distance"]
    measured = f" 6 [{score.low:.3g}, {score.high:.3g}]"
    lines = render(document(told, groups), "terminal", width=72).splitlines()
    assert max(map(len, lines)) <= 72
    (named,) = [line for line in lines if line.startswith("2  a long name")]
    assert measured in named
    assert "…" in named  # its settings
    told_so = " ".join(" ".join(lines).split())
    assert "Left out of this narrow table: IS ↑, selected, where; --wide shows all." in told_so
    assert not [line for line in lines if "genbench reproduce" in line]
    lines = render(document(told, groups), "terminal", width=300).splitlines()
    (named,) = [line for line in lines if line.startswith("2  a long name")]
    assert measured in named
    assert "genbench reproduce" in named
    assert "…" not in named
    assert not [line for line in lines if "Left out" in line]


def test_only_what_was_seen_is_shown(tmp_path: Path) -> None:
    hearsay = another(model='"hearsay"', seen="false")
    (group,) = standings(board(BOARD + hearsay, tmp_path))
    assert [r.label for r in group.rows] == ["DDPM"]


def test_where_two_documents_disagree_both_stand(tmp_path: Path) -> None:
    source = '\n[sources.song]\ntitle = "Song"\naddress = "https://example.org/song"\n'
    other = another(source='"song"', scores="{ frechet_distance = 3.21 }", quote='"3.21"')
    (group,) = standings(board(BOARD + source + other, tmp_path))
    assert [r.scores["frechet_distance"].value for r in group.rows] == [3.17, 3.21]


def test_a_protocol_that_is_not_stated_is_a_group_of_its_own(tmp_path: Path) -> None:
    unstated = another(model='"silent"', count="", reference="")
    first, second = standings(board(BOARD + unstated, tmp_path))
    assert "not stated" not in first.heading
    assert second.heading == ("Over inception, reference not stated, number of samples not stated")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seen      = true", "", "rows.0.seen"),
        ('table     = "Table 1"', 'table = ""', "rows.0.table"),
        ('source    = "ho"', 'source = "hoo"', "did you mean 'ho'"),
        ("frechet_distance = 3.17", "frechet_distance = 3.71", "3.71 is not in its quote"),
        ("frechet_distance = 3.17", "fid = 3.17", "rows.0.scores.fid"),
        ("https://example.org/ho", "from memory", "sources.ho.address"),
        ('"diffusion"', '"difusion"', "rows.0.family"),
        ("count     = 50_000", "number = 50_000", "rows.0.number"),
        ("[[rows]]", '[sources.x]\ntitle = "x"\naddress = "https://x"\n[[rows]]', "source 'x'"),
    ],
)
def test_bad_rows_are_one_line(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in BOARD
    with pytest.raises(UsageError, match=r"board\.toml") as caught:
        board(BOARD.replace(old, new), tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_stands_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stands there twice"):
        board(BOARD + another(), tmp_path)


@pytest.mark.parametrize("name", titles(registry.leaderboards))
def test_the_boards_that_packages_offer(name: str) -> None:
    found = load(name)
    for form in ("terminal", "markdown", "json"):
        text = render(document(found, standings(found)), form)
        assert all(source.address in text for source in found.sources.values())


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(BOARD, encoding="utf-8")
    write_records(tmp_path / "all" / "one", [run(0, 2.0, entry="a | b")])
    out = ["leaderboard", str(path), str(tmp_path / "all"), "--format"]
    markdown = CliRunner().invoke(main, [*out, "markdown"])
    assert markdown.exit_code == 0, markdown.output
    assert r"a \| b" in markdown.stdout
    told = json.loads(CliRunner().invoke(main, [*out, "json"]).stdout)
    labels = [r["label"] for group in told["standings"] for r in group["rows"]]
    assert labels == ["a | b", "DDPM"]


def test_a_recipe_is_the_suite_of_the_row() -> None:
    runs = row(read_records(RESULTS / "digits-full"), "DDIM-50")
    suite = parse("recipe", recipe(runs))
    assert suite.seeds == (0, 1, 2, 3, 4)
    ((entry, *_), *_) = trainings(suite)
    first = runs[0]
    assert (entry.training.model, entry.training.dataset) == ("ddpm", "digits")
    # Options that came after the record have their defaults.
    defaults = registry.check_options("ddpm", registry.models.get("ddpm"), {})
    expected = {**defaults, **first.conditions["options"]}
    assert canonical(entry.training.options) == canonical(expected)
    assert entry.training.examples == first.conditions["examples"]
    assert entry.training.snapshots == 4
    assert entry.sample == first.conditions["sample"]
    assert suite.score.extractor == "digits"
    assert suite.score.reference == "digits:test"


def test_an_unknown_row_has_a_near_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'DDIM-50'"):
        row(read_records(RESULTS / "digits-full"), "DDIM50")


def test_two_seeds_are_too_few_for_an_interval(tmp_path: Path) -> None:
    groups = standings(board(BOARD, tmp_path), [("out", [run(0, 0.1), run(1, 0.2)])])
    ours = next(r for r in groups[0].rows if r.label == "ours").scores["frechet_distance"]
    assert (ours.low, ours.high) == (None, None)
    text = render(document(board(BOARD, tmp_path), groups), "markdown")
    assert "0.15 (too few seeds)" in text


def test_what_is_reproduced() -> None:
    before = [run(seed, 4.0 + seed) for seed in range(5)]
    logs = np.log([4, 5, 6, 7, 8])
    half = logs.std(ddof=1) * 1.2**0.5  # of one further run
    near = [run(9, np.exp(logs.mean() + 2.77 * half))]
    far = [run(9, np.exp(logs.mean() + 2.78 * half))]
    assert reproduced(before, near, "frechet_distance").outcome == "inside"
    assert reproduced(before, far, "frechet_distance").outcome == "outside"
    same = reproduced(before, before[:2], "frechet_distance")
    assert (same.identical, same.seeds, same.outcome) == (2, 2, "inside")
    diverged = [replace(run, status="diverged") for run in before[:2]]
    assert reproduced(before, diverged, "frechet_distance").outcome == "outside"
    assert reproduced(before, near, "frechet_distance").low == pytest.approx(
        np.exp(logs.mean() - 2.7764451 * half)
    )


def test_too_few_seeds_judge_nothing_but_the_same_bits() -> None:
    far = [run(9, 400.0)]
    for seeds in (1, 2):
        before = [run(seed, 4.0 + seed) for seed in range(seeds)]
        found = reproduced(before, far, "frechet_distance")
        assert (found.outcome, found.reason) == ("undecided", "too few seeds to judge")
        assert reproduced(before, before[:1], "frechet_distance").outcome == "inside"
    wide = [run(seed, value) for seed, value in enumerate((1.0, 10.0, 20.0))]
    assert reproduced(wide, far, "frechet_distance").reason == "too few seeds to judge"
    close = [run(seed, value) for seed, value in enumerate((1.0, 1.1, 1.2))]
    assert reproduced(close, far, "frechet_distance").outcome == "outside"


TEXTS = BOARD.replace(
    "[sources.ho]", 'conditional = true\nprotocol = ["captions", "crop"]\n[sources.ho]'
) + ('protocol = { captions = "one an image", crop = "centre" }\n')


def test_rows_of_other_fields_of_the_protocol_never_rank_together(tmp_path: Path) -> None:
    source = TEXTS[: TEXTS.index("[[rows]]")]
    rows = {
        "a": '{ captions = "one an image", crop = "centre" }',
        "b": '{ captions = "all", crop = "centre" }',
        "c": '{ captions = "one an image", crop = "centre" }',
        "d": '{ captions = "one an image" }',
        "e": "{}",
    }
    text = source + "".join(
        another(model=f'"{model}"') + f"protocol = {protocol}\n" for model, protocol in rows.items()
    )
    groups = standings(board(text, tmp_path))
    assert [[(r.rank, r.label) for r in group.rows] for group in groups] == [
        [(1, "a"), (1, "c")],
        [(1, "b")],
        [(None, "d"), (None, "e")],
    ]
    assert groups[1].heading == (
        "Over inception, against train, 50,000 samples; captions = all; crop = centre"
    )
    stated = "reference = train; samples = 50,000; captions = one an image; not stated: crop"
    assert groups[2].rows[0].protocol == stated
    assert stated in render(document(board(text, tmp_path), groups), "markdown")


def test_a_count_that_is_not_stated_has_no_rank_where_the_protocol_has_fields(
    tmp_path: Path,
) -> None:
    (group,) = standings(board(TEXTS.replace("count     = 50_000\n", ""), tmp_path))
    assert [row.rank for row in group.rows] == [None]


def test_runs_meet_no_protocol_with_further_fields(tmp_path: Path) -> None:
    ours = run(0, 4.0, conditions={"examples": 1000, "options": {}, "obeys": ["caption"]})
    first, second = standings(board(TEXTS, tmp_path), [("out", [ours])])
    assert [r.label for r in first.rows] == ["DDPM"]
    assert [r.label for r in second.rows] == ["ours"]


def test_an_unknown_field_of_the_protocol_has_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'captions'"):
        board(TEXTS.replace("{ captions =", "{ caption ="), tmp_path)


def results(path: Path, prompts: list[str]) -> Path:
    """GenEval's results with four images of each prompt, of which the first is correct."""
    tags = list(GENEVAL_TASKS)
    with path.open("w", encoding="utf-8") as file:
        for number, prompt in enumerate(prompts):
            for image in range(4):
                line = {"filename": f"{number:05}/samples/{image:04}.png", "prompt": prompt}
                line |= {"tag": tags[number % 6], "correct": image == 0}
                file.write(json.dumps(line) + "\n")
    return path


def test_results_of_geneval_stand_beside_published_ones(tmp_path: Path) -> None:
    path = results(tmp_path / "mine.jsonl", [f"a photo of {number}" for number in range(6)])
    out = CliRunner().invoke(main, ["leaderboard", "geneval", str(path), "--format", "json"])
    assert out.exit_code == 0, out.output
    told = json.loads(out.stdout)["standings"]
    (group,) = [group for group in told if group["protocol"] == "24 samples; prompts = 6 others"]
    (ours,) = group["rows"]
    assert (ours["rank"], ours["label"]) == (1, str(tmp_path / "mine"))
    assert ours["scores"]["geneval"]["value"] == 0.25
    # Wilson 1927, one of four: (k + z²/2 ± z √(k (n-k)/n + z²/4)) / (n + z²).
    z = 1.959964
    low, high = (
        (1 + z**2 / 2 + sign * z * (3 / 4 + z**2 / 4) ** 0.5) / (4 + z**2) for sign in (-1, 1)
    )
    task = ours["scores"]["geneval_counting"]
    assert (task["low"], task["high"]) == pytest.approx((low, high), abs=1e-6)
    assert ours["scores"]["geneval"]["low"] is None
    text = CliRunner().invoke(main, ["leaderboard", "geneval", str(path)])
    assert "Measured rows: the mean over seeds" not in text.output


def test_results_of_the_own_prompts_rank_among_published_ones() -> None:
    scores = {"geneval": StandingScore(0.52)}
    row = Standing(None, "mine", "", scores, None, "mine.jsonl", imported=True)
    mine = Imported(row, 2212, {"prompts": OWN_PROMPTS})
    first = standings(load("geneval"), imported=[mine])[0]
    place = [each.label for each in first.rows].index("mine")
    before, own, after = (
        first.rows[i].scores["geneval"].value for i in range(place - 1, place + 2)
    )
    assert before > own == 0.52 > after


def test_results_of_geneval_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"tag": "counting"}\n', encoding="utf-8")
    out = CliRunner().invoke(main, ["leaderboard", "geneval", str(path)])
    assert out.exit_code != 0
    assert "results.jsonl:1: " in out.output
    assert "Traceback" not in out.output
