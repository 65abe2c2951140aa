"""A Ray actor as it is known at home: what it was given, what it said, and what is kept of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from search.cluster.actor import About, Checkpoint, Letter, newest, versions
from search.cluster.connection import ClusterError
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Began, Event, Finished, Job, Lost, Unsaved, Word
from search.slots.slot_state import SlotState

THREADS = {"training": 1, "letters": 1, "words": 1}  # of an actor; a method keeps one of them busy
KEEPS = {"settle": "training", "train": "training", "letter": "letters"}  # the other methods words


@dataclass(kw_only=True)
class Handle(SlotState):
    """An actor with its job; `answer` is Ray's reference to what it will say next."""

    index: int
    actor: Any
    outfit: tuple[object, ...]  # for RemoteSlot.settle
    answer: Any = None
    about: About | None = None
    letters: int = 0  # that came
    jobs: int = 0  # that it was given
    begun: bool = False  # it said that it has its job
    shelf: CheckpointStore | None = None  # of its job, here
    rejected: tuple[str, ...] = ()  # checkpoints on it that did not verify
    sha256: str | None = None  # of the final checkpoint on it

    @property
    def host(self) -> str:
        return self.about.host if self.about else "a node"

    def call(self, method: str, *arguments: object) -> Any:
        """Ray's reference to the answer."""
        return getattr(self.actor, method).options(concurrency_group=KEEPS.get(method, "words")).remote(*arguments)

    def ask(self) -> None:
        """Ask for what it says next; the same again, where the last answer was not heard."""
        if self.about is None:
            self.answer = self.call("about")
        elif not self.born:
            self.answer = self.call("settle", *self.outfit)
        else:
            self.answer = self.call("letter", self.letters + 1)

    def hear(self, answer: Any) -> Event | None:
        """Take what it said, where that is an event of its job. Raises ClusterError where versions differ."""
        if self.about is None:
            self.about = _checked(answer)
        elif not self.born:
            self.born = True
        else:
            self.letters += 1
            return self._read(answer)
        return None

    def start(self, job: Job) -> None:
        """Give it a job, with the newest checkpoint that is kept here."""
        self.take(job)
        self.jobs, self.begun, self.sha256 = self.jobs + 1, False, None
        self.shelf = CheckpointStore(job.shelf) if job.shelf else None
        checkpoint, self.rejected = newest(self.shelf) if self.shelf else (None, ())
        self.call("train", self.jobs, job, checkpoint)

    def say(self, word: Word) -> None:
        self.since = time.monotonic()
        self.call("say", self.jobs, word)

    def _read(self, letter: Letter) -> Event | None:
        """A checkpoint is put on the shelf in silence."""
        match letter.news:
            case None:
                self.begun = True
                return None
            case Checkpoint() as checkpoint:
                assert self.shelf is not None
                try:
                    self.sha256 = checkpoint.keep(self.shelf)
                except OSError as error:
                    return Unsaved(message=f"cannot write {error.filename or self.shelf.folder}: {error.strerror}")
                return None
            case Began() as began:
                return replace(began, rejected=self.rejected + began.rejected)
            case Unsaved() as unsaved:
                return replace(unsaved, message=f"{unsaved.message} (on {self.host})")
            case Finished() as finished if finished.checkpoint_sha256 != self.sha256:
                return Lost(outcome="crashed", message=f"the final checkpoint from {self.host} is not what was sent")
            case event:
                return event


def _checked(about: About) -> About:
    theirs, ours = set(about.versions), set(versions())
    if theirs != ours:
        there, here = ", ".join(sorted(theirs - ours)), ", ".join(sorted(ours - theirs))
        raise ClusterError(f"{about.host} has {there}, this machine {here}; install the same versions on every node")
    return about
