"""Data sets by name: files of the real formats are read by torchvision, in the cache or a person's folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat
from torchvision import datasets

from search.data.named import SETS
from search.data.sources import find_source
from search.errors import DataError

Call = Callable[..., tuple[int, str, str]]
Array = np.ndarray[Any, Any]

FASHION = Path("/usr/share/datasets/fashion-mnist")
CLASSES = 10
LABELS = {"train": np.arange(80) % CLASSES, "test": np.arange(20) % CLASSES}
SIDES = {"cifar100": (32, 3), "fashion-mnist": (28, 1), "mnist": (28, 1), "stl10": (96, 3), "svhn": (32, 3)}


def drawn(name: str) -> dict[str, Array]:
    """The pixels [N, S, S, C] of both parts."""
    (side, channels), random = SIDES[name], np.random.default_rng(0)
    return {part: random.integers(0, 256, (len(LABELS[part]), side, side, channels), np.uint8) for part in LABELS}


def idx(array: Array) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def contents(name: str) -> dict[str, bytes]:
    """The files of a small set in the format of the real one."""
    pixels = drawn(name)
    planes = {part: pixels[part].transpose(0, 3, 1, 2) for part in LABELS}
    if name == "cifar100":
        names = {"fine_label_names": [f"class {number}" for number in range(CLASSES)]}
        rows = {part: {"data": planes[part].reshape(-1, 3072), "fine_labels": LABELS[part].tolist()} for part in LABELS}
        return {file: pickle.dumps(content, protocol=2) for file, content in {**rows, "meta": names}.items()}
    if name == "svhn":
        files = {part: io.BytesIO() for part in LABELS}
        for part, file in files.items():  # there the digit 0 has the label 10
            digits = np.where(LABELS[part] == 0, 10, LABELS[part])
            savemat(file, {"X": pixels[part].transpose(1, 2, 3, 0), "y": digits[:, None]})
        return {f"{part}_32x32.mat": file.getvalue() for part, file in files.items()}
    if name == "stl10":
        upright = {f"{part}_X.bin": planes[part].transpose(0, 1, 3, 2).tobytes() for part in LABELS}
        labels = {f"{part}_y.bin": (LABELS[part] + 1).astype(np.uint8).tobytes() for part in LABELS}
        names = "".join(f"class {number}\n" for number in range(CLASSES)).encode()
        return {**upright, **labels, "unlabeled_X.bin": b"", "class_names.txt": names}
    return {
        f"{prefix}-{kind}-ubyte": idx(array)
        for prefix, part in (("train", "train"), ("t10k", "test"))
        for kind, array in (("images-idx3", pixels[part][..., 0]), ("labels-idx1", LABELS[part]))
    }


def publish(name: str, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision take these files for the published ones."""
    loader = getattr(datasets, SETS[name].loader)
    sums = {file: hashlib.md5(content).hexdigest() for file, content in files.items()}
    if name == "cifar100":
        monkeypatch.setattr(loader, "train_list", [["train", sums["train"]]])
        monkeypatch.setattr(loader, "test_list", [["test", sums["test"]]])
        monkeypatch.setattr(loader, "meta", {**loader.meta, "md5": sums["meta"]})
    elif name == "svhn":
        parts = {part: ["nowhere", f"{part}_32x32.mat", sums[f"{part}_32x32.mat"]] for part in LABELS}
        monkeypatch.setattr(loader, "split_list", parts)
    elif name == "stl10":
        for part in ("train", "test"):
            names = [file for file in files if file.startswith(part) or (part == "train" and file[0] == "u")]
            monkeypatch.setattr(loader, f"{part}_list", sorted([file, sums[file]] for file in names))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache; and no test reaches the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [(tmp_path / "offline").as_uri() + "/"])
    return tmp_path / "cache" / "cifar-search"


