"""How long a search will take, from a measured speed and the size of the space's networks."""

from __future__ import annotations

from dataclasses import dataclass

# Measured in two searches of 50 trials (studies/results/LOG.md, 3 and 10):
EVALUATION = 0.4  # what evaluating an image takes, in images that are trained on
VALIDATION = 1 / 9  # images that are evaluated after an epoch, to each of the whole training part
PRUNED = 0.3  # share of a feasible trial's epochs after the first that pruning saves
GROWTH = 1.4  # how much larger than random draws the networks are that a sampler comes to prefer
SMALLEST_SHARE = 1 / 4  # of the images: what is best on fewer says little of what is best on all
FEWEST_EPOCHS = 2  # where trials are pruned: with one epoch there is nothing to prune


def work(images: int, *, whole: int) -> float:
    """An epoch and its evaluation, in images that are trained on; `whole` is the size of the training part."""
    return images + EVALUATION * VALIDATION * whole


@dataclass(frozen=True, kw_only=True)
class TrialLength:
    """What a whole trial trains on."""

    epochs: int
    images: int  # of an epoch


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a search costs, from the speed of all slots together on one known network."""

    images_per_second: float
    flops: float  # of the network that was measured
    mean_flops: float  # of the space's networks
    images: int  # of an epoch
    whole: int  # images of the training part
    pruning: bool
    learning: bool  # the sampler learns, so that it moves away from random draws

    def epoch_seconds(self, flops: float, *, slots: int) -> float:
        """One epoch of a network of so many FLOPs on one of the slots, evaluation included."""
        return work(self.images, whole=self.whole) / (self.images_per_second / slots) * flops / self.flops

    def share(self, *, epochs: int) -> float:
        """Of the epochs of trials of this length, what pruning leaves."""
        return 1 - PRUNED * (1 - 1 / epochs) if self.pruning else 1.0

    def seconds(self, *, trials: int, epochs: int) -> float:
        """So many trials of so many epochs on all slots."""
        flops = self.mean_flops * (GROWTH if self.learning else 1.0)
        return trials * epochs * self.share(epochs=epochs) * self.epoch_seconds(flops, slots=1)

    def fit(self, *, trials: int, epochs: int, within: float, fewer_images: bool = True) -> TrialLength:
        """`epochs` on all images, or what fits into so many seconds.

        First the epochs are halved, but there are never fewer than pruning needs; then fewer images are taken, down to
        a quarter of them, unless `fewer_images` forbids it.
        """
        fewest = FEWEST_EPOCHS if self.pruning else 1
        while epochs > fewest and self.seconds(trials=trials, epochs=epochs) > within:
            epochs = max(fewest, epochs // 2)
        seconds = self.seconds(trials=trials, epochs=epochs)
        if not fewer_images or seconds <= within:
            return TrialLength(epochs=epochs, images=self.images)
        affordable = work(self.images, whole=self.whole) * within / seconds - work(0, whole=self.whole)
        return TrialLength(epochs=epochs, images=int(max(SMALLEST_SHARE * self.images, affordable)))
