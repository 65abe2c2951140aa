"""One training as plain data: what a slot receives, and the events that it sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from search.candidate import Candidate
from search.training.result import EpochResult

if TYPE_CHECKING:  # these import torch, which takes seconds: whoever only hands out jobs does not need it
    from search.data.sources import Source
    from search.training.compiling import Mode
    from search.training.precision import Precision

MIN_PATIENCE = 300.0  # seconds
PATIENCE = 10  # times the usual seconds of an epoch before a slot counts as hung

Outcome = Literal["diverged", "out-of-memory", "crashed", "hung", "timed-out", "infeasible"]


@dataclass(frozen=True, kw_only=True)
class SlotSettings:
    """What a slot keeps from job to job."""

    source: Source
    split: Path | None  # the file of the split; without one, every training image is trained on
    device: str
    threads: int
    precision: Precision
    compile: Mode | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training; without `epochs` only its speed is measured."""

    name: str  # for messages: "trial 7"
    candidate: Candidate
    number: int = 0  # of the trial
    seed: int = 0
    epochs: int | None = None
    images: int | None = None  # train on this many, each class in its share; None: on the whole training part
    epoch_images: int | None = None  # that an epoch takes of these, the next epoch the next ones; None: all
    validated: tuple[int, ...] = ()  # epochs after which it is validated, beside the last; none named: after each
    on_all: bool = False  # train on the validation part too
    weights: Path | None = None  # file for the trained weights
    checkpoints: Path | None = None  # folder of its checkpoints, from which it resumes; None: no checkpoints
    reported: int | None = None  # last epoch that the study knows: a checkpoint beyond it is rejected
    patience: float = MIN_PATIENCE  # seconds without an event before the slot counts as hung
    limit: float | None = None  # seconds that it may take on its slot
    latency: bool = False  # measure the latency before the training
    most_latency: float | None = None  # milliseconds; a slower network is not trained


@dataclass(frozen=True, kw_only=True)
class Began:
    """The training starts, or resumes from a checkpoint."""

    epoch: int = 0  # epochs finished before
    step: int = 0  # steps done before, counted over all epochs
    rejected: tuple[str, ...] = ()  # checkpoints that could not be used, and why
    latency_ms: float | None = None  # of one image, if the job asked for it


@dataclass(frozen=True, kw_only=True)
class Paused:
    """The training was ended after a whole step and can resume from its checkpoint."""

    signal: int | None = None  # that the slot itself received; None if the pool asked for the pause


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The training ran to its end, or its speed was measured."""

    seconds: float = 0.0  # of training on this slot
    images_per_second: float | None = None  # None if there was nothing left to train
    peak_memory_mb: float | None = None  # on the GPU
    weights_sha256: str | None = None  # of the file Job.weights
    checkpoint_sha256: str | None = None  # of the final checkpoint in Job.checkpoints

    def numbers(self) -> dict[str, float]:
        """The numbers to store with the trial."""
        return {name: getattr(self, name) for name in ("images_per_second", "peak_memory_mb") if getattr(self, name)}


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The training ended early because of its candidate: it would fail again."""

    outcome: Outcome
    message: str
    trace: str = ""
    at_start: bool = False  # it crashed before its first step, by whatever but memory
    latency_ms: float | None = None  # if the latency is the reason


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The slot died, hung or took too long: the training may resume on another slot."""

    outcome: Outcome
    message: str
    counts: bool = True  # as a failed attempt of the training; not if the slot never began it


@dataclass(frozen=True, kw_only=True)
class Unsaved:
    """A file could not be written, which is not the candidate's fault."""

    message: str


Event = Began | EpochResult | Paused | Finished | Failed | Lost | Unsaved  # all but the first two end the job
Command = Literal["continue", "stop", "pause"]  # the first two answer an EpochResult; "pause" may come at any time
Condition = Callable[[], bool]  # for example, whether a training is to be paused: asked after every step
Run = Callable[[Job, Condition], Iterator[Event]]  # runs a job; its last event ends the job
MakeRun = Callable[[SlotSettings], Run]  # prepares a new slot, to which it is sent by its name: module:function


def patience(epoch_seconds: float) -> float:
    """Seconds without an event before a slot counts as hung, if an epoch usually takes `epoch_seconds`."""
    return max(MIN_PATIENCE, PATIENCE * epoch_seconds)


def ends_process(event: Event) -> bool:
    """Whether the process that sent this event is dead or must be replaced; a new one has a new CUDA context."""
    if isinstance(event, Failed):
        return event.outcome in ("crashed", "out-of-memory")
    return isinstance(event, Lost | Unsaved) or (isinstance(event, Paused) and event.signal is not None)
