"""What a person may ask of a finished model."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from search.errors import UsageError
from search.options import argument, check_fields, option, same_option
from search.searching.request import Search


@dataclass(frozen=True, kw_only=True)
class LocateRequest:
    """Photos, and the model that looks at them. Raises UsageError."""

    photos: tuple[Path, ...] = argument(..., "Photos of any size.")
    study: str | None = same_option(Search, "study")
    weights: Path | None = option(None, "Weights (.safetensors) in place of a study's.")
    output: Path = option(Path("located"), "Folder for the pictures.")
    folder: Path = same_option(Search, "folder")
    storage: str | None = same_option(Search, "storage")
    device: str | None = same_option(Search, "device")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.weights and self.study:
            raise UsageError("--study and --weights each name a model; give one of them")
        stems = Counter(photo.stem for photo in self.photos)
        if twice := [stem for stem, count in stems.items() if count > 1]:
            raise UsageError(f"two photos are called {twice[0]}, and so would their pictures be; name one at a time")
