"""How long a search will take, from a measured speed and the size of the space's networks; the length that fits."""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from random import Random
from statistics import fmean

from search.description import ImageShape
from search.planning.feasibility import examine
from search.slots.job import Job
from search.text import plural
from search.training.result import GLANCE
from spaces import Space
from studies import StudyError
from studies.algorithms import KEPT, rungs
from studies.manifest import Manifest

EPOCHS = 8  # of a trial, where neither the space file nor the person says
RETRAIN = 4  # times as long is the final training, where the space file does not say
MEAN_DRAWS = 64  # random networks of the space whose mean size stands for a trial
# Measured in two searches of 50 trials (studies/results/LOG.md, 3 and 10):
EVALUATION = 0.4  # cost of evaluating an image, in images that are trained on
VALIDATION = 1 / 9  # images that are evaluated after an epoch, as a share of the whole training part
PRUNED = 0.3  # share of a feasible trial's epochs after the first that pruning by the median saves
EARLY = 1.3  # times as many trials rise as halving keeps: the first ones find nobody to be compared with
GROWTH = 1.4  # how much larger than random draws the networks are that a sampler comes to prefer
SMALLEST_SHARE = 1 / 4  # of the images in an epoch, before a trial gets fewer epochs; where halving stops
SMALLEST_PART = 1 / 50  # most trials early, the first look is as early as it must be
SOUND = 4000  # images before the first look, with fewer it says little (studies/results/LOG.md, 13)
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
    pruner: str
    learning: bool  # the sampler learns, so that it moves away from random draws

    def epoch_seconds(self, flops: float, *, slots: int, images: int | None = None) -> float:
        """One epoch of a network of so many FLOPs on one of the slots, evaluation included."""
        images = self.images if images is None else images
        return work(images, whole=self.images) / (self.images_per_second / slots) * flops / self.flops

    def share(self, *, epochs: int) -> float:
        """The share of the epochs of trials of this length that pruning leaves."""
        return self._left(epochs) / epochs

    def seconds(self, *, trials: int, epochs: int, images: int | None) -> float:
        """So many trials on all slots, each of so many epochs of so many images (None: of all)."""
        flops, left = self.mean_flops * (GROWTH if self.learning else 1.0), self._left(epochs)
        *early, last = self._rising(epochs)
        glance = min(1.0, GLANCE / (VALIDATION * self.images))
        evaluations = sum(early) * glance + last if early else left
        trained, evaluated = (self.epoch_seconds(flops, slots=1, images=part) for part in (images, 0))
        return trials * (left * (trained - evaluated) + evaluations * evaluated)

    def fit(self, *, trials: int, epochs: int, images: int | None, within: float) -> tuple[int, int | None]:
        """The epochs of a trial, and the images of each, such that all trials fit into so many seconds."""
        # With halving, each epoch takes fewer images. Else first the epochs are halved, but never below what pruning
        # needs; then each takes fewer images, down to a quarter of them. `images` that were asked for stay.
        halving = bool(rungs(self.pruner, epochs=epochs))
        fewest = epochs if halving else 1 if self.pruner == "none" else FEWEST_EPOCHS
        while epochs > fewest and self.seconds(trials=trials, epochs=epochs, images=images) > within:
            epochs = max(fewest, epochs // 2)
        whole, spent = (self.seconds(trials=trials, epochs=epochs, images=part) for part in (images, 0))
        if images or whole <= within:
            return epochs, images
        smallest = (SMALLEST_PART if halving else SMALLEST_SHARE) * self.images
        return epochs, int(max(smallest, self.images * (within - spent) / (whole - spent)))

    def _left(self, epochs: int) -> float:
        """Epochs of a trial of so many, in the mean."""
        if not (decided := rungs(self.pruner, epochs=epochs)):
            return epochs if self.pruner == "none" else epochs - PRUNED * (epochs - 1)
        steps = pairwise((0, *decided, epochs))
        shares = self._rising(epochs)
        return sum(share * (after - before) for share, (before, after) in zip(shares, steps, strict=True))

    def _rising(self, epochs: int) -> list[float]:
        """The share of the trials that come to each rung of halving and, last, to the end."""
        return [min(1.0, EARLY / float(KEPT**rung)) for rung in range(len(rungs(self.pruner, epochs=epochs)) + 1)]


def fitted(
    manifest: Manifest, forecast: Forecast, *, epochs: int, images: int | None, trials: int, minutes: float
) -> tuple[Manifest, str]:
    """The manifest of a new study: trials of `epochs` on `images` if asked for, cut to fit the time, and a note."""
    fewer, images = forecast.fit(trials=trials, epochs=epochs, images=images, within=60 * minutes)
    images = None if images == forecast.images else images
    whole = forecast.images
    part = "" if images == manifest.images else f" of {images:,} of the {whole:,} images, the next ones in turn"
    shorter = plural(fewer, "epoch") + part + (f", not {epochs}" if fewer < epochs else "")
    insists = f"--epochs {epochs}" if fewer < epochs else f"--images {whole}"
    note = f"trials of {shorter}, to end within {minutes:g} minutes ({insists} insists)"
    if part and images and images < SOUND:
        sound = forecast.seconds(trials=1, epochs=fewer, images=min(SOUND, whole)) / 60
        enough = f"--trials {max(1, int(minutes / sound))} or --minutes {ceil(trials * sound)} would take {SOUND:,}"
        note += f"; looks after so few images say little, {enough}"
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
