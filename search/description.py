"""What the images of a data set are, for whatever does not look at their pixels."""

from dataclasses import dataclass
from typing import NamedTuple


class ImageShape(NamedTuple):
    """What a network is built for."""

    side: int  # pixels
    channels: int  # 1 grey, 3 red, green and blue
    classes: int


CIFAR10 = ImageShape(side=32, channels=3, classes=10)  # what is searched where nobody names other data


@dataclass(frozen=True, kw_only=True)
class Description:
    """A data set: what its images are, how many there are of each class, and how bright they are."""

    name: str  # "CIFAR-10"
    side: int  # pixels
    channels: int  # 1 grey, 3 red, green and blue
    classes: tuple[str, ...]
    training: tuple[int, ...]  # images of each class, those that will validate among them
    test: tuple[int, ...]  # likewise
    mean: tuple[float, ...]  # of each channel of the training images, in pixel values 0..255
    std: tuple[float, ...]  # likewise

    @property
    def shape(self) -> ImageShape:
        """What a network for these images is built for."""
        return ImageShape(self.side, self.channels, len(self.classes))
