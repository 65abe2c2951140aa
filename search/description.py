"""What the images of a data set are, for whatever does not look at their pixels."""

from typing import NamedTuple


class ImageShape(NamedTuple):
    """What a network is built for."""

    side: int  # pixels
    channels: int  # 1 grey, 3 red, green and blue
    classes: int


CIFAR10 = ImageShape(side=32, channels=3, classes=10)  # what is searched where nobody names other data
