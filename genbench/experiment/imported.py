"""The samples of models that draw none: those of a folder, of a system that cannot be run here."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from genbench.api import Condition, GenerativeModel, TensorSamples, Texts
from genbench.api.errors import UsageError
from genbench.data.captions import near
from genbench.data.manifest import ImportedPictures
from genbench.devices.hardware import Hardware
from genbench.evaluation import check_fit
from genbench.experiment.conditions import prompted
from genbench.experiment.context import RunContext, open_cached
from genbench.suite import Prompts, Training


def source_of(model: GenerativeModel) -> str | None:
    """Where the samples of ``model`` lie, as a data set is named; ``None`` if it draws them."""
    return getattr(model, "samples_from", None)


def imported(
    hardware: Hardware,
    training: Training,
    model: GenerativeModel,
    prompts: Prompts | None,
    count: int,
) -> TensorSamples:
    """``count`` pictures of the folder of ``model``, in the order of their names or, if there are
    ``prompts``, those that were made for the text of each, in the order of the prompts, with which
    they are then conditioned.

    Every seed has its own pictures: seed 0 the first of each prompt, seed 1 those that follow.
    Raises ``UsageError`` as ``require_imported`` does.
    """
    stored = _stored(hardware, training, model)
    numbers, condition, texts = _chosen(hardware, training, stored, prompts, count)
    spec = open_cached(training.dataset, hardware.data_dir).spec
    taken = stored.take(torch.tensor(numbers)).data
    return TensorSamples(spec, stored.id, taken, condition, texts)


def require_imported(context: RunContext, training: Training, model: GenerativeModel) -> None:
    """Raises ``UsageError`` if ``model`` has its samples from a folder that has no manifest, whose
    pictures do not fit the data, or are too few for the seed, or were made for other prompts."""
    if source_of(model) is not None:
        stored = _stored(context.hardware, training, model)
        _chosen(context.hardware, training, stored, context.prompts, context.samples)


def imported_conditions(hardware: Hardware, model: GenerativeModel) -> dict[str, Any]:
    """What records say of imported samples: ``imported``, with ``system``, ``version`` and
    ``date``. Empty for another model."""
    source = source_of(model)
    if source is None:
        return {}
    stored = open_cached(source, hardware.data_dir)
    return {"imported": dict(getattr(stored, "provenance", {}))}


def _stored(hardware: Hardware, training: Training, model: GenerativeModel) -> ImportedPictures:
    source = source_of(model)
    assert source is not None
    stored = open_cached(source, hardware.data_dir)
    if not isinstance(stored, ImportedPictures):
        raise UsageError(f"{stored.id} is no folder with a manifest of imported samples")
    check_fit(stored, open_cached(training.dataset, hardware.data_dir))
    return stored


def _chosen(
    hardware: Hardware,
    training: Training,
    stored: ImportedPictures,
    prompts: Prompts | None,
    count: int,
) -> tuple[list[int], Condition, Texts]:
    """The numbers of the pictures, and what they were asked for."""
    seed = training.seed
    if prompts is None:
        numbers = [*range(seed * count, (seed + 1) * count)]
        if numbers[-1] >= len(stored):
            raise UsageError(_too_few(stored.id, "", len(stored), count, seed))
        return numbers, {}, {}
    asked = prompted(prompts, open_cached(training.dataset, hardware.data_dir), hardware)
    if len(asked.texts) != 1:
        given = ", ".join(asked.condition)
        raise UsageError(f"{stored.id} was made for one text each, and the prompts give {given}")
    ((name, words),) = asked.texts.items()
    texts = [text for text in words for _ in range(prompts.each)][:count]
    wanted, found = Counter(texts), dict[str, list[int]]()
    for number, text in enumerate(stored.captions):
        found.setdefault(text, []).append(number)
    for text, each in wanted.items():
        have = len(found.get(text, ()))
        if not have:
            raise UsageError(f"{stored.id} has no picture of {text!r}{near(text, [*found])}")
        if have < (seed + 1) * each:
            raise UsageError(_too_few(stored.id, f" of {text!r}", have, each, seed))
    left = {text: iter(found[text][seed * each :]) for text, each in wanted.items()}
    tokens = asked.condition[name].repeat_interleave(prompts.each, dim=0)[:count]
    return [next(left[text]) for text in texts], {name: tokens}, {name: texts}


def _too_few(id: str, what: str, have: int, each: int, seed: int) -> str:
    others = f", after those of the seeds below {seed}" if seed else ""
    return f"{id} has {have} pictures{what}; seed {seed} takes {each}{others}"
