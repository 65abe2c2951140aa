"""Which trials of another study lie in a space, so that a new study of it is given them."""

from collections.abc import Mapping

from search.candidate import Candidate, CandidateError, Value, from_values, values_of
from spaces import Space
from studies.history import TrialRecord, read_history
from studies.manifest import Manifest
from studies.warm_start import Carried, Carry, check_alike


def find_carry(study: str, *, space: Space, manifest: Manifest, storage: str) -> Carry:
    """The complete and pruned trials of a study that fit into the one of this manifest.

    Raises StorageError, and StudyError where the two differ in more than their spaces and seeds.
    """
    history = read_history(study, storage=storage)
    check_alike(history.manifest, manifest, study=study)
    ended = [trial for trial in history.trials if trial.state in ("complete", "pruned")]
    trials = filter(None, (_carried(trial, space=space, cost=manifest.cost) for trial in ended))
    return Carry(study=study, trials=tuple(trials), most=len(ended), suggest=space.suggest)


def values_in(space: Space, values: Mapping[str, Value]) -> dict[str, Value] | None:
    """The same candidate in the terms of a space; None where it lies outside."""
    try:
        candidate = from_values(values)
    except CandidateError:
        return None
    found, problems = placed(candidate, space=space, known=values)
    return None if problems else found


def placed(
    candidate: Candidate, *, space: Space, known: Mapping[str, Value] = {}
) -> tuple[dict[str, Value], list[str]]:
    """A candidate in the terms of a space, and what of it lies outside; `known` are values that it was drawn with."""
    own = values_of(candidate, [parameter.name for parameter in space.parameters])
    found = space.complete({**own, **known})
    problems = space.check(found)
    if not problems and from_values(found) != candidate:
        problems = ["it has other values than the defaults where the space says nothing"]
    return found, problems


def _carried(trial: TrialRecord, *, space: Space, cost: str | None) -> Carried | None:
    values = values_in(space, trial.values)
    if values is None:
        return None
    violations = space.violations(trial.attributes)
    if trial.state == "complete":
        measured = trial.attributes.keys() >= {*space.limits, *([cost] if cost else [])}
        fits = measured and trial.accuracy is not None
    else:  # without an accuracy it has only its violations to teach
        fits = trial.accuracy is not None or any(violation > 0 for violation in violations.values())
    return Carried(record=trial, stored=space.stored(values), violations=violations) if fits else None
