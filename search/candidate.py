"""What one trial trains: an architecture with a recipe, complete, typed and checked on creation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

Value = str | int | float | bool
Values = Mapping[str, Value]
"""One draw from a space, flat, by dotted name: `architecture.width.2`, `recipe.learning_rate`."""

Check = Callable[[Value], str | None]
"""Says what is wrong with a value, or None."""

Activation = Literal["relu", "gelu", "silu"]
Width = Annotated[int, Field(ge=1, le=4096)]
Depth = Annotated[int, Field(ge=1, le=16)]
Share = Annotated[float, Field(ge=0, lt=1)]

T = TypeVar("T")

MOST_STAGES = 8  # a tuple field may be named up to `width.8` in a space file

_STRICT = ConfigDict(extra="forbid", strict=True)


class CandidateError(ValueError):
    """Values that make no candidate: every rule that is broken, one a line."""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Fast:
    """A small, fast convolutional network after the airbench line (arXiv 2404.00498, section 3).

    A frozen 2x2 whitening stem, then stages of convolution, 2x2 max pooling, batch norm and activation.
    """

    family: ClassVar[str] = "fast"

    stages: Annotated[int, Field(ge=1, le=4)] = 3  # 31 -> 15 -> 7 -> 3 -> 1 pixels: a fifth would have none left
    width: tuple[Width, ...] = (32, 64, 64)  # channels of each stage
    depth: tuple[Depth, ...] = (2, 2, 2)  # convolutions of each stage, the pooled one included
    kernel: tuple[Literal[1, 3, 5, 7], ...] = (3, 3, 3)  # of each stage's convolutions
    residual: bool = False  # add each stage's pooled activation to its output
    activation: Activation = "gelu"
    dropout: Share = 0.0  # before the classifier

    def __post_init__(self) -> None:
        for name in ("width", "depth", "kernel"):
            given = getattr(self, name)
            if len(given) < self.stages:
                raise ValueError(f"{name} needs one entry per stage: {self.stages} stages, {len(given)} given")
            object.__setattr__(self, name, tuple(given[: self.stages]))


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Cnn:
    """The classic family of hand-made notebooks: convolution and pooling stages, then linear layers with dropout."""

    family: ClassVar[str] = "cnn"

    stages: Annotated[int, Field(ge=1, le=MOST_STAGES)] = 3
    width: tuple[Width, ...] = (32, 64, 128)  # channels of each stage
    depth: Depth = 1  # convolutions before each pooling
    kernel: Annotated[int, Field(ge=1, le=31)] = 3
    padding: Literal["same", "valid"] = "same"
    pool: Annotated[int, Field(ge=1, le=8)] = 2  # side of the max pooling window and its stride; 1 is none
    batch_norm: bool = True
    activation: Activation = "relu"
    dropout: Share = 0.1  # after each stage
    hidden: tuple[Width, ...] = (256,)  # neurons of each linear layer before the classifier
    hidden_layers: Annotated[int, Field(ge=0, le=MOST_STAGES)] = 1
    hidden_dropout: Share = 0.3

    def __post_init__(self) -> None:
        if self.padding == "same" and self.kernel % 2 == 0:
            raise ValueError(f"a kernel of {self.kernel} cannot be padded evenly; take an odd one, or padding valid")
        for name, count in (("width", self.stages), ("hidden", self.hidden_layers)):
            given = getattr(self, name)
            if len(given) < count:
                raise ValueError(f"{name} needs {count} entries, {len(given)} given")
            object.__setattr__(self, name, tuple(given[:count]))


Architecture = Fast | Cnn

FAMILIES: dict[str, type[Fast] | type[Cnn]] = {architecture.family: architecture for architecture in (Fast, Cnn)}


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Recipe:
    """How a network is trained; every random choice is drawn per image."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 256  # images
    decoupled: bool = True  # learning rate and weight decay in the batch-free form of training.optimizer, or as torch's
    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 10.0  # peak of the schedule
    momentum: Share = 0.85  # Nesterov for SGD, the first beta for AdamW
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.015
    bias_scale: Annotated[float, Field(gt=0, le=1000)] = 64.0  # learning rate of the batch-norm biases, relative
    warmup: Share = 0.2  # share of the steps in which the learning rate rises
    label_smoothing: Share = 0.1
    averaging: bool = True  # report and keep the running average of the weights
    flip: Literal["none", "random", "alternating"] = "alternating"
    translate: Annotated[int, Field(ge=0, le=8)] = 2  # pixels, each way, edges reflected
    cutout: Annotated[int, Field(ge=0, le=32)] = 0  # side of the erased square, pixels
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0  # degrees, each way
    color: Annotated[float, Field(ge=0, lt=1)] = 0.0  # largest relative change of brightness, contrast, saturation
    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0  # the Beta distribution's parameter; 0 is off
    cutmix: Annotated[float, Field(ge=0, le=10)] = 0.0  # likewise


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Candidate:
    """Architecture and recipe: all that a trial needs to know but its seed and its length."""

    architecture: Fast | Cnn
    recipe: Recipe

    def as_dict(self) -> dict[str, Any]:
        """Nested plain data for a report, the family included."""
        architecture = {"family": self.architecture.family, **asdict(self.architecture)}
        return {"architecture": architecture, "recipe": asdict(self.recipe)}


