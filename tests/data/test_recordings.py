"""SC09 and ESC-50, of made-up recordings in the folders that people have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from genbench.api import Categorical, TensorSamples
from genbench.api.errors import DataError, UsageError
from genbench.data import esc50, open_samples, sc09
from genbench.io.sounds import SILENCE


def load(reference: str, data_dir: Path) -> TensorSamples:
    samples = open_samples(reference, data_dir)
    assert isinstance(samples, TensorSamples)
    return samples


def refusal(reference: str, data_dir: Path) -> str:
    with pytest.raises((DataError, UsageError)) as caught:
        load(reference, data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(path: Path, value: int, samples: int, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, np.full(samples, value, np.int16))


COMMANDS = {
    "one/b_nohash_0.wav": 1,
    "one/a_nohash_0.wav": 2,
    "zero/a_nohash_0.wav": 3,
    "zero/c_nohash_0.wav": 4,
    "nine/d_nohash_0.wav": 5,
    "two/e_nohash_1.wav": 6,
    "bed/a_nohash_0.wav": 7,
}


@pytest.fixture(params=sc09.FOLDERS)
def commands(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / request.param
    for name, value in COMMANDS.items():
        write(folder / name, value, 12_000, 16_000)
    (folder / "testing_list.txt").write_text("nine/d_nohash_0.wav\nbed/a_nohash_0.wav\n")
    (folder / "validation_list.txt").write_text("two/e_nohash_1.wav\n")
    return tmp_path


@pytest.mark.parametrize(
    ("split", "values", "labels"),
    [("train", [3, 4, 2, 1], [0, 0, 1, 1]), ("validation", [6], [2]), ("test", [5], [9])],
)
def test_sc09_is_split_by_the_lists(
    commands: Path, split: str, values: list[int], labels: list[int]
) -> None:
    samples = load(f"sc09:{split}", commands)
    assert samples.data.shape == (len(values), 1, 16_000)
    assert (samples.data[:, 0, 0] - SILENCE).tolist() == values
    assert (samples.data[:, 0, 12_000:] == SILENCE).all()
    assert samples.condition["label"].tolist() == labels
    assert samples.spec.condition == {"label": Categorical(10)}
    assert samples.spec.rate == 16_000


def test_what_sc09_needs(commands: Path, tmp_path: Path) -> None:
    folder = next(commands / name for name in sc09.FOLDERS if (commands / name).is_dir())
    assert "'sc09' has no split 'dev'" in refusal("sc09:dev", commands)
    assert "sc09: no speech_commands_v0.02, SpeechCommands/speech_commands_v0.02 or" in refusal(
        "sc09:train", tmp_path / "empty"
    )
    (folder / "nine" / "d_nohash_0.wav").unlink()
    assert "1 of 1 recordings are missing: nine/d_nohash_0.wav" in refusal("sc09:test", commands)
    write(folder / "zero" / "a_nohash_0.wav", 1, 8_000, 8_000)
    assert "zero/a_nohash_0.wav: mono at 8000 Hz; the recordings of sc09 are mono at 16000 Hz" in (
        refusal("sc09:train", commands)
    )
    (folder / "testing_list.txt").unlink()
    assert "has no testing_list.txt; unpack all of Speech Commands" in refusal(
        "sc09:train", commands
    )


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes, five clips of each."""
    monkeypatch.setattr(esc50, "CLASSES", 2)
    monkeypatch.setattr(esc50, "EACH", 5)
    for target in range(2):
        for fold in range(1, 6):
            name = f"{fold}-{100 + fold}-A-{target}.wav"
            write(tmp_path / "ESC-50" / "audio" / name, 10 * fold + target, 300, 44_100)
    (tmp_path / "ESC-50" / "audio" / "notes.txt").write_text("other files are left alone")
    return tmp_path


def test_esc50_is_split_by_fold(environment: Path) -> None:
    train, test = (load(f"esc50:{split}", environment) for split in ("train", "test"))
    assert (test.data[:, 0, 0] - SILENCE).tolist() == [50, 51]
    assert test.condition["label"].tolist() == [0, 1]
    assert train.data.shape == (8, 1, 220_500)
    assert (train.data[:, 0, 0] - SILENCE).tolist() == [10, 11, 20, 21, 30, 31, 40, 41]
    assert train.condition["label"].tolist() == [0, 1] * 4
    assert (train.data[:, 0, 300:] == SILENCE).all()


def test_what_esc50_needs(environment: Path, tmp_path: Path) -> None:
    assert "esc50: no ESC-50/audio or ESC-50-master/audio in" in refusal(
        "esc50:train", tmp_path / "empty"
    )
    (environment / "ESC-50" / "audio" / "3-103-A-1.wav").unlink()
    assert "holds 4 clips of class 1, not 5; get them all from" in refusal(
        "esc50:test", environment
    )
