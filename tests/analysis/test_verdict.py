"""Claims and what records say of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from genbench.analysis.changes import changes
from genbench.analysis.claims import Claim, Claims, load, offered
from genbench.analysis.verdict import Finding, document, judge
from genbench.api.errors import DataError, UnknownName, UsageError
from genbench.cli import main
from genbench.registry.outputs import known
from genbench.rendering import render
from genbench.store.records import Record, write_records

OUTPUTS = known()
PROTOCOL: dict[str, Any] = {"extractor": "digits@1", "reference": "digits:test", "samples": 500}
HOSTILE = "<script>alert(1)</script> | $x_"

CLAIMS = """
title = "A against B"
[groups]
A = ["a", "a2"]
B = ["b"]
[[claims]]
name = "nearer"
group = "A"
against = "B"
quantity = "frechet_distance"
is = "lower"
"""


def claims(text: str, tmp_path: Path) -> Claims:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    return load(str(path))


def claim(quantity: str, direction: str) -> Claims:
    return Claims(
        title="A against B",
        groups={"A": ["a", "a2"], "B": ["b"]},
        claims=[
            Claim.model_validate(
                {"name": "c", "group": "A", "against": "B", "quantity": quantity, "is": direction}
            )
        ],
    )


def run(model: str, seed: int, distance: float | None, **fields: Any) -> Record:
    score = {"value": distance, "low": None, "high": None}
    scores = {} if distance is None else {"frechet_distance": score}
    known: dict[str, Any] = {
        "suite": "s",
        "entry": model.upper(),
        "model": model,
        "trains": model,
        "dataset": "digits",
        "status": "done",
        "outputs": {"frechet_distance": OUTPUTS["frechet_distance"]},
        "protocol": PROTOCOL,
        "identities": {"training": f"{model}-{seed}"},
    }
    return Record(seed=seed, scores=scores, **{**known, **fields})


def runs(model: str, distances: Sequence[float | None], **fields: Any) -> list[Record]:
    return [run(model, seed, distance, **fields) for seed, distance in enumerate(distances)]


def only(records: Sequence[Record], of: Claims) -> Finding:
    (found,) = judge(records, of)
    (finding,) = found.findings
    return finding


FIVE = [1.0, 1.1, 1.2, 1.3, 1.4]
WORSE = [2.0, 2.1, 2.2, 2.3, 2.4]


def test_supported_contradicted_undecided() -> None:
    lower = claim("frechet_distance", "lower")
    assert only([*runs("a", FIVE), *runs("b", WORSE)], lower).outcome == "supported"
    assert only([*runs("a", WORSE), *runs("b", FIVE)], lower).outcome == "contradicted"
    mixed = only([*runs("a", [1.0, 2.1, 1.2, 2.3, 1.4]), *runs("b", FIVE)], lower)
    assert mixed.outcome == "undecided"
    assert "after correction" in mixed.reason


def test_higher_and_lower_are_each_others_opposite() -> None:
    records = [*runs("a", FIVE), *runs("b", WORSE)]
    assert only(records, claim("frechet_distance", "higher")).outcome == "contradicted"


def test_under_five_seeds_nothing_is_decided() -> None:
    found = only([*runs("a", FIVE), *runs("b", WORSE[:4])], claim("frechet_distance", "lower"))
    assert found.outcome == "undecided"
    assert found.reason == "4 seeds a side; 5 are the least that can decide"
    assert found.comparison is not None
    assert found.comparison.probability == 0
    assert found.comparison.high is not None
    assert found.comparison.high > 0.1


def test_a_diverged_run_ranks_last_whatever_its_snapshot_scored() -> None:
    better = [run("a", seed, 0.1, status="diverged") for seed in range(5)]
    found = only([*better, *runs("b", FIVE)], claim("frechet_distance", "lower"))
    assert found.outcome == "contradicted"
    assert found.group[0].values == (None,) * 5
    assert found.group[0].median is None


def test_only_seeds_that_every_contestant_ran_count() -> None:
    records = [*runs("a", FIVE), *runs("a2", FIVE[:3]), *runs("b", WORSE)]
    found = only(records, claim("frechet_distance", "lower"))
    assert found.comparison is not None
    assert found.comparison.seeds == (3, 3)
    assert [entry.model for entry in found.group] == ["a", "a2"]


@pytest.mark.parametrize(
    ("records", "quantity", "reason"),
    [
        (runs("a", FIVE), "frechet_distance", "no entry of the group 'B' ran"),
        ([*runs("a", FIVE), *runs("b", FIVE)], "recall", "the records have no recall"),
        (
            [*runs("a", [*FIVE[:4], None]), *runs("b", FIVE)],
            "frechet_distance",
            "A, seed 4 has no frechet_distance",
        ),
        (
            [*runs("a", FIVE), *[run("b", s, None, status="failed") for s in range(5)]],
            "frechet_distance",
            "no entry of the group 'B' ran",
        ),
        (
            [*runs("a", FIVE[:1]), *[run("b", s, 1.0) for s in range(1, 6)]],
            "frechet_distance",
            "its entries have no seed in common",
        ),
        (
            [*runs("a", [-1.0, 0.0, 0.0, 0.0, 1.0]), *runs("b", FIVE)],
            "deviation.frechet_distance",
            "A: a median frechet_distance of 0 has no relative deviation",
        ),
    ],
)
def test_what_cannot_be_compared_says_why(
    records: list[Record], quantity: str, reason: str
) -> None:
    found = only(records, claim(quantity, "lower"))
    assert (found.outcome, found.comparison, found.reason) == ("undecided", None, reason)


def test_deviation_is_relative_to_the_contestants_own_median() -> None:
    found = only(
        [*runs("a", [9.0, 10.0, 11.0, 10.0, 10.0]), *runs("b", [0.1, 0.2, 0.4, 0.2, 0.2])],
        claim("deviation.frechet_distance", "lower"),
    )
    assert found.group[0].values == pytest.approx((0.1, 0, 0.1, 0, 0))
    assert found.against[0].values == pytest.approx((0.5, 0, 1, 0, 0))


def test_a_cost_measured_for_one_seed_stands_for_all() -> None:
    records = [
        run(model, seed, 1.0, cost={"seconds_per_sample": seconds if seed == 0 else None})
        for model, seconds in (("a", 0.2), ("b", 0.1))
        for seed in range(5)
    ]
    found = only(records, claim("seconds_per_sample", "higher"))
    assert (found.outcome, found.adjusted_p) == ("supported", None)
    assert found.reason == "of pairs of entries; no seed changes it"
    assert found.group[0].values == (0.2,) * 5


def costs(model: str, flops: float, **fields: Any) -> list[Record]:
    cost = {"training_flops": flops}
    return [run(model, seed, 1.0 + seed, cost=cost, **fields) for seed in range(5)]


def test_what_no_seed_changes_is_no_evidence_of_seeds() -> None:
    records = [*costs("a", 1.0), *costs("a2", 5.0), *costs("b", 3.0)]
    found = only(records, claim("training_flops", "higher"))
    assert found.comparison is not None
    assert (found.comparison.probability, found.comparison.p) == (0.5, None)
    assert found.outcome == "undecided"


def test_a_training_counts_once_however_often_it_is_sampled() -> None:
    records = [*costs("a", 5.0), *costs("a2", 1.0), *costs("b", 3.0)]
    again = [
        *costs("a", 5.0, entry="A, ten steps", conditions={"sample": {"steps": 10}}),
        *records,
    ]
    for each in (records, again):
        found = only(each, claim("training_flops", "higher"))
        assert found.comparison is not None
        assert found.comparison.probability == 0.5


def test_equal_scores_are_draws_all_the_same() -> None:
    for quantity in ("frechet_distance", "deviation.frechet_distance"):
        records = [*runs("a", [1.0, 1.0]), *runs("b", [2.0, 3.0])]
        found = only(records, claim(quantity, "lower"))
        assert found.outcome == "undecided"
        assert found.reason.startswith("2 seeds a side")


def test_a_diverged_run_cost_what_it_did() -> None:
    records = [*costs("a", 1.0, status="diverged"), *costs("b", 3.0)]
    assert only(records, claim("training_flops", "higher")).outcome == "contradicted"


def test_models_in_no_group_and_names_that_nobody_has_are_told() -> None:
    of = Claims(
        title="A against B",
        groups={"A": ["a", "dpdm"], "B": ["b", "edm"], "C": ["c"]},
        claims=[
            Claim.model_validate(
                {"name": "n", "group": "A", "against": "B", "quantity": "recall", "is": "lower"}
            )
        ],
    )
    records = [run(model, 0, 1.0) for model in ("a", "b", "c", "vae")]
    (found,) = judge(records, of)
    assert found.remarks == (
        "In no group, so not compared: c and vae.",
        "Group A: unknown model 'dpdm'; did you mean 'ddpm'?",
        "In a group, but not among these runs: edm.",
    )
    text = render(document([found]), "markdown")
    assert all(remark in text for remark in found.remarks)


def test_a_group_may_hold_single_entries(tmp_path: Path) -> None:
    """Of one model, sampled in two ways."""
    groups = '[groups]\nA = [{ entry = "guided" }]\nB = [{ entry = "plain" }, { entry = "gone" }]\n'
    of = claims(re.sub(r"\[groups\]\n.*\n.*\n", groups, CLAIMS), tmp_path)
    records = [*runs("a", FIVE, entry="guided"), *runs("a", WORSE, entry="plain"), run("c", 0, 1)]
    (found,) = judge([*records, *runs("a", FIVE, entry="other")], of)
    (finding,) = found.findings
    assert finding.outcome == "supported"
    assert [each.label for each in (*finding.group, *finding.against)] == ["guided", "plain"]
    assert found.remarks == (
        "In no group, so not compared: c.",
        "In a group, but not among these runs: gone.",
    )


def test_a_claim_may_compare_those_alone_that_have_the_score() -> None:
    def scored(model: str, values: Sequence[float | None]) -> list[Record]:
        return runs(model, values, outputs={"frechet_distance": OUTPUTS["frechet_distance"]})

    all_of = claim("frechet_distance", "lower")
    some = all_of.model_copy(
        update={"claims": [all_of.claims[0].model_copy(update={"scored_only": True})]}
    )
    records = [*scored("a", FIVE), *scored("a2", [None] * 5), *scored("b", WORSE)]
    assert only(records, all_of).reason == "A2, seed 0 has no frechet_distance"
    found = only(records, some)
    assert (found.outcome, found.left_out) == ("supported", ("A2",))
    assert [entry.label for entry in found.group] == ["A"]
    (verdict,) = judge(records, some)
    assert "c: without A2, which has no frechet_distance." in render(
        document([verdict]), "markdown"
    ).replace("\\", "")
    # A seed that lacks it is another matter, and so is an entry that diverged.
    holed = only([*scored("a", [*FIVE[:4], None]), *scored("b", WORSE)], some)
    assert holed.reason == "A, seed 4 has no frechet_distance"
    fell = [run("a2", seed, None, status="diverged") for seed in range(5)]
    assert only([*scored("a", FIVE), *fell, *scored("b", WORSE)], some).left_out == ()
    none = only([*scored("a", [None] * 5), *scored("b", WORSE)], some)
    assert none.reason == "no entry of the group 'A' has frechet_distance"


def test_a_contestant_that_never_ran_vetoes_nothing() -> None:
    idle = [run("a2", seed, None, status="skipped", protocol=PROTOCOL) for seed in range(5)]
    found = only([*runs("a", FIVE), *idle, *runs("b", WORSE)], claim("frechet_distance", "lower"))
    assert found.outcome == "supported"
    assert [entry.model for entry in found.group] == ["a"]


def test_suites_are_never_mixed() -> None:
    records = [*runs("a", FIVE), *runs("b", WORSE), *runs("a", WORSE[:2], suite="t")]
    first, second = judge(records, claim("frechet_distance", "lower"))
    assert (first.suite, first.findings[0].outcome) == ("s", "supported")
    assert (second.suite, second.findings[0].comparison) == ("t", None)


def test_the_spread_of_a_table_is_of_contestants_not_of_runs() -> None:
    found = only([*runs("a", FIVE), *runs("b", WORSE)], claim("iqr", "lower"))
    assert found.reason == "the records have no iqr"


def test_too_many_claims_for_the_seeds_are_told(tmp_path: Path) -> None:
    one = CLAIMS[CLAIMS.index("[[claims]]") :]
    for count, outcome in ((6, "supported"), (7, "undecided")):
        more = [one.replace("nearer", f"nearer {number}") for number in range(count - 1)]
        (found,) = judge(
            [*runs("a", FIVE), *runs("b", WORSE)], claims(CLAIMS + "".join(more), tmp_path)
        )
        assert {finding.outcome for finding in found.findings} == {outcome}
    reason = "5 seeds a side cannot decide 7 claims together: p is 0.056 at best"
    assert {finding.reason for finding in found.findings} == {reason}


def fallen(model: str, fall: float | None, *distances: float | None) -> list[Record]:
    snapshots = [
        {"examples": images, "weights": "ema", "scores": {"frechet_distance": distance}}
        for images, distance in enumerate(distances, start=1)
    ]
    stability = {"max_drawdown": {"ema": fall}} if snapshots else {}
    return [run(model, s, 1.0, stability=stability, snapshots=snapshots) for s in range(5)]


def test_a_fall_without_bound_is_the_worst() -> None:
    records = [*fallen("a", None, 1.0, None, 1.0), *fallen("b", 0.5, 1.0, 1.5)]
    found = only(records, claim("max_drawdown.ema", "lower"))
    assert found.outcome == "contradicted"
    assert found.group[0].values == (None,) * 5


def test_a_contestant_that_was_not_trained_has_no_fall() -> None:
    found = only(
        [*fallen("a", None), *fallen("b", 0.5, 1.0, 1.5)], claim("max_drawdown.ema", "lower")
    )
    assert found.reason == "A, seed 0 has no max_drawdown.ema"


def test_protocols_are_never_mixed() -> None:
    other = {**PROTOCOL, "samples": 100}
    records = [*runs("a", FIVE), *runs("b", WORSE, protocol=other)]
    found = judge(records, claim("frechet_distance", "lower"))
    assert len(found) == 2
    assert all(finding.comparison is None for each in found for finding in each.findings)


def test_p_values_are_corrected_over_the_claims(tmp_path: Path) -> None:
    second = CLAIMS[CLAIMS.index("[[claims]]") :].replace("nearer", "again")
    of = claims(CLAIMS + second, tmp_path)
    (found,) = judge([*runs("a", FIVE), *runs("b", WORSE)], of)
    for finding in found.findings:
        assert finding.comparison is not None
        assert finding.comparison.p is not None
        assert finding.adjusted_p == pytest.approx(2 * finding.comparison.p)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('is = "lower"', 'is = "less"', "claims.0.is"),
        ('quantity = "frechet_distance"', "", "claims.0.quantity"),
        ('against = "B"', 'against = "Bs"', "unknown group 'Bs'; did you mean 'B'?"),
        ('B = ["b"]', 'B = ["a"]', "model 'a' is in two groups"),
        ('B = ["b"]', 'B = [{ entry = "X" }, { entry = "X" }]', "entry 'X' is in two groups"),
        (
            'B = ["b"]',
            'B = [{ entrie = "X" }]',
            "'groups.B.0.entrie'; did you mean 'entry'?",
        ),
        ('B = ["b"]', "B = [3]", "groups.B.0: input should be a valid string, got 3"),
        ('B = ["b"]', "B = [{}]", "groups.B.0"),
        ('against = "B"', 'against = "A"', "holds a group against itself"),
        ("title =", "titel =", "title"),
        ("[groups]", "[groups", "not TOML"),
    ],
)
def test_bad_claims_are_one_line(old: str, new: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"claims\.toml") as caught:
        claims(CLAIMS.replace(old, new), tmp_path)
    assert said in str(caught.value)


def test_unknown_claims() -> None:
    with pytest.raises(UnknownName, match="did you mean 'diffusion-vs-gan'"):
        load("diffusion-vs-gans")


def test_the_claims_that_packages_offer() -> None:
    found, faults = offered()
    assert faults == []
    titles = {
        "diffusion-vs-gan": "Diffusion models against GANs",
        "text-to-image": "Text to image: diffusion models against GANs",
    }
    assert [each.title for each in found] == [*titles.values()]
    done = CliRunner().invoke(main, ["list", "claims"])
    lines = [line.split(maxsplit=1) for line in done.output.splitlines()]
    assert dict(lines) == titles


def folder(tmp_path: Path, name: str, records: Sequence[Record]) -> Path:
    path = tmp_path / name
    path.mkdir()
    write_records(path, records)
    return path


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(CLAIMS.replace('"nearer"', f"'{HOSTILE}'"))
    out = folder(tmp_path, "out", [*runs("a", FIVE), *runs("b", WORSE)])
    shown = invoke("verdict", out, "--claims", file)
    assert shown.exit_code == 0
    assert "supported" in shown.output
    assert "A against B, s on digits" in shown.output
    (told,) = json.loads(invoke("verdict", out, "--claims", file, "--format", "json").output)
    (finding,) = told["findings"]
    assert finding["claim"]["is"] == "lower"
    assert finding["comparison"]["probability"] == 0
    assert finding["group"][0]["values"] == FIVE
    text = invoke("verdict", out, "--claims", file, "--format", "markdown").output
    assert r"\<script\>alert(1)\</script\> \| \$x\_" in text
    assert re.search(r"\| A +\| A +\| +1\.2 \| +1\.2 \\\[1\.0\d+, 1\.3\d+\\\] \| +5 \|", text)


def test_the_command_without_contestants_for_any_claim(tmp_path: Path) -> None:
    out = folder(tmp_path, "out", runs("a", FIVE))
    done = invoke("verdict", out)
    assert done.exit_code == 2
    assert "name others with --claims" in done.output


def test_changes() -> None:
    before = [*runs("a", FIVE), *runs("b", FIVE), *runs("gone", FIVE), *runs("c", FIVE)]
    after = [*runs("a", WORSE), *runs("b", [0.1, 0.12, 0.14, 0.1, 0.12]), *runs("c", FIVE)]
    found = changes(before, [*after, *runs("new", FIVE)])
    outcomes = {"A": "worse", "B": "better", "C": "within noise"}
    assert {change.entry: change.outcome for change in found.changes} == outcomes
    assert (found.only_before, found.only_after) == (("GONE",), ("NEW",))
    worse = found.changes[0]
    assert worse.difference is not None
    assert worse.difference.value == pytest.approx(1.0)
    assert worse.adjusted_p == pytest.approx(3 * worse.difference.p)  # the least of three


def test_changes_with_one_seed_or_lost_runs() -> None:
    one = changes(runs("a", FIVE[:1]), runs("a", WORSE[:1])).changes[0]
    assert (one.outcome, one.difference) == ("undecided", None)
    lost = [run("a", 0, 1.0, status="diverged"), *runs("a", FIVE)[1:]]
    assert changes(runs("a", FIVE), lost).changes[0].outcome == "worse"
    assert changes(lost, runs("a", FIVE)).changes[0].outcome == "undecided"


def test_changes_need_something_in_common() -> None:
    with pytest.raises(DataError, match="no entry in common"):
        changes(runs("a", FIVE), runs("b", FIVE))
    with pytest.raises(DataError, match="A: the protocols differ: samples: 500 against 100"):
        changes(runs("a", FIVE), runs("a", FIVE, protocol={**PROTOCOL, "samples": 100}))
    with pytest.raises(UnknownName, match="did you mean 'frechet_distance'"):
        changes(runs("a", FIVE), runs("a", FIVE), ["frechet_distanc"])


def test_compare_is_a_gate(tmp_path: Path) -> None:
    good = folder(tmp_path, "good", runs("a", FIVE))
    bad = folder(tmp_path, "bad", [*runs("a", WORSE), *runs("b", FIVE)])
    worse = invoke("compare", good, bad)
    assert worse.exit_code == 3
    assert "worse" in worse.output
    assert f"only in {bad}: B" in worse.output
    gone = invoke("compare", bad, good)
    assert gone.exit_code == 3
    assert f"only in {bad}: B" in gone.output
    assert invoke("compare", good, good).exit_code == 0
    written = invoke("compare", good, bad, "--format", "json").output
    assert invoke("compare", good, bad, "--json").output == written
    told = json.loads(written)
    assert told["changes"][0]["outcome"] == "worse"
