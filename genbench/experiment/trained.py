"""A training and its folder: trained, resumed, or already finished."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from genbench import registry, store
from genbench.api import GenerativeModel, ProgressCallback, ProgressEvent, SampleSpec
from genbench.api.errors import GenbenchError, UsageError, one_line
from genbench.devices import compiling
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import Ranks
from genbench.experiment.context import RunContext, open_cached
from genbench.experiment.repair import RUN, metadata_if_whole, repair
from genbench.experiment.stage_table import TRAINING
from genbench.loggers import SILENT, Log
from genbench.suite import Training
from genbench.training import checkpoint, loop
from genbench.training.batches import preparation


@dataclass(frozen=True)
class Trained:
    """A finished training, and access to its weights."""

    identity: str
    folder: Path
    result: loop.TrainingResult
    training: Training
    spec: SampleSpec
    build: Callable[[], GenerativeModel]

    @property
    def last(self) -> int:
        """The example count of the last good snapshot."""
        return self.result.snapshots[-1]

    def model(self, examples: int, weights: str) -> GenerativeModel:
        """The model with the weights of a snapshot. Raises ``store.Damaged`` if the snapshot is
        damaged, ``GenbenchError`` if it belongs to another model."""
        model = self.build()
        tensors = checkpoint.load_snapshot(self.folder, examples, weights)
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            path = checkpoint.snapshot_path(self.folder, examples, weights)
            what = one_line(error)[:200]
            raise GenbenchError(f"{path} holds another model's weights ({what})") from error
        return model


def train(
    ranks: Ranks,
    hardware: Hardware,
    training: Training,
    folder: Path,
    report: ProgressCallback,
    log: Log = SILENT,
) -> Trained:
    """Run ``training`` in ``folder``, resume it, or read it if it has finished.

    Damaged files are reported and recomputed, bit for bit, from the seeds. Raises
    ``UsageError`` when ``folder`` holds another training, or the batch cannot be shared.
    """
    data = open_cached(training.dataset, hardware.data_dir)
    identity = training_identity(hardware, training)
    build = builder(training, data.spec)
    model = build()  # a misfit is reported before anything is written
    require_compilable(hardware, training, model, f"model {training.model!r}")
    pretrained = is_pretrained(model)
    if pretrained:
        said = f"{training.label}: its weights are given, nothing is trained"
        report(ProgressEvent("train", 0, 1, note=said))
    preparation(training, data.spec)  # so is a wrong augmentation
    hardware.require_shares(training.batch, training.accumulate)
    plan = loop.TrainingConfig(
        steps=0 if pretrained else training.steps,
        snapshots=training.snapshots,
        seed=training.seed,
        **training.train_options(),
    )
    about = description(hardware, training)
    with ExitStack() as held:

        def claim() -> loop.TrainingResult | None:
            store.require_own(folder, RUN)
            said = f"waiting: another genbench is at {folder}"
            waits = ProgressEvent("waiting", 0, 1, note=said)
            held.enter_context(store.lock(folder, busy=lambda: report(waits)))
            metadata = metadata_if_whole(folder / RUN)
            if metadata is not None and metadata.get("identity") != identity:
                label = metadata.get("label", "which is not named")
                raise UsageError(
                    f"{folder} holds another training ({label}), or one of another "
                    "version of its code; name a new folder"
                )
            repair(folder, about, report)
            if not (folder / RUN).exists():
                store.write_metadata(folder / RUN, about)
            return _whole(folder, report)

        result = ranks.on_rank_zero(claim)
        if result is None:
            result = loop.train(ranks.fabric, build, data, plan, folder, report, log)
    return Trained(identity, folder, result, training, data.spec, build)


def require_compilable(
    hardware: Hardware, training: Training, model: GenerativeModel, what: str
) -> None:
    """Raises ``UsageError`` if ``training``, of ``model``, which is named ``what``, wants compiled
    networks, and there can be none."""
    if training.compile:
        compiling.require_compiler(hardware.device)
        compiling.require_compilable(what, model)


def compile_for_sampling(
    hardware: Hardware,
    trained: Trained,
    model: GenerativeModel,
    options: Mapping[str, Any],
    purpose: str = "samples",
) -> None:
    """Compile ``model`` if its training was. Whatever is drawn from a training for the same
    ``purpose`` by the same ``options`` shares what is compiled. Raises ``UsageError``."""
    if trained.training.compile:
        compiling.require_compiler(hardware.device)
        drawn = {"training": trained.identity, "options": dict(options), "purpose": purpose}
        compiling.compile_networks(model.players.values(), store.fingerprint(drawn))


def is_pretrained(model: GenerativeModel) -> bool:
    """Whether its weights were given, so that nothing is trained."""
    return bool(getattr(model, "pretrained", False))


def description(hardware: Hardware, training: Training) -> dict[str, Any]:
    """The content of ``run.json``. The identity is first, so that a truncated file still has it."""
    spec = open_cached(training.dataset, hardware.data_dir).spec
    return {
        "identity": training_identity(hardware, training),
        "label": training.label,
        "training": asdict(training),
        "spec": spec.to_dict(),
    }


def _whole(folder: Path, report: ProgressCallback) -> loop.TrainingResult | None:
    """How the training ended; ``None`` if it has not, or if a part of it is missing."""
    result = loop.read_result(folder)
    for part in checkpoint.parts(folder, result.snapshots) if result else ():
        if not store.metadata_path(part).exists():
            report(
                ProgressEvent("damaged", 0, 1, note=f"{part} is missing; its training starts again")
            )
            checkpoint.invalidate(folder)
            return None
    if result is not None:
        checkpoint.clear_state(folder)  # a killed process may have left it
    return result


def open_trained(folder: Path) -> Trained:
    """The finished training that ``folder`` holds. Raises ``UsageError`` if it holds none, or one
    that this version cannot read; ``store.Damaged`` if it is damaged."""
    metadata = store.read_metadata(folder / RUN)
    result = None if metadata is None else loop.read_result(folder)
    if metadata is None or result is None:
        raise UsageError(f"{folder} holds no finished training; see genbench train --help")
    try:
        training = TypeAdapter(Training).validate_json(json.dumps(metadata["training"]))
        spec = SampleSpec.from_dict(metadata["spec"])
        identity = metadata["identity"]
    except (AttributeError, KeyError, TypeError, ValidationError) as error:
        raise UsageError(
            f"{folder / RUN} is not of this version of genbench: {one_line(error)}"
        ) from error
    return Trained(identity, folder, result, training, spec, builder(training, spec))


def run_folder(context: RunContext, training: Training) -> Path:
    identity = training_identity(context.hardware, training)
    model = re.sub(r"\W+", "-", training.model.lstrip("_"))
    return context.out / "runs" / f"{model}-seed{training.seed}-{identity[:8]}"


def training_identity(hardware: Hardware, training: Training) -> str:
    return TRAINING.identity(
        {
            "training": training.named(),
            "data": open_cached(training.dataset, hardware.data_dir).id,
            "code": _code(training),
            "hardware": hardware.identity(),
        }
    )


def _code(training: Training) -> list[str]:
    """Hashes of the model's code, and of the code of augmentations from plugins. The loop's version
    stands for genbench's own augmentations."""
    added = [name for name in training.augment if not registry.augmentations.is_ours(name)]
    codes = [registry.models.code(training.model), *map(registry.augmentations.code, added)]
    return [code.identity for code in codes]


def builder(training: Training, spec: SampleSpec) -> Callable[[], GenerativeModel]:
    """A function that builds the model of a training. Raises what the model's factory raises."""
    factory = registry.models.get(training.model)
    return partial(registry.call, factory, spec, **training.options)
