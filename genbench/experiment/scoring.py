"""``genbench.evaluate``: the scores of anybody's samples, on one device or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genbench import evaluation, registry
from genbench.api import ProgressCallback
from genbench.devices.hardware import DeviceOptions
from genbench.devices.launch import launched_ranks, on_ranks
from genbench.devices.ranks import Ranks
from genbench.evaluation import SamplesLike, Scores
from genbench.io.moments import Moments


def evaluate(
    samples: SamplesLike,
    reference: SamplesLike | Moments,
    *,
    train: SamplesLike | None = None,
    extractor: str = "inception",
    extractor_options: Mapping[str, Any] | None = None,
    metrics: Sequence[str] | str = evaluation.DEFAULT_METRICS,
    seed: int = 0,
    data_dir: str | Path = "data",
    devices: int | DeviceOptions = 1,
    plugins: Sequence[str | Path] = (),
    report: ProgressCallback = lambda event: None,
) -> Scores:
    """Score anybody's samples against a reference.

    ``samples``, ``reference`` and ``train`` (the generator's training set, which some metrics look
    at): ``dataset:split``, a file, a folder of pictures, a tensor or an array ``(N, …)``, or
    ``Samples``. ``reference`` may also be an ``.npz`` of published statistics (``mu``, ``sigma``),
    against which there is a Fréchet distance alone; from a file that holds samples too, these give
    the other scores. ``metrics``: names of scores, or ``all``.

    A metric that cannot be computed is skipped, with the reason. Raises ``UsageError`` if
    something is unknown or does not fit.
    """
    registry.add_plugin_files(plugins)
    outputs = evaluation.every_output() if metrics == "all" else metrics
    hardware = DeviceOptions.of(devices).hardware(Path(data_dir))
    request = {
        "samples": samples,
        "reference": reference,
        "train": train,
        "extractor": extractor,
        "extractor_options": dict(extractor_options or {}),
        "metrics": tuple(outputs),
        "seed": seed,
        "data_dir": data_dir,
    }
    brought = registry.travelling(plugins, []) if hardware.world > 1 else []
    with launched_ranks(hardware), registry.kept_surroundings():
        return on_ranks(hardware, "32-true", _score, request, plugins=brought, report=report)


def _score(ranks: Ranks, request: dict[str, Any], report: ProgressCallback) -> Scores:
    device = str(ranks.fabric.device)
    return evaluation.evaluate(**request, device=device, ranks=ranks, report=report)
