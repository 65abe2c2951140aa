"""The layers of one candidate: of a space, of a published recipe, or of a trial."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from search.candidate import Candidate, from_values
from search.inspecting.request import ExplainRequest
from search.inspecting.status import best_trial, read_status
from search.inspecting.trace import Layer, trace
from search.networks.count import cost
from search.planning.catalogue import baselines, load
from search.planning.feasibility import examine
from search.sentences import nearest
from spaces import Problem, Space, SpaceError, shipped_spaces
from studies import StudyError
from studies.history import History, TrialRecord

MOST_DRAWS = 64  # of a space without baselines, until one may be trained


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The candidate to explain, and where it is from."""

    title: str
    candidate: Candidate
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a candidate is made of."""

    subject: Subject
    layers: tuple[Layer, ...]
    training_bytes: int  # that a training needs, see networks.count

    @property
    def parameters(self) -> int:
        """Of all layers, frozen ones included."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def flops(self) -> int:
        """Of one image's forward pass."""
        return sum(layer.flops for layer in self.layers)

    @property
    def memory_mb(self) -> float:
        """Of all outputs of one batch together, in 10^6 bytes."""
        return sum(layer.memory_mb for layer in self.layers)

    def as_json(self) -> dict[str, Any]:
        """What `explain --json` prints."""
        return {
            "title": self.subject.title,
            "note": self.subject.note,
            **self.subject.candidate.as_dict(),
            "layers": [_layer_json(layer) for layer in self.layers],
            "parameters": self.parameters,
            "flops": self.flops,
            "memory_mb": self.memory_mb,
            "training_mb": self.training_bytes / 1e6,
        }


def explain(request: ExplainRequest) -> Explanation:
    """Every layer of a candidate. Raises SpaceError, StudyError, StorageError, NetworkError."""
    subject = candidate_of(request)
    architecture, recipe = subject.candidate.architecture, subject.candidate.recipe
    return Explanation(
        subject=subject,
        layers=trace(architecture, batch_size=recipe.batch_size),
        training_bytes=cost(architecture).training_bytes(recipe),
    )


def candidate_of(request: ExplainRequest) -> Subject:
    """The candidate of a space, of a published recipe, or of a trial. Raises SpaceError, StudyError, StorageError."""
    if request.source is None:
        return _of_study(request)
    if request.study is not None or request.trial is not None:
        raise StudyError(f"{request.source} is no study: leave it out, or leave out --study and --trial")
    published = baselines()
    known = shipped_spaces()
    if request.source in published and request.source not in known:
        recipe = published[request.source]
        if request.baseline is not None:
            raise StudyError(f"{request.source} is a published recipe and has no baselines: leave out --baseline")
        return Subject(title=f"published recipe {recipe.name}: {recipe.title}", candidate=from_values(recipe.values))
    if not _is_path(request.source) and request.source not in known:
        hint = nearest(request.source, (*known, *published)) + "; a file is given by a path that ends in .yaml"
        raise SpaceError([Problem(request.source, 0, "is neither a shipped space nor a published recipe", hint=hint)])
    return _of_space(load(request.source), baseline=request.baseline)


def _is_path(source: str) -> bool:
    return bool(Path(source).suffix) or Path(source).name != source


def _of_space(space: Space, *, baseline: str | None) -> Subject:
    known = {each.name: each.values for each in space.baselines}
    name = baseline or next(iter(known), None)
    if name is None:
        for seed, rng in enumerate(map(Random, range(MOST_DRAWS))):
            drawn = examine(space, space.sample(rng))
            if drawn.candidate is not None and not drawn.problem:
                note = f"the space has no baseline: this is its first draw that may be trained, of seed {seed}"
                return Subject(title=f"space {space.name}", candidate=drawn.candidate, note=note)
        raise StudyError(f"none of {MOST_DRAWS} draws of {space.source} may be trained: {drawn.problem}")
    if name not in known:
        hint = nearest(name, known) if known else "it has none"
        raise SpaceError([Problem(space.source, 0, "there is no such baseline", name, hint)])
    candidate = from_values(known[name])
    return Subject(
        title=f"space {space.name}, baseline {name}", candidate=candidate, note=examine(space, known[name]).problem
    )


def _of_study(request: ExplainRequest) -> Subject:
    if request.baseline is not None:
        raise StudyError("--baseline is of a space: name one, such as `cifar-search explain fast --baseline NAME`")
    history = read_status(request.folder, storage=request.storage, study=request.study).history
    record = best_trial(history) if request.trial is None else _trial(history, request.trial)
    which = "best trial" if request.trial is None else "trial"
    return Subject(
        title=f"{which} {record.number} of study {history.study}",
        candidate=from_values(record.values),
        note=f"{record.state}: {record.message}" if record.message else "",
    )


def _trial(history: History, number: int) -> TrialRecord:
    record = history.trial(number)
    if not record.values:
        raise StudyError(f"trial {number} is {record.state} and has no candidate yet; wait for its start")
    return record


def _layer_json(layer: Layer) -> dict[str, Any]:
    arithmetic = layer.window.arithmetic if layer.window else None
    return {**asdict(layer), "arithmetic": arithmetic, "whole_image": layer.receptive_field is None}
