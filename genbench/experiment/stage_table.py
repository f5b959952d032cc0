"""Every stage of an experiment: its inputs, its version, and what is stored of it.

A training is identified here and stored by the loop, since it can be resumed. Everything else is
computed by ``Stage.once``, in the folder of its training, of the real row, or of the cache.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from genbench import evaluation, sampling
from genbench.api import Estimate, Output
from genbench.evaluation import Scores
from genbench.evaluation.embedding import FEATURES
from genbench.sampling import likelihood, trajectories
from genbench.store import Contents, Stage
from genbench.store.records import SCHEMA, Record, checked
from genbench.training import loop

TENSORS = ".safetensors"

SNAPSHOT = ("training", "code", "hardware", "snapshot")
"""What decides the weights of a snapshot and what they compute: the training's identity, the hash
of the model's code, the hardware, and the hash of the weights."""


def _as_json(value: Any) -> Contents:
    return b"", asdict(value)


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _fields(kind: type, contents: Contents) -> Mapping[str, Any]:
    """The fields of a stored ``kind``. Raises if one is of a wrong type, as a metric may give it:
    no record could hold it."""
    _adapter(kind).validate_json(json.dumps(contents[1]), strict=True)
    return contents[1]


def _scores(contents: Contents) -> Scores:
    fields = _fields(Scores, contents)
    values = {name: Estimate(**value) for name, value in fields["values"].items()}
    outputs = {name: Output(**value) for name, value in fields["outputs"].items()}
    return Scores(**{**fields, "values": values, "outputs": outputs})


def _record(contents: Contents) -> Record:
    return checked(Record(**contents[1]))


TRAINING = Stage[Contents](
    "training",
    version=loop.VERSION,
    inputs=("training", "data", "code", "hardware"),
)
"""The weights along a training, from all fields of ``suite.Training``, the data set's contents, the
model's code and the hardware."""

SAMPLES = Stage[Contents](
    "samples",
    version=sampling.VERSION,
    inputs=(
        *(*SNAPSHOT, "precision", "examples", "weights", "options", "seed", "count"),
        *("prompts", "codec"),
    ),
    suffix=TENSORS,
)
"""Samples, and what they cost. ``prompts`` are those of the suite, ``codec`` names what decodes."""

SCORES = Stage[Scores](
    "scores",
    version=evaluation.VERSION,
    inputs=("samples", "protocol", "code", "outputs"),
    pack=_as_json,
    unpack=_scores,
    # A failed metric is tried again: its repair need not change the identity.
    kept=lambda scores, seconds: not scores.faults,
)
"""Scores, from the scoring protocol and the code of the plugins that take part. ``outputs`` are the
names of the scores that are asked for: the protocol names the metrics, of which one may compute
several."""

LIKELIHOOD = Stage[Estimate](
    "likelihood",
    version=likelihood.VERSION,
    inputs=(*SNAPSHOT, "reference", "count", "seed"),
    pack=_as_json,
    unpack=lambda contents: Estimate(**_fields(Estimate, contents)),
)
"""Bits per dimension of reference samples."""

TRAJECTORIES = Stage[Contents](
    "trajectories",
    version=trajectories.VERSION,
    inputs=(*SNAPSHOT, "kind", "options", "count", "frames", "prompts"),
    suffix=TENSORS,
    alone=True,
)
"""Frames of data becoming noise, or of noise becoming samples."""

NEIGHBOURS = Stage[Contents](
    "neighbours",
    version=1,
    inputs=("scoring", "count"),
    suffix=TENSORS,
)
"""Samples, each beside the training sample nearest to it. ``scoring`` names the samples, the
training set and the extractor."""

ASKED = Stage[Contents](
    "asked",
    version=1,
    inputs=("scoring", "count"),
    suffix=TENSORS,
)
"""Samples with what they were asked for. ``scoring`` names the samples and the extractor."""

TIMING = Stage[float](
    "timing",
    version=1,
    inputs=("training", "hardware", "options"),
    pack=lambda seconds: (b"", {"seconds_per_sample": seconds}),
    unpack=lambda contents: float(contents[1]["seconds_per_sample"]),
)
"""Seconds a sample, while nothing else runs."""

REAL_SAMPLES = Stage[Contents](
    "samples",
    version=1,
    inputs=("reference", "count"),
    suffix=TENSORS,
)
"""Reference samples, to be shown beside the generated ones."""

RECORD = Stage[Record](
    "records",
    version=SCHEMA + 1,  # with what the model obeys
    inputs=("training", "model", "sample", "snapshot_sample", "context"),
    pack=_as_json,
    unpack=_record,
    kept=lambda record, seconds: not record.faults,  # a row with a fault is tried again
)
"""The row of an entry. The entries that share the training decide ``snapshot_sample``, how its
snapshots were sampled; ``context`` is how the suite scores."""

RECONSTRUCTIONS = Stage[Contents](
    "samples",
    version=2,  # with the codec's weights laid out as they are now
    inputs=("samples", "codec", "code", "hardware"),
    suffix=TENSORS,
)
"""Samples of the reference, encoded and decoded. ``codec`` is its id, ``code`` the hash of the code
of the model that brings it."""

REAL_RECORD = Stage[Record](
    "records",
    version=SCHEMA,
    inputs=("context",),
    pack=_as_json,
    unpack=_record,
    kept=lambda record, seconds: not record.faults,
)
"""The real row."""

CONTROL_SAMPLES = Stage[Contents](
    "samples",
    version=1,
    inputs=("context", "control"),
    suffix=TENSORS,
)
"""Training samples with the texts that were asked for. ``control`` is the name of the row."""

CONTROL_RECORD = Stage[Record](
    "records",
    version=SCHEMA,
    inputs=("context", "control"),
    pack=_as_json,
    unpack=_record,
    kept=lambda record, seconds: not record.faults,
)
"""The row of a control, which lies beside the real one."""

CODEC_RECORD = Stage[Record](
    "records",
    version=SCHEMA,
    inputs=("context", "codec", "code", "hardware"),
    pack=_as_json,
    unpack=_record,
    kept=lambda record, seconds: not record.faults,
)
"""The row of a codec, which lies beside the real one."""

STAGES: tuple[Stage[Any], ...] = (
    TRAINING,
    SAMPLES,
    FEATURES,
    SCORES,
    LIKELIHOOD,
    TRAJECTORIES,
    NEIGHBOURS,
    ASKED,
    TIMING,
    REAL_SAMPLES,
    RECONSTRUCTIONS,
    RECORD,
    REAL_RECORD,
    CONTROL_SAMPLES,
    CONTROL_RECORD,
    CODEC_RECORD,
)