def lay(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def snapshot(folder: Path) -> dict[Path, object]:
    return {path: (path.stat().st_mtime_ns, path.is_dir() or path.read_bytes()) for path in folder.rglob("*")}


def check(place: str, name: str) -> None:
    """All pixels and labels are there, in their parts."""
    side, channels = SIDES[name]
    source = find_source(place, side=side)
    for part, images in (("train", source.training()), ("test", source.test())):
        assert images.shape == (side, channels, CLASSES)
        assert np.array_equal(images.labels.numpy(), LABELS[part])
        assert np.array_equal(images.pixels.numpy(), drawn(name)[part])
    assert source.title.startswith(f"100 pictures in {place}, 10 classes at {side} pixels")
    assert not source.official


@pytest.mark.parametrize("name", SETS)
def test_a_folder_of_the_files_is_read_and_stays_as_it_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    files = contents(name)
    publish(name, files, monkeypatch)
    if name == "mnist":  # as a distribution packs it
        files = {f"{file}.gz": gzip.compress(content, mtime=7) for file, content in files.items()}
    folder = lay(tmp_path / "mine", files)
    before = snapshot(folder)
    check(f"{name}:{folder}", name)
    assert snapshot(folder) == before
    assert [path.name for path in cache.iterdir()] == ["pictures"]
    if name not in ("mnist", "fashion-mnist"):  # their files are called alike
        assert find_source(str(folder), side=SIDES[name][0]).training().classes
    monkeypatch.setattr(datasets, SETS[name].loader, None)
    check(f"{name}:{folder}", name)


@pytest.mark.parametrize("packed", [False, True], ids=["unpacked", "packed"])
@pytest.mark.parametrize("name", ["cifar100", "svhn"])
def test_what_has_not_the_published_md5_is_not_even_unpickled(
    name: str, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    files = contents(name)
    publish(name, files, monkeypatch)
    first = next(iter(files))
    files[first] = files[first][:-1] + b"x"
    folder = lay(tmp_path / "mine", files)
    if packed and name == "cifar100":
        with tarfile.open(tmp_path / "cifar-100-python.tar.gz", "w:gz") as tar:
            tar.add(folder, "cifar-100-python")
        folder = tmp_path
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("unpickled"))
    with pytest.raises(DataError, match=rf"^{name} cannot be read \(it is truncated or altered\); fetch .* by hand"):
        find_source(f"{name}:{folder}")
    assert list(cache.iterdir()) == []


def test_a_packed_set_is_unpacked_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = contents("cifar100")
    publish("cifar100", files, monkeypatch)
    with tarfile.open(tmp_path / "cifar-100-python.tar.gz", "w:gz") as tar:
        tar.add(lay(tmp_path / "made", files), "cifar-100-python")
    archive = lay(tmp_path / "mine", {"cifar-100-python.tar.gz": (tmp_path / "cifar-100-python.tar.gz").read_bytes()})
    md5 = hashlib.md5((archive / "cifar-100-python.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(datasets.CIFAR100, "tgz_md5", md5)
    check(f"cifar100:{archive}", "cifar100")
    assert len(list(archive.iterdir())) == 1


def test_without_a_folder_it_is_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    files = contents("svhn")
    publish("svhn", files, monkeypatch)
    fetched = []

    def download(_: str, root: str, name: str, __: str) -> None:
        if not (Path(root) / name).exists():
            fetched.append(name)
            (Path(root) / name).write_bytes(files[name])

    monkeypatch.setattr("torchvision.datasets.svhn.download_url", download)
    check("svhn", "svhn")
    assert sorted(path.name for path in cache.iterdir()) == ["pictures", "svhn"]
    assert find_source("svhn", side=40).training().shape.side == 40
    assert fetched == ["train_32x32.mat", "test_32x32.mat"]
    monkeypatch.setattr(datasets, "SVHN", None)
    check("svhn", "svhn")


def test_without_a_network_the_sentence_says_what_to_fetch(call: Call, tmp_path: Path, cache: Path) -> None:
    code, output, errors = call("run", "--data", "fashion-mnist", "--device", "cpu", "--runs", tmp_path / "runs")
    assert (code, output) == (3, "")
    assert "cifar-search: fashion-mnist cannot be read (Error downloading train-images-idx3-ubyte.gz" in errors
    assert errors.endswith("by hand, and name the folder: --data fashion-mnist:FOLDER\n")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("broken", [b"", b"\x1f\x8b", b"\0\0\x08\x03" + b"\xff" * 12, idx(np.zeros((3, 3, 3)))])
def test_broken_files_are_a_sentence(broken: bytes, tmp_path: Path) -> None:
    files = contents("mnist")
    files["train-images-idx3-ubyte"] = broken
    with pytest.raises(DataError, match=r"^mnist(:| cannot be read)"):
        find_source(f"mnist:{lay(tmp_path / 'plain', files)}")
    packed = {f"{file}.gz": gzip.compress(content) for file, content in files.items()}
    packed["train-images-idx3-ubyte.gz"] = packed["train-images-idx3-ubyte.gz"][:-4]
    with pytest.raises(DataError, match=r"^mnist cannot be read \("):
        find_source(f"mnist:{lay(tmp_path / 'packed', packed)}")


def test_a_folder_without_the_files_names_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mine is not the folder of svhn, with train_32x32.mat, test_32x32.mat; "):
        find_source(f"svhn:{tmp_path / 'mine'}")


@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
@pytest.mark.realdata
@pytest.mark.slow
def test_the_real_fashion_mnist(tmp_path: Path) -> None:
    source = find_source(f"fashion-mnist:{FASHION}", side=28)
    training, test = source.training(), source.test()
    assert training.labels.bincount().tolist() == [6000] * 10
    assert test.labels.bincount().tolist() == [1000] * 10
    assert abs(float(training.pixels.double().mean()) / 255 - 0.2860) < 1e-4  # the mean that everybody normalises with
