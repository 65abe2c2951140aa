"""How long a search takes, and how short its trials must be to fit the time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import MANIFEST

from search.planning.forecast import Forecast
from search.planning.hour import final_epochs, hindsight, outlook
from search.searching.progress import Opened
from search.searching.request import Search
from search.searching.supervisor import run
from studies.history import History, TrialRecord, read_history
from studies.storage import storage_url


def forecast(speed: float = 1000.0, *, pruner: str = "none", learning: bool = False) -> Forecast:
    flops = {"flops": 1e6, "mean_flops": 2e6}  # of the measured network, of the space's
    return Forecast(images_per_second=speed, images=45_000, pruner=pruner, learning=learning, **flops)


def test_a_forecast_counts_size_and_slots_and_what_pruning_and_learning_change() -> None:
    def seconds(*, epochs: int = 4, images: int | None = None, **changes: Any) -> float:
        return forecast(**changes).seconds(trials=10, epochs=epochs, images=images)

    assert seconds() == pytest.approx(10 * 4 * 45_000 / 1000 * 2, rel=0.1)  # twice as large as the measured network
    assert seconds(pruner="halving") < seconds(pruner="median") < seconds() < seconds(learning=True)
    assert seconds(images=45_000) == seconds() > 3 * seconds(images=11_250)
    assert seconds(pruner="median", epochs=1) == pytest.approx(seconds() / 4)  # nothing to prune
    assert forecast().epoch_seconds(1e6, slots=2) == pytest.approx(2 * forecast().epoch_seconds(1e6, slots=1))
    # One epoch for all, three more for a third or so, twelve more for some of these.
    assert forecast(pruner="halving").share(epochs=16) == pytest.approx((1 + 3 * 1.3 / 4 + 12 * 1.3 / 16) / 16)


@given(st.integers(1, 500), st.integers(1, 200), st.floats(0, 1e6), st.floats(1, 1e6), st.booleans())
def test_first_the_epochs_are_halved_then_images_are_left_out_until_it_fits(
    trials: int, epochs: int, within: float, speed: float, pruning: bool
) -> None:
    prediction, fewest = forecast(speed, pruner="median" if pruning else "none"), 2 if pruning else 1
    fewer, part = prediction.fit(trials=trials, epochs=epochs, images=None, within=within)
    images = part or 45_000
    seconds = prediction.seconds(trials=trials, epochs=fewer, images=images)
    assert fewer in [epochs >> times for times in range(9)] or fewer == fewest
    assert fewer == epochs if epochs <= fewest else fewer >= fewest
    assert 11_250 <= images <= 45_000
    assert images == 45_000 or fewer <= fewest  # the images are the last resort
    assert seconds <= within * (1 + 1e-9) or (images == 11_250 and fewer <= fewest)
    assert images in (45_000, 11_250) or seconds > 0.999 * within  # and no fewer than need be
    longer = prediction.seconds(trials=trials, epochs=min(epochs, fewer * 2 + 1), images=None)
    assert fewer == epochs or longer > within


@given(st.integers(1, 500), st.integers(2, 64), st.floats(0, 1e6), st.floats(1, 1e6))
def test_with_halving_every_look_stays_and_each_epoch_takes_fewer_images(
    trials: int, epochs: int, within: float, speed: float
) -> None:
    prediction = forecast(speed, pruner="halving")
    same, part = prediction.fit(trials=trials, epochs=epochs, images=None, within=within)
    images = part or 45_000
    seconds = prediction.seconds(trials=trials, epochs=epochs, images=images)
    assert same == epochs
    assert 900 <= images <= 45_000
    assert seconds <= within * (1 + 1e-9) or images == 900
    assert images in (45_000, 900) or seconds > 0.99 * within


def test_a_slow_laptop_still_ends_within_its_time() -> None:
    # 900 images/s on the default network, the speed of two older cores
    slow = replace(forecast(900, pruner="halving", learning=True), flops=39.9e6, mean_flops=52e6)
    epochs, images = slow.fit(trials=50, epochs=16, images=None, within=12 * 60)
    assert (epochs, images is not None and 900 < images < 4_000) == (16, True)


def test_what_follows_a_search_is_said_with_what_more_time_would_buy() -> None:
    laptop = replace(forecast(700, pruner="halving"), flops=39.9e6)
    epochs = final_epochs(laptop, kind="cpu", most=200)
    assert 28 < epochs < 42
    assert final_epochs(laptop, kind="cpu", most=8) == 8
    said = outlook(epochs, kind="cpu", most=200)
    assert said.startswith("`best --retrain` then takes 48 minutes, the final training some")
    assert said.endswith("an hour more for it would mean about 15 % fewer errors")
    assert not outlook(8, kind="cpu", most=8), "no more would be trained"


@pytest.mark.parametrize(
    ("best", "baseline", "said"),
    [
        (0, "known", "no draw was better than known"),
        (7, None, "nothing better came after trial 7: half"),
        (14, None, ""),
        (19, None, "the best came late, as trial 19: a longer"),
    ],
)
def test_in_hindsight_a_search_was_too_long_or_too_short(best: int, baseline: str | None, said: str) -> None:
    trials = [
        TrialRecord(
            number=number,
            state="complete" if number == best or number % 5 == 0 else "pruned",
            accuracy=0.9 if number == best else 0.5,
            baseline=baseline if number == best else None,
        )
        for number in range(20)
    ]
    study = History(study="tiny", manifest=MANIFEST, planned=20, trials=tuple(trials))
    assert hindsight(study).startswith(said)
    assert bool(hindsight(study)) == bool(said)
    assert not hindsight(replace(study, trials=tuple(trials[:9])))


HURRIED = {"space": "smoke", "data": "synthetic", "device": "cpu", "slots": 1, "minutes": 0.001}


@pytest.mark.slow  # real slots are measured
def test_a_hurried_study_trains_on_a_part_of_the_images_and_goes_on_like_that(tmp_path: Path) -> None:
    first = list(run(Search(trials=1, folder=tmp_path, **HURRIED)))
    again = list(run(Search(trials=2, folder=tmp_path, **{**HURRIED, "minutes": 50.0})))
    opened = next(update for update in first if isinstance(update, Opened))
    assert opened.notes[0].startswith("trials of 2 epochs of 36 of the 1,800 images, the next ones in turn, to end")
    resumed = next(update for update in again if isinstance(update, Opened))
    assert not resumed.notes
    history = read_history("smoke", storage=storage_url(tmp_path, None))
    assert history.manifest.images == 36
    assert history.counts["complete"] + history.counts["pruned"] == 2
