"""Finding, fetching and reading CIFAR-10: whole official files or a sentence, and never an unchecked pickle."""

from __future__ import annotations

import hashlib
import os
import pickle
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from search.data import cifar10, synthetic
from search.data.cifar10 import CLASSES, find, load_test, load_training
from search.data.images import Images
from search.errors import DataError


def write_cifar(folder: Path) -> Path:
    """Six small batches in the official format; returns their folder."""
    place = folder / cifar10.FOLDER
    place.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in cifar10.OFFICIAL:
        pixels = random.integers(0, 256, (20, 3072), dtype=np.uint8)
        labels = [int(label) for label in random.integers(0, 10, 20)]
        (place / name).write_bytes(pickle.dumps({b"data": pixels, b"labels": labels}, protocol=2))
    return place


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """No test reaches the network, the user's cache or the user's data."""
    monkeypatch.setattr(CIFAR10, "url", (tmp_path / "offline" / cifar10.ARCHIVE).as_uri())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if "realdata" not in request.keywords:
        monkeypatch.delenv("CIFAR_SEARCH_DATA", raising=False)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of small batches that pass for the official ones."""
    place = write_cifar(tmp_path)
    monkeypatch.setattr(cifar10, "OFFICIAL", {path.name: _md5(path) for path in place.iterdir()})
    return place


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small archive that passes for the official one."""
    write_cifar(tmp_path / "source")
    path = tmp_path / "source" / cifar10.ARCHIVE
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tmp_path / "source" / cifar10.FOLDER, cifar10.FOLDER)
    monkeypatch.setattr(CIFAR10, "tgz_md5", _md5(path))
    return path