def from_values(values: Values) -> Candidate:
    """The candidate that flat values describe; fields that are not named keep their defaults. Raises CandidateError."""
    family = values.get("architecture.family")
    if family not in FAMILIES:
        raise CandidateError(f"architecture.family is {family!r}; known: {', '.join(FAMILIES)}")
    known = checks(str(family))
    problems = [f"{name} is not a field of family {family!r}" for name in values if name not in known]
    parts: dict[str, dict[str, Any]] = {"architecture": {}, "recipe": {}}
    for name in sorted(known.keys() & values.keys() - {"architecture.family"}):  # sorted: width.1 before width.2
        part, field, *index = name.split(".")
        if not index:
            parts[part][field] = values[name]
            continue
        entries = parts[part].setdefault(field, ())
        if int(index[0]) != len(entries) + 1:
            problems.append(f"{part}.{field}.{len(entries) + 1} is missing before {name}")
        parts[part][field] = (*entries, values[name])
    architecture = _made(FAMILIES[str(family)], "architecture", parts, problems)
    recipe = _made(Recipe, "recipe", parts, problems)
    if problems or architecture is None or recipe is None:
        raise CandidateError("\n".join(problems))
    return Candidate(architecture=architecture, recipe=recipe)


def _made(owner: type[T], part: str, parts: Mapping[str, dict[str, Any]], problems: list[str]) -> T | None:
    try:
        return owner(**parts[part])
    except ValidationError as error:
        problems += [_sentence(problem, part=part) for problem in error.errors()]
        return None


@cache
def checks(family: str) -> dict[str, Check]:
    """Every name that a space of this family may use, with the check of its values."""
    found: dict[str, Check] = {"architecture.family": lambda value: None if value == family else f"must be {family}"}
    for part, owner in (("architecture", FAMILIES[family]), ("recipe", Recipe)):
        hints = get_type_hints(owner, include_extras=True)
        for field in fields(owner):
            hint = hints[field.name]
            if get_origin(hint) is tuple:
                entry = _check(get_args(hint)[0])
                found |= {f"{part}.{field.name}.{index}": entry for index in range(1, MOST_STAGES + 1)}
            else:
                found[f"{part}.{field.name}"] = _check(hint)
    return found


def _check(hint: Any) -> Check:
    adapter: TypeAdapter[Any] = TypeAdapter(hint)

    def check(value: Value) -> str | None:
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError as error:
            return _sentence(error.errors()[0])
        return None

    return check


def _sentence(problem: Any, *, part: str = "") -> str:
    # pydantic counts the entries of a tuple from 0, space files from 1
    steps = [step + 1 if isinstance(step, int) else step for step in problem["loc"]]
    place = ".".join(str(step) for step in [part, *steps] if step)
    text = problem["msg"].removeprefix("Value error, ")
    if not steps:
        return f"{place}: {text}" if place else text
    return f"{place}: {text}, not {problem['input']!r}"
