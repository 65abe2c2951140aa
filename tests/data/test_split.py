"""Splits: stratified, reproducible, whole, and saved without harm."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.data.split import Split, balanced, load, stratified
from search.errors import DataError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
LABELS = torch.arange(200) % 10


def index(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


@given(share=st.integers(1, 19), seed=st.integers(0, 2**63))
def test_every_class_gives_the_same_share(share: int, seed: int) -> None:
    split = stratified(LABELS, validation=share * 10, seed=seed)
    assert (len(split.training), len(split.validation)) == (200 - share * 10, share * 10)
    assert LABELS[split.validation].bincount(minlength=10).tolist() == [share] * 10
    assert sorted([*split.training, *split.validation]) == list(range(200))


def test_the_seed_alone_decides() -> None:
    one, same, other = (stratified(LABELS, validation=50, seed=seed) for seed in (3, 3, 4))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.fingerprint == "8a20ed20a82d495a3e317429c11a46597589a6936db62f4bcc56f6af9b9b8a95"  # whatever the NumPy


@pytest.mark.parametrize("validation", [0, -10, 45, 200, 1000])
def test_an_unequal_share_is_refused_with_the_next_step(validation: int) -> None:
    with pytest.raises(DataError, match=f"{validation} validation images .* choose a multiple of 10 up to 190"):
        stratified(LABELS, validation=validation, seed=0)


def test_a_split_survives_saving(tmp_path: Path) -> None:
    split = stratified(LABELS, validation=50, seed=3)
    split.save(tmp_path / "split.npz")
    split.save(tmp_path / "split.npz")
    again = load(tmp_path / "split.npz")
    assert (again.fingerprint, again.seed) == (split.fingerprint, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["split.npz"]


@pytest.mark.parametrize(
    ("training", "validation", "problem"),
    [
        (index(0, 1, 2), index(2, 3), r"each of 0\.\.4 once, and 2 is"),
        (index(0, 1, 1), index(2, 3), r"each of 0\.\.4 once, and 1 is"),
        (index(0, 1, 2), index(3, 9), r"each of 0\.\.4 once, and 9 is"),
        (index(-1, 0, 1), index(2, 3), r"each of 0\.\.4 once, and -1 is"),
        (index(1, 0, 2), index(3, 4), "must be sorted"),
        (index(0, 1, 2), index(), "validation part must be int64"),
        (index(0, 1, 2).astype(float), index(3), "training part must be int64"),
    ],
)
def test_a_bad_split_is_refused_when_made_and_when_read(
    tmp_path: Path, training: np.ndarray, validation: np.ndarray, problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        Split(training, validation, 0)
    path = tmp_path / "bad.npz"
    np.savez(path, training=training, validation=validation, seed=0)
    with pytest.raises(DataError, match=rf"bad\.npz is not a saved split .*{problem}.*; restore it"):
        load(path)


def test_what_is_no_split_is_refused_and_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "split.npz"
    with pytest.raises(DataError, match=r"split\.npz is missing; restore it"):
        load(path)
    stratified(LABELS, validation=50, seed=3).save(path)
    whole = path.read_bytes()
    np.savez(tmp_path / "objects.npz", training=np.array([{}], dtype=object), validation=index(1), seed=0)
    np.savez(tmp_path / "keys.npz", training=index(0))
    contents = [b"", b"text", pickle.dumps([1]), whole[: len(whole) // 2], whole[:-1]]
    contents += [(tmp_path / name).read_bytes() for name in ("objects.npz", "keys.npz")]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"split\.npz is not a saved split") as refused:
            load(path)
        assert "pickle" not in str(refused.value)  # NumPy advises to load what it has not understood as code


def test_a_pointer_of_git_lfs_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "split.npz").write_bytes(POINTER)
    with pytest.raises(DataError, match=r"it is a pointer of Git LFS, and `git lfs pull` fetches the file"):
        load(tmp_path / "split.npz")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 2**32))
def test_every_beginning_of_a_balanced_order_is_balanced(classes: list[int], seed: int) -> None:
    labels = torch.tensor(classes)
    order = balanced(labels, seed=seed)
    assert sorted(order) == list(range(len(labels)))
    shortest = int(np.unique(classes, return_counts=True)[1].min())
    for end in range(1, shortest * len(set(classes)) + 1):
        counts = [int((labels[order[:end]] == name).sum()) for name in set(classes)]
        assert max(counts) - min(counts) <= 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 2**32))
def test_every_beginning_of_an_order_by_shares_holds_each_class_in_its_share(classes: list[int], seed: int) -> None:
    labels = torch.tensor(classes)
    order = balanced(labels, seed=seed, shares=True)
    assert sorted(order) == list(range(len(labels)))
    names, sizes = np.unique(classes, return_counts=True)
    for end in range(len(names), len(labels) + 1):
        counts = [int((labels[order[:end]] == name).sum()) for name in names]
        assert min(counts) >= 1
        assert all(
            abs(count - end * size / len(labels)) <= len(names) for count, size in zip(counts, sizes, strict=True)
        )
    if len(set(sizes)) == 1:
        assert np.array_equal(order, balanced(labels, seed=seed))
