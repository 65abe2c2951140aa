"""The temperature and the threshold of a network, from its answers to validation images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.deciding.calibration import KNOWN_SHARE, Calibration, calibrate


def answers(*, heat: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are `heat` times those of a network which is right as often as it says, and the labels."""
    generator = torch.Generator().manual_seed(seed)
    honest = 2 * torch.randn(5000, 10, generator=generator)
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator)[:, 0]
    return heat * honest, labels


@given(st.floats(0.1, 10))
def test_the_temperature_undoes_what_makes_a_network_too_sure_or_too_shy(heat: float) -> None:
    logits, labels = answers(heat=heat)
    found = calibrate(logits, labels)
    assert found.temperature == pytest.approx(heat, rel=0.1)
    confidence, answer = (logits / found.temperature).softmax(1).max(1)
    assert float(confidence.mean()) == pytest.approx(float((answer == labels).double().mean()), abs=0.02)


def test_the_threshold_knows_its_share_of_the_right_answers() -> None:
    logits, labels = answers(heat=3)
    found = calibrate(logits, labels)
    right = logits[logits.argmax(1) == labels].amax(1) / found.temperature
    assert float((right > found.known).double().mean()) == pytest.approx(KNOWN_SHARE, abs=0.001)


def test_a_network_that_is_never_right_has_a_calibration_too() -> None:
    found = calibrate(torch.eye(3), torch.tensor([1, 2, 0]))
    assert found.temperature > 1  # it is far too sure


@pytest.mark.parametrize("numbers", [(0.0, 1.0), (float("nan"), 1.0), (1.0, float("inf"))])
def test_numbers_that_calibrate_nothing_are_refused(numbers: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="Calibration"):
        Calibration(temperature=numbers[0], known=numbers[1])
