"""What a long job tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass

from search.running.job import Outcome
from search.training.train import EpochResult
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
    notes: tuple[str, ...]  # what the person should know before waiting
    history: History


@dataclass(frozen=True, kw_only=True)
class Started:
    """A trial began on a slot."""

    number: int
    slot: int
    title: str  # its baseline's name, or what it is in a few words


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
class Waited:
    """Nothing happened for a moment; the clock went on."""


@dataclass(frozen=True, kw_only=True)
class Closed:
    """The search is over, or was interrupted by a signal."""

    history: History
    signal: int | None
    put_back: tuple[int, ...]  # trials that wait for the next start


Update = Opened | Started | Progressed | Ended | Waited | Closed
