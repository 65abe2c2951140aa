"""A study goes on with what it was started with, or says what differs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tiny

from studies import StudyError
from studies.manifest import Manifest, check_same, stored_manifest

MANIFEST = replace(tiny.MANIFEST, versions={"optuna": "5.0.0", "torch": "2.10"})


def check(new: Manifest, *, lines: list[str]) -> tuple[str, ...]:
    return check_same(MANIFEST, new, study="tiny", differences=lambda _old, _new: lines)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"space_fingerprint": "dddd"}, "rate: wider"),
        ({"split_fingerprint": "dddd"}, "split: bbbb -> dddd"),
        ({"data_fingerprint": "dddd"}, "data: cccc -> dddd"),
        ({"epochs": 9, "seed": 7}, "seed: 0 -> 7\n  epochs: 3 -> 9"),
        ({"images": 9}, "images: all -> 9"),
        ({"cost": "flops"}, "cost: none -> flops"),
        ({"metric": "loss"}, "metric: validation accuracy -> loss"),
    ],
)
def test_every_difference_is_named_with_the_next_step(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError) as caught:
        check(replace(MANIFEST, **changes), lines=["rate: wider"])
    assert said in str(caught.value)
    assert "--study OTHER" in str(caught.value)


def test_other_space_that_reads_the_same_is_refused_by_its_fingerprint() -> None:
    with pytest.raises(StudyError, match="fingerprint aaaa -> dddd"):
        check(replace(MANIFEST, space_fingerprint="dddd"), lines=[])


def test_versions_and_retraining_may_change() -> None:
    new = replace(MANIFEST, retrain_epochs=30, versions={"optuna": "5.1.0", "scipy": "1.17"})
    assert check(new, lines=[]) == ("optuna 5.0.0 -> 5.1.0", "scipy none -> 1.17", "torch 2.10 -> none")


def test_stored_manifest_comes_back_or_is_foreign() -> None:
    assert stored_manifest({"manifest": vars(MANIFEST)}, study="tiny") == MANIFEST
    for attributes in ({}, {"manifest": {"seed": 1}}, {"manifest": "text"}):
        with pytest.raises(StudyError, match="'tiny' was not made by this version"):
            stored_manifest(attributes, study="tiny")


def test_impossible_length_is_refused() -> None:
    with pytest.raises(StudyError, match="epochs >= 1, not 0 and 0"):
        replace(MANIFEST, epochs=0)


def test_seeds_depend_on_the_study_and_the_number_alone() -> None:
    seeds = [MANIFEST.seed_of(trial) for trial in range(100)]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert replace(MANIFEST, versions={}, epochs=9).seed_of(7) == seeds[7]
    assert replace(MANIFEST, seed=1).seed_of(7) != seeds[7]
    assert 0 <= MANIFEST.seed_of_start(1) < 2**32
    assert MANIFEST.seed_of_start(1) != MANIFEST.seed_of_start(2)
