"""Where the images of a study come from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from search.description import CIFAR10
from search.errors import DataError
from search.pictures import Progress

if TYPE_CHECKING:  # it imports torch, which takes seconds: a source is handed about more often than it is read
    from search.data.images import Images
    from search.pictures.cache import Ingested

GENERATED = "generated images (not CIFAR-10)"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set by name and place. It is sent to a slot, which loads the images itself."""

    kind: Literal["cifar10", "synthetic", "pictures"]
    title: str  # for the first line of a run and for reports
    folder: Path | None = None  # of the batches, or of decoded pictures; None for generated images
    notes: tuple[str, ...] = ()  # what the person should know of it

    @property
    def official(self) -> bool:
        """It is CIFAR-10, for which there are published results."""
        return self.kind == "cifar10"

    @property
    def generated(self) -> bool:
        """Its images show nothing."""
        return self.kind == "synthetic"

    def training(self) -> Images:
        """The training images; the test images stay closed."""
        return self._part("training")

    def test(self) -> Images:
        """The test images: for the retrained winner only, see deciding.testing; and to look at pixels, see explore."""
        return self._part("test")

    def _part(self, part: Literal["training", "test"]) -> Images:
        from search.data import cifar10, synthetic

        if self.folder is None:
            return synthetic.training() if part == "training" else synthetic.test()
        reader: ModuleType = cifar10
        if self.kind == "pictures":
            from search.data import pictures as reader  # and with it Pillow, for which the others need not wait
        images: Images = getattr(reader, f"load_{part}")(self.folder)
        return images

    def files(self) -> Ingested | None:
        """What is known of the files that were decoded; None where the images came as arrays."""
        from search.pictures.cache import read

        return read(self.folder) if self.folder and self.kind == "pictures" else None


def find_source(
    place: str | None,
    *,
    side: int | None = None,
    most_side: int = 64,
    download: bool = True,
    progress: Progress | None = None,
) -> Source:
    """`synthetic`, a folder of CIFAR-10, a set by its name, or pictures in folders, a CSV or an .npz.

    None is what CIFAR_SEARCH_DATA says; without it CIFAR-10 is downloaded into the user's cache. Pictures are seen at
    `side` pixels, or at their own median up to `most_side`; `progress` is told of their decoding. Raises DataError.
    """
    given = place or os.environ.get("CIFAR_SEARCH_DATA")
    if given == "synthetic":
        return _as_they_are(Source(kind="synthetic", title=GENERATED), side)
    from search.data import cifar10, pictures

    if given and (found := pictures.find(given, side=side, most_side=most_side, progress=progress)):
        folder, title, notes = found
        return Source(kind="pictures", title=title, folder=folder, notes=notes)
    folder = cifar10.find(Path(place) if place else None, download=download)
    return _as_they_are(Source(kind="cifar10", title=f"CIFAR-10 in {folder}", folder=folder), side)


def _as_they_are(source: Source, side: int | None) -> Source:
    if side not in (None, CIFAR10.side):
        own = f"the images of {source.title} have {CIFAR10.side} pixels a side, not {side}"
        raise DataError(f"{own}; leave --image-size out, or name pictures by --data")
    return source
