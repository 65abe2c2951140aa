"""A finished model: a file of weights and the JSON beside it, checked, loaded, and ready to answer."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from search.candidate import FAMILIES
from search.data.images import Images
from search.deciding.calibration import Calibration
from search.description import ImageShape
from search.errors import DataError, first_line
from search.inspecting.status import read_status
from search.networks.build import build
from search.networks.weights import NONE
from search.searching.study_folder import StudyFolder
from search.slots.machine import Machine
from search.training.evaluate import View, logits

MIRRORED_TOO = (View(0, False, 0.5), View(0, True, 0.5))


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A network with all that its use needs."""

    path: Path
    network: nn.Module
    shape: ImageShape
    classes: tuple[str, ...]
    mean: Tensor  # [C], in pixel values 0..255
    std: Tensor  # likewise
    calibration: Calibration | None  # of older versions there is none
    machine: Machine

    def logits(self, pixels: Tensor) -> Tensor:
        """Of uint8 images [N, S, S, C]: float32 [N, classes] on the CPU, the mean with the mirrored images'."""
        images = Images(pixels, torch.zeros(len(pixels), dtype=torch.int64), self.classes).to(self.machine.device)
        precision = self.machine.precision
        return logits(self.network, images, mean=self.mean, std=self.std, precision=precision, views=MIRRORED_TOO).cpu()


def weights_of(study: str | None, *, runs: Path, storage: str | None) -> Path:
    """The weights of a study's report. Raises StudyError, StorageError, DataError."""
    name = read_status(runs, storage=storage, study=study).history.study
    path = StudyFolder(runs, name).report / "weights-1.safetensors"
    if not path.exists():
        raise DataError(f"study {name!r} has no finished model; make it: cifar-search best --retrain --study {name}")
    return path


def load_model(path: Path, *, machine: Machine) -> Model:
    """The model of a file of weights that a decision wrote. Raises DataError."""
    try:
        about, payload = json.loads(path.with_suffix(".json").read_text(encoding="utf-8")), path.read_bytes()
        if hashlib.sha256(payload).hexdigest() != about["sha256"]:
            raise ValueError("the JSON is of a file with another SHA-256")
        side = int(about["input"].partition("]")[0].rpartition(" ")[2])  # of float32 [N, C, S, S], ...
        shape = ImageShape(side, len(about["mean"]), len(about["classes"]))
        given = {name: each for name, each in about["architecture"].items() if name != "family"}
        fields = {name: tuple(each) if isinstance(each, list) else each for name, each in given.items()}
        if "weights" in fields:  # those that a backbone began with need not be here
            fields["weights"] = NONE
        network = build(FAMILIES[about["architecture"]["family"]](**fields), images=shape, seed=0)
        network.load_state_dict(load(payload))
        mean, std = (torch.tensor(about[name], dtype=torch.float32, device=machine.device) for name in ("mean", "std"))
        return Model(
            path=path,
            network=network.to(machine.device).eval(),
            shape=shape,
            classes=tuple(about["classes"]),
            mean=mean,
            std=std,
            calibration=Calibration(**about["calibration"]) if "calibration" in about else None,
            machine=machine,
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        rule = f"{path}, with a JSON of that name beside it, is no model of `cifar-search best --retrain`"
        raise DataError(f"{rule} ({first_line(error)}); name another with --weights") from error
