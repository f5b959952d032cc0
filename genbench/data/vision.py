"""The published image sets that torchvision downloads and checks: MNIST, CIFAR-10, SVHN, CelebA.

Files that are already present are read without using the network.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genbench.api import Categorical, Samples, SampleSpec
from genbench.api.errors import DataError
from genbench.data import choose_split
from genbench.io.idx import read_idx
from genbench.io.pictures import PictureFiles
from genbench.io.scan import scan_images
from genbench.store import CannotWrite, in_memory, refused

if TYPE_CHECKING:
    from torchvision import datasets

T = TypeVar("T")

IDX_COUNTS = {"train": 60_000, "test": 10_000}
"""Pictures of MNIST's splits, and of Fashion-MNIST's."""

CELEBA_CROP = 148
CELEBA_SIDE = 64


def mnist(argument: str, data_dir: Path) -> Samples:
    """MNIST: ``train`` (60,000) and ``test`` (10,000), uint8 ``(N, 1, 28, 28)``, labels 0–9.

    The four IDX files, gzipped or not, lie in ``data_dir/mnist`` or, as torchvision leaves them, in
    ``data_dir/MNIST/raw``.

    Source: Y. LeCun et al., "Gradient-based learning applied to document recognition" (1998).
    Raises ``UsageError`` for another split, ``DataError`` if the files are missing and cannot be
    downloaded, are damaged, or do not hold the whole split.
    """
    return _idx_images("mnist", "MNIST", argument, data_dir)


def fashion_mnist(argument: str, data_dir: Path) -> Samples:
    """Fashion-MNIST: ``train`` (60,000), ``test`` (10,000), uint8 ``(N, 1, 28, 28)``, labels 0–9.

    The files lie as MNIST's do, in ``data_dir/fashion-mnist`` or ``data_dir/FashionMNIST/raw``.

    Source: H. Xiao et al., "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms" (2017). Raises as ``mnist`` does.
    """
    return _idx_images("fashion-mnist", "FashionMNIST", argument, data_dir)


def cifar10(argument: str, data_dir: Path) -> Samples:
    """CIFAR-10: ``train`` (50,000) and ``test`` (10,000), uint8 ``(N, 3, 32, 32)``, labels 0–9.

    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
    Raises as ``mnist`` does.
    """
    from torchvision import datasets

    split = choose_split("cifar10", argument)

    def read() -> datasets.CIFAR10:
        # These files are pickles, which can run code: torchvision unpickles them only after each
        # has been found to be the published one by its MD5 sum.
        with warnings.catch_warnings():
            # Pickled by an older numpy, about which some releases of numpy 2.4 warn.
            warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
            return datasets.CIFAR10(data_dir, train=split == "train", download=True)

    files = f"{datasets.CIFAR10.filename} (from {datasets.CIFAR10.url})"
    found = _obtain("cifar10", data_dir, files, read)
    data = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    return _labelled("cifar10", split, data, torch.tensor(found.targets))


def svhn(argument: str, data_dir: Path) -> Samples:
    """SVHN, cropped digits: ``train`` (73,257) and ``test`` (26,032), uint8 ``(N, 3, 32, 32)``.

    Labels are 0–9 (the files' 10 is the digit 0). Source: Y. Netzer et al., "Reading digits in
    natural images with unsupervised feature learning" (2011). Raises as ``mnist`` does.
    """
    from torchvision import datasets

    split = choose_split("svhn", argument)
    url, name, _ = datasets.SVHN.split_list[split]
    found = _obtain(
        "svhn",
        data_dir,
        f"{name} (from {url})",
        lambda: datasets.SVHN(data_dir, split=split, download=True),
    )
    data = torch.from_numpy(np.ascontiguousarray(found.data))
    return _labelled("svhn", split, data, torch.from_numpy(found.labels))


def celeba64(argument: str, data_dir: Path) -> Samples:
    """CelebA at 64×64: the aligned faces, centre crop 148×148, bilinear with antialiasing to 64×64.

    Splits ``train`` (162,770), ``valid`` (19,867) and ``test`` (19,962) of the published partition,
    uint8 ``(3, 64, 64)`` a sample, unlabelled, read from the files as they are asked for. The id
    names the crop. Opening the set decodes every file once, and later only those that have changed.
    torchvision downloads it with ``gdown`` (``pip install gdown``); without that, put
    ``list_eval_partition.txt`` and the unpacked ``img_align_celeba/`` into ``data_dir/celeba``.

    Source: Z. Liu et al., "Deep learning face attributes in the wild" (2015). Raises as ``mnist``
    does.
    """
    split = choose_split("celeba64", argument, ("train", "valid", "test"))
    folder = data_dir / "celeba"
    partition, pictures = folder / "list_eval_partition.txt", folder / "img_align_celeba"
    if not (os.path.isfile(partition) and os.path.isdir(pictures)):
        from torchvision import datasets

        files = "celeba/list_eval_partition.txt and celeba/img_align_celeba/*.jpg (unpacked)"
        _obtain("celeba64", data_dir, files, lambda: datasets.CelebA(data_dir, download=True))
    names = _partition(partition, split)
    found = scan_images(pictures, names)
    for name, header in zip(names, found.headers, strict=True):
        if (header.mode, header.size) != ("RGB", (178, 218)):
            raise DataError(f"{pictures / name}: not an aligned face of CelebA, 178×218 in colour")
    spec = SampleSpec("image", (3, CELEBA_SIDE, CELEBA_SIDE))
    identity = f"celeba64-crop{CELEBA_CROP}:{split}@{found.hash}"
    return PictureFiles(spec, identity, pictures, names, found.hashed, face)


def face(picture: Image.Image) -> Image.Image:
    """The centre 148×148 of a picture, at 64×64; Pillow's bilinear filter averages over the area
    that a pixel covers, as torchvision's ``CenterCrop`` and ``Resize`` do."""
    left = round((picture.width - CELEBA_CROP) / 2)
    top = round((picture.height - CELEBA_CROP) / 2)
    square = picture.crop((left, top, left + CELEBA_CROP, top + CELEBA_CROP))
    return square.resize((CELEBA_SIDE, CELEBA_SIDE), Image.Resampling.BILINEAR)


def _partition(path: Path, split: str) -> list[str]:
    """The pictures of a split, from lines such as ``000001.jpg 0``."""
    number = {"train": "0", "valid": "1", "test": "2"}
    names = []
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    for at, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) != 2 or words[1] not in number.values():
            raise DataError(f"{path}:{at}: not a picture and its part (0, 1 or 2)")
        if words[1] == number[split]:
            names.append(words[0])
    if not names:
        raise DataError(f"{path}: lists zero pictures of the split {split!r}")
    return names


