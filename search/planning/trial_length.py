"""What a trial of a space costs on these slots, and the length that fits the time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from statistics import fmean

from search.candidate import Candidate
from search.planning.feasibility import examine
from search.planning.forecast import Forecast
from search.slots.job import Job
from search.text import plural
from spaces import Space
from studies import StudyError
from studies.manifest import Manifest

EPOCHS = 8  # of a trial, where neither the space file nor the person says
RETRAIN = 4  # times as long is the final training, where the space file does not say
MEAN_DRAWS = 64  # random networks of the space whose mean size stands for a trial


@dataclass(frozen=True, kw_only=True)
class TypicalTrial:
    """What stands for the trials of a space before there are any."""

    candidate: Candidate  # that is measured: the space's first baseline, or its first draw that may be trained
    flops: float  # of its network
    mean_flops: float  # of a draw
    mean_parameters: float  # of a draw that may be trained

    @property
    def job(self) -> Job:
        """The measurement of its speed."""
        return Job(name="the forecast", candidate=self.candidate)


def typical(space: Space) -> TypicalTrial:
    """Counts the space's baselines and its first draws. Raises StudyError where none of them may be trained."""
    draws = [examine(space, space.sample(rng)) for rng in map(Random, range(MEAN_DRAWS))]
    baselines = [examine(space, baseline.values) for baseline in space.baselines]
    first = next((drawn for drawn in (*baselines, *draws) if not drawn.problem), None)
    if first is None or first.candidate is None or first.cost is None:
        raise StudyError(f"none of {MEAN_DRAWS} draws of {space.source} may be trained: {draws[0].problem}")
    costs = [drawn.cost for drawn in draws if drawn.cost is not None and not drawn.problem]
    return TypicalTrial(
        candidate=first.candidate,
        flops=first.cost.flops,
        mean_flops=sum(cost.flops for cost in costs) / len(draws),  # a draw that is over a limit costs nothing
        mean_parameters=fmean(cost.parameters for cost in costs or [first.cost]),
    )


def fitted(manifest: Manifest, forecast: Forecast, *, epochs: int, trials: int, minutes: float) -> tuple[Manifest, str]:
    """The manifest of a new study: trials of `epochs`, shortened to fit the time, and what to say of it.

    Where the images were asked for, only the epochs are shortened.
    """
    asked = manifest.images
    given = replace(forecast, images=asked or forecast.images)
    length = given.fit(trials=trials, epochs=epochs, within=60 * minutes, fewer_images=asked is None)
    part = length.images < given.images
    shorter = plural(length.epochs, "epoch") + f" on {length.images:,} of {given.images:,} images" * part
    note = f"trials of {shorter}, not {epochs} epochs, to end within {minutes:g} minutes (--epochs {epochs} insists)"
    chosen = replace(manifest, epochs=length.epochs, images=length.images if part else asked)
    return chosen, note if part or length.epochs < epochs else ""


def seconds_of(forecast: Forecast, manifest: Manifest, *, trials: int) -> float:
    """Forecast for so many trials of the manifest's length."""
    given = replace(forecast, images=manifest.images or forecast.images)
    return given.seconds(trials=trials, epochs=manifest.epochs)
