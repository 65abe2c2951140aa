"""The space that follows from what the trials of a study say of the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from search.candidate import CandidateError, Value, checks, from_values
from search.inspecting.boundaries import End, widened
from search.searching.warm_start import values_in
from spaces import Space
from spaces.parameter import KINDS, Choice, Fixed, Kind, Ordered, Parameter, shown
from spaces.space import Baseline, Constraint, TrainingLength
from studies.history import History, TrialRecord
from studies.importance import Importance

DRAWS = 32  # of a widened space that must all make a candidate


@dataclass(frozen=True, kw_only=True)
class Change:
    """A parameter of the next space that is not what it was, or why it had to stay."""

    name: str
    before: str
    after: str | None  # None: it stays
    why: str


def space_of(history: History) -> Space:
    """The space that a study searched, as its record has it."""
    manifest = history.manifest
    start = history.starts[-1] if history.starts else {}
    epochs = start.get("length", f"{manifest.epochs} {manifest.retrain_epochs}").split()
    entries = manifest.space["parameters"].items()
    parameters = tuple(
        Parameter(name, _kind(entry), {parent: tuple(options) for parent, options in entry["when"].items()})
        for name, entry in entries
    )
    return Space(
        name=manifest.space_name,
        source=f"study {history.study}",
        description=start.get("description", f"What study {history.study} searched"),
        family=str(manifest.space["parameters"]["architecture.family"]["value"]),
        length=TrainingLength(*map(int, epochs)),
        parameters=parameters,
        constraints=tuple(Constraint(name, maximum) for name, maximum in manifest.space["constraints"].items()),
    )


def next_space(
    space: Space, trials: Sequence[TrialRecord], *, pressing: Sequence[End], important: Sequence[Importance]
) -> tuple[Space, tuple[Change, ...]]:
    """Wider where the best trials press, fixed where nothing mattered; and what was changed for which reason.

    `trials` are the complete ones, best first.
    """
    changes = []
    for end in pressing:
        if end.pressed:
            space, change = _wider(space, end)
            changes.append(change)
    pressed = {change.name for change in changes}
    fixed = {}
    for row in important:
        kind = _of(space, row.name)
        value = next((trial.values[row.name] for trial in trials if row.name in trial.values), None)
        if row.verdict == "never mattered" and row.name not in pressed and value is not None:
            fixed[row.name] = value
            why = (
                f"it never mattered: its importance, {row.value:.2g} ({row.low:.2g} to {row.high:.2g}), lies below the "
                f"{row.noise:.2g} that chance shows, over {row.trials} trials; {shown(value)} is the best trial's"
            )
            changes.append(Change(name=row.name, before=kind.describe(), after=shown(value), why=why))
    return settled(space, fixed), tuple(changes)


def _wider(space: Space, end: End) -> tuple[Space, Change]:
    kind = _of(space, end.name)
    why = (
        f"{end.there} of the best {end.best} lie at the {end.side} end, where chance puts {end.share * end.best:.1f} "
        f"(p = {end.p:.2g}, by Holm for all ends {end.adjusted:.2g})"
    )
    new, reason = widened(kind, end.side, check=checks(space.family)[end.name]), ""
    wider = replace(space, parameters=tuple(_with_kind(parameter, end.name, new) for parameter in space.parameters))
    if new is None:
        reason = "the field allows nothing beyond"
    elif any(end.name in parameter.when for parameter in space.parameters):
        reason = "other parameters depend on it: widen it by hand"
    elif problem := _broken(wider, end):
        reason = f"beyond it, {problem}: widen it by hand"
    if new is None or reason:
        return space, Change(name=end.name, before=kind.describe(), after=None, why=f"{why}; {reason}")
    return wider, Change(name=end.name, before=kind.describe(), after=new.describe(), why=why)


def _broken(space: Space, end: End) -> str | None:
    """Why a draw at the new end would make no candidate; None where all do."""
    kind = _of(space, end.name)
    assert not isinstance(kind, Fixed | Choice), "only what has ends is widened"
    low, high = (kind.options[0], kind.options[-1]) if isinstance(kind, Ordered) else (kind.low, kind.high)
    for seed in range(DRAWS):
        values = space.sample(Random(seed))  # noqa: S311 - nothing secret
        try:
            if end.name in values:
                from_values({**values, end.name: low if end.side == "low" else high})
        except CandidateError as error:
            return str(error).splitlines()[0]
    return None


def settled(space: Space, fixed: Mapping[str, Value]) -> Space:
    """The space with some parameters fixed; conditions that always hold then are dropped, and what never holds too."""
    kept: dict[str, Parameter] = {}
    for parameter in space.parameters:
        when = {}
        for parent, options in parameter.when.items():
            left = tuple(option for option in options if parent in kept and kept[parent].kind.contains(option))
            if not left:
                break  # it is never there again
            if not isinstance(kept[parent].kind, Fixed):
                when[parent] = left
        else:
            kind = parameter.kind
            if parameter.name in fixed:  # a space file knows no condition of a fixed value
                kind = Choice((fixed[parameter.name],)) if when else Fixed(fixed[parameter.name])
            kept[parameter.name] = Parameter(parameter.name, kind, when)
    return replace(space, parameters=tuple(kept.values()))


def with_baselines(space: Space, history: History, best: TrialRecord) -> tuple[Space, tuple[str, ...]]:
    """The best trial, and the baselines of before that still lie in the space."""
    named = {trial.baseline: trial for trial in history.trials if trial.baseline and trial.values}
    if best.baseline is None:
        named = {f"{history.study}-{best.number}": best, **named}
    found = {name: values_in(space, trial.values) for name, trial in named.items()}
    lost = tuple(f"baseline {name} lies outside the next space and was left out" for name in found if not found[name])
    baselines = tuple(Baseline(str(name), values) for name, values in found.items() if values)
    return replace(space, baselines=baselines), lost


def _kind(entry: Mapping[str, Any]) -> Kind:
    fields: dict[str, Any] = {name: value for name, value in entry.items() if name not in ("kind", "when")}
    if "options" in fields:
        fields["options"] = tuple(fields["options"])
    return KINDS[entry["kind"]](**fields)


def _of(space: Space, name: str) -> Kind:
    return next(parameter.kind for parameter in space.parameters if parameter.name == name)


def _with_kind(parameter: Parameter, name: str, kind: Kind | None) -> Parameter:
    return replace(parameter, kind=kind) if kind is not None and parameter.name == name else parameter