def _idx_images(name: str, kind: str, argument: str, data_dir: Path) -> Samples:
    """``kind`` is torchvision's class, and the folder in which it keeps the files."""
    split = choose_split(name, argument)
    part = "train" if split == "train" else "t10k"
    stems = (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte")
    folders = (data_dir / name, data_dir / kind / "raw")
    found = _find(folders, stems)
    if found is None:
        from torchvision import datasets

        files = f"{stems[0]}.gz and {stems[1]}.gz, in {name}/ or {kind}/raw/"
        _obtain(name, data_dir, files, lambda: getattr(datasets, kind)(data_dir, download=True))
        found = folders[1] / f"{stems[0]}.gz", folders[1] / f"{stems[1]}.gz"
    images, labels = read_idx(found[0], 3), read_idx(found[1], 1)
    if images.shape[1:] != (28, 28):
        raise DataError(f"{found[0]}: images of {images.shape[1]}×{images.shape[2]}, not 28×28")
    if len(images) != IDX_COUNTS[split]:
        raise DataError(
            f"{found[0]}: {len(images)} images; the split {split!r} has {IDX_COUNTS[split]}"
        )
    if len(images) != len(labels):
        raise DataError(f"{found[1]}: {len(labels)} labels for {len(images)} images")
    if labels.max() > 9:
        raise DataError(f"{found[1]}: label {int(labels.max())} is not in 0…9")
    return _labelled(name, split, images[:, None], labels.long())


def _find(folders: Sequence[Path], stems: tuple[str, str]) -> tuple[Path, Path] | None:
    """The images and the labels, from the first folder that has both in one form."""
    for folder in folders:
        for suffix in (".gz", ""):
            images, labels = (folder / f"{stem}{suffix}" for stem in stems)
            if os.path.isfile(images) and os.path.isfile(labels):
                return images, labels
    return None


def _labelled(name: str, split: str, data: Tensor, labels: Tensor) -> Samples:
    spec = SampleSpec("image", tuple(data.shape[1:]), condition={"label": Categorical(10)})
    return in_memory(name, split, spec, data, {"label": labels})


def _obtain(name: str, data_dir: Path, files: str, read: Callable[[], T]) -> T:
    """What torchvision reads or downloads; ``files`` says what to put into ``data_dir`` by hand."""
    try:
        return read()
    except Exception as error:  # gdown, which downloads CelebA, raises no narrower type
        if isinstance(error, OSError) and refused(error):
            raise CannotWrite.of(data_dir, error) from error
        cause = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{name}: missing or damaged in {data_dir}, and its download failed ({cause}); "
            f"files to put there: {files}"
        ) from error
