"""Whether generated pictures show what their captions state, fact by fact.

After Ghosh, Hajishirzi and Schmidt, "GenEval: An object-focused framework for evaluating
text-to-image alignment" (2023), which reports the share of pictures in which all stated facts hold,
and that share task by task.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from math import nan

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.api import Estimate, Features, Output
from genbench.data.shapes.captions import KINDS
from genbench.metrics.resampling import share


def agreement_scores(agreement: Tensor) -> dict[str, Estimate]:
    """The scores of ``(B, 12)`` verdicts, each 0 or 1: for each of ``KINDS`` whether the caption
    states such facts and whether they hold, then whether it names what was held out, and whether
    it mentions one object alone.

    A score for which no caption counts is NaN, and its note is the reason.
    """
    verdicts = agreement.bool()
    stated, holds = verdicts[:, :-2:2], verdicts[:, 1:-2:2]
    held_out, single = verdicts[:, -2], verdicts[:, -1]
    correct = (holds | ~stated).all(dim=1)
    scores = {
        "correct": share(correct),
        "correct_seen": _of(correct, ~held_out, "names only what training showed"),
        "correct_single": _of(correct, single & ~held_out, "names one object that training showed"),
        "correct_held_out": _of(correct, held_out, "names what was held out of training"),
    }
    for column, kind in enumerate(KINDS):
        of_kind = _of(holds[:, column], stated[:, column], f"states a {kind}")
        scores[f"{kind}_correct"] = of_kind
    return scores


def _of(right: Tensor, counted: Tensor, what: str) -> Estimate:
    return share(right[counted]) if counted.any() else Estimate(nan, note=f"no caption {what}")


def _output(heading: str) -> Output:
    return Output(True, heading, "agreement", decimals=3)


class CaptionAgreement(Metric):
    """Shares of generated samples in which what the caption states holds: all of it, and by kind.

    ``correct``: all that is stated. ``correct_held_out``: the same, of the captions that name what
    no training sample shows; ``correct_seen``: of the others; ``correct_single``: of those of them
    that mention one object. ``count_correct`` and so on: what is stated of that kind, of the
    captions that state some. The extractor judges, and its own error is the ceiling. The intervals,
    Wilson's, are over draws of the generated samples.
    """

    needs: Set[str] = frozenset({"agreement"})
    sides: Set[str] = frozenset({"generated"})
    outputs: Mapping[str, Output] = {
        "correct": _output("all correct"),
        "correct_seen": _output("all correct, seen"),
        "correct_single": _output("all correct, single objects"),
        "correct_held_out": _output("all correct, held out"),
        **{f"{kind}_correct": _output(f"{kind} correct") for kind in KINDS},
    }
    version = 2
    full_state_update = False

    generated_agreement: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("generated_agreement", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["agreement"]``, ``(B, 12)``, of ``"generated"``."""
        self.generated_agreement.append(features["agreement"])

    def compute(self) -> Mapping[str, Estimate]:
        return agreement_scores(dim_zero_cat(self.generated_agreement))
