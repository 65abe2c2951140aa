"""A finished model: a file of weights and the JSON beside it, checked, loaded, and ready to answer."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from search.candidate import FAMILIES, Architecture
from search.data.images import Images
from search.deciding.calibration import Calibration
from search.description import ImageShape
from search.errors import DataError, first_line
from search.inspecting.status import name_of
from search.networks.build import build
from search.networks.weights import NONE
from search.searching.study_folder import StudyFolder
from search.slots.machine import Machine
from search.training.evaluate import View, logits
from studies.storage import storage_url

BOTH_SIDES = (View(0, False, 0.5), View(0, True, 0.5))  # as it is, and mirrored


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A network with all that its use needs."""

    path: Path
    network: nn.Module
    classes: tuple[str, ...]
    side: int  # pixels of an image
    channels: int
    mean: Tensor  # [C], in pixel values 0..255
    std: Tensor  # likewise
    calibration: Calibration | None
    machine: Machine

    def logits(self, pixels: Tensor) -> Tensor:
        """Of uint8 images [N, S, S, C]: float32 [N, classes] on the CPU, the mean with the mirrored images'."""
        images = Images(pixels, torch.zeros(len(pixels), dtype=torch.int64), self.classes).to(self.machine.device)
        precision = self.machine.precision
        answers = logits(self.network, images, mean=self.mean, std=self.std, precision=precision, views=BOTH_SIDES)
        return answers.cpu()


def weights_of(study: str | None, *, runs: Path, storage: str | None) -> Path:
    """The weights of a study's report. Raises StudyError, StorageError, DataError."""
    name = name_of(study, storage=storage_url(runs, storage))
    path = StudyFolder(runs, name).report / "weights-1.safetensors"
    if not path.exists():
        raise DataError(f"study {name!r} has no finished model; make it: cifar-search best --retrain --study {name}")
    return path


def load_model(path: Path, *, machine: Machine) -> Model:
    """The model of a file of weights that a decision wrote. Raises DataError."""
    beside = path.with_suffix(".json")
    try:
        about, payload = json.loads(beside.read_text(encoding="utf-8")), path.read_bytes()
        if hashlib.sha256(payload).hexdigest() != about["sha256"]:
            raise DataError(f"{path} is not the file that {beside} describes (another SHA-256); copy both again")
        mean, std = (torch.tensor(about[name], dtype=torch.float32, device=machine.device) for name in ("mean", "std"))
        channels, side = len(mean), int(about["input"].partition("]")[0].rpartition(" ")[2])  # of [N, C, S, S]
        classes, calibration = tuple(map(str, about["classes"])), about.get("calibration")
        network = build(_architecture(about["architecture"]), images=ImageShape(side, channels, len(classes)), seed=0)
        network.load_state_dict(load(payload))
        return Model(
            path=path,
            network=network.to(machine.device).eval(),
            classes=classes,
            side=side,
            channels=channels,
            mean=mean,
            std=std,
            calibration=Calibration(**calibration) if calibration else None,
            machine=machine,
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        rule = f"{path} with {beside.name} beside it is no model that `cifar-search best --retrain` wrote"
        raise DataError(f"{rule} ({first_line(error)}); name another with --weights, or leave it out") from error


def _architecture(about: dict[str, Any]) -> Architecture:
    entries = {name: tuple(value) if isinstance(value, list) else value for name, value in about.items()}
    if "weights" in entries:  # those that a backbone began with need not be here: all are in the file
        entries["weights"] = NONE
    family = FAMILIES[str(entries.pop("family"))]
    return family(**entries)
