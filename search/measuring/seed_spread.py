"""How much the accuracy of a training varies when only its seed changes."""

import math
from collections.abc import Sequence
from statistics import harmonic_mean

SPREAD = 0.0015  # standard deviation on 10,000 images, which shrinks with the root of their number (arXiv 2304.01910;
IMAGES = 10_000  # 0.12 to 0.16 points in published series of 100 to 2,000 trainings)


def balanced_images(counts: Sequence[int]) -> float:
    """How many images in equal classes would vary a balanced accuracy as much as so many of each class do."""
    return len(counts) * harmonic_mean(counts)  # its variance is the mean of the classes' own, over their number


def seed_spread(images: float) -> float:
    """Standard deviation of the accuracy on so many images, as a fraction of 1."""
    return SPREAD * math.sqrt(IMAGES / images)
