"""What a person should know of images before a search: how many, of which kinds, which twice, which mislabelled."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from search.data.images import Images
from search.data.sources import find_source
from search.data.split import load
from search.data.store import store
from search.inspecting.duplicates import Pair, find_duplicates
from search.inspecting.label_errors import LabelError, find_label_errors
from search.inspecting.request import ExploreRequest
from search.inspecting.status import read_status
from search.pictures import Progress
from search.searching.study_data import check_data, source_of
from search.searching.study_folder import StudyFolder
from search.text import percent, plural, some
from studies.storage import storage_url

Part = Literal["training", "test"]

PARTS: tuple[Part, ...] = get_args(Part)
MOST_KINDS = 10  # of files in a sentence


@dataclass(frozen=True, kw_only=True, eq=False)
class Exploration:
    """What was found, with the images that show it."""

    title: str
    notes: tuple[str, ...]
    images: dict[Part, Images]
    names: dict[Part, list[str]]  # the file of each image; empty where they came as arrays
    mean: list[float]  # of each channel of the training images, in 0..255
    std: list[float]  # likewise
    kinds: dict[str, int]  # how many files of each there are; none where the images came as arrays
    skipped: dict[str, str]  # file to the reason
    duplicates: dict[Part, list[Pair]]  # the other image is a training image; for one of these an earlier one
    label_errors: list[LabelError] | None  # of training images; None: no network was asked

    @property
    def classes(self) -> dict[str, dict[Part, int]]:
        """The number of images of each class, in the order of the labels."""
        names = self.images["training"].classes
        counted = (torch.bincount(self.images[part].labels, minlength=len(names)).tolist() for part in PARTS)
        rows = zip(*counted, strict=True)
        return {name: dict(zip(PARTS, row, strict=True)) for name, row in zip(names, rows, strict=True)}

    def label(self, part: Part, image: int) -> str:
        """The class of an image."""
        images = self.images[part]
        return images.classes[images.labels[image]]

    def name(self, part: Part, image: int) -> str:
        """Its file or its number."""
        return self.names[part][image] if self.names else f"{part} image {image:,}"

    def sentences(self) -> dict[str, str]:
        """What there is to say, by topic."""
        counted = sorted((count["training"], name) for name, count in self.classes.items())
        (few, small), (many, large) = counted[0], counted[-1]
        unequal = f"{large} has {many / few:.2f} times as many training images as {small}, the smallest class"
        numbers = [" / ".join(f"{number:.2f}" for number in each) for each in (self.mean, self.std)]
        side, totals = self.images["test"].shape.side, {part: len(images) for part, images in self.images.items()}
        said = {
            "images": f"{totals['training']:,} for training, {totals['test']:,} for the test, {side} x {side} pixels",
            "classes": f"{len(counted)}; {unequal if many > few else f'each has {few:,} training images'}",
            "channels": "of the training images: mean {}, standard deviation {}".format(*numbers),
        }
        if self.kinds:
            kinds = some([f"{count:,} {kind}" for kind, count in self.kinds.items()], MOST_KINDS)
            said["files"] = f"{kinds}; {plural(len(self.skipped), 'file')} cannot be used"
        for part, pairs in self.duplicates.items():
            equal = sum(pair.similarity == 1 for pair in pairs)
            odd = sum(self.label(part, pair.image) != self.label("training", pair.other) for pair in pairs)
            said[f"{part} images that are in training {'twice' if part == 'training' else 'too'}"] = (
                f"{len(pairs):,} ({percent(len(pairs) / totals[part])}); {equal:,} are equal to the other one, {odd:,} "
                "have another class"
            )
        if self.label_errors is not None:
            errors = plural(len(self.label_errors), "validation image")
            said["likely label errors"] = f"{errors}, by the confirmed networks, which did not train on them"
        return said

    def as_json(self) -> dict[str, Any]:
        """What `explore --json` prints: everything but the images."""
        pairs = {part: [pair._asdict() for pair in found] for part, found in self.duplicates.items()}
        errors = None if self.label_errors is None else [each._asdict() for each in self.label_errors]
        found = {name: each for name, each in vars(self).items() if name != "images"}
        return {**found, "classes": self.classes, "duplicates": pairs, "label_errors": errors}


def explore(request: ExploreRequest, *, progress: Progress = lambda *_: None) -> Exploration:
    """Looks at all images of a source; no network answers on test images.

    Raises DataError, StudyError, StorageError.
    """
    if request.study is None:
        source, errors = find_source(request.data, side=request.image_size, progress=progress), None
        training = source.training()
    else:
        history = read_status(request.folder, storage=request.storage, study=request.study).history
        folder, side = StudyFolder(request.folder, history.study), request.image_size or history.manifest.shape.side
        source = source_of(history.starts, data=request.data, side=side, progress=progress)
        url = storage_url(request.folder, request.storage)
        check_data(history.manifest, source=source, folder=folder, storage=url)
        training = source.training()
        errors = find_label_errors(history, images=training, split=load(folder.split), folder=folder)
    images: dict[Part, Images] = {"training": training, "test": source.test()}
    files, data = source.files(), store(training, split=None, device=torch.device("cpu"))
    return Exploration(
        title=source.title,
        notes=source.notes,
        images=images,
        names={part: files.names(part) for part in PARTS} if files else {},
        mean=data.mean.tolist(),
        std=data.std.tolist(),
        kinds=files.kinds if files else {},
        skipped=files.skipped if files else {},
        duplicates={
            "training": find_duplicates(training.pixels, progress=progress),
            "test": find_duplicates(images["test"].pixels, training.pixels, progress=progress),
        },
        label_errors=errors,
    )
