"""The layers of one candidate: of a space, of a published recipe, or of a trial."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from search.candidate import Candidate, from_values
from search.inspecting.status import best_trial, read_status
from search.measuring.memory import training_bytes
from search.networks.count import cost
from search.networks.trace import Layer, trace
from search.planning.catalogue import baselines, load
from search.planning.feasibility import examine
from spaces import Problem, Space, SpaceError, shipped_spaces
from spaces.document import nearest
from studies import StudyError
from studies.history import History, TrialRecord

if TYPE_CHECKING:
    from search.inspecting.views import Pictures

AUTO, FOLDER = "auto", "explain"  # without a folder, pictures go to this one in the study's
MOST_DRAWS = 64  # of a space without baselines, until one may be trained


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a person asks for; the command line's options and their defaults."""

    source: str | None = None  # a space or a published recipe; without one, a trial of a study
    baseline: str | None = None  # of the space; its first unless given
    study: str | None = None
    trial: int | None = None  # the best unless given
    folder: Path = Path("runs")
    storage: str | None = None
    data: str | None = None
    pictures: str | None = None  # a folder for them, or auto: the study's own; none are drawn unless given
    image: int = 0  # of the validation images, from 0: whose feature maps are drawn


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The candidate that is meant, and where it is from."""

    title: str
    candidate: Candidate
    note: str = ""
    history: History | None = None  # of a trial
    record: TrialRecord | None = None  # likewise


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a candidate is made of."""

    asked: Asked
    layers: tuple[Layer, ...]
    training_bytes: int  # that a training needs, see measuring.memory
    pictures: Pictures | None = None

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
            "title": self.asked.title,
            "note": self.asked.note,
            **self.asked.candidate.as_dict(),
            "layers": [_layer_json(layer) for layer in self.layers],
            "parameters": self.parameters,
            "flops": self.flops,
            "memory_mb": self.memory_mb,
            "training_mb": self.training_bytes / 1e6,
            "pictures": [str(file) for file in self.pictures.files] if self.pictures else [],
        }


def explain(question: Question) -> Explanation:
    """Every layer of the candidate that is asked for, and pictures of what it learned, if they are.

    Raises SpaceError, StudyError, StorageError, NetworkError; DataError, OSError where pictures are asked for.
    """
    asked = candidate_of(question)
    architecture, recipe = asked.candidate.architecture, asked.candidate.recipe
    return Explanation(
        asked=asked,
        layers=trace(architecture, batch_size=recipe.batch_size),
        training_bytes=training_bytes(cost(architecture), recipe),
        pictures=None if question.pictures is None else _pictures(asked, question, folder=question.pictures),
    )


def candidate_of(question: Question) -> Asked:
    """The candidate of a space, of a published recipe, or of a trial. Raises SpaceError, StudyError, StorageError."""
    if question.source is None:
        return _of_study(question)
    if question.study is not None or question.trial is not None:
        raise StudyError(f"{question.source} is no study: leave it out, or leave out --study and --trial")
    published = baselines()
    known = shipped_spaces()
    if question.source in published and question.source not in known:
        found = published[question.source]
        if question.baseline is not None:
            raise StudyError(f"{question.source} is a published recipe and has no baselines: leave out --baseline")
        return Asked(title=f"published recipe {found.name}: {found.title}", candidate=from_values(found.values))
    if not _is_path(question.source) and question.source not in known:
        hint = nearest(question.source, (*known, *published)) + "; a file is given by a path that ends in .yaml"
        raise SpaceError([Problem(question.source, 0, "is neither a shipped space nor a published recipe", hint=hint)])
    return _of_space(load(question.source), baseline=question.baseline)


def _pictures(asked: Asked, question: Question, *, folder: str) -> Pictures:
    from search.inspecting.views import draw  # seconds, for matplotlib and for what trains

    if asked.history is None or asked.record is None:
        raise StudyError("--pictures needs trained weights, and only a trial has them: leave the space out")
    place = question.folder / asked.history.study
    return draw(
        asked.candidate,
        record=asked.record,
        history=asked.history,
        place=place,
        target=place / FOLDER if folder == AUTO else Path(folder),
        data=question.data,
        image=question.image,
    )


def _is_path(source: str) -> bool:
    return bool(Path(source).suffix) or Path(source).name != source


def _of_space(space: Space, *, baseline: str | None) -> Asked:
    known = {known.name: known.values for known in space.baselines}
    name = baseline or next(iter(known), None)
    if name is None:
        for seed, rng in enumerate(map(Random, range(MOST_DRAWS))):
            drawn = examine(space, space.sample(rng))
            if drawn.candidate is not None and not drawn.problem:
                note = f"the space has no baseline: this is its first draw that may be trained, of seed {seed}"
                return Asked(title=f"space {space.name}", candidate=drawn.candidate, note=note)
        raise StudyError(f"none of {MOST_DRAWS} draws of {space.source} may be trained: {drawn.problem}")
    if name not in known:
        hint = nearest(name, known) if known else "it has none"
        raise SpaceError([Problem(space.source, 0, "there is no such baseline", name, hint)])
    candidate = from_values(known[name])
    return Asked(
        title=f"space {space.name}, baseline {name}", candidate=candidate, note=examine(space, known[name]).problem
    )


def _of_study(question: Question) -> Asked:
    if question.baseline is not None:
        raise StudyError("--baseline is of a space: name one, such as `cifar-search explain fast --baseline NAME`")
    history = read_status(question.folder, storage=question.storage, study=question.study).history
    record = best_trial(history) if question.trial is None else _trial(history, question.trial)
    which = "best trial" if question.trial is None else "trial"
    return Asked(
        title=f"{which} {record.number} of study {history.study}",
        candidate=from_values(record.values),
        note=f"{record.state}: {record.message}" if record.message else "",
        history=history,
        record=record,
    )


def _trial(history: History, number: int) -> TrialRecord:
    record = history.trial(number)
    if not record.values:
        raise StudyError(f"trial {number} is {record.state} and has no candidate yet; wait for its start")
    return record


def _layer_json(layer: Layer) -> dict[str, Any]:
    arithmetic = layer.window.arithmetic if layer.window else None
    return {**asdict(layer), "arithmetic": arithmetic, "whole_image": layer.receptive_field is None}
