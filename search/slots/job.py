"""One training as plain data: what a slot is given, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from search.candidate import Candidate
from search.training.result import EpochResult

if TYPE_CHECKING:  # these import torch, which takes seconds: what hands jobs out can do without
    from search.data.sources import Source
    from search.training.compiling import Mode
    from search.training.precision import Precision

LEAST_PATIENCE = 300.0  # seconds
RETRIES = 2  # of a training whose slot was lost
PATIENCE = 10  # times the usual seconds of an epoch before a slot counts as hung

Outcome = Literal["diverged", "out-of-memory", "crashed", "hung", "timed-out", "infeasible"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a slot keeps from job to job."""

    source: Source
    split: Path | None  # the file of the split; without one, every training image is trained on
    device: str
    threads: int
    precision: Precision
    compile: Mode | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training; without a length only the speed of it is measured."""

    name: str  # for messages: "trial 7"
    candidate: Candidate
    number: int = 0  # the trial's
    seed: int = 0
    epochs: int | None = None
    images: int | None = None  # train on so many, equally many of each class; on all of its part if None
    on_all: bool = False  # train on the validation part too
    weights: Path | None = None  # where the trained weights go
    shelf: Path | None = None  # folder of its checkpoints, from which it goes on; none are kept without
    reported: int | None = None  # epochs that are known of it: no checkpoint beyond them is taken
    patience: float = LEAST_PATIENCE  # seconds without an event before the slot counts as hung
    limit: float | None = None  # seconds that it may take on its slot
    latency: bool = False  # measure it before the training
    most_latency: float | None = None  # milliseconds; what is slower is not trained


@dataclass(frozen=True, kw_only=True)
class Began:
    """The training starts, or goes on from a checkpoint."""

    epoch: int = 0  # finished before
    step: int = 0  # of all the steps of the training, done before
    rejected: tuple[str, ...] = ()  # checkpoints that did not verify, and why
    latency_ms: float | None = None  # of one image, where it was asked for


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a candidate trains here."""

    images_per_second: float


@dataclass(frozen=True, kw_only=True)
class Left:
    """The training was left in order, after a whole step; what it had done is on its shelf."""

    signal: int | None = None  # that the slot itself was sent; None where it was asked to leave


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The training ran to its end."""

    seconds: float  # on this slot
    images_per_second: float | None  # None where nothing was left to train
    peak_memory_mb: float | None  # on the GPU
    weights_sha256: str | None  # of the file at Job.weights
    checkpoint_sha256: str | None  # of the final checkpoint on Job.shelf

    def numbers(self) -> dict[str, float]:
        """What is worth a column beside the accuracy."""
        found = {"images_per_second": self.images_per_second, "peak_memory_mb": self.peak_memory_mb}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The training ended early, for a reason of its candidate's: it would end so again."""

    outcome: Outcome
    message: str
    trace: str = ""
    latency_ms: float | None = None  # where that is the reason


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The slot died, hung or took too long: the training may go on elsewhere from its shelf."""

    outcome: Outcome
    message: str
    counts: bool = True  # against the training; not where the slot never came to it


@dataclass(frozen=True, kw_only=True)
class Unsaved:
    """A checkpoint could not be written, through no fault of the candidate."""

    message: str


Event = Began | EpochResult | Speed | Left | Finished | Failed | Lost | Unsaved
END_OF_JOB = (Speed, Left, Finished, Failed, Lost, Unsaved)

Word = Literal["go on", "stop", "leave"]
"""What a slot is told: after each EpochResult to go on or to stop; at any time to leave."""

Leaving = Callable[[], bool]
"""Whether the slot was asked to leave, to be looked at after every step."""

Run = Callable[[Job, Leaving], Iterator[Event]]
"""The events of a job, of which one of END_OF_JOB is the last."""

Work = Callable[[Setting], Run]
"""What a slot is made of, once in its life; a function of a module, so that its name can be sent."""


def patience(epoch_seconds: float) -> float:
    """Seconds without an event before a slot counts as hung, when an epoch usually takes so long."""
    return max(LEAST_PATIENCE, PATIENCE * epoch_seconds)
