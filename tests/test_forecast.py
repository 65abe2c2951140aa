"""How long a search takes, and how short its trials must be to fit the time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.running.forecast import Forecast


def forecast(speed: float = 1000.0, *, pruning: bool = False, learning: bool = False) -> Forecast:
    return Forecast(
        images_per_second=speed, flops=1e6, mean_flops=2e6, images=45_000, pruning=pruning, learning=learning
    )


def test_a_forecast_counts_size_and_slots_and_what_pruning_and_learning_change() -> None:
    one = forecast().seconds(trials=10, epochs=4)

    assert one == pytest.approx(10 * 4 * 45_000 / 1000 * 2, rel=0.1)  # networks twice as large as the measured one
    assert (
        forecast(pruning=True).seconds(trials=10, epochs=4) < one < forecast(learning=True).seconds(trials=10, epochs=4)
    )
    assert forecast(pruning=True).seconds(trials=10, epochs=1) == pytest.approx(one / 4)  # nothing to prune
    assert forecast().epoch_seconds(1e6, slots=2) == pytest.approx(2 * forecast().epoch_seconds(1e6, slots=1))


@given(st.integers(1, 500), st.integers(1, 200), st.floats(0, 1e6), st.floats(1, 1e6))
def test_a_length_is_halved_until_it_fits_and_never_below_two(
    trials: int, epochs: int, within: float, speed: float
) -> None:
    found = forecast(speed, pruning=True).fit(trials=trials, epochs=epochs, within=within)

    def fits(length: int) -> bool:
        return forecast(speed, pruning=True).seconds(trials=trials, epochs=length) <= within

    halved = [epochs >> times for times in range(9)]
    assert found in halved or found == 2
    assert found == epochs if epochs <= 2 else found >= 2
    assert fits(found) or found <= 2
    assert found == epochs or not fits(halved[halved.index(found) - 1] if found in halved else 3)
