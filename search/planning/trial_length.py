"""What a trial of a space costs on these slots, and the length that fits the time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from statistics import fmean

from search.candidate import Candidate
from search.planning.feasibility import examine
from search.planning.forecast import Forecast
from search.searching.setup import LENGTH, Opening
from search.slots.job import Job
from spaces import Space
from studies import StudyError
from studies.manifest import Manifest
from studies.samplers import STARTUP_TRIALS

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
    """Count the space's baselines and its first draws. Raises StudyError where none of them may be trained."""
    draws = [examine(space, space.sample(rng)) for rng in map(Random, range(MEAN_DRAWS))]
    baselines = [examine(space, baseline.values) for baseline in space.baselines]
    known = next((drawn for drawn in (*baselines, *draws) if not drawn.problem), None)
    if known is None or known.candidate is None or known.cost is None:
        raise StudyError(f"none of {MEAN_DRAWS} draws of {space.source} may be trained: {draws[0].problem}")
    costs = [drawn.cost for drawn in draws if drawn.cost is not None and not drawn.problem]
    return TypicalTrial(
        candidate=known.candidate,
        flops=known.cost.flops,
        mean_flops=sum(cost.flops for cost in costs) / len(draws),  # a draw that is over a limit costs nothing
        mean_parameters=fmean(cost.parameters for cost in costs or [known.cost]),
    )


def predict(opening: Opening, trial: TypicalTrial, *, images_per_second: float, images: int) -> Forecast:
    """The forecast from the speed of all slots together on `trial.job`; `images` are those of the training part."""
    return Forecast(
        images_per_second=images_per_second,
        flops=trial.flops,
        mean_flops=trial.mean_flops,
        images=images,
        whole=images,
        pruning=opening.pruner != "none",
        learning=opening.search.sampler == "tpe" and opening.search.trials > STARTUP_TRIALS,
    )


def fitted(opening: Opening, manifest: Manifest, prediction: Forecast) -> tuple[Manifest, str]:
    """The manifest of a new study: the space's own length, shortened to fit the time, and what to say of it.

    Where the images were asked for, only the epochs are shortened.
    """
    own = opening.space.length.trial if opening.space.length else LENGTH
    minutes, asked = opening.search.minutes, manifest.images
    given = replace(prediction, images=asked or prediction.images)
    found = given.fit(trials=opening.search.trials, epochs=own, within=60 * minutes, fewer_images=asked is None)
    part = found.images < given.images
    shorter = f"{found.epochs} epoch{'s' * (found.epochs > 1)}"
    shorter += f" on {found.images:,} of {given.images:,} images" * part
    note = f"trials of {shorter}, not {own} epochs, to end within {minutes:g} minutes (--epochs {own} insists)"
    chosen = replace(manifest, epochs=found.epochs, images=found.images if part else asked)
    return chosen, note if part or found.epochs < own else ""


def seconds_of(prediction: Forecast, manifest: Manifest, *, trials: int) -> float:
    """So many trials of the manifest's length."""
    given = replace(prediction, images=manifest.images or prediction.images)
    return given.seconds(trials=trials, epochs=manifest.epochs)
