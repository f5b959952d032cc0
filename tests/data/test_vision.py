"""The published image sets: the real MNIST and Fashion-MNIST, and made-up files of the others."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import socket
import struct
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from torchvision import datasets
from torchvision.transforms import v2

from genbench.api import Categorical, TensorSamples
from genbench.api.errors import DataError, UsageError
from genbench.data import open_samples, vision


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def packed(data: bytes) -> bytes:
    """With no time in it: parametrized tests are named by their bytes."""
    return gzip.compress(data, mtime=0)


def load(reference: str, data_dir: Path) -> TensorSamples:
    samples = open_samples(reference, data_dir)
    assert isinstance(samples, TensorSamples)
    return samples


def idx(array: np.ndarray) -> bytes:
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9])
IMAGES_GZ = "train-images-idx3-ubyte.gz"
LABELS_GZ = "train-labels-idx1-ubyte.gz"


@pytest.fixture
def six(monkeypatch) -> None:
    """As if six pictures had been published."""
    monkeypatch.setitem(vision.IDX_COUNTS, "train", 6)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Six pictures laid out as MNIST's training half."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / IMAGES_GZ).write_bytes(packed(idx(IMAGES)))
    (folder / LABELS_GZ).write_bytes(packed(idx(LABELS)))
    return tmp_path


# Counts of each digit as published: LeCun et al.'s MNIST; Fashion-MNIST is balanced.
MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.parametrize(
    ("reference", "counts"),
    [
        ("mnist:train", MNIST_TRAIN),
        ("mnist:test", MNIST_TEST),
        ("fashion-mnist:train", [6000] * 10),
        ("fashion-mnist:test", [1000] * 10),
    ],
)
def test_the_real_files(shared_data, reference, counts):
    samples = load(reference, shared_data)
    assert samples.data.shape == (sum(counts), 1, 28, 28)
    assert samples.data.dtype == torch.uint8
    assert (samples.data.min(), samples.data.max()) == (0, 255)
    assert torch.bincount(samples.condition["label"]).tolist() == counts
    assert (samples.spec.shape, samples.spec.levels) == ((1, 28, 28), 256)
    assert samples.spec.condition == {"label": Categorical(10)}
    assert samples.id.startswith(f"{reference}@")


def test_what_torchvision_downloads_is_read(shared_data, tmp_path, monkeypatch):
    class Response(io.BytesIO):
        def __init__(self, request: urllib.request.Request) -> None:
            self.url = request.full_url
            data = (shared_data / "mnist" / self.url.rpartition("/")[2]).read_bytes()
            self.length = len(data)
            super().__init__(data)

    monkeypatch.setattr(urllib.request, "urlopen", Response)
    samples = load("mnist:test", tmp_path)
    assert samples.id == load("mnist:test", shared_data).id

    monkeypatch.setattr(urllib.request, "urlopen", None)  # what is there is not fetched again
    assert load("mnist:test", tmp_path).id == samples.id


def test_the_reader_agrees_with_torchvisions(shared_data, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (shared_data / "mnist").glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    known = datasets.MNIST(tmp_path, train=False)
    samples = load("mnist:test", shared_data)
    assert torch.equal(samples.data[:, 0], known.data)
    assert torch.equal(samples.condition["label"], known.targets)
    assert load("mnist:test", tmp_path).id == samples.id


@pytest.mark.parametrize("place", ["mnist", "MNIST/raw"])
@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.usefixtures("six")
def test_where_mnist_may_lie(tmp_path, place, gzipped):
    folder = tmp_path / place
    folder.mkdir(parents=True)
    for name, array in ((IMAGES_GZ, IMAGES), (LABELS_GZ, LABELS)):
        if gzipped:
            (folder / name).write_bytes(packed(idx(array)))
        else:
            (folder / name.removesuffix(".gz")).write_bytes(idx(array))
    samples = load("mnist", tmp_path)
    assert torch.equal(samples.data, torch.from_numpy(IMAGES)[:, None])
    assert samples.condition["label"].tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        (IMAGES_GZ, b"", "the file is empty"),
        (IMAGES_GZ, packed(b""), "the file is empty"),
        (IMAGES_GZ, b"hello", "not a gzip file"),
        (IMAGES_GZ, packed(idx(IMAGES))[:-20], "truncated"),
        (IMAGES_GZ, packed(idx(IMAGES)) + b"junk", "not a gzip file"),
        (IMAGES_GZ, packed(idx(IMAGES)[:-1]), "truncated: 4703 of 4704 bytes"),
        (IMAGES_GZ, packed(idx(IMAGES) + b"x"), "1 bytes more than its header says"),
        (IMAGES_GZ, packed(idx(IMAGES)[:10]), "truncated inside its header"),
        (IMAGES_GZ, packed(idx(LABELS)), "wrong magic 00000801"),
        (IMAGES_GZ, packed(b"\0\0\x0d\3" + idx(IMAGES)[4:]), "wrong magic 00000d03"),
        (IMAGES_GZ, packed(idx(IMAGES[:0])), "zero images"),
        (IMAGES_GZ, packed(idx(IMAGES[:, :27])), "images of 27×28, not 28×28"),
        (LABELS_GZ, packed(idx(IMAGES)), "wrong magic 00000803"),
        (LABELS_GZ, packed(idx(LABELS[:5])), "5 labels for 6 images"),
        (LABELS_GZ, packed(idx(LABELS + 1)), "label 10 is not in 0…9"),
    ],
)
@pytest.mark.usefixtures("six")
def test_damaged_mnist_files(tiny, name, content, cause):
    path = tiny / "mnist" / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load("mnist", tiny)
    assert str(path) in str(caught.value)
    assert cause in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [5, 7])
def test_a_part_of_mnist_is_not_mnist(tiny, monkeypatch, count):
    monkeypatch.setitem(vision.IDX_COUNTS, "train", count)
    with pytest.raises(DataError) as caught:
        load("mnist", tiny)
    path = tiny / "mnist" / IMAGES_GZ
    assert str(caught.value) == f"{path}: 6 images; the split 'train' has {count}"


def test_a_flipped_bit_in_the_compressed_pixels(tiny):
    path = tiny / "mnist" / IMAGES_GZ
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"train-images.*(damaged|truncated)"):
        load("mnist", tiny)


OFFLINE = [
    ("mnist", ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "MNIST/raw/", "mnist/"]),
    ("mnist:test", ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]),
    ("fashion-mnist", ["train-images-idx3-ubyte.gz", "FashionMNIST/raw/", "fashion-mnist/"]),
    ("cifar10", ["cifar-10-python.tar.gz", "cs.toronto.edu"]),
    ("svhn:test", ["test_32x32.mat", "ufldl.stanford.edu"]),
    ("celeba64", ["celeba/list_eval_partition.txt", "celeba/img_align_celeba/"]),
]


@pytest.mark.parametrize(("reference", "files"), OFFLINE)
def test_offline_one_line_says_which_files_to_put_where(tmp_path, reference, files):
    with pytest.raises(DataError) as caught:
        open_samples(reference, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path) in message
    for name in files:
        assert name in message


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "svhn", "celeba64"])
def test_unknown_split(tmp_path, name):
    with pytest.raises(UsageError, match=f"'{name}' has no split 'tset'; did you mean 'test'"):
        open_samples(f"{name}:tset", tmp_path)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def tiny_cifar(tmp_path, monkeypatch) -> tuple[Path, np.ndarray, list[int]]:
    """Two pictures a batch file, whose sums torchvision is told to expect."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 2, 3072), dtype=np.uint8)
    labels = [[2 * part, 2 * part + 1] for part in range(5)] + [[7, 7]]
    names = [name for name, _ in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list]
    for name, data, label in zip(names, pixels, labels, strict=True):
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": label}, protocol=2))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    sums = [[name, md5(folder / name)] for name in names]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", sums[5:])
    meta = {**datasets.CIFAR10.meta, "md5": md5(folder / "batches.meta")}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return tmp_path, pixels, [label for pair in labels for label in pair]


