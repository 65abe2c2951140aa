"""How long a search will take, from a measured speed and the size of the space's networks."""

from __future__ import annotations

from dataclasses import dataclass

EVALUATION = 1.05  # evaluation and starting, on top of the training (studies/results/LOG.md, 3)
TRAINED = 0.67  # share of the epochs that pruning left in 50 trials (studies/results/LOG.md, 3)
GROWTH = 1.6  # how much larger than random draws the networks are that a sampler comes to prefer (the same)
SMALLEST_SHARE = 1 / 4  # of the images: what is best on fewer says little of what is best on all
FEWEST_EPOCHS = 2  # where trials are pruned: with one epoch there is nothing to prune


@dataclass(frozen=True, kw_only=True)
class Length:
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
    pruning: bool
    learning: bool  # the sampler learns, so that it moves away from random draws

    def epoch_seconds(self, flops: float, *, slots: int) -> float:
        """One epoch of a network of so many FLOPs on one of the slots, evaluation included."""
        return EVALUATION * self.images / (self.images_per_second / slots) * flops / self.flops

    def share(self, *, epochs: int) -> float:
        """Of the epochs of trials of this length, what pruning leaves."""
        return TRAINED if self.pruning and epochs > 1 else 1.0

    def seconds(self, *, trials: int, epochs: int) -> float:
        """So many trials of so many epochs on all slots."""
        flops = self.mean_flops * (GROWTH if self.learning else 1.0)
        return trials * epochs * self.share(epochs=epochs) * self.epoch_seconds(flops, slots=1)

    def fit(self, *, trials: int, epochs: int, within: float, fewer_images: bool = True) -> Length:
        """`epochs` on all images, or what fits into so many seconds.

        First the epochs are halved, but there are never fewer than pruning needs; then fewer images are taken, down to
        a quarter of them, unless `fewer_images` forbids it.
        """
        fewest = FEWEST_EPOCHS if self.pruning else 1
        while epochs > fewest and self.seconds(trials=trials, epochs=epochs) > within:
            epochs = max(fewest, epochs // 2)
        whole = self.seconds(trials=trials, epochs=epochs)
        if not fewer_images or whole <= within:
            return Length(epochs=epochs, images=self.images)
        return Length(epochs=epochs, images=int(self.images * max(SMALLEST_SHARE, within / whole)))
