"""One supervisor's seat at a study: its turns, the trials that it holds, and its signs of life."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from sqlalchemy import Connection

from studies.held import Held, TakenError
from studies.history import MOST, PLANNED, START, History, Reader, TrialRecord, record_of, study_attributes
from studies.manifest import ATTRIBUTE, Differences, Manifest, check_same, stored_manifest
from studies.owner import PREFIX, Owner, Watch, owners
from studies.quick import QuickStorage
from studies.rows import write_attributes
from studies.storage import StorageError, close, shareable, transaction
from studies.tables import STUDY_ATTRIBUTES
from studies.turn import hold, strike, take_back, turn
from studies.warm_start import Carry, carry_over


class Seat:
    """Made when a study is opened, left when it is closed."""

    def __init__(self, study: optuna.Study, *, storage: QuickStorage, reader: Reader) -> None:
        self.owner = Owner.this_process()
        self.reader = reader
        self.mine: set[int] = set()  # numbers of the trials that were handed out here
        self._study = study
        self._stale = False
        self._storage = storage
        self._watch = Watch()

    @property
    def study(self) -> optuna.Study:
        """Optuna's view, to be used in a turn or while a trial is held."""
        if self._stale:
            old = self._study
            self._study = optuna.load_study(
                study_name=old.study_name, storage=self._storage, sampler=old.sampler, pruner=old.pruner
            )
            self._stale = False
        return self._study

    @contextmanager
    def turn(self) -> Iterator[Connection]:
        """See studies.turn."""
        try:
            with turn(self._storage, reader=self.reader) as connection:
                yield connection
        except BaseException:
            self._stale = True  # Optuna remembers what it wrote, all of which was undone
            self._watch.beaten(stored=False)
            raise

    @contextmanager
    def held(self, number: int) -> Iterator[Held]:
        """A trial that nobody else can change until the block ends."""
        try:
            with transaction(self._storage) as connection:
                row = hold(connection, reader=self.reader, number=number)
                yield Held(
                    row=row,
                    record=record_of(row),
                    owner=self.owner.uuid,
                    study=self.study,
                    storage=self._storage,
                    connection=connection,
                )
        except TakenError:
            self.mine.discard(number)
            raise

    def identify(self, connection: Connection, *, manifest: Manifest, differences: Differences) -> tuple[str, ...]:
        """In a turn: makes a new study what the manifest says, or checks that a known one is that. Raises StudyError.

        Returns notes on what may change and did.
        """
        study = self.study
        attributes = study_attributes(connection, self.reader.study_id)
        # Empty and without a manifest: new, or left by a start that was killed right here.
        directions = [StudyDirection.MAXIMIZE] + [StudyDirection.MINIMIZE] * (manifest.cost is not None)
        new = study.directions == directions and not self.reader.trials(connection)
        if ATTRIBUTE in attributes or not new:
            stored = stored_manifest(attributes, study=study.study_name)
            return check_same(stored, manifest, study=study.study_name, differences=differences)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names([manifest.metric, *([manifest.cost] if manifest.cost else [])])
        study.set_user_attr(ATTRIBUTE, manifest.as_dict())
        return ()

    def carry_over(self, connection: Connection, carry: Carry, *, cost: str | None) -> tuple[str, ...]:
        """In a turn: see studies.warm_start."""
        return carry_over(carry, cost=cost, study=self.study, reader=self.reader, connection=connection)

    def carried(self, connection: Connection) -> int:
        """How many trials were carried over."""
        return sum(trial.carried is not None for trial in self.reader.trials(connection))

    def record_start(self, connection: Connection, *, trials: int, provenance: Mapping[str, str]) -> int:
        """In a turn: one more start, of so many trials in total, and where it came from; its number, from 1."""
        attributes = study_attributes(connection, self.reader.study_id)
        number = sum(key.startswith(START) for key in attributes) + 1
        self.study.set_user_attr(f"{START}{number:04d}", {**provenance, "owner": self.owner.uuid})
        self.study.set_user_attr(PLANNED, trials)
        self.study.set_user_attr(MOST, max(trials, attributes.get(MOST, attributes.get(PLANNED, 0))))
        return number

    def take_back(self, connection: Connection) -> tuple[int, ...]:
        """In a turn: the running trials of dead supervisors wait again; returns their numbers."""
        listed = self._look(connection)
        if self._watch.due or self.owner.uuid not in listed:  # not listed: new, or held for dead by another one
            self._sign(connection)
            self._watch.beaten(stored=True)
        taken = take_back(connection, storage=self._storage, reader=self.reader, dead=self._dead)
        dead = [uuid for uuid in listed if uuid != self.owner.uuid and self._gone(uuid)]
        if dead:
            strike(connection, reader=self.reader, supervisors=dead)
        return taken

    def beat(self) -> None:
        """A sign of life, and a look at those of the others, where it is time for them."""
        if self._watch.due:
            with transaction(self._storage) as connection:
                self._sign(connection)
                self._look(connection)
            self._watch.beaten(stored=True)

    def history(self) -> History:
        """The study as it stands now."""
        with transaction(self._storage, read_only=True) as connection:
            return self.reader.read(connection)

    def leave(self) -> None:
        """Takes this supervisor off the list; trials that it still runs are free for the others at once."""
        try:
            with suppress(StorageError), transaction(self._storage) as connection:
                strike(connection, reader=self.reader, supervisors=[self.owner.uuid])
        finally:
            close(self._storage)

    def _sign(self, connection: Connection) -> None:
        self.owner = replace(self.owner, beat=self.owner.beat + 1)
        sign = {f"{PREFIX}{self.owner.uuid}": asdict(self.owner)}
        # Not through Optuna, which would trip over a supervisor that takes this one off the list right here.
        write_attributes(connection, STUDY_ATTRIBUTES, id=self.reader.study_id, attributes=sign)

    def _look(self, connection: Connection) -> dict[str, Owner]:
        listed = owners(study_attributes(connection, self.reader.study_id))
        self._watch.look(listed)
        return listed

    def _dead(self, trial: TrialRecord) -> bool:
        if trial.owner == self.owner.uuid:
            return trial.number not in self.mine  # it was handed out, but the answer was lost on its way
        return self._gone(trial.owner)

    def _gone(self, uuid: str | None) -> bool:
        # Where the run's lock file keeps other supervisors away, every other one is gone.
        return not shareable(str(self._storage.url)) or self._watch.judge(uuid) == "dead"