def test_cifar10(tiny_cifar):
    data_dir, pixels, labels = tiny_cifar
    train, test = load("cifar10:train", data_dir), load("cifar10:test", data_dir)
    # Rows of the files are planes of red, green and blue, each row by row.
    known = torch.from_numpy(pixels).reshape(12, 3, 32, 32)
    assert torch.equal(torch.cat([train.data, test.data]), known)
    assert torch.cat([train.condition["label"], test.condition["label"]]).tolist() == labels
    assert (train.spec.shape, train.spec.levels) == ((3, 32, 32), 256)
    assert train.data.is_contiguous()


class Canary:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_cifar10_file_with_another_sum_is_not_unpickled(tiny_cifar, tmp_path):
    data_dir, *_ = tiny_cifar
    canary = tmp_path / "sang"
    bad = pickle.dumps(Canary(canary))
    pickle.loads(bad)
    assert canary.exists()
    canary.unlink()
    (data_dir / "cifar-10-batches-py" / "data_batch_3").write_bytes(bad)
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz"):
        load("cifar10", data_dir)
    assert not canary.exists()


def test_svhn(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    path = tmp_path / "train_32x32.mat"
    scipy.io.savemat(path, {"X": pixels, "y": np.array([[1], [10], [9], [2]], dtype=np.uint8)})
    monkeypatch.setattr(
        datasets.SVHN, "split_list", {"train": ["http://no.where", path.name, md5(path)]}
    )
    samples = load("svhn", tmp_path)
    for index in range(4):
        known = torch.from_numpy(pixels[..., index].copy()).permute(2, 0, 1)
        assert torch.equal(samples.data[index], known)
    assert samples.condition["label"].tolist() == [1, 0, 9, 2]


@pytest.fixture
def tiny_celeba(tmp_path) -> Path:
    pictures = tmp_path / "celeba" / "img_align_celeba"
    pictures.mkdir(parents=True)
    lines = []
    for index, part in enumerate([0, 0, 1, 2], start=1):
        name = f"{index:06}.jpg"
        blocks = np.random.default_rng(index).integers(0, 256, (28, 23, 3), dtype=np.uint8)
        pixels = np.kron(blocks, np.ones((8, 8, 1), np.uint8))[:218, :178]
        Image.fromarray(pixels).save(pictures / name, quality=95)
        lines.append(f"{name} {part}\n")
    (pictures.parent / "list_eval_partition.txt").write_text("".join(lines))
    return tmp_path


@pytest.mark.parametrize(("split", "files"), [("train", [1, 2]), ("valid", [3]), ("test", [4])])
def test_celeba64_is_torchvisions_crop_and_resize(tiny_celeba, split, files):
    samples = open_samples(f"celeba64:{split}", tiny_celeba)
    transform = v2.Compose([v2.CenterCrop(148), v2.Resize(64), v2.PILToTensor()])
    assert samples.id.startswith(f"celeba64-crop148:{split}@")
    assert len(samples) == len(files)
    data = samples.take(torch.arange(len(files))).data
    for picture, index in zip(data, files, strict=True):
        path = tiny_celeba / "celeba" / "img_align_celeba" / f"{index:06}.jpg"
        with Image.open(path) as known:
            assert torch.equal(picture, transform(known))
    assert samples.spec.shape == (3, 64, 64)
    assert not isinstance(samples, TensorSamples)


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ("", "lists zero pictures of the split 'train'"),
        ("000001.jpg\n", "list_eval_partition.txt:1: not a picture and its part"),
        ("000001.jpg 0\n000002.jpg 3\n", "list_eval_partition.txt:2: not a picture"),
        ("000009.jpg 0\n", "000009.jpg (No such file or directory)"),
        ("small.jpg 0\n", "small.jpg: not an aligned face of CelebA"),
    ],
)
def test_damaged_celeba_files(tiny_celeba, lines, cause):
    folder = tiny_celeba / "celeba"
    (folder / "list_eval_partition.txt").write_text(lines)
    Image.new("RGB", (64, 64)).save(folder / "img_align_celeba" / "small.jpg")
    with pytest.raises(DataError) as caught:
        vision.celeba64("train", tiny_celeba)
    assert cause in str(caught.value)
    assert "\n" not in str(caught.value)
