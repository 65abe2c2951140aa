"""How far a network's confidence may be believed, and below what it knows nothing: from its validation images."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from search.candidate import Architecture
from search.data.sources import Source
from search.data.split import load
from search.deciding.testing import answering
from search.files import write_whole
from search.slots.machine import Machine

KNOWN_SHARE = 0.75  # of the right answers that count as known, see the log, 17


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Two numbers that a use of the weights needs beside them."""

    temperature: float  # divides the logits: the confidence then is right as often as it says
    known: float  # the largest logit, so divided, below which an answer is none

    def __post_init__(self) -> None:
        if not (0 < self.temperature < math.inf and math.isfinite(self.known)):
            raise ValueError(f"a calibration needs a temperature above 0 and a finite threshold, not {self}")


def calibrate(answers: Tensor, labels: Tensor) -> Calibration:
    """The temperature of least log loss (arXiv 1706.04599), and the threshold, of logits [N, classes]."""
    logits = answers.double()

    def loss(power: float) -> float:
        return float(F.cross_entropy(logits / math.exp(power), labels))

    temperature = math.exp(minimize_scalar(loss, bounds=(math.log(0.02), math.log(50)), method="bounded").x)
    largest, right = logits.amax(1) / temperature, logits.argmax(1) == labels
    known = largest[right] if right.any() else largest
    return Calibration(temperature=temperature, known=float(known.quantile(1 - KNOWN_SHARE)))


def calibrate_confirmed(
    weights: Sequence[Path], *, architecture: Architecture, source: Source, split: Path, machine: Machine
) -> Calibration:
    """From the confirmed weights of the winner, since its final training sees the validation images too."""
    validation = source.training().take(torch.from_numpy(load(split).validation)).to(machine.device)
    answers = [answering(path, images=validation, architecture=architecture, machine=machine)() for path in weights]
    return calibrate(torch.cat(answers), validation.labels.repeat(len(answers)))


def write_down(calibration: Calibration, weights: Sequence[Path]) -> None:
    """Into the JSON beside each of these weights. Raises OSError."""
    for path in (path.with_suffix(".json") for path in weights):
        about = {**json.loads(path.read_text(encoding="utf-8")), "calibration": asdict(calibration)}
        write_whole(path, (json.dumps(about, indent=2) + "\n").encode())
