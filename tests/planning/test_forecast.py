"""How long a search takes, and how short its trials must be to fit the time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.planning.forecast import Forecast


def forecast(speed: float = 1000.0, *, pruning: bool = False, learning: bool = False) -> Forecast:
    return Forecast(
        images_per_second=speed,
        flops=1e6,
        mean_flops=2e6,
        images=45_000,
        whole=45_000,
        pruning=pruning,
        learning=learning,
    )


def test_a_forecast_counts_size_and_slots_and_what_pruning_and_learning_change() -> None:
    one = forecast().seconds(trials=10, epochs=4)

    assert one == pytest.approx(10 * 4 * 45_000 / 1000 * 2, rel=0.1)  # networks twice as large as the measured one
    assert (
        forecast(pruning=True).seconds(trials=10, epochs=4) < one < forecast(learning=True).seconds(trials=10, epochs=4)
    )
    assert forecast(pruning=True).seconds(trials=10, epochs=1) == pytest.approx(one / 4)  # nothing to prune
    assert forecast().epoch_seconds(1e6, slots=2) == pytest.approx(2 * forecast().epoch_seconds(1e6, slots=1))


@given(st.integers(1, 500), st.integers(1, 200), st.floats(0, 1e6), st.floats(1, 1e6), st.booleans())
def test_first_the_epochs_are_halved_then_images_are_left_out_until_it_fits(
    trials: int, epochs: int, within: float, speed: float, pruning: bool
) -> None:
    prediction, fewest = forecast(speed, pruning=pruning), 2 if pruning else 1
    found = prediction.fit(trials=trials, epochs=epochs, within=within)
    seconds = prediction.seconds(trials=trials, epochs=found.epochs)
    share = replace(prediction, images=found.images).seconds(trials=trials, epochs=found.epochs) / seconds

    assert found.epochs in [epochs >> times for times in range(9)] or found.epochs == fewest
    assert found.epochs == epochs if epochs <= fewest else found.epochs >= fewest
    assert 11_250 <= found.images <= 45_000
    assert found.images == 45_000 or found.epochs <= fewest  # the images are the last resort
    assert seconds * share <= within or (found.images == 11_250 and found.epochs <= fewest)
    assert found.images in (45_000, 11_250) or seconds * share > 0.999 * within  # and no fewer than need be
    assert (
        found.epochs == epochs or prediction.seconds(trials=trials, epochs=min(epochs, found.epochs * 2 + 1)) > within
    )


def test_a_slow_laptop_still_ends_within_its_time() -> None:
    # 900 images/s on the default network, the speed of two older cores
    slow = replace(forecast(900, pruning=True, learning=True), flops=35.6e6, mean_flops=44e6)

    found = slow.fit(trials=50, epochs=4, within=40 * 60)

    assert found.epochs == 2
    assert 11_250 < found.images < 22_500
