"""A study goes on with its own images and its own split, which follows from the images and the seed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import MANIFEST, Start

from search.data.images import Images
from search.data.sources import find_source
from search.data.split import load, standard_split
from search.errors import DataError
from search.inspecting import doctor
from search.searching import supervisor
from search.searching.progress import Opened
from search.searching.request import Search
from search.searching.study_data import check_data, source_of
from search.searching.study_folder import StudyFolder
from studies.manifest import Manifest
from studies.start import Carry

SOURCE = find_source("synthetic")


@pytest.fixture
def manifest(images: Images) -> Manifest:
    """Of a study of the generated images with the split of seed 5."""
    split = standard_split(images, seed=5)
    return replace(MANIFEST, seed=5, data_fingerprint=images.fingerprint, split_fingerprint=split.fingerprint)


@pytest.fixture
def folder(tmp_path: Path, manifest: Manifest, start: Start) -> StudyFolder:
    """Of that study, without any file."""
    with start("tiny", manifest=manifest, provenance={"data": SOURCE.title}):
        pass
    return StudyFolder(tmp_path, "tiny")


def check(manifest: Manifest, folder: StudyFolder) -> tuple[str, ...]:
    return check_data(manifest, source=SOURCE, folder=folder, storage=f"sqlite:///{folder.runs}/studies.db")


def test_a_lost_split_is_made_again_and_said_once(folder: StudyFolder, manifest: Manifest) -> None:
    (note,) = check(manifest, folder)
    assert note == f"{folder.split} was missing, and is made again from the data and seed 5: it is the same"
    assert load(folder.split).fingerprint == manifest.split_fingerprint
    assert check(manifest, folder) == ()


def test_the_split_of_a_study_that_was_given_trials_is_that_of_the_other(
    folder: StudyFolder, manifest: Manifest, start: Start
) -> None:
    carry = Carry(study="tiny", trials=(), most=0, suggest=lambda _: {})
    later = replace(manifest, seed=9)
    with start("later", manifest=later, carry=carry):
        pass
    (note,) = check(later, StudyFolder(folder.runs, "later"))
    assert "made again from the data and seed 5" in note


def test_only_the_images_and_the_split_of_the_search_will_do(
    folder: StudyFolder, manifest: Manifest, images: Images, start: Start
) -> None:
    check(manifest, folder)
    with pytest.raises(DataError, match=r"'tiny' was searched on other images .*--data"):
        check(replace(manifest, data_fingerprint="no"), folder)
    standard_split(images, seed=6).save(folder.split)
    with pytest.raises(DataError, match=r"split.npz is not the split of study 'tiny' .*restore it"):
        check(manifest, folder)
    drawn = replace(manifest, split_fingerprint="of a split that no seed makes")
    with (
        start("drawn", manifest=drawn),
        pytest.raises(DataError, match=r"split.npz is missing, and the seed makes another .*restore it"),
    ):
        check(drawn, StudyFolder(folder.runs, "drawn"))


def test_doctor_makes_a_lost_split_again_where_the_data_are_at_hand(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.path.mkdir()
    (finding,) = doctor.examine_study(folder.runs).findings
    assert "split.npz is missing; " in finding.message
    assert "`cifar-search doctor --fix` makes it again" in finding.message
    assert [line.split(" ", 1)[1] for line in doctor.fix(folder.runs)] == [
        "was missing, and is made again from the data and seed 5: it is the same"
    ]
    assert doctor.examine_study(folder.runs).findings == ()


def test_the_data_are_those_that_are_named_or_the_generated_ones_of_the_start(tmp_path: Path) -> None:
    assert source_of([{"data": SOURCE.title}], data=None) == SOURCE
    with pytest.raises(DataError, match="nowhere is not a folder"):
        source_of([{"data": SOURCE.title}], data=str(tmp_path / "nowhere"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Starts a search and leaves it when its first trial would be trained; returns what it says at first."""

    def opened(**changes: Any) -> Opened:
        asked = Search(trials=1, space="smoke", data="synthetic", device="cpu", slots=1, folder=tmp_path)
        updates = supervisor.run(replace(asked, **changes), work="stub:work")
        first = next(updates)
        updates.close()  # type: ignore[attr-defined]
        assert isinstance(first, Opened)
        return first

    return opened


def test_a_search_makes_its_lost_split_again(opened: Any, tmp_path: Path) -> None:
    opened(seed=7, study="mine")
    before = load(tmp_path / "mine" / "split.npz").fingerprint
    shutil.rmtree(tmp_path / "mine")
    (note,) = opened(seed=7, study="mine").notes
    assert note.endswith("is made again from the data and seed 7: it is the same")
    assert load(tmp_path / "mine" / "split.npz").fingerprint == before
    assert opened(seed=7, study="mine").notes == ()


def test_a_split_of_another_seed_is_never_taken_silently(opened: Any, tmp_path: Path, images: Images) -> None:
    path = tmp_path / "smoke" / "split.npz"
    path.parent.mkdir()
    standard_split(images, seed=0).save(path)
    before = path.read_bytes()
    wanted = r"split.npz is the split of seed 0 for 2,000 images, and .* 'smoke' has that of seed 7 .*--study OTHER"
    with pytest.raises(DataError, match=wanted):
        opened(seed=7)
    assert path.read_bytes() == before
    assert opened(seed=0).notes == ()


def test_a_new_study_is_given_the_split_of_the_one_that_it_carries_over(opened: Any, tmp_path: Path) -> None:
    opened(seed=3, study="old", epochs=2)
    split = load(tmp_path / "old" / "split.npz").fingerprint
    shutil.rmtree(tmp_path / "old")
    opened(seed=4, study="new", carry_over="old")
    assert load(tmp_path / "new" / "split.npz").fingerprint == split
    shutil.rmtree(tmp_path / "new")
    assert "seed 3: it is the same" in str(opened(seed=4, study="new").notes)
    assert load(tmp_path / "new" / "split.npz").fingerprint == split
