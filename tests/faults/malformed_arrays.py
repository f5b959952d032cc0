"""Files of arrays that hold no samples, and statistics that are none."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import safetensors.torch
import torch
from hostile import array, npy, saved, zipped
from hostile import safetensors as with_header
from malformed import Case, cuts, holding, patched

POINTS = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 9), dtype=np.uint8)
LABELS = np.arange(6)

DAMAGED = r"truncated or damaged \(|wrong magic|the file is empty"
LIES = "its header promises the shape|EOF: reading array data"
HUGE = 12_500_000_000
"""Numbers of eight bytes that make 100 GB."""


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def cut_files() -> Iterator[Case]:
    tensors = {"samples": torch.from_numpy(POINTS)}
    for suffix, data in (
        ("npy", array(POINTS)),
        ("npz", npz(samples=POINTS, labels=np.arange(20))),
        ("pt", saved(tensors)),
        ("pt", saved(tensors, zipped=False)),
        ("safetensors", safetensors.torch.save(tensors)),
    ):
        # In the old format of torch the name of a type may be cut to that of another.
        cause = rf"{DAMAGED}|refused" if suffix == "pt" else DAMAGED
        for kept in cuts(data, 16):
            yield Case(f"cut-at-{kept}-of-{len(data)}.{suffix}", cause, holding(data[:kept]))
        other = "npz" if suffix == "npy" else "npy"
        yield Case(f"renamed-{suffix}-{len(data)}.{other}", r"wrong magic|refused", holding(data))
    for suffix in ("npy", "npz", "pt", "safetensors"):
        for content in (b"hello", b"\0" * 500, b"<html>404 Not Found</html>"):
            yield Case(f"text-{len(content)}.{suffix}", "wrong magic|damaged", holding(content))


def no_samples() -> Iterator[Case]:
    """In each format that can hold the array."""
    nan, infinite, far = POINTS.copy(), POINTS.copy(), IMAGES.astype(np.float32)
    nan[3, 1], infinite[5:7] = np.nan, -np.inf
    contents: dict[str, tuple[Any, str]] = {
        "nan": (nan, "1 of 20 samples hold NaN or infinity"),
        "infinite": (infinite, "2 of 20 samples hold NaN or infinity"),
        "beyond-float32": (POINTS.astype(np.float64) * 1e300, "20 of 20 samples hold NaN"),
        "minus-one-to-one": (far / 127.5 - 1, r"\[0, 1\], not -1 to .*rescale them by"),
        "to-255": (far, r"\[0, 1\], not 0 to 255; divide them by 255"),
        "above": (far * 3, r"\[0, 1\], not 0 to 765; rescale them"),
        "below": (far / 255 - 7, r"\[0, 1\], not -7 to -6; rescale them"),
        "level-256": (IMAGES.astype(np.int32) + 1, "values run from 1 to 256, not within 0…255"),
        "level-minus-1": (IMAGES.astype(np.int32) - 1, "values run from -1 to 254, not within"),
        "axes-hwcn": (IMAGES.transpose(2, 3, 1, 0), "no axis of 1 or 3 channels"),
        "axes-chwn": (IMAGES.transpose(1, 2, 3, 0), "no axis of 1 or 3 channels"),
        "four-channels": (IMAGES[:, [0, 1, 2, 0]], "no axis of 1 or 3 channels"),
        "two-ways": (IMAGES[:, :, :, :3], "ambiguous: channels may come first or last"),
        "one-picture": (IMAGES[0], "may be one picture"),
        "one-picture-last": (IMAGES[0].transpose(1, 2, 0), "may be one picture"),
        "flat-levels": (IMAGES.reshape(6, -1), "neither points .* of reals nor"),
        "videos": (IMAGES[:, None], "neither points"),
        "row": (POINTS[0], "holds no batch of samples"),
        "number": (np.float32(3), "holds no batch of samples"),
        "none": (POINTS[:0], "zero samples"),
        "no-pixels": (IMAGES[:, :, :0], "zero samples"),
        "yes-no": (POINTS > 0, "samples of type bool"),
        "complex": (POINTS.astype(np.complex64), "samples of type complex64"),
    }
    for name, (value, cause) in contents.items():
        value = np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
        tensors = {"samples": torch.from_numpy(value)}
        yield Case(f"{name}.npy", cause, holding(array(value)))
        yield Case(f"{name}.npz", cause, holding(npz(samples=value)))
        yield Case(f"{name}.pt", cause, holding(saved(tensors)))
        yield Case(f"{name}.safetensors", cause, holding(safetensors.torch.save(tensors)))
    for name, value, cause in (
        ("dates", np.zeros((3, 2), "M8[s]"), r"samples of type datetime64\[s\]"),
        ("spans", np.zeros((3, 2), "m8[s]"), r"samples of type timedelta64\[s\]"),
        ("texts", np.full((3, 2), "a cat"), "samples of type <U5"),
        ("bytes", np.full((3, 2), b"a cat"), r"samples of type \|S5"),
        ("records", np.zeros((3, 2), [("x", "f4"), ("y", "f4")]), "samples of type .*'x'"),
        ("raw", np.zeros((3, 2), "V2"), r"samples of type \|V2"),
        ("objects", np.full((3, 2), {}, object), "refused: reading it would unpickle objects"),
    ):
        yield Case(f"{name}.npy", cause, holding(array(value)))
        if name != "objects":
            yield Case(f"{name}.npz", cause, holding(npz(samples=value)))


def contradictions() -> Iterator[Case]:
    """What a file says beside its samples."""
    for number, (entries, cause) in enumerate(
        (
            ({"labels": LABELS[:5]}, "labels must be 6 integers, not int64 of shape"),
            ({"labels": np.arange(7)}, "labels must be 6 integers, not int64 of shape"),
            ({"labels": LABELS[:, None]}, "labels must be 6 integers"),
            ({"labels": np.eye(6)}, "labels must be 6 integers"),
            ({"labels": LABELS / 1.0}, "labels must be 6 integers, not float64"),
            ({"labels": LABELS > 2}, "labels must be 6 integers, not bool"),
            ({"labels": LABELS - 1}, "labels run from -1 to 4, not within 0…4"),
            ({"labels": LABELS, "classes": 3}, "labels run from 0 to 5, not within 0…2"),
            ({"labels": LABELS, "classes": -3}, "classes is -3, not a whole number"),
            ({"labels": LABELS << 40}, "not within 0…2147483647"),
            ({"levels": 1}, "levels must be 2 to 65536, not 1"),
            ({"levels": 0}, "levels must be 2 to 65536, not 0"),
            ({"levels": 1 << 40}, "levels must be 2 to 65536"),
            ({"levels": -256}, "levels is -256, not a whole number"),
            ({"levels": 100}, "values run from .* not within 0…99"),
            ({"levels": np.array([256, 256])}, r"levels is an array of shape \(2,\)"),
            ({"modality": 3}, "modality is 3, not a text"),
        )
    ):
        plain = {"samples": IMAGES, **entries}
        tensors = {name: torch.as_tensor(value) for name, value in plain.items()}
        yield Case(f"contradiction-{number}.npz", cause, holding(npz(**plain)))
        yield Case(f"contradiction-{number}.pt", cause, holding(saved(tensors)))
    for name, arrays, cause in (
        ("two-arrays", {"x": POINTS, "y": POINTS}, "holds x, y; call the array of samples"),
        ("labels-alone", {"labels": LABELS}, "holds no array"),
        ("many", {f"w{k:03}": POINTS for k in range(90)}, "w019, and 70 more; call the array"),
        ("points-as-images", {"samples": POINTS, "modality": "image"}, r"images have the shape"),
        ("images-as-reals", {"samples": IMAGES, "modality": "image"}, "must be reals"),
    ):
        yield Case(f"{name}.npz", cause, holding(npz(**arrays)))
    odd = zipped({"a\nb.npy": array(POINTS), "c\td.npy": array(POINTS)})
    yield Case("odd-names.npz", r"holds a\\nb, c\\td; call the array", holding(odd))
    for number, held in enumerate(([1, 2], "a text", 7, None, {"samples": [1.0]}, {})):
        cause = "not a tensor|holds no array"
        yield Case(f"no-tensor-{number}.pt", cause, holding(saved(held)))


def lying_headers() -> Iterator[Case]:
    said = "{'descr': %r, 'fortran_order': %s, 'shape': %s}"
    for name, header, cause in (
        ("100-gb", said % ("<f8", False, (HUGE, 1)), LIES),
        ("100-gb-of-images", said % ("|u1", False, (HUGE * 8 // 3072, 3, 32, 32)), LIES),
        ("one-more-row", said % ("<f4", False, (21, 2)), LIES),
        ("wider-numbers", said % ("<f8", False, (20, 2)), LIES),
        ("beyond-int64", said % ("<f4", False, (1 << 70, 2)), LIES),
        ("two-negatives", said % ("<f4", False, (-5, -8)), LIES),
        ("empty-and-endless", said % ("<f4", False, (0, 1 << 62, 1 << 62)), DAMAGED),
        ("shape-of-reals", said % ("<f4", False, (20.0, 2.0)), DAMAGED),
        ("shape-a-text", said % ("<f4", False, "'20, 2'"), DAMAGED),
        ("no-such-type", said % ("<q9", False, (20, 2)), DAMAGED),
        ("type-a-number", said % (7, False, (20, 2)), DAMAGED),
        ("order-unknown", said % ("<f4", "'C'", (20, 2)), DAMAGED),
        ("key-missing", "{'descr': '<f4', 'shape': (20, 2)}", DAMAGED),
        ("key-unknown", said[:-1] % ("<f4", False, (20, 2)) + ", 'x': 1}", DAMAGED),
        ("a-list", "[1, 2]", DAMAGED),
        ("no-python", "}{", DAMAGED),
        ("objects-hidden", said % ("|O", False, (20, 2)), "refused: reading it would unpickle"),
    ):
        data = npy(header, POINTS.tobytes())
        yield Case(f"{name}.npy", cause, holding(data))
        yield Case(f"{name}.npz", cause, holding(zipped({"samples.npy": data})))
        yield Case(f"{name}-stored.npz", cause, holding(zipped({"samples.npy": data}, 0)))
    good = array(POINTS)
    for version in (0, 3, 4, 200):
        cause = "records, or in a format"
        yield Case(f"version-{version}.npy", cause, holding(patched(good, 6, bytes([version]))))
    shapes = {"samples": {"dtype": "F32", "shape": [HUGE, 2], "data_offsets": [0, 160]}}
    yield Case("100-gb.safetensors", DAMAGED, holding(with_header(shapes, POINTS.tobytes())))
    endless = saved({"samples": torch.zeros(1, 1).expand(HUGE, 2)})
    yield Case("100-gb.pt", "repeats the few numbers in the file", holding(endless))


def archives() -> Iterator[Case]:
    whole = npz(samples=POINTS)
    central = whole.rindex(b"PK\x01\x02")
    locked = patched(patched(whole, 6, b"\x01"), central + 8, b"\x01")
    yield Case("locked.npz", "samples is encrypted", holding(locked))
    for name, method in (("bzip2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        data = zipped({"samples.npy": array(POINTS)}, method)
        yield Case(f"{name}.npz", "compressed as numpy never does", holding(data))
    unknown = patched(patched(whole, 8, b"\x63"), central + 10, b"\x63")
    yield Case("unknown-method.npz", "compressed as numpy never does", holding(unknown))
    flipped = patched(whole, 200, bytes([whole[200] ^ 1]))
    yield Case("flipped.npz", r"damaged \(Bad CRC-32", holding(flipped))
    yield Case("moved.npz", DAMAGED, holding(patched(whole, central + 42, b"\xff\xff")))
    yield Case("renamed.npz", DAMAGED, holding(patched(whole, 30, b"x")))
    yield Case("nothing.npz", "holds no array", holding(zipped({})))
    yield Case("no-array.npz", "samples is not an array", holding(zipped({"samples": b"1, 2"})))
    yield Case("short.npz", "samples is not an array", holding(zipped({"samples.npy": b"\x93N"})))
    yield Case(
        "in-a-folder.npz", "call the array of samples", holding(zipped({"a/": b"", "b/": b""}))
    )
    yield Case("picture.npz", "samples is not an array", holding(zipped({"samples": b"\x89PNG"})))


def statistics() -> Iterator[Case]:
    """As references."""
    mu, sigma = np.zeros(4), np.diag([1.0, 2, 3, 4])
    tilted = sigma + np.triu(np.full((4, 4), 0.1))
    contents: dict[str, tuple[dict[str, Any], str]] = {
        "short-mu": ({"mu": mu[:3], "sigma": sigma}, r"mu has the shape \(3,\) and sigma \(4, 4\)"),
        "wide-mu": ({"mu": mu[None], "sigma": sigma}, r"not \(D,\) and \(D, D\)"),
        "diagonal": ({"mu": mu, "sigma": sigma.diagonal()}, r"not \(D,\) and \(D, D\)"),
        "oblong": ({"mu": mu, "sigma": sigma[:3]}, r"not \(D,\) and \(D, D\)"),
        "nothing": ({"mu": mu[:0], "sigma": sigma[:0, :0]}, r"not \(D,\) and \(D, D\)"),
        "nan-mu": ({"mu": mu * np.nan, "sigma": sigma}, "mu or sigma holds NaN or infinity"),
        "nan-sigma": ({"mu": mu, "sigma": sigma + np.inf}, "mu or sigma holds NaN or infinity"),
        "tilted": ({"mu": mu, "sigma": tilted}, "sigma is no covariance: it is not symmetric"),
        "negative": ({"mu": mu, "sigma": -sigma}, "it has negative eigenvalues"),
        "indefinite": ({"mu": mu, "sigma": 1 - np.eye(4)}, "it has negative eigenvalues"),
        "complex": ({"mu": mu, "sigma": sigma * 1j}, "sigma is of type complex128"),
        "texts": ({"mu": mu.astype(str), "sigma": sigma}, "mu is of type <U32, not of numbers"),
        "objects": ({"mu": mu.astype(object), "sigma": sigma}, "refused"),
        "one-row": ({"pool_3": POINTS[:1]}, r"pool_3 has the shape \(1, 2\)"),
        "flat": ({"pool_3": POINTS[0]}, r"pool_3 has the shape \(2,\)"),
        "nan-features": ({"pool_3": POINTS + np.inf}, "pool_3 holds NaN or infinity"),
        "mu-alone": ({"mu": mu}, "holds no batch of samples"),
    }
    for name, (arrays, cause) in contents.items():
        yield Case(f"{name}.npz", cause, holding(npz(**arrays)))
    whole = npz(mu=mu, sigma=sigma)
    for kept in cuts(whole, 6):
        yield Case(f"cut-at-{kept}.npz", DAMAGED, holding(whole[:kept]))
    said = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({HUGE}, {HUGE})}}"
    lie = zipped({"mu.npy": array(mu), "sigma.npy": npy(said)})
    yield Case("lie.npz", LIES, holding(lie))
