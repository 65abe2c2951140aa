"""What is kept apart: a share of every class, copies on one side, the same images each time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.errors import DataError
from search.pictures.parts import check_enough, groups_of, held_out

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@given(LABELS, st.integers(0, 2**63 - 1), st.floats(0.05, 0.5), st.randoms())
def test_copies_stay_together_and_every_class_is_on_both_sides(labels, seed, share, random) -> None:  # type: ignore[no-untyped-def]
    first: dict[int, int] = {}
    for index, label in enumerate(labels):
        if random.random() < 0.7:
            first[index] = index
        else:  # a copy of an earlier image of the class
            first[index] = random.choice([first[other] for other in range(index) if labels[other] == label] or [index])
    groups = np.array(list(first.values()))
    apart = held_out(np.array(labels), groups=groups, share=share, seed=seed)
    assert np.array_equal(apart, held_out(np.array(labels), groups=groups, share=share, seed=seed))
    for group in set(first.values()):
        assert len(set(apart[groups == group])) == 1
    for label in set(labels):
        mine = np.array(labels) == label
        several = len(set(groups[mine])) > 1
        assert apart[mine].any() == several
        assert not apart[mine].all()


@given(st.lists(st.integers(0, 14), min_size=1, max_size=60), st.integers(0, 2**63 - 1))
def test_three_different_images_of_a_class_are_enough_for_all_three_parts(pictures, seed) -> None:  # type: ignore[no-untyped-def]
    groups, labels = np.array(pictures), np.array(pictures) % 4  # equal numbers are copies
    test = held_out(labels, groups=groups, share=0.2, seed=0)
    validation = held_out(labels[~test], groups=groups[~test], share=0.1, seed=seed)
    for label in range(4):
        enough = len(set(groups[labels == label])) >= 3
        parts = labels[test], labels[~test][validation], labels[~test][~validation]
        assert all(label in part for part in parts) or not enough


def test_the_share_is_of_each_class() -> None:
    labels = np.repeat([0, 1, 2], [1000, 100, 10])
    apart = held_out(labels, groups=np.arange(len(labels)), share=0.2, seed=1)
    assert [int(apart[labels == label].sum()) for label in range(3)] == [200, 20, 2]
    assert not np.array_equal(apart, held_out(labels, groups=np.arange(len(labels)), share=0.2, seed=2))


def test_a_class_with_too_few_pictures_is_named() -> None:
    with pytest.raises(DataError, match=r"needs 10 pictures.* dog has 9, owl has 0; add pictures"):
        check_enough(np.repeat([0, 1], [10, 9]), classes=("cat", "dog", "owl"), place="photos")
    check_enough(np.repeat([0, 1], 10), classes=("cat", "dog"), place="photos")


def test_equal_digests_are_one_group() -> None:
    assert groups_of([b"a", b"b", b"a", b"c", b"b"]).tolist() == [0, 1, 0, 3, 1]