@pytest.fixture
def served(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the small archive on a server of this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(SimpleHTTPRequestHandler, directory=str(archive.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{server.server_port}/{archive.name}"
        server.shutdown()


def test_the_official_list_is_that_of_torchvision() -> None:
    assert dict(CIFAR10.train_list + CIFAR10.test_list) == cifar10.OFFICIAL
    assert (CIFAR10.base_folder, CIFAR10.filename) == (cifar10.FOLDER, cifar10.ARCHIVE)


def test_both_parts_are_read_in_order_and_upright(small: Path) -> None:
    training, test = load_training(small.parent), load_test(small)
    assert training.pixels.shape == (100, 32, 32, 3)
    assert test.pixels.shape == (20, 32, 32, 3)
    entry = pickle.loads((small / "data_batch_2").read_bytes())
    planes = torch.from_numpy(entry[b"data"]).view(20, 3, 32, 32)
    assert torch.equal(training.pixels[20:40].permute(0, 3, 1, 2), planes)
    assert training.labels[20:40].tolist() == entry[b"labels"]


def test_training_does_not_open_the_test_batch(small: Path) -> None:
    (small / "test_batch").unlink()
    assert len(load_training(small)) == 100


def test_a_missing_or_unreadable_batch_is_named(small: Path) -> None:
    path = small / "data_batch_3"
    path.unlink()
    with pytest.raises(DataError, match="data_batch_3 is missing; start again"):
        load_training(small)
    with pytest.raises(DataError, match=r"lacks data_batch_3; fetch .* by hand .* CIFAR_SEARCH_DATA"):
        find(small, download=False)
    path.mkdir()
    with pytest.raises(DataError, match="data_batch_3 cannot be read"):
        load_training(small)


def test_a_batch_that_is_a_pointer_of_git_lfs_is_called_that(small: Path) -> None:
    (small / "data_batch_1").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(DataError, match="data_batch_1 is a pointer of Git LFS, not the file; `git lfs pull`"):
        load_training(small)


def test_truncated_or_altered_bytes_are_refused_before_they_are_unpickled(small: Path, tmp_path: Path) -> None:
    path, trace = small / "data_batch_1", tmp_path / "trace"
    official, evil = path.read_bytes(), pickle.dumps(_Evil(trace))
    for content in (official[:1000], evil.ljust(len(official), b"\0")):
        path.write_bytes(content)
        needs = f"the MD5 of its {len(content):,} bytes is {_md5(path)} and must be {cifar10.OFFICIAL[path.name]}"
        with pytest.raises(DataError, match=f"data_batch_1 is truncated or altered: {needs}; delete it"):
            load_training(small)
    assert not trace.exists()
    pickle.loads(evil)
    assert trace.exists(), "the bait is harmless, so the test proves nothing"


class _Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("inner", ["", cifar10.FOLDER])
def test_either_folder_may_be_given(tmp_path: Path, inner: str) -> None:
    write_cifar(tmp_path)
    assert find(tmp_path / inner) == tmp_path / cifar10.FOLDER


def test_the_environment_names_the_folder_and_a_given_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path / "a")
    write_cifar(tmp_path / "b")
    monkeypatch.setenv("CIFAR_SEARCH_DATA", str(tmp_path / "a"))
    assert find(None) == tmp_path / "a" / cifar10.FOLDER
    assert find(tmp_path / "b") == tmp_path / "b" / cifar10.FOLDER
    monkeypatch.setenv("CIFAR_SEARCH_DATA", str(tmp_path / "typo"))
    with pytest.raises(DataError, match=r"CIFAR_SEARCH_DATA: .*typo is not a folder"):
        find(None)


def test_a_user_without_a_home_names_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container's user without a name."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", Mock(side_effect=RuntimeError("Could not determine home directory.")))
    assert find(write_cifar(tmp_path)) == tmp_path / cifar10.FOLDER
    with pytest.raises(DataError, match="no home to keep data in: set HOME or XDG_CACHE_HOME"):
        find(None)


def test_an_empty_folder_without_permission_to_download_stays_empty(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(DataError, match=r"empty holds no CIFAR-10; fetch .*cifar-10-python\.tar\.gz by hand"):
        find(folder, download=False)
    assert list(folder.iterdir()) == []


def test_an_archive_in_the_folder_is_unpacked_and_files_are_kept(tmp_path: Path, archive: Path) -> None:
    folder = tmp_path / "data"
    kept = folder / cifar10.FOLDER / "data_batch_2"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"mine")
    archive.rename(folder / cifar10.ARCHIVE)
    place = find(folder, download=False)
    assert {path.name for path in place.iterdir()} == set(cifar10.OFFICIAL)
    assert kept.read_bytes() == b"mine"
    assert {path.name for path in folder.iterdir()} == {cifar10.FOLDER, cifar10.ARCHIVE}


def test_a_download_goes_to_the_cache_and_is_used_again(
    tmp_path: Path, archive: Path, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR10, "url", served)
    place = find(None)
    assert place == tmp_path / "cache" / "cifar-search" / cifar10.FOLDER
    archive.unlink()
    assert find(None) == place


def test_a_truncated_archive_is_not_taken_and_a_download_replaces_it(
    tmp_path: Path, archive: Path, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / cifar10.ARCHIVE).write_bytes(archive.read_bytes()[:-100])
    for download in (False, True):  # True: there is no network
        with pytest.raises(DataError, match=r"tar\.gz is truncated or altered \(.* bytes\)"):
            find(folder, download=download)
        assert [path.name for path in folder.iterdir()] == [cifar10.ARCHIVE]
    monkeypatch.setattr(CIFAR10, "url", served)
    assert len(list(find(folder).iterdir())) == 6


def test_a_download_that_fails_or_breaks_off_says_how_to_get_the_archive_by_hand(
    tmp_path: Path, archive: Path, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.write_bytes(archive.read_bytes()[:-100])
    for url, reason in ((CIFAR10.url, ""), (served, "File not found or corrupted")):
        monkeypatch.setattr(CIFAR10, "url", url)
        wanted = rf"failed \(.*{reason}.*\); fetch .* by hand into .*--data DIR or CIFAR_SEARCH_DATA"
        with pytest.raises(DataError, match=wanted):
            find(None)
        assert list((tmp_path / "cache" / "cifar-search").iterdir()) == []


def test_images_check_themselves() -> None:
    pixels, labels = torch.zeros(2, 32, 32, 3, dtype=torch.uint8), torch.tensor([0, 9])
    assert len(Images(pixels, labels, CLASSES)) == 2
    with pytest.raises(DataError, match=r"must be torch.uint8 \[N, S, S, C\]"):
        Images(pixels.permute(0, 3, 1, 2), labels, CLASSES)
    with pytest.raises(DataError, match="one per image"):
        Images(pixels, labels[:1], CLASSES)
    with pytest.raises(DataError, match=r"must lie in 0\.\.9, not in 0\.\.10"):
        Images(pixels, labels + torch.tensor([0, 1]), CLASSES)


def test_the_fingerprint_sees_pixels_and_labels() -> None:
    images = synthetic.training(20)
    altered = images.pixels.clone()
    altered[3, 5, 7, 1] ^= 1
    others = Images(altered, images.labels, CLASSES), Images(images.pixels, images.labels.flip(0), CLASSES)
    assert len({each.fingerprint for each in (images, *others)}) == 3
    assert synthetic.training(20).fingerprint == images.fingerprint


def test_the_synthetic_set_is_balanced_fixed_and_has_its_own_test_part() -> None:
    training = synthetic.training(100)
    assert training.labels.bincount().tolist() == [10] * 10
    assert training.fingerprint == synthetic.training(100).fingerprint
    assert training.fingerprint != synthetic.training(100, seed=1).fingerprint
    assert not torch.equal(training.pixels, synthetic.test(100).pixels)


@pytest.mark.realdata
@pytest.mark.skipif("CIFAR_SEARCH_DATA" not in os.environ, reason="CIFAR_SEARCH_DATA names no folder with CIFAR-10")
def test_the_official_files_have_the_known_statistics() -> None:
    from search.data.store import store

    folder = find(None, download=False)
    images = load_training(folder)
    assert images.pixels.shape == (50_000, 32, 32, 3)
    assert images.labels.bincount().tolist() == [5_000] * 10
    assert load_test(folder).labels.bincount().tolist() == [1_000] * 10
    everything = store(images, split=None, device=torch.device("cpu"))
    assert everything.mean.tolist() == pytest.approx([125.31, 122.95, 113.87], abs=0.005)
    assert everything.std.tolist() == pytest.approx([62.99, 62.09, 66.70], abs=0.005)


def test_a_home_that_nobody_has_is_a_folder_that_is_not_there() -> None:
    with pytest.raises(DataError, match=r"~nobody-here/cifar is not a folder; make it, or"):
        find(Path("~nobody-here/cifar"))


@pytest.mark.parametrize("cache", ["~/.cache", "cache", ""])
def test_a_cache_that_is_no_absolute_path_is_the_usual_one(
    cache: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"{home}/.cache/cifar-search holds no CIFAR-10"):
        find(None, download=False)
    assert list(tmp_path.iterdir()) == []
