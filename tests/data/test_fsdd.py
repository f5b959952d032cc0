"""The Free Spoken Digit Dataset: the real recordings, and made-up ones that are incomplete."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.io import wavfile

from genbench.api import Categorical, TensorSamples
from genbench.api.errors import DataError, UsageError
from genbench.data import fsdd, open_samples
from genbench.io.sounds import SILENCE


def load(reference: str, data_dir: Path) -> TensorSamples:
    samples = open_samples(reference, data_dir)
    assert isinstance(samples, TensorSamples)
    return samples


def refusal(data_dir: Path, reference: str = "fsdd:test") -> str:
    with pytest.raises(DataError) as caught:
        load(reference, data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- The real ones. ---


@pytest.fixture(scope="module")
def cloned(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``git clone`` leaves them."""
    archive = shared_data / fsdd.ARCHIVE
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    folder = tmp_path_factory.mktemp("data")
    with tarfile.open(archive) as members:
        members.extractall(folder / "free-spoken-digit-dataset", filter="data")
    return folder


@pytest.mark.parametrize(("split", "each"), [("train", 45), ("test", 5)])
def test_the_real_recordings(cloned: Path, split: str, each: int) -> None:
    samples = load(f"fsdd:{split}", cloned)
    assert samples.data.shape == (60 * each, 1, 8_192)
    assert samples.data.dtype == torch.int32
    spec = samples.spec
    assert (spec.modality, spec.levels, spec.rate) == ("audio", 65_536, 8_000)
    assert spec.condition == {"label": Categorical(10), "speaker": Categorical(6)}
    pairs = 6 * samples.condition["label"] + samples.condition["speaker"]
    assert torch.bincount(pairs).tolist() == [each] * 60
    assert re.fullmatch(rf"fsdd:{split}@[0-9a-f]{{16}}", samples.id)


def test_recordings_are_followed_by_silence_or_cut(cloned: Path) -> None:
    """As scipy reads them; and as many are cut as the description says."""
    samples = load("fsdd:test", cloned)
    names = [
        f"{digit}_{speaker}_{index}.wav"
        for digit in range(10)
        for speaker in fsdd.SPEAKERS
        for index in range(5)
    ]
    longer = 0
    for name, row in zip(names, samples.data[:, 0].numpy() - SILENCE, strict=True):
        rate, pcm = wavfile.read(cloned / fsdd.FOLDERS[1] / name)
        assert (rate, pcm.dtype) == (8_000, np.int16)
        longer += len(pcm) > 8_192
        np.testing.assert_array_equal(row[: len(pcm)], pcm[:8_192])
        assert not row[len(pcm) :].any()
    assert longer == 2


def test_the_archive_holds_the_same(cloned: Path, shared_data: Path) -> None:
    assert load("fsdd:test", shared_data).id == load("fsdd:test", cloned).id


# --- Made-up ones. ---


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recordings of each digit and speaker, one of them for the test."""
    monkeypatch.setattr(fsdd, "RECORDINGS", 2)
    monkeypatch.setattr(fsdd, "TEST", 1)
    folder = tmp_path / fsdd.FOLDERS[0]
    folder.mkdir(parents=True)
    for digit in range(10):
        for number, speaker in enumerate(fsdd.SPEAKERS):
            for index in range(2):
                pcm = np.full(10, 100 * digit + 10 * number + index, np.int16)
                soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", pcm, 8_000)
    return folder


def test_the_order_is_digit_speaker_index(tiny: Path, tmp_path: Path) -> None:
    (tiny / "0_george_77.wav").write_bytes(b"not one of them")
    samples = load("fsdd:test", tmp_path)
    expected = [100 * digit + 10 * speaker for digit in range(10) for speaker in range(6)]
    assert (samples.data[:, 0, 0] - SILENCE).tolist() == expected
    assert (load("fsdd", tmp_path).data[:, 0, 0] - SILENCE).tolist() == [n + 1 for n in expected]
    with pytest.raises(UsageError, match="no split 'valid'"):
        load("fsdd:valid", tmp_path)


def test_missing_recordings_are_named(tiny: Path, tmp_path: Path) -> None:
    for name in ("3_theo_0.wav", "7_jackson_0.wav"):
        (tiny / name).unlink()
    message = refusal(tmp_path)
    assert "2 of 60 recordings are missing: 3_theo_0.wav, 7_jackson_0.wav; get them all" in message
    assert message.endswith(fsdd.SOURCE)
    assert load("fsdd:train", tmp_path).data.shape == (60, 1, 8_192)


def test_other_recordings_are_refused(tiny: Path, tmp_path: Path) -> None:
    path = tiny / "4_lucas_0.wav"
    soundfile.write(path, np.zeros(10, np.int16), 16_000)
    said = "4_lucas_0.wav: mono at 16000 Hz; the recordings of fsdd are mono at 8000 Hz"
    assert said in refusal(tmp_path)
    soundfile.write(path, np.zeros((10, 2), np.int16), 8_000)
    assert "4_lucas_0.wav: stereo at 8000 Hz; the recordings" in refusal(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    assert "4_lucas_0.wav: truncated" in refusal(tmp_path)
    path.unlink()
    path.mkdir()
    assert "4_lucas_0.wav: " in refusal(tmp_path)


def test_where_they_are_to_be_put(tmp_path: Path) -> None:
    message = refusal(tmp_path)
    assert message.startswith("fsdd: no fsdd/recordings, free-spoken-digit-dataset/recordings or ")
    assert message.endswith(f"git clone {fsdd.SOURCE} there")


def test_a_truncated_archive_is_refused(tiny: Path, tmp_path: Path) -> None:
    archive = tmp_path / "other" / fsdd.ARCHIVE
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:xz") as members:
        members.add(tiny, "recordings")
    whole = load("fsdd:test", tmp_path / "other")
    assert whole.id == load("fsdd:test", tmp_path).id
    archive.write_bytes(archive.read_bytes()[:-100])
    assert f"{archive}: truncated or damaged" in refusal(tmp_path / "other")
