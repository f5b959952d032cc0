"""Sound files and folders of them: equal samples from equal sounds, and every refusal."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from genbench.api import LENGTH, Categorical, SampleSpec, TensorSamples
from genbench.api.errors import DataError, UsageError
from genbench.data import open_samples
from genbench.io.arrays import save_npz
from genbench.io.sounds import LEVELS, SILENCE
from genbench.store import in_memory

RATE = 8_000


def noise(seed: int, count: int = 200, channels: int = 1) -> np.ndarray:
    """PCM values ``(count, channels)``, the extremes among them."""
    pcm = np.random.default_rng(seed).integers(-32_768, 32_768, (count, channels))
    pcm[:2] = [[-32_768], [32_767]]
    return pcm.astype(np.int16)


def write(path: Path, sound: np.ndarray, rate: int = RATE, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, **options)
    return path


def load(path: Path) -> TensorSamples:
    samples = open_samples(f"folder:{path}", Path("unused"))
    assert isinstance(samples, TensorSamples)
    return samples


def notes(samples: TensorSamples) -> tuple[str, ...]:
    found: tuple[str, ...] = vars(samples)["notes"]
    return found


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- What is read. ---


@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_of_16_bits_is_read_as_it_stands(tmp_path: Path, channels: int) -> None:
    sounds = [noise(seed, channels=channels) for seed in range(3)]
    for name, sound in zip(("b/c.wav", "a.WAV", "d.flac"), sounds, strict=True):
        write(tmp_path / name, sound)
    (tmp_path / "README").write_text("not a sound")
    samples = load(tmp_path)
    assert samples.spec == SampleSpec("audio", (channels, 200), LEVELS, rate=float(RATE))
    assert samples.data.dtype == torch.int32
    expected = np.stack([sounds[1], sounds[0], sounds[2]]).swapaxes(1, 2).astype(np.int32)
    assert torch.equal(samples.data, torch.from_numpy(expected + SILENCE))
    assert samples.condition == {}
    assert samples.id.startswith(f"folder:{tmp_path.name}@")
    assert notes(samples) == ()


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("wav", {"subtype": "PCM_24"}),
        ("wav", {"subtype": "PCM_32"}),
        ("wav", {"subtype": "FLOAT"}),
        ("wav", {"subtype": "DOUBLE"}),
        ("wav", {"subtype": "FLOAT", "format": "WAVEX"}),
        ("flac", {"subtype": "PCM_16"}),
        ("flac", {"subtype": "PCM_24"}),
    ],
)
def test_the_same_sound_gives_the_same_samples(
    tmp_path: Path, suffix: str, options: dict[str, str]
) -> None:
    """Whatever the width of its numbers, and so the same features and scores."""
    pcm = np.arange(-32_768, 32_768).astype(np.int16)
    write(tmp_path / "one" / "set" / "a.wav", pcm)
    write(tmp_path / "two" / "set" / f"a.{suffix}", pcm / 32_768, **options)
    one, two = load(tmp_path / "one" / "set"), load(tmp_path / "two" / "set")
    assert torch.equal(one.data, two.data)
    assert one.id == two.id


def test_other_widths_go_to_the_nearest_of_16_bits(tmp_path: Path) -> None:
    """Ties to the even one, and the last one for what is above it."""
    fine = np.array([0, 127, 128, 129, 384, -128, -384, 2**23 - 1, -(2**23)], np.int32)
    write(tmp_path / "fine" / "a.wav", fine << 8, subtype="PCM_24")
    expected = [0, 0, 0, 1, 2, 0, -2, 32_767, -32_768]
    assert (load(tmp_path / "fine").data - SILENCE).flatten().tolist() == expected
    coarse = np.array([0, 1, -1, 127, -128], np.int16) << 8
    write(tmp_path / "coarse" / "a.wav", coarse, subtype="PCM_U8")
    assert (load(tmp_path / "coarse").data - SILENCE).flatten().tolist() == coarse.tolist()


def test_lossy_files_are_read_and_what_they_put_beyond_is_clipped(tmp_path: Path) -> None:
    x = np.sign(np.sin(2 * np.pi * 200 * np.arange(8_000) / RATE))
    write(tmp_path / "a.ogg", x, subtype="VORBIS")
    assert np.abs(soundfile.read(tmp_path / "a.ogg")[0]).max() > 1
    samples = load(tmp_path)
    pcm = samples.data[0, 0].numpy() - SILENCE
    assert (samples.spec.rate, pcm.min(), pcm.max()) == (RATE, -32_768, 32_767)
    assert np.corrcoef(pcm, x)[0, 1] > 0.95


def test_shorter_sounds_are_followed_by_silence_and_a_note_says_so(tmp_path: Path) -> None:
    for number, count in enumerate((400, 800, 100)):
        write(tmp_path / f"{number}.wav", noise(number, count))
    samples = load(tmp_path)
    assert samples.spec.shape == (1, 800)
    for row, count in zip(samples.data, (400, 800, 100), strict=True):
        assert (row[0, count:] == SILENCE).all()
        assert row[0, 1] == LEVELS - 1
    (note,) = notes(samples)
    assert note == (
        "2 of 3 sounds, of 0.0125 s or more, are followed by silence up to the longest, 0.1 s"
    )


def test_captions_of_sounds_are_not_read_and_a_note_says_so(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(0))
    (tmp_path / "metadata.csv").write_text("file_name,text\na.wav,noise\n")
    assert notes(load(tmp_path)) == ("metadata.csv is not read beside sounds",)


# --- What is refused. ---


def encoded(sound: np.ndarray, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, RATE, format=format, **options)
    return buffer.getvalue()


def floats(value: float) -> bytes:
    return encoded(np.array([0.0, value, 0.5]), "WAV", subtype="FLOAT")


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.wav", lambda: b"", "a.wav (empty file)"),
        ("a.wav", lambda: b"RIFF of another kind", "a.wav (not a WAV, FLAC or OGG file, or damage"),
        ("a.flac", lambda: b"text\n" * 99, "a.flac (not a WAV, FLAC or OGG file, or damaged"),
        ("a.wav", lambda: encoded(noise(0), "AIFF"), "a.wav (of the format AIFF, not WAV, FLAC"),
        ("a.wav", lambda: encoded(noise(0), "WAV")[:-2], "a.wav (truncated: the file ends before"),
        ("a.wav", lambda: encoded(noise(0), "WAV")[:44], "a.wav (truncated: the file ends before"),
        ("a.flac", lambda: encoded(noise(0, 20_000), "FLAC")[:-9_000], "a.flac ("),
        ("a.ogg", lambda: encoded(noise(0, 20_000), "OGG")[:-50], "a.ogg (truncated: the file"),
        ("a.wav", lambda: encoded(noise(0)[:0], "WAV"), "a.wav (it holds zero samples)"),
        ("a.wav", lambda: floats(np.nan), "a.wav (it holds NaN or infinity)"),
        ("a.wav", lambda: floats(-np.inf), "a.wav (it holds NaN or infinity)"),
        ("a.wav", lambda: floats(1.25), "amplitudes up to 1.25, which must lie in [-1, 1]"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, make: Callable[[], bytes], reason: str
) -> None:
    write(tmp_path / "good.wav", noise(1))
    (tmp_path / name).write_bytes(make())
    message = refusal(tmp_path)
    assert message.startswith(f"{tmp_path}: 1 of 2 sounds cannot be used: {name} (")
    assert reason in message
    assert message.endswith("convert or remove them")


def test_rates_and_channels_must_be_equal(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / f"b{number}.wav", noise(number))
    path = write(tmp_path / "a.wav", noise(2), rate=16_000)
    said = "mixed sounds: b0.wav is mono at 8000 Hz, a.wav is mono at 16000 Hz; make rates and"
    assert said in refusal(tmp_path)
    path.unlink()
    write(tmp_path / "c.wav", noise(3, channels=2))
    assert "b0.wav is mono at 8000 Hz, c.wav is stereo at 8000 Hz" in refusal(tmp_path)


def test_a_folder_holds_one_kind(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(0))
    (tmp_path / "b.mp3").write_bytes(b"")
    assert "formats that are not read: b.mp3; convert them to WAV (.wav)" in refusal(tmp_path)
    (tmp_path / "b.mp3").unlink()
    Image.new("L", (4, 4)).save(tmp_path / "c.png")
    message = refusal(tmp_path)
    assert "holds pictures and sounds, as c.png and a.wav; give each kind a folder of" in message


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.wav", noise(0))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UsageError, match=r"pip install 'genbench\[audio\]'"):
        load(tmp_path)


# --- Arrays. ---


def test_sounds_are_written_as_an_array_and_read_again(tmp_path: Path) -> None:
    spec = SampleSpec("audio", (1, 200), LEVELS, {"label": Categorical(3)}, float(RATE))
    data = torch.from_numpy(noise(0, 600).reshape(3, 1, 200).astype(np.int32)) + SILENCE
    samples = in_memory("x", "train", spec, data, {"label": torch.tensor([0, 2, 1])})
    save_npz(tmp_path / "x.npz", samples)
    again = open_samples(f"npz:{tmp_path / 'x.npz'}", tmp_path)
    assert again.spec == spec
    assert torch.equal(again.take(torch.arange(3)).data, data)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"levels": LEVELS}, "sounds have a rate in whole Hz, and this one says none"),
        ({"levels": LEVELS, "rate": 8_000.5}, "a rate in whole Hz, and this one says 8000.5"),
        ({"rate": 8_000}, "samples of modality 'audio' without levels must be reals"),
        (
            {"levels": LEVELS, "rate": 8_000, f"condition.{LENGTH}": [5] * 3},
            "sounds in levels have no 'length'",
        ),
    ],
)
def test_arrays_that_are_no_sounds(tmp_path: Path, entries: dict[str, Any], message: str) -> None:
    data = np.full((3, 1, 50), SILENCE, np.int32)
    np.savez(tmp_path / "x.npz", samples=data, modality="audio", **entries)
    with pytest.raises(DataError) as caught:
        open_samples(f"npz:{tmp_path / 'x.npz'}", tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
