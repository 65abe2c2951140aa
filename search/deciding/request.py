"""What a person may ask of a decision or of a published recipe."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.errors import UsageError
from search.options import argument, check_fields, option, same_option
from search.searching.request import MOST_SEED, MOST_SLOTS, Search

if TYPE_CHECKING:
    from search.training.compiling import Mode

BASELINE_MINUTES = 10.0
EXAMPLE = "--claim Detectocorp=70"


@dataclass(frozen=True)
class Claim:
    """A stated accuracy, as a fraction, and who states it. Raises UsageError."""

    name: str
    accuracy: float

    def __post_init__(self) -> None:
        check_fields(self)
        name = self.name
        if not name.strip() or not name.isprintable() or len(name) > 60:
            raise UsageError(f"a claim needs a printable name of 1 to 60 characters, not {name!r}; write {EXAMPLE}")
        if not 0 < self.accuracy <= 1:
            percent = f"{100 * self.accuracy:g} %"
            raise UsageError(f"a claim lies above 0 % and at most at 100 %, not {percent} ({name}); try {EXAMPLE}")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A decision: which study, against which claims, and how much is trained for it. Raises UsageError."""

    study: str | None = same_option(Search, "study")  # the one that was worked on last, unless given
    folder: Path = same_option(Search, "folder")
    storage: str | None = same_option(Search, "storage")
    data: str | None = same_option(Search, "data")
    claims: tuple[Claim, ...] = option((Claim("Detectocorp", 0.7),), "NAME=PERCENT.  [default: Detectocorp=70]")
    minutes: float | None = option(
        None, "Time that the trainings should take.  [default: 48, or 7 on a GPU]", least=0.001
    )
    candidates: int | None = option(None, "Trials to confirm.", least=1, most=1000)  # these four: what the time allows
    confirm_seeds: int | None = option(None, "Fresh seeds of each of them.", least=1, most=1000)
    seeds: int | None = option(None, "Final trainings, each tested once.", least=1, most=1000)
    epochs: int | None = option(None, "Length of these trainings.", least=1)
    slots: int | None = option(None, "At a time.  [default: one per GPU or CPU core to 4]", least=1, most=MOST_SLOTS)
    device: str | None = same_option(Search, "device")
    compile: Mode | None = same_option(Search, "compile")

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.claims:
            raise UsageError(f"a decision needs a claim to compare with; write {EXAMPLE}")
        for name, count in Counter(claim.name for claim in self.claims).items():
            if count > 1:
                raise UsageError(f"{name} claims {count} accuracies; give each vendor one --claim")


@dataclass(frozen=True, kw_only=True)
class BaselineRequest:
    """A published recipe to be trained again. Raises UsageError."""

    name: str = argument("", "A published recipe; without one they are listed.")
    as_published: bool = option(False, "Train every published epoch.")  # however long it takes
    minutes: float | None = option(
        None, "Time of the training; of this start, beside the others.  [default: 10]", least=0.001
    )
    epochs: int | None = option(None, "Train so many epochs, however long it takes.", least=1)
    seed: int = option(0, "Of the split and of the training.", least=0, most=MOST_SEED)
    folder: Path = same_option(Search, "folder")
    storage: str | None = same_option(Search, "storage")
    data: str | None = same_option(Search, "data")
    device: str | None = same_option(Search, "device")
    weights: str | None = option(None, "File of the backbone's state, in place of ImageNet's.")

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def budget(self) -> float | None:
        """Minutes into which the whole training should fit; None where its epochs are asked for."""
        return None if self.as_published or self.epochs else self.minutes or BASELINE_MINUTES


@dataclass(frozen=True, kw_only=True)
class TransferRequest:
    """Trained weights as the start for other images: from where, to what, and for how long. Raises UsageError."""

    start: str = option(..., "A decided study, a file of weights, or a backbone such as resnet18.")
    data: str | None = same_option(Search, "data")
    image_size: int | None = same_option(Search, "image_size")
    trials: int = option(12, "Finished trials in total, over all starts.", least=1)
    minutes: float = option(15.0, "Time that the search should take; the comparison needs about as long.", least=0.001)
    epochs: int | None = same_option(Search, "epochs")
    seeds: int = option(3, "Pairs of trainings that are compared on each share of the images.", least=2, most=1000)
    study: str | None = option(None, "Name of the study.  [default: transfer-FROM]")
    folder: Path = same_option(Search, "folder")
    storage: str | None = same_option(Search, "storage")
    slots: int | None = option(None, "At a time.  [default: one per GPU or CPU core to 4]", least=1, most=MOST_SLOTS)
    device: str | None = same_option(Search, "device")

    def __post_init__(self) -> None:
        check_fields(self)
