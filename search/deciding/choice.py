"""What was chosen, and what the search gained over the first known recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.deciding.statistics import Interval, normal_interval
from search.planning.confirmation import Confirmed, choose

Right = npt.NDArray[np.bool_]  # [seeds, validation images]: answered rightly


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much more the chosen candidate answers rightly than the first known recipe, as a fraction; may be negative.

    Both were trained with the same fresh seeds, for as many epochs. Each half of the validation images judges what the
    other half chose, so that no image judges what it chose.
    """

    recipe: int  # trial of the first known recipe
    chosen: tuple[int, ...]  # trial that either half chose
    mean: float
    interval: Interval  # of the images, whatever the seeds
    images: int
    seeds: int

    @property
    def title(self) -> str:
        """In one sentence."""
        low, high = (f"{100 * end:+.2f}" for end in self.interval)
        if {*self.chosen} == {self.recipe}:
            return f"The search gained nothing over the first known recipe, trial {self.recipe}, which was chosen."
        return (
            f"Over the first known recipe, trial {self.recipe}, the choice gains {100 * self.mean:+.2f} points ({low} "
            f"to {high}) on {self.images:,} validation images, each half judging the other's choice, "
            f"after as many epochs with the same fresh {'seed' if self.seeds == 1 else 'seeds'}."
        )


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The choice is frozen; the test set is still closed."""

    confirmation: tuple[Confirmed, ...]
    winner: Confirmed
    dropped: tuple[str, ...] = ()  # candidates whose training failed, and why
    gain: Gain | None = None  # None where the space knows no recipe, or it could not be trained


def gain(
    confirmation: Sequence[Confirmed], right: Mapping[int, Right], *, recipe: int, suiting: int | None = None
) -> Gain:
    """What the choice gains over that trial, by what each of the confirmed trials answered rightly."""
    halves = np.arange(right[recipe].shape[1]) % 2
    differences, chosen = np.zeros(len(halves)), []
    for half in (0, 1):
        judging, choosing = halves == half, halves != half
        seen = [
            Confirmed(trial=row.trial, accuracies=tuple(right[row.trial][:, choosing].mean(1)), flops=row.flops)
            for row in confirmation
        ]
        chosen.append(choose(seen, images=int(choosing.sum()), suiting=suiting).trial)
        of_both = (right[trial][:, judging].mean(0) for trial in (chosen[-1], recipe))
        differences[judging] = np.subtract(*of_both)
    mean, interval = normal_interval(differences)
    return Gain(
        recipe=recipe,
        chosen=tuple(chosen),
        mean=mean,
        interval=interval,
        images=len(halves),
        seeds=len(confirmation[0].accuracies),
    )
