"""How far a network's confidence may be believed, and below what it knows nothing: from its validation images."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from search.files import write_whole

KNOWN_SHARE = 0.8  # of the right answers that count as known: studies/results/LOG.md, 12


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Two numbers that a use of the weights needs beside them."""

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]  # by which logits are divided
    known: Annotated[float, Field(allow_inf_nan=False)]  # the largest logit, so divided, below which an answer is none


def calibrate(answers: Tensor, labels: Tensor) -> Calibration:
    """The temperature of least log loss (arXiv 1706.04599), and the threshold, of logits [N, classes]."""
    logits = answers.double()

    def loss(power: float) -> float:
        return float(F.cross_entropy(logits / math.exp(power), labels))

    temperature = math.exp(minimize_scalar(loss, bounds=(math.log(0.02), math.log(50)), method="bounded").x)
    largest, right = logits.amax(1) / temperature, logits.argmax(1) == labels
    known = largest[right] if right.any() else largest
    return Calibration(temperature=temperature, known=float(known.quantile(1 - KNOWN_SHARE)))


def write_down(calibration: Calibration, weights: Sequence[Path]) -> None:
    """Into the JSON beside each of these weights. Raises OSError."""
    for path in (path.with_suffix(".json") for path in weights):
        about = {**json.loads(path.read_text(encoding="utf-8")), "calibration": asdict(calibration)}
        write_whole(path, (json.dumps(about, indent=2) + "\n").encode())
