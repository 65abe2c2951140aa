"""What a transfer starts from, a study, weights or a backbone; and the space that is searched around it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from search.candidate import Candidate, Recipe, Transfer, Value, from_values
from search.deciding.request import TransferRequest
from search.description import CIFAR10
from search.errors import UsageError
from search.files import home
from search.networks.origin import Origin, content, origin
from search.networks.weights import BACKBONES, IMAGENET, WeightsError, backbone_of, fetch
from search.planning.catalogue import load
from search.planning.feasibility import examine
from search.searching.study_folder import StudyFolder
from search.sentences import nearest
from spaces import Space
from spaces.parameter import Fixed, Float, Kind, Ordered, Parameter
from spaces.space import Baseline, TrainingLength
from studies import StudyError
from studies.history import find_history
from studies.storage import storage_url

STATES = (".safetensors", ".pth", ".pt")  # ends of a file's name; a name without one is a backbone's or a study's
# From CIFAR-100 to a tenth of CIFAR-10 a new head learned best at four times the old rate, the rest as fast as before.
NEW_RATE, MOST_RATE = 4.0, 1000.0
FINE_TUNED = {"recipe.backbone_scale": 1 / NEW_RATE, "recipe.head_first": 0.0, "architecture.dropout": 0.0}
LENGTH = TrainingLength(trial=4, retrain=16)
SEARCHED = ("learning_rate", "backbone_scale", "depth_scale", "head_first")  # of a recipe; the rest stays as it was


@dataclass(frozen=True, kw_only=True)
class Start:
    """Trained weights, checked, and what they are compared with."""

    title: str
    architecture: Mapping[str, Value]  # its names that say which weights it has
    scratch: Candidate  # the network and the recipe for the same images that start from nothing
    own: Origin | None = None  # of weights of this program


def find_start(request: TransferRequest) -> Start:
    """What --from means. Raises UsageError, StudyError, WeightsError, StorageError."""
    name = request.start
    if name in BACKBONES:
        fetch(name, IMAGENET)
        return _of_torchvision(name, IMAGENET)
    if Path(name).suffix in STATES:
        if not (file := home(name).absolute()).is_file():
            raise WeightsError(f"there is no file {file}")
        ours = file.suffix == STATES[0] and file.with_suffix(".json").is_file()
        return _of_ours(file) if ours else _of_torchvision(backbone_of(file), str(file))
    if find_history(name, storage=storage_url(request.folder, request.storage)) is None:
        rule = f"--from is a study in {request.folder}, a file that ends in {', '.join(STATES)}, or a backbone"
        raise UsageError(f"{rule} of torchvision, not {name!r}; {nearest(name, BACKBONES)}")
    file = StudyFolder(request.folder, name).report.absolute() / "weights-1.safetensors"
    if not file.is_file():
        raise StudyError(f"study {name!r} has no weights yet; `cifar-search best --retrain --study {name}` makes them")
    return _of_ours(file)


def _of_ours(file: Path) -> Start:
    own = known = origin(file)
    content(file, own)
    while isinstance(known.architecture, Transfer) and known.architecture.backbone == "own":
        known = origin(Path(known.architecture.weights))  # from nothing: without what it started from itself
    return Start(
        title=f"{file} ({own.architecture.family}, {own.images.classes} classes, SHA-256 {own.sha256[:12]})",
        architecture={"backbone": "own", "weights": str(file), "input_size": own.images.side},
        scratch=Candidate(architecture=known.architecture, recipe=own.recipe),
        own=own,
    )


def _of_torchvision(backbone: str, weights: str) -> Start:
    scratch = from_values(load("fast").baselines[0].values)
    architecture = {"backbone": backbone, "weights": weights}
    return Start(title=f"torchvision's {backbone} ({weights})", architecture=architecture, scratch=scratch)


def space_around(start: Start, weights: Path) -> Space:
    """The shipped space of backbones for this one alone; around weights of ours, which will lie there, their recipe."""
    space, size, rate = load("transfer"), "architecture.input_size", "recipe.learning_rate"
    kinds: dict[str, Kind] = {each.name: each.kind for each in space.parameters if not each.when}
    fixed = {f"architecture.{name}": value for name, value in start.architecture.items()}
    fixed["architecture.hidden_layers"] = 0
    given: dict[str, Value] = {}  # to the baselines
    if start.own:
        recipe, usual = asdict(start.own.recipe), asdict(Recipe())
        names = {name for name in recipe if f"recipe.{name}" in kinds or recipe[name] != usual[name]}
        fixed |= {f"recipe.{name}": recipe[name] for name in sorted(names.difference(SEARCHED))}
        fixed["architecture.weights"], before = str(weights), recipe["learning_rate"]
        kinds[rate] = Float(before / 2, min(2 * NEW_RATE * before, MOST_RATE), log=True)
        given = {rate: min(NEW_RATE * before, MOST_RATE), **FINE_TUNED}
        space = replace(space, limits={}, length=LENGTH)
    else:
        tried: Any = kinds[size]
        drawn: dict[str, Any] = {**space.baselines[0].values, **fixed}
        sides = [side for side in tried.options if not examine(space, {**drawn, size: side}, images=CIFAR10).problem]
        kinds[size] = Ordered(tuple(sides)) if len(sides) > 1 else Fixed(sides[0])
        given[size] = min(sides[-1], drawn[size])
    kinds |= {name: Fixed(value) for name, value in fixed.items()}
    baselines = [{**each.values, **given, **fixed} for each in space.baselines]
    return replace(
        space,
        description="Weights that were trained on other images, with a new head",
        parameters=tuple(Parameter(name, kind) for name, kind in kinds.items()),
        baselines=tuple(
            Baseline(each.name, {name: value for name, value in values.items() if name in kinds})
            for each, values in zip(space.baselines, baselines, strict=True)
        ),
    )
