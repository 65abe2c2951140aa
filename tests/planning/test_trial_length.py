"""The length of a trial is settled once, when a study is created, and kept by every later start."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.searching.progress import Opened
from search.searching.request import Search
from search.searching.supervisor import run
from studies.history import read_history
from studies.storage import storage_url

HURRIED = {"space": "smoke", "data": "synthetic", "device": "cpu", "slots": 1, "minutes": 1e-6}


@pytest.mark.slow  # test_forecast.py has the arithmetic
def test_a_hurried_study_trains_on_a_part_of_the_images_and_goes_on_like_that(tmp_path: Path) -> None:
    first = list(run(Search(trials=1, folder=tmp_path, **HURRIED)))
    again = list(run(Search(trials=2, folder=tmp_path, **{**HURRIED, "minutes": 50.0})))

    opened = next(update for update in first if isinstance(update, Opened))
    assert opened.notes[0].startswith("trials of 2 epochs on 450 of 1,800 images, not 2 epochs, to end within")
    resumed = next(update for update in again if isinstance(update, Opened))
    assert not resumed.notes
    history = read_history("smoke", storage=storage_url(tmp_path, None))
    assert history.manifest.images == 450
    assert history.counts["complete"] + history.counts["pruned"] == 2
