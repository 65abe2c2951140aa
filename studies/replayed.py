"""A study in memory that replays trainings whose every score is known."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from studies.algorithms import make_pruner, make_sampler

TRIALS = 50  # of the study whose defaults are asked for: they set what sampler and pruner count as their start

Suggest = Callable[[Any], Mapping[str, Any]]


class ReplayedStudy:
    """Proposes values, and prunes the trials that it is given."""

    def __init__(self, suggest: Suggest, *, sampler: str, pruner: str, epochs: int, seed: int) -> None:
        """`suggest` draws values for a trial of Optuna's; `epochs` are those of the longest trial."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._suggest, self._pruner = suggest, make_pruner(pruner, trials=TRIALS, epochs=epochs)
        made = make_sampler(sampler, seed=seed, trials=TRIALS, conditional=False)
        self._study = optuna.create_study(direction="maximize", sampler=made, pruner=self._pruner)
        self._distributions: dict[str, BaseDistribution] = {}
        self.propose()

    def propose(self) -> Mapping[str, Any]:
        """The values that the sampler would try next; `run` tells what was tried instead."""
        asked = self._study.ask()
        values = self._suggest(asked)
        self._distributions = asked.distributions
        self._study.tell(asked, state=TrialState.FAIL)  # which no sampler looks at
        return values

    def run(self, values: Mapping[str, Any], *, scores: Sequence[float]) -> int:
        """Report a score after each epoch until the pruner ends the trial; returns the epochs that it ran."""
        running = self._trial(values, [], TrialState.RUNNING)
        epochs = 0
        for epochs, score in enumerate(scores, start=1):
            running.intermediate_values[epochs] = score
            if epochs < len(scores) and self._pruner.prune(self._study, running):
                break
        state = TrialState.COMPLETE if epochs == len(scores) else TrialState.PRUNED
        self._study.add_trial(self._trial(values, scores[:epochs], state))
        return epochs

    def _trial(self, values: Mapping[str, Any], scores: Sequence[float], state: TrialState) -> FrozenTrial:
        return create_trial(
            state=state,
            value=scores[-1] if scores else None,
            params=dict(values),
            distributions=self._distributions,
            intermediate_values=dict(enumerate(scores, start=1)),
        )
