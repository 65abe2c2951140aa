"""What a long job tells whoever watches it."""

from dataclasses import dataclass

from search.slots.job import Outcome
from search.training.result import EpochResult
from studies.history import History


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A search is about to start or to go on."""

    study: str
    space: str
    storage: str  # its URL, the password masked
    machine: str
    data: str
    epochs: int  # of a whole trial
    seconds: float  # forecast for what is left
    measured: tuple[str, ...] = ()  # to choose the number of slots: a line for each that was tried
    notes: tuple[str, ...]  # what the person should know before waiting
    history: History


@dataclass(frozen=True, kw_only=True)
class Noted:
    """Something that a person should know."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Started:
    """A slot was given a trial."""

    number: int
    slot: int
    title: str  # its baseline's name, or what it is in a few words


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """A trial goes on from a checkpoint."""

    number: int
    epoch: int  # finished before
    rejected: tuple[str, ...]  # checkpoints that did not verify, and why


@dataclass(frozen=True, kw_only=True)
class Progressed:
    """A trial finished an epoch."""

    number: int
    result: EpochResult


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A trial is over."""

    number: int
    state: str  # complete, pruned or failed
    outcome: Outcome | None
    message: str
    history: History  # the study with this trial in it


@dataclass(frozen=True, kw_only=True)
class Retried:
    """A trial lost its slot, or its supervisor; it waits for another attempt."""

    number: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Silent:
    """The storage does not answer; the search waits for it."""

    seconds: float  # since when
    message: str


@dataclass(frozen=True, kw_only=True)
class Waited:
    """Nothing happened for a moment; the clock went on."""


@dataclass(frozen=True, kw_only=True)
class Closed:
    """The search is over, or was interrupted."""

    history: History
    signal: int | None = None  # that interrupted it
    out_of_time: bool = False  # the time that it was given is over
    put_back: tuple[int, ...] = ()  # trials that wait for the next start


Update = Opened | Noted | Started | Resumed | Progressed | Ended | Retried | Silent | Waited | Closed
