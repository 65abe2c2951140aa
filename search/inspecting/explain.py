"""The layers of one candidate: of a space, of a published recipe, or of a trial."""

from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from search.candidate import Candidate, from_values
from search.description import CIFAR10, ImageShape
from search.inspecting.request import ExplainRequest
from search.inspecting.status import best_trial, read_status
from search.inspecting.trace import Layer, trace
from search.networks.count import cost
from search.planning.catalogue import load
from search.planning.feasibility import examine
from search.sentences import nearest
from spaces import Problem, Space, SpaceError
from spaces.baselines import load_baselines
from spaces.loader import shipped_spaces
from studies import StudyError

MOST_DRAWS = 64  # of a space without baselines, until one may be trained


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The candidate to explain, and where it is from."""

    title: str
    candidate: Candidate
    note: str = ""
    images: ImageShape = CIFAR10  # that its network is for


@dataclass(frozen=True, kw_only=True)
class Explanation(Subject):
    """The layers of the candidate, with their sums."""

    layers: tuple[Layer, ...]
    parameters: int  # frozen ones included
    flops: int  # of one image's forward pass
    memory_mb: float  # of all outputs of one batch together, in 10^6 bytes
    training_mb: float  # that a training needs, see networks.count

    def as_json(self) -> dict[str, Any]:
        """What `explain --json` prints."""
        data = asdict(self)
        del data["candidate"], data["images"]
        return {**data, **self.candidate.as_dict()}


def explain(request: ExplainRequest) -> Explanation:
    """Every layer of a candidate. Raises SpaceError, StudyError, StorageError, NetworkError."""
    subject = candidate_of(request)
    architecture, recipe = subject.candidate.architecture, subject.candidate.recipe
    layers = trace(architecture, images=subject.images, batch_size=recipe.batch_size)
    return Explanation(
        **vars(subject),
        layers=layers,
        parameters=sum(layer.parameters for layer in layers),
        flops=sum(layer.flops for layer in layers),
        memory_mb=sum(layer.memory_mb for layer in layers),
        training_mb=cost(architecture, images=subject.images).training_bytes(recipe) / 1e6,
    )


def candidate_of(request: ExplainRequest) -> Subject:
    """The candidate of a space, of a published recipe, or of a trial. Raises SpaceError, StudyError, StorageError."""
    source = request.source
    if source is None:
        return _of_study(request)
    if request.study is not None or request.trial is not None:
        raise StudyError(f"{source} is no study: leave it out, or leave out --study and --trial")
    published, shipped = load_baselines(), shipped_spaces()
    if source in published and source not in shipped:
        recipe = published[source]
        if request.baseline is not None:
            raise StudyError(f"{source} is a published recipe and has no baselines: leave out --baseline")
        return Subject(title=f"published recipe {recipe.name}: {recipe.title}", candidate=from_values(recipe.values))
    is_path = Path(source).suffix or Path(source).name != source
    if not is_path and source not in shipped:
        hint = nearest(source, (*shipped, *published)) + "; a file is given by a path that ends in .yaml"
        raise SpaceError([Problem(source, 0, "is neither a shipped space nor a published recipe", hint=hint)])
    return _of_space(load(source), baseline=request.baseline)


def _of_space(space: Space, *, baseline: str | None) -> Subject:
    if not space.baselines and baseline is None:
        for seed in range(MOST_DRAWS):
            drawn = examine(space, space.sample(Random(seed)), images=CIFAR10)  # noqa: S311 no secret is drawn
            if drawn.candidate is not None and not drawn.problem:
                note = f"the space has no baseline: this is its first draw that may be trained, of seed {seed}"
                return Subject(title=f"space {space.name}", candidate=drawn.candidate, note=note)
        raise StudyError(f"none of {MOST_DRAWS} draws of {space.source} may be trained: {drawn.problem}")
    known = {each.name: each.values for each in space.baselines}
    name = baseline or next(iter(known))
    if name not in known:
        hint = nearest(name, known) if known else "it has none"
        raise SpaceError([Problem(space.source, 0, "there is no such baseline", name, hint)])
    title, problem = f"space {space.name}, baseline {name}", examine(space, known[name], images=CIFAR10).problem
    return Subject(title=title, candidate=from_values(known[name]), note=problem)


def _of_study(request: ExplainRequest) -> Subject:
    if request.baseline is not None:
        raise StudyError("--baseline is of a space: name one, such as `cifar-search explain fast --baseline NAME`")
    history = read_status(request.folder, storage=request.storage, study=request.study).history
    record = best_trial(history) if request.trial is None else history.trial(request.trial)
    if not record.values:
        why = record.message or "it has not begun"
        raise StudyError(f"trial {record.number} is {record.state} and has no candidate ({why}); name another --trial")
    which = "best trial" if request.trial is None else "trial"
    note = f"{record.state}: {record.message}" if record.message else ""
    title = f"{which} {record.number} of study {history.study}"
    return Subject(title=title, candidate=from_values(record.values), note=note, images=history.manifest.shape)
