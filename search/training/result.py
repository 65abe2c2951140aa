"""The result of one epoch."""

from dataclasses import dataclass

GLANCE = 1000  # validation images, for looks before the last: the looks of 50 trials would take a third of a search


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """Accuracies are shares of 1, losses are mean cross entropies."""

    epoch: int  # from 1
    epochs: int
    train_loss: float  # on augmented images, label smoothing included
    train_accuracy: float
    validation_loss: float | None  # None where no images are kept for validation
    validation_accuracy: float | None
    learning_rate: float  # at the end of the epoch
    seconds: float  # training and evaluation
    validation_balanced_accuracy: float | None = None  # each class counts alike; None in records from before it
