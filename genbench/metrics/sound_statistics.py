"""Whether generated sounds are as silent, as clipped, as centred and as broad as real ones."""

from __future__ import annotations

from collections.abc import Mapping, Set

from scipy.stats import wasserstein_distance
from torch import Tensor

from genbench.api import Estimate, Output
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.resampling import over_groups

STATISTICS = "sound_statistics"


def transport(reference: Tensor, generated: Tensor) -> Estimate:
    """W₁ = ∫ |F(u) - G(u)| du of two distributions of one number, ``(N,)`` and ``(M,)``: in [0, ∞),
    in its unit. The interval is the jackknife's over groups of the generated ones."""
    of = reference.double().numpy()

    def distance(x: Tensor) -> float:
        return float(wasserstein_distance(of, x.double().numpy()))

    return over_groups(distance, generated, least=0.0)


class SoundStatistics(FeatureMetric):
    """1-Wasserstein distances between reference and generated sounds of what each sound measures:
    the share of it that is silent, the share that is clipped, its mean amplitude, and its bandwidth
    in Hz (``genbench.extractors.sound.statistics``).

    They judge no content: of a generator with a small Fréchet distance they say whether it hums,
    clips, or lacks high frequencies. Their bias is upwards: compare at equal counts.
    """

    reads = STATISTICS
    needs: Set[str] = frozenset({STATISTICS})
    outputs: Mapping[str, Output] = {
        "silence_difference": Output(False, "difference of silence", "sound", minimum=0),
        "clipping_difference": Output(False, "difference of clipping", "sound", minimum=0),
        "offset_difference": Output(False, "difference of offset", "sound", minimum=0),
        "bandwidth_difference": Output(False, "difference of bandwidth, Hz", "sound", minimum=0),
    }
    version = 1

    def compute(self) -> Mapping[str, Estimate]:
        columns = (self.all_of(side).T for side in ("reference", "generated"))
        pairs = zip(self.outputs, *(column.cpu() for column in columns), strict=True)
        return {name: transport(real, made) for name, real, made in pairs}
