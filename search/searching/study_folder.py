"""Where everything that belongs to one study lies in the folder of runs."""

import re
from dataclasses import dataclass
from pathlib import Path

from search.slots.checkpoint_store import CheckpointStore
from studies import StudyError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of a study: it is safe as a folder's


@dataclass(frozen=True)
class StudyFolder:
    """The folder of one study. Nothing is made or read here. Raises StudyError for a name that is no folder's."""

    runs: Path
    study: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.study):
            raise StudyError(
                f"a study's name is 1 to 64 letters, digits, '.', '_', '-', no sign first, not {self.study!r}"
            )

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.runs / self.study

    @property
    def split(self) -> Path:
        """Which training images validate."""
        return self.path / "split.npz"

    @property
    def log(self) -> Path:
        """What the slots of a search or of a decision print."""
        return self.path / "slots.log"

    @property
    def reproduce_log(self) -> Path:
        """The same of `cifar-search reproduce`."""
        return self.path / "reproduce.log"

    @property
    def trials(self) -> Path:
        """A folder of checkpoints for each trial."""
        return self.path / "trials"

    @property
    def retraining(self) -> Path:
        """Weights of final trainings before they are tested."""
        return self.path / "retraining"

    @property
    def report(self) -> Path:
        """What `cifar-search best --retrain` found."""
        return self.path / "report"

    @property
    def next_space(self) -> Path:
        """What `cifar-search spaces advise` writes."""
        return self.path / "next.yaml"

    def checkpoints(self, trial: int) -> CheckpointStore:
        """The checkpoints of a trial."""
        return CheckpointStore(self.trials / f"{trial:05d}")
