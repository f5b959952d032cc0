"""Trajectories → strips and animations: data dissolving into noise, noise becoming data."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

from markupsafe import Markup
from safetensors import SafetensorError
from safetensors.numpy import load

from genbench import modalities, store
from genbench.api import Drawing, Frames, SampleSpec, Shown
from genbench.api.errors import DataError, UsageError
from genbench.report.drawings import on_page, pixels, png

TITLES = {
    "forward": "data → noise",
    "reverse": "noise → samples",
    "walk": "a walk through the noise",
}
MILLISECONDS = 80
"""Of a frame of an animation; the last one stays for as long as ``PAUSE`` of them."""
PAUSE = 18
MOST_PIXELS = 400
"""Of a strip on the page: noise cannot be compressed."""
STRIP = 10
"""Frames of a strip."""


def read_frames(path: Path) -> Frames:
    """The trajectory in a safetensors file. Raises ``DataError`` where there is none,
    ``store.Damaged``."""
    artefact = store.read_artefact(path)
    if artefact is None:
        raise DataError(f"{path.name}: no such file")
    data, metadata = artefact
    try:
        frames = load(data)["frames"]
        spec = modalities.described(metadata, frames.shape[2:])
        return Frames(metadata["kind"], frames, spec, tuple(metadata.get("asked", ())))
    except (KeyError, SafetensorError) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error


def strip_on_page(frames: Frames, label: str) -> Markup:
    """A few frames side by side. Raises ``DataError`` for what has no picture."""
    return on_page(_strip(frames, True), label, MOST_PIXELS)


def strip_png(frames: Frames) -> bytes:
    """The same as a PNG file."""
    return png(_strip(frames, False))


def animation_gif(frames: Frames) -> bytes:
    """A GIF that runs through all frames, rests, and begins again. Raises as ``strip_png`` does."""
    found = modalities.require(frames.spec)
    if found.animation is None:
        raise DataError(f"samples of modality {frames.spec.modality!r} have no animation")
    first, *others = [pixels(drawing) for drawing in found.animation(frames)]
    pause = 1 if frames.kind == "walk" else PAUSE
    durations = [MILLISECONDS] * len(others) + [MILLISECONDS * pause]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return buffer.getvalue()


def sound_wav(frames: Frames) -> bytes:
    """The same frames as a strip has, as one sound: those of a sample after each other, and then
    the next sample. Raises ``DataError`` for what cannot be heard."""
    found = modalities.require(frames.spec)
    if found.player is None:
        raise DataError(f"samples of modality {frames.spec.modality!r} cannot be heard")
    few = frames.some(STRIP).data.swapaxes(0, 1)
    return found.player(Shown(few.reshape(-1, *frames.spec.shape), frames.spec))


WRITERS: Mapping[str, Callable[[Frames], bytes]] = {
    ".png": strip_png,
    ".gif": animation_gif,
    ".wav": sound_wav,
}
"""The files that ``genbench show`` writes, by suffix."""


def frames_writer(out: Path, spec: SampleSpec) -> Callable[[Frames], bytes]:
    """What makes the file ``out`` of a trajectory of samples of ``spec``. Raises ``UsageError`` for
    a suffix that is not one of these."""
    found = modalities.find(spec)
    heard = found is not None and found.player is not None
    if out.suffix not in WRITERS or (out.suffix == ".wav" and not heard):
        sound = ", a sound as .wav" if heard else ""
        raise UsageError(f"--out {out}: a strip is written as .png, an animation as .gif{sound}")
    return WRITERS[out.suffix]


def _strip(frames: Frames, on_page: bool) -> Drawing:
    found = modalities.require(frames.spec)
    if found.strip is None:
        raise DataError(f"samples of modality {frames.spec.modality!r} have no strip")
    return found.strip(frames.some(STRIP), on_page)
