"""Evidence whose numbers contradict each other is refused."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest
from reports import CLASSES, epochs, example, opened

from search.deciding.evidence import Confirmed, Epoch, OpenedTest


@pytest.mark.parametrize("field", ["train_loss", "validation_accuracy", "learning_rate", "seconds"])
def test_a_number_that_is_none_is_refused(field: str) -> None:
    good = asdict(epochs("search", 3, 1)[0])
    with pytest.raises(
        ValueError, match=rf"{field} must be finite or None, not nan \(search, trial 3, seed 1, epoch 1\)"
    ):
        Epoch(**{**good, field: float("nan")})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"correct": (9450, 9451)}, "stated are"),
        ({"correct": (9450,)}, "one count per different seed"),
        ({"seeds": (1, 1)}, "one count per different seed"),
        ({"correct_with_views": (9450,)}, "correct_with_views holds one count of 0 to 10000 per seed"),
        ({"correct_with_views": (9450, 10_001)}, "correct_with_views holds one count of 0 to 10000 per seed"),
        ({"n": 9_999}, "stated are"),
        ({"classes": CLASSES[:9]}, "9 x 9 integers"),
        ({"confusion": np.zeros((10, 10), dtype=int)}, "every class needs"),
        ({"confusion": np.full((10, 10), 0.5)}, "10 x 10 integers"),
    ],
)
def test_a_test_whose_numbers_contradict_each_other_is_refused(changes: dict[str, Any], says: str) -> None:
    good = opened()
    given = {field.name: getattr(good, field.name) for field in fields(good)}
    with pytest.raises(ValueError, match=says):
        OpenedTest(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"openings": ()}, "without an opening"),
        ({"validation_accuracy": 90.12}, "between 0 and 1"),
        ({"seconds": float("nan")}, "seconds must be finite"),
        ({"confirmation": (Confirmed(trial=1, accuracies=(0.9,), flops=1, chosen=False),)}, "exactly one"),
    ],
)
def test_a_report_checks_itself(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        example(**changes)
