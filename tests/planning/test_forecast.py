"""How long a search takes, and how short its trials must be to fit the time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.planning.forecast import Forecast
from search.searching.progress import Opened
from search.searching.request import Search
from search.searching.supervisor import run
from studies.history import read_history
from studies.storage import storage_url


def forecast(speed: float = 1000.0, *, pruning: bool = False, learning: bool = False) -> Forecast:
    flops = {"flops": 1e6, "mean_flops": 2e6}  # of the measured network, of the space's
    return Forecast(images_per_second=speed, images=45_000, pruning=pruning, learning=learning, **flops)


def test_a_forecast_counts_size_and_slots_and_what_pruning_and_learning_change() -> None:
    def seconds(*, epochs: int = 4, images: int | None = None, **changes: bool) -> float:
        return forecast(**changes).seconds(trials=10, epochs=epochs, images=images)

    assert seconds() == pytest.approx(10 * 4 * 45_000 / 1000 * 2, rel=0.1)  # twice as large as the measured network
    assert seconds(pruning=True) < seconds() < seconds(learning=True)
    assert seconds(images=45_000) == seconds() > 3 * seconds(images=11_250)
    assert seconds(pruning=True, epochs=1) == pytest.approx(seconds() / 4)  # nothing to prune
    assert forecast().epoch_seconds(1e6, slots=2) == pytest.approx(2 * forecast().epoch_seconds(1e6, slots=1))


@given(st.integers(1, 500), st.integers(1, 200), st.floats(0, 1e6), st.floats(1, 1e6), st.booleans())
def test_first_the_epochs_are_halved_then_images_are_left_out_until_it_fits(
    trials: int, epochs: int, within: float, speed: float, pruning: bool
) -> None:
    prediction, fewest = forecast(speed, pruning=pruning), 2 if pruning else 1
    fewer, part = prediction.fit(trials=trials, epochs=epochs, images=None, within=within)
    images = part or 45_000
    seconds = prediction.seconds(trials=trials, epochs=fewer, images=images)
    assert fewer in [epochs >> times for times in range(9)] or fewer == fewest
    assert fewer == epochs if epochs <= fewest else fewer >= fewest
    assert 11_250 <= images <= 45_000
    assert images == 45_000 or fewer <= fewest  # the images are the last resort
    assert seconds <= within or (images == 11_250 and fewer <= fewest)
    assert images in (45_000, 11_250) or seconds > 0.999 * within  # and no fewer than need be
    longer = prediction.seconds(trials=trials, epochs=min(epochs, fewer * 2 + 1), images=None)
    assert fewer == epochs or longer > within


def test_a_slow_laptop_still_ends_within_its_time() -> None:
    # 900 images/s on the default network, the speed of two older cores
    slow = replace(forecast(900, pruning=True, learning=True), flops=35.6e6, mean_flops=44e6)
    epochs, images = slow.fit(trials=50, epochs=4, images=None, within=40 * 60)
    assert (epochs, images is not None and 11_250 < images < 22_500) == (2, True)


HURRIED = {"space": "smoke", "data": "synthetic", "device": "cpu", "slots": 1, "minutes": 1e-6}


@pytest.mark.slow  # real slots are measured
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
