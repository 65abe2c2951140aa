"""What was given for CIFAR-10 and is not is called what it is, and nothing is downloaded beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.data import cifar10, foreign
from search.data.cifar10 import find
from search.data.named import IDX
from search.data.sources import find_source
from search.errors import DataError

BATCHES = tuple(cifar10.OFFICIAL)


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object) -> None:
        raise AssertionError("a download into a folder that is not for it")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    monkeypatch.delenv("CIFAR_SEARCH_DATA", raising=False)


def fill(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"x")
    return folder


def refused(place: Path | None) -> str:
    """What is said of a place, in which nothing is made."""
    with pytest.raises(DataError) as error:
        find(place)
    return str(error.value)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([f"{name}/{number}.JPG" for name in "abcd" for number in range(3)], "holds pictures, but no folder of them"),
        (["1.png", "2.png"], "holds pictures, but no folder of them for each class; name"),
        (["cifar-10-batches-bin/data_batch_1.bin"], "holds the binary version of CIFAR-10, which cannot be read; name"),
        (["data_batch_1.bin", "test_batch.bin"], "holds the binary version of CIFAR-10, which"),
        (["cifar-10-batches-mat/data_batch_1.mat"], "holds the MATLAB version of CIFAR-10, which"),
        (["notes.txt", "report.pdf"], "holds notes.txt, report.pdf, but no data; name"),
        (["cifar-100-python/train"], "holds train, but no data; name"),
    ],
)
def test_another_folder_is_called_what_it_is(tmp_path: Path, files: list[str], says: str) -> None:
    folder = fill(tmp_path / "mine", *files)
    before = sorted(tmp_path.rglob("*"))
    said = refused(folder)
    assert says in said
    assert said.startswith(str(folder))
    assert said.endswith("or pictures (a folder for each class, a CSV, an .npz) by --data or CIFAR_SEARCH_DATA")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("files", "inner", "says"),
    [
        (["cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"], "cifar-100-python", "cifar100"),
        (["train", "test", "meta", "file.txt~"], "", "cifar100"),
        (["cifar-100-python.tar.gz"], "", "cifar100"),
        ([f"raw/{name}.gz" for name in IDX], "raw", "fashion-mnist or mnist"),
        (["a/train_32x32.mat", "a/test_32x32.mat"], "a", "svhn"),
    ],
)
def test_a_set_that_has_a_name_is_told_it(tmp_path: Path, files: list[str], inner: str, says: str) -> None:
    folder = fill(tmp_path / "mine", *files) / inner
    assert refused(tmp_path) == f"{folder} holds {says}; read it with --data {says.split()[0]}:{folder}"


@pytest.mark.parametrize("inner", [f"{cifar10.FOLDER}/{cifar10.FOLDER}", f"data/old/{cifar10.FOLDER}", "my batches"])
def test_cifar10_further_down_is_named_so_that_it_can_be_pasted(tmp_path: Path, inner: str) -> None:
    fill(tmp_path / inner, *BATCHES)
    named = refused(tmp_path).partition(" is not the folder of CIFAR-10, which lies in another: --data ")[2].strip("'")
    assert find(Path(named)) == tmp_path / inner


def test_an_archive_further_down_is_named_by_its_folder(tmp_path: Path) -> None:
    fill(tmp_path, f"downloads/{cifar10.ARCHIVE}")
    assert refused(tmp_path).endswith(f"of CIFAR-10, which lies in another: --data {tmp_path / 'downloads'}")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    fill(tmp_path, cifar10.ARCHIVE, "cifar-10-binary.tar.gz", "notes.txt", "data_batch_1", "1.png")
    for name in (cifar10.ARCHIVE, "data_batch_1"):
        assert refused(tmp_path / name).endswith(f"which lies in another: --data {tmp_path}")
    assert "holds the binary version of CIFAR-10, which" in refused(tmp_path / "cifar-10-binary.tar.gz")
    for name in ("notes.txt", "1.png"):
        assert f"{name} is no folder that can be read; name" in refused(tmp_path / name)


def test_the_variable_is_named_where_it_named_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFAR_SEARCH_DATA", str(fill(tmp_path, "cat/1.png")))
    assert refused(None).startswith(f"CIFAR_SEARCH_DATA: {tmp_path} holds pictures, but no folder")


def test_synthetic_may_be_named_by_the_variable_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFAR_SEARCH_DATA", "synthetic")
    assert find_source(None) == find_source("synthetic")
    assert find_source(str(fill(tmp_path, *BATCHES))).folder == tmp_path


def test_folders_without_files_are_empty(tmp_path: Path) -> None:
    (tmp_path / cifar10.FOLDER).mkdir()  # as a start that was killed leaves it
    (tmp_path / ".DS_Store").touch()
    with pytest.raises(AssertionError, match="a download"):
        find(tmp_path)


def test_a_whole_disk_is_looked_into_only_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "MOST", 3)
    fill(tmp_path, "note.txt", *(f"{letter}/data_batch_1" for letter in "abcdef"))
    walk, looked = os.walk, []

    def counted(*arguments: Any, **options: Any) -> Iterator[Any]:
        for each in walk(*arguments, **options):
            looked.append(each)
            yield each

    monkeypatch.setattr(os, "walk", counted)
    assert "which lies in another" in refused(tmp_path)
    assert len(looked) == 3
