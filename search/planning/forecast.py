"""How long a search will take, from a measured speed and the size of the space's networks; the length that fits."""

from dataclasses import dataclass, replace
from random import Random
from statistics import fmean

from search.description import ImageShape
from search.planning.feasibility import examine
from search.slots.job import Job
from search.text import plural
from spaces import Space
from studies import StudyError
from studies.manifest import Manifest

EPOCHS = 8  # of a trial, where neither the space file nor the person says
RETRAIN = 4  # times as long is the final training, where the space file does not say
MEAN_DRAWS = 64  # random networks of the space whose mean size stands for a trial
# Measured in two searches of 50 trials (studies/results/LOG.md, 3 and 10):
EVALUATION = 0.4  # cost of evaluating an image, in images that are trained on
VALIDATION = 1 / 9  # images that are evaluated after an epoch, as a share of the whole training part
PRUNED = 0.3  # share of a feasible trial's epochs after the first that pruning saves
GROWTH = 1.4  # how much larger than random draws the networks are that a sampler comes to prefer
SMALLEST_SHARE = 1 / 4  # of the images: what is best on fewer says little of what is best on all
FEWEST_EPOCHS = 2  # where trials are pruned: with one epoch there is nothing to prune


def work(images: int, *, whole: int) -> float:
    """An epoch and its evaluation, in images that are trained on; `whole` is the size of the training part."""
    return images + EVALUATION * VALIDATION * whole


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a search costs, from the speed of all slots together on one known network."""

    images_per_second: float
    flops: float  # of the network that was measured
    mean_flops: float  # of the space's networks
    images: int  # of the training part
    pruning: bool
    learning: bool  # the sampler learns, so that it moves away from random draws

    def epoch_seconds(self, flops: float, *, slots: int, images: int | None = None) -> float:
        """One epoch of a network of so many FLOPs on one of the slots, evaluation included."""
        return work(images or self.images, whole=self.images) / (self.images_per_second / slots) * flops / self.flops

    def share(self, *, epochs: int) -> float:
        """The share of the epochs of trials of this length that pruning leaves."""
        return 1 - PRUNED * (1 - 1 / epochs) if self.pruning else 1.0

    def seconds(self, *, trials: int, epochs: int, images: int | None) -> float:
        """So many trials on all slots, each of so many epochs on so many images (None: on all)."""
        flops = self.mean_flops * (GROWTH if self.learning else 1.0)
        return trials * epochs * self.share(epochs=epochs) * self.epoch_seconds(flops, slots=1, images=images)

    def fit(self, *, trials: int, epochs: int, images: int | None, within: float) -> tuple[int, int | None]:
        """The epochs and images of a trial such that all trials fit into so many seconds."""
        # First the epochs are halved, but never below what pruning needs; then fewer images are taken, down to a
        # quarter of them, unless `images` were asked for.
        fewest = FEWEST_EPOCHS if self.pruning else 1
        while epochs > fewest and self.seconds(trials=trials, epochs=epochs, images=images) > within:
            epochs = max(fewest, epochs // 2)
        seconds = self.seconds(trials=trials, epochs=epochs, images=images)
        if images or seconds <= within:
            return epochs, images
        affordable = work(self.images, whole=self.images) * within / seconds - work(0, whole=self.images)
        return epochs, int(max(SMALLEST_SHARE * self.images, affordable))


def fitted(
    manifest: Manifest, forecast: Forecast, *, epochs: int, images: int | None, trials: int, minutes: float
) -> tuple[Manifest, str]:
    """The manifest of a new study: trials of `epochs` on `images` if asked for, cut to fit the time, and a note."""
    fewer, images = forecast.fit(trials=trials, epochs=epochs, images=images, within=60 * minutes)
    images = None if images == forecast.images else images
    part = "" if images == manifest.images else f" on {images:,} of {forecast.images:,} images"
    shorter = plural(fewer, "epoch") + part
    note = f"trials of {shorter}, not {epochs} epochs, to end within {minutes:g} minutes (--epochs {epochs} insists)"
    return replace(manifest, epochs=fewer, images=images), note if part or fewer < epochs else ""


@dataclass(frozen=True, kw_only=True)
class TypicalTrial:
    """What stands for the trials of a space before there are any."""

    job: Job  # that is measured: the space's first baseline, or its first draw that may be trained
    flops: float  # of its network
    mean_flops: float  # of a draw
    mean_parameters: float  # of a draw that may be trained


def typical(space: Space, *, images: ImageShape) -> TypicalTrial:
    """Counts the space's baselines and its first draws. Raises StudyError where none of them may be trained."""
    draws = [examine(space, space.sample(rng), images=images) for rng in map(Random, range(MEAN_DRAWS))]
    baselines = [examine(space, baseline.values, images=images) for baseline in space.baselines]
    first = next((drawn for drawn in (*baselines, *draws) if not drawn.problem), None)
    if first is None or first.candidate is None or first.cost is None:
        raise StudyError(f"none of {MEAN_DRAWS} draws of {space.source} may be trained: {draws[0].problem}")
    costs = [drawn.cost for drawn in draws if drawn.cost is not None and not drawn.problem]
    return TypicalTrial(
        job=Job(name="the forecast", candidate=first.candidate),
        flops=first.cost.flops,
        mean_flops=sum(cost.flops for cost in costs) / len(draws),  # a draw that is over a limit costs nothing
        mean_parameters=fmean(cost.parameters for cost in costs or [first.cost]),
    )
