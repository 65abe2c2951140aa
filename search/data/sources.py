"""Where the images of a study come from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # it imports torch, which takes seconds: a source is handed about more often than it is read
    from search.data.images import Images


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set by name and place. It is sent to a slot, which loads the images itself."""

    kind: Literal["cifar10", "synthetic"]
    folder: Path | None  # None for generated images

    @property
    def title(self) -> str:
        """For the first line of a run and for reports."""
        return "generated images (not CIFAR-10)" if self.kind == "synthetic" else f"CIFAR-10 in {self.folder}"

    @property
    def official(self) -> bool:
        return self.kind == "cifar10"

    def training(self) -> Images:
        """The training images; the test images stay closed."""
        from search.data import cifar10, synthetic

        return synthetic.training() if self.folder is None else cifar10.load_training(self.folder)

    def test(self) -> Images:
        """The test images: for the retrained winner only, see deciding.retrain."""
        from search.data import cifar10, synthetic

        return synthetic.test() if self.folder is None else cifar10.load_test(self.folder)


def find_source(place: str | None, *, download: bool = True) -> Source:
    """`synthetic`, a folder, or None for what CIFAR_SEARCH_DATA names, and then a download. Raises DataError."""
    if (place or os.environ.get("CIFAR_SEARCH_DATA")) == "synthetic":
        return Source(kind="synthetic", folder=None)
    from search.data import cifar10

    return Source(kind="cifar10", folder=cifar10.find(Path(place) if place else None, download=download))
