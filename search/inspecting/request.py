"""What a person may ask about images, a candidate or a trial."""

from dataclasses import dataclass
from pathlib import Path

from search.options import argument, check_fields, option, same_option
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


@dataclass(frozen=True, kw_only=True)
class ExploreRequest:
    """Which images to look at, and where to write the page."""

    data: str | None = argument(None, "As --data of `run`.  [default: the study's, or CIFAR_SEARCH_DATA]")
    output: Path | None = option(None, "Page to write.  [default: explore.html in the folder of runs]")
    image_size: int | None = same_option(Search, "image_size")
    study: str | None = option(None, "A study, whose networks look for wrong labels.")
    folder: Path = same_option(Search, "folder")
    storage: str | None = same_option(Search, "storage")

    def __post_init__(self) -> None:
        check_fields(self)
