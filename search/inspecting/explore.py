"""What a person should know of images before a search: how many, of which kinds, which twice, which mislabelled."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from search.augmentation.batch import Augmentation
from search.candidate import Recipe
from search.data.images import Images
from search.data.sources import find_source
from search.data.split import load
from search.data.store import Store, store
from search.inspecting.duplicates import Duplicates, Pair, find_duplicates
from search.inspecting.label_errors import LabelErrors, find_label_errors
from search.inspecting.request import ExploreRequest
from search.inspecting.status import read_status
from search.pictures.decode import Pixels
from search.searching.study_data import check_data, source_of
from search.searching.study_folder import StudyFolder
from studies.storage import storage_url

COPIES = 32  # of an image, of which the one is kept that an augmentation changes most

# Each augmentation of a recipe by itself, strong enough to be seen.
AUGMENTATIONS: tuple[dict[str, Any], ...] = (
    {"flip": "random"}, {"translate": 4}, {"rotation": 20.0}, {"scale": 0.3}, {"shear": 20.0}, {"brightness": 0.5},
    {"contrast": 0.5}, {"saturation": 0.8}, {"hue": 0.2}, {"policy": "randaugment"}, {"policy": "trivialaugment"},
    {"cutout": 12}, {"mixup": 1.0}, {"cutmix": 1.0},
)  # fmt: skip


Part = Literal["training", "test"]


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """The images of one class."""

    name: str
    training: int
    test: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Exploration:
    """What was found in the images of a source."""

    title: str
    notes: tuple[str, ...]
    training: Images
    test: Images
    mean: tuple[float, ...]  # of the training images, by channel, in 0..255
    std: tuple[float, ...]
    originals: dict[str, dict[str, int]]  # how many files of each kind; empty where the images came as arrays
    skipped: dict[str, str]  # file to the reason
    names: dict[str, list[str]]  # the file of each image, by part; likewise empty
    duplicates: dict[Part, Duplicates]  # training images among those before them, test images among the training ones
    augmented: tuple[tuple[str, Pixels], ...]  # the first training image after each augmentation
    label_errors: LabelErrors | None

    @property
    def classes(self) -> tuple[ClassCount, ...]:
        """Every class, in the order of the labels."""
        names = self.training.classes
        parts = (torch.bincount(part.labels, minlength=len(names)).tolist() for part in (self.training, self.test))
        return tuple(ClassCount(name=name, training=a, test=b) for name, a, b in zip(names, *parts, strict=True))

    @property
    def ends(self) -> tuple[ClassCount, ClassCount]:
        """The smallest and the largest class."""
        ranked = sorted(self.classes, key=lambda each: each.training)
        return ranked[0], ranked[-1]

    @property
    def balance(self) -> str:
        """How unequal the classes are, in words."""
        (few, small), (many, large) = ((each.training, each.name) for each in self.ends)
        if few == many:
            return f"Each class has {few:,} training images."
        return f"The largest class, {large}, has {many / few:.2f} times as many images as the smallest, {small}."

    def about(self, part: Part, index: int) -> tuple[str, str]:
        """The class of an image, and its file or else its number."""
        images: Images = getattr(self, part)
        names = self.names.get(part)
        return images.classes[images.labels[index]], names[index] if names else f"{part} image {index}"

    def conflicts(self, part: Part) -> int:
        """How many pairs of duplicates have two classes."""
        pairs = self.duplicates[part].exact + self.duplicates[part].near
        return sum(self.about(part, pair.image)[0] != self.about("training", pair.other)[0] for pair in pairs)

    def as_json(self) -> dict[str, Any]:
        """What `explore --json` prints: everything but the pictures."""
        smallest, largest = self.ends
        return {
            "title": self.title,
            "notes": self.notes,
            "images": {"training": len(self.training), "test": len(self.test), **self.training.shape._asdict()},
            "classes": [asdict(each) for each in self.classes],
            "smallest": smallest.name,
            "largest": largest.name,
            "imbalance": largest.training / smallest.training,
            "mean": self.mean,
            "std": self.std,
            "originals": self.originals,
            "skipped": self.skipped,
            "duplicates": {
                part: {kind: self._rows(part, pairs) for kind, pairs in vars(found).items()}
                for part, found in self.duplicates.items()
            },
            "label_errors": asdict(self.label_errors) if self.label_errors else None,
        }

    def _rows(self, part: Part, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        return [
            {**pair._asdict(), "of": self.about(part, pair.image), "as": self.about("training", pair.other)}
            for pair in pairs
        ]


def explore(request: ExploreRequest) -> Exploration:
    """Looks at all images of a source; no network answers on test images.

    Raises DataError, StudyError, StorageError.
    """
    errors = None
    if request.study is None:
        source = find_source(request.data, side=request.image_size)
        notes, training = source.notes, source.training()
    else:
        history = read_status(request.folder, storage=request.storage, study=request.study).history
        side = request.image_size or history.manifest.shape.side
        source, folder = (
            source_of(history.starts, data=request.data, side=side),
            StudyFolder(request.folder, history.study),
        )
        url = storage_url(request.folder, request.storage)
        notes = source.notes + check_data(history.manifest, source=source, folder=folder, storage=url)
        training = source.training()
        errors = find_label_errors(history, images=training, split=load(folder.split), folder=folder)
    test, files = source.test(), source.files()
    data = store(training, split=None, device=torch.device("cpu"))
    return Exploration(
        title=source.title,
        notes=notes,
        training=training,
        test=test,
        mean=tuple(data.mean.tolist()),
        std=tuple(data.std.tolist()),
        originals=files.originals if files else {},
        skipped=files.skipped if files else {},
        names={part: files.names(part) for part in ("training", "test")} if files else {},
        duplicates={
            "training": find_duplicates(training.pixels),
            "test": find_duplicates(test.pixels, training.pixels),
        },
        augmented=tuple(_augmented(data)),
        label_errors=errors,
    )


def _augmented(data: Store) -> Iterator[tuple[str, Pixels]]:
    """The first training image after each augmentation, with its name and strength."""
    two = data.training.take(torch.tensor([0, len(data.training) // 2]))
    index = torch.tensor([0, 1] * COPIES)  # each copy has the other image as its neighbour, with which it may be mixed
    for change in AUGMENTATIONS:
        augmentation = Augmentation(Recipe(**{"flip": "none", "translate": 0, **change}), two, fill=data.mean, seed=0)
        pixels, _ = augmentation.batch(index, epoch=0, generator=torch.Generator().manual_seed(0))
        copies = pixels[::2].round().to(torch.uint8)
        most = (copies.float() - two.pixels[0].float()).abs().mean((1, 2, 3)).argmax()
        ((name, value),) = change.items()
        yield f"{name} {value}", copies[most].numpy()
