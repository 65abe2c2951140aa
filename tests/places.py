"""A folder of runs with a search in it that tests disturb, and the ledger that must be true afterwards."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starts import Start, Zygote, wait_for

from search.inspecting.doctor import examine_study
from studies.history import History, read_history

TRIALS, EPOCHS = 4, 3
PACE = 0.05  # seconds of a step, of which an epoch has four


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder of runs with the search that is disturbed in it."""

    warm: Zygote
    runs: Path
    outputs: Path
    storage: str | None = None
    study: str = "smoke"

    @classmethod
    def at(cls, folder: Path, *, warm: Zygote, storage: str | None = None) -> Place:
        (folder / "outputs").mkdir(parents=True)
        return cls(warm=warm, runs=folder / "runs", outputs=folder / "outputs", storage=storage)

    @property
    def url(self) -> str:
        return self.storage or f"sqlite:///{self.runs}/studies.db"

    def start(
        self,
        *more: str,
        trials: int = TRIALS,
        slots: int = 2,
        output: Path | None = None,
        ignored: Sequence[signal.Signals] = (),
        fault_of_ours: bool = False,
        **environment: str,
    ) -> Start:
        words = f"run --space smoke --study {self.study} --data synthetic --device cpu --pruner none --epochs {EPOCHS}"
        words = f"{words} --trials {trials} --slots {slots}"
        storage = ("--storage", self.storage) if self.storage else ()
        return self.warm.start(
            *words.split(), "--runs", str(self.runs), *storage, *more,
            output=output or self.outputs / f"{len(self.warm.started)}.txt",
            environment={"STUB_PACE": str(PACE), **environment}, ignored=ignored, fault_of_ours=fault_of_ours,
        )  # fmt: skip

    def history(self) -> History:
        return read_history(self.study, storage=self.url)

    def completed(self, start: Start, *, trials: int = TRIALS) -> History:
        """The search ended by itself, every trial is finished, and the ledger is true."""
        assert start.end() == 0, start.output
        return self.check(trials=trials)

    def check(self, *, trials: int = TRIALS) -> History:
        """The ledger is true and every trial is finished."""
        history = self.settled()
        assert history.finished == len(history.trials) == trials
        return history

    def settled(self) -> History:
        """The ledger is true, whatever is still to be done."""
        ledger = examine_study(self.runs, storage=self.url, study=self.study)
        assert ledger.findings == (), ledger
        return self.history()

    def finish(self, **options: Any) -> str:
        """The same command again, to its end; returns what it printed."""
        again = self.start(**options)
        assert again.end() == 0, again.output
        wait_for(lambda: not again.left(), what=lambda: f"processes {again.left()} to end", seconds=10)
        return again.output


def gone(start: Start, *, seconds: float = 10.0) -> int:
    """Its exit code, which comes in so many seconds, and nothing of it lives on."""
    asked = time.monotonic()
    code = start.end()
    assert time.monotonic() - asked < seconds
    wait_for(lambda: not start.left(), what=lambda: f"processes {start.left()} to end", seconds=10)
    return code
