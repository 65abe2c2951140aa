"""Weights that were trained elsewhere: where they are, and whether they fit."""

import pickle
import socket
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from search.errors import one_line
from search.networks.blocks import NetworkError
from search.text import some

NONE, IMAGENET = "none", "imagenet"  # every other `weights` is a file


class Backbone(NamedTuple):
    """What must be known of a network of torchvision to give it a new head."""

    features: int  # channels that it hands to its head
    classifier: str  # what the keys of its old head start with


BACKBONES = {
    "vgg16": Backbone(512, "classifier."),
    "resnet18": Backbone(512, "fc."),
    "resnet50": Backbone(2048, "fc."),
    "efficientnet_b0": Backbone(1280, "classifier."),
    "convnext_tiny": Backbone(768, "classifier.2."),  # its first part is a norm, which the new head needs too
    "mobilenet_v3_large": Backbone(960, "classifier."),
}

TIMEOUT = 20.0  # seconds without a byte until a download is given up
FIRST_NAMES = 3  # of a list of keys in a message

_short = partial(one_line, most=200)  # characters of torch's own messages


class WeightsError(NetworkError):
    """Weights that are not there, cannot be read, or belong to another network, with the next step."""

    exit_code = 3


def fetch(backbone: str, weights: str, *, download: bool = True) -> None:
    """Make sure that a backbone's weights are on this machine; `imagenet` is downloaded once. Raises WeightsError."""
    if weights == IMAGENET:
        file, url = imagenet(backbone)
        if not file.is_file():
            if not download:
                raise WeightsError(f"its weights are not at {file}; the first run of the space downloads them")
            _download(backbone, file, url)
    elif weights != NONE and not Path(weights).is_file():
        raise WeightsError(
            f"there is no file of weights {weights}; name a file with the state of torchvision's {backbone}, "
            f"or take weights: {IMAGENET} or weights: {NONE}"
        )


def load(model: nn.Module, *, backbone: str, weights: str) -> None:
    """Make trained weights those of torchvision's model, all but the old classifier's. Raises WeightsError."""
    fetch(backbone, weights)
    file = file_of(backbone, weights)
    old, state = BACKBONES[backbone].classifier, _read(file)
    for name, tensor in list(state.items()):
        if name.startswith(old):
            del state[name]
        elif tensor.is_floating_point():
            state[name] = tensor.float()  # some files hold half precision
    try:
        missing, unexpected = model.load_state_dict(state, strict=False, assign=True)  # it may be on the meta device
    except RuntimeError as error:  # torch's word for tensors of another shape
        raise WeightsError(f"{file} is not of {backbone}: {_short(error)}") from error
    missing = [name for name in missing if not name.startswith(old)]
    if missing or unexpected:
        problems = [
            f"{some(keys, FIRST_NAMES)} {what}"
            for what, keys in (("missing", missing), ("unexpected", unexpected))
            if keys
        ]
        raise WeightsError(f"{file} is not of {backbone}: {'; '.join(problems)}")


def backbone_of(file: Path) -> str:
    """Which network of torchvision a file is the state of. Raises WeightsError."""
    from torchvision.models import get_model  # seconds, and only here

    for backbone in BACKBONES:
        with torch.device("meta"):
            model = get_model(backbone, weights=None)
        try:
            load(model, backbone=backbone, weights=str(file))
        except WeightsError as error:
            problem = error
        else:
            return backbone
    raise WeightsError(f"{file} is the state of none of {', '.join(BACKBONES)}, and has no JSON of ours: {problem}")


def file_of(backbone: str, weights: str) -> Path:
    """The file of such weights; it may not be there yet."""
    return imagenet(backbone)[0] if weights == IMAGENET else Path(weights)


def imagenet(backbone: str) -> tuple[Path, str]:
    """Where torchvision keeps its default weights of a backbone, and the address that they are from."""
    from torchvision.models import get_model_weights  # seconds, and only where it is needed

    url = str(get_model_weights(backbone).DEFAULT.url)
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2], url


def _download(backbone: str, file: Path, url: str) -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # torch.hub passes none of its own
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = file.stem.rpartition("-")[2]  # torchvision's names end with the start of their SHA-256
        torch.hub.download_url_to_file(url, str(file), hash_prefix=digest, progress=False)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: the digest is another
        raise WeightsError(
            f"the ImageNet weights of {backbone} are not at {file} and could not be downloaded ({_short(error)}); "
            f"put {file.name} there (from {url}), or take weights: {NONE}, or weights: and a file"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError, SafetensorError) as error:
        raise WeightsError(
            f"{file} cannot be read as weights ({_short(error)}); it must be a .pth, .pt or .safetensors file "
            f"of tensors, or be deleted if it is torchvision's and broken"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise WeightsError(f"{file} must hold one tensor by each name, as torchvision's state_dict() has them")
    return state
