"""What a person may ask about a candidate or a trial."""

from dataclasses import dataclass
from pathlib import Path

from search.options import argument, option, same_option
from search.searching.request import Search


@dataclass(frozen=True, kw_only=True)
class ExplainRequest:
    """Which candidate to explain: of a space, a published recipe, or a trial of a study."""

    source: str | None = argument(None, "A space or a published recipe.  [default: a trial]")
    baseline: str | None = option(None, "Of the space.  [default: its first]")
    study: str | None = same_option(Search, "study")
    trial: int | None = option(None, "Number of the trial.  [default: the best]")
    folder: Path = same_option(Search, "folder")
    storage: str | None = same_option(Search, "storage")


@dataclass(frozen=True, kw_only=True)
class ReproduceRequest:
    """Which trial to train again, and where."""

    trial: int = argument(..., "Number of the trial.")
    study: str | None = same_option(Search, "study")
    folder: Path = same_option(Search, "folder")
    storage: str | None = same_option(Search, "storage")
    data: str | None = same_option(Search, "data")
    device: str | None = option(None, "cuda or cpu.  [default: the record's]")
    keep: bool = option(False, "Keep the weights if they are the lost ones.")
