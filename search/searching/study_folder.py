"""Where everything that belongs to one study lies in the folder of runs."""

import re
from pathlib import Path

from search.slots.checkpoint_store import CheckpointStore
from studies import StudyError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of a study: it is safe as a folder's


class StudyFolder:
    """The paths of one study. Nothing is made or read here. Raises StudyError for a name that is no folder's."""

    def __init__(self, runs: Path, study: str) -> None:
        if not NAME.fullmatch(study):
            raise StudyError(f"a study's name is 1 to 64 letters, digits, '.', '_', '-', no sign first, not {study!r}")
        self.runs, self.study, self.path = runs, study, runs / study
        self.split = self.path / "split.npz"  # which training images validate
        self.log = self.path / "slots.log"  # what the slots of a search or of a decision print
        self.reproduce_log = self.path / "reproduce.log"  # the same of `cifar-search reproduce`
        self.trials = self.path / "trials"  # a folder of checkpoints for each trial
        self.retraining = self.path / "retraining"  # weights of final trainings before they are tested
        self.report = self.path / "report"  # what `cifar-search best --retrain` found
        self.next_space = self.path / "next.yaml"  # what `cifar-search spaces advise` writes

    def checkpoints(self, trial: int) -> CheckpointStore:
        """The checkpoints of a trial."""
        return CheckpointStore(self.trials / f"{trial:05d}")
