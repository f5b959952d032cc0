"""That tables and verdicts look at each record a fixed number of times, however many there are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType

import pytest

from genbench.analysis.claims import Claim, Claims
from genbench.analysis.comparison import document
from genbench.analysis.entry_runs import entry_runs
from genbench.analysis.verdict import judge
from genbench.store.records import Record

PERFORMANCE = Path(__file__).resolve().parents[1] / "performance"
CLAIMS = Claims(
    title="Diffusion models against GANs",
    groups={"diffusion": ["ddpm", "edm", "score-sde"], "GAN": ["gan", "dcgan", "r3gan"]},
    claims=[
        Claim.model_validate(
            {"name": name, "group": "diffusion", "against": "GAN", "quantity": name, "is": "lower"}
        )
        for name in ("frechet_distance", "max_drawdown.ema", "training_flops")
    ],
)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], list[Record]]:
    monkeypatch.syspath_prepend(PERFORMANCE)
    made = import_module("records").made_up
    return lambda entries, seeds: list(made(entries, seeds))


def calls(of: Callable[[], object]) -> int:
    """How often Python calls something, in C too."""
    count = 0

    def counted(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        of()
    finally:
        sys.setprofile(None)
    return count


def same_name(records: Sequence[Record]) -> list[Record]:
    """Rows that only their options tell apart."""
    return [Record(**{**vars(r), "entry": r.entry.split()[0]}) for r in records]


@pytest.mark.parametrize(
    "of",
    [
        entry_runs,
        lambda records: entry_runs(same_name(records)),
        document,
        lambda records: judge(records, CLAIMS),
    ],
    ids=["rows", "rows of one name", "table", "verdict"],
)
@pytest.mark.parametrize("more", [(4, 1), (1, 4)], ids=["entries", "seeds"])
def test_four_times_the_records_take_four_times_the_calls(
    of: Callable[[Sequence[Record]], object],
    more: tuple[int, int],
    made_up: Callable[[int, int], list[Record]],
) -> None:
    few, many = made_up(12, 6), made_up(12 * more[0], 6 * more[1])
    of(few), of(many)  # what is made once
    assert calls(lambda: of(many)) < 4.4 * calls(lambda: of(few))
