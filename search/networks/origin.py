"""Weights that this program left in a report, read again with the JSON beside them as the trunk of another network."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from search.candidate import FAMILIES, Architecture, Recipe, Transfer
from search.description import ImageShape
from search.errors import first_line
from search.networks.weights import NONE, WeightsError


class Origin(NamedTuple):
    """Trained weights, as the JSON beside them has them."""

    architecture: Architecture
    recipe: Recipe
    images: ImageShape  # that the network was trained on
    classes: tuple[str, ...]
    statistics: tuple[tuple[float, ...], tuple[float, ...]]  # their mean and spread by channel, in pixel values 0..1
    sha256: str
    seconds: float | None  # of the training; None where nobody wrote it down
    calibration: dict[str, float] | None  # of its confidence, likewise


def origin(weights: Path) -> Origin:
    """What is known of weights of ours. Raises WeightsError."""
    file = weights.with_suffix(".json")
    try:
        about = json.loads(file.read_bytes())
        found = re.match(r"float32 \[N, ([13]), (\d+), \d+\]", about["input"])
        channels, side = map(int, found.groups()) if found else (0, 0)
        fields = {name: tuple(it) if isinstance(it, list) else it for name, it in about["architecture"].items()}
        architecture = FAMILIES[str(fields.pop("family"))](**fields)
        mean, std = (tuple(float(number) / 255 for number in about[name]) for name in ("mean", "std"))
        if not len(mean) == len(std) == channels or not min(std) > 0:
            raise ValueError(f"input {about['input']}, mean {about['mean']} and std {about['std']} do not agree")
        if isinstance(architecture, Transfer) and architecture.backbone != "own":
            architecture = replace(architecture, weights=NONE)  # the file has the backbone's too
        classes = tuple(map(str, about["classes"]))
        return Origin(
            architecture=architecture,
            recipe=Recipe(**about["recipe"]),
            images=ImageShape(side, channels, len(classes)),
            classes=classes,
            statistics=(mean, std),
            sha256=str(about["sha256"]),
            seconds=about.get("seconds"),
            calibration=about.get("calibration"),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        rule = f"{file} cannot be read as what `cifar-search best --retrain` writes beside its weights"
        step = "it must lie there, and on every machine of a cluster"
        raise WeightsError(f"{rule} ({first_line(error)}); {step}") from None


def content(weights: Path, known: Origin) -> bytes:
    """A file of weights as it was when its JSON was written. Raises WeightsError."""
    try:
        found = weights.read_bytes()
    except OSError as error:
        raise WeightsError(f"{weights} cannot be read: {error.strerror}") from None
    if hashlib.sha256(found).hexdigest() != known.sha256:
        raise WeightsError(f"{weights} has not the SHA-256 that the JSON beside it says: one was changed; restore both")
    return found


def load_trunk(network: nn.Module, weights: Path, known: Origin) -> tuple[list[nn.Module], int]:
    """Make the weights those of the fresh network, in place of whose classifier its features come out.

    Returns its blocks from the input, and the number of the features. A block is a layer with a matrix of weights, or
    a stage, and what follows it up to the next. On the meta device nothing is loaded. Raises WeightsError.
    """
    *_, (name, classifier) = ((name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear))
    if not classifier.weight.is_meta:
        try:
            network.load_state_dict(load(content(weights, known)))
        except (RuntimeError, SafetensorError) as error:  # torch's word for other names or shapes
            rule = f"{weights} is not of the network in the JSON beside it"
            raise WeightsError(f"{rule}: {first_line(error)}") from None
    network.set_submodule(name, end := nn.Identity())
    for module in network.modules():
        if hasattr(module, "fit"):
            module.fit = None  # type: ignore[assignment]  # it was fitted to the images of before
    earlier = getattr(network, "backbone_blocks", None)  # of a network that was itself transferred
    blocks: list[nn.ModuleList] = []
    for part in [*earlier(), network.head] if earlier else _parts(network, end):
        if any(tensor.dim() > 1 for tensor in part.parameters()):
            blocks.append(nn.ModuleList([part]))
        elif blocks:
            blocks[-1].append(part)
    return [*blocks] or [end], classifier.in_features


def _parts(module: nn.Module, end: nn.Module) -> Iterator[nn.Module]:
    """The parts of a network in their order; sequences, and what the end is in, are taken apart."""
    if isinstance(module, nn.Sequential) or (end in module.modules() and module is not end):
        for part in module.children():
            yield from _parts(part, end)
    else:
        yield module
