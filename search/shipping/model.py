"""A finished model: a file of weights and the JSON beside it, checked, loaded, and ready to answer."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from search.data.images import Images
from search.deciding.calibration import Calibration
from search.description import ImageShape
from search.errors import DataError, first_line
from search.inspecting.status import read_status
from search.networks.build import build
from search.networks.origin import content, origin
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
    """The model of a file of weights that a decision wrote. Raises WeightsError, DataError."""
    known = origin(path)
    mean, std = (255 * torch.tensor(numbers, device=machine.device) for numbers in known.statistics)
    network = build(known.architecture, images=known.images, seed=0)
    try:
        network.load_state_dict(load(content(path, known)))
        calibration = Calibration(**known.calibration) if known.calibration else None
    except (ValueError, TypeError, RuntimeError, SafetensorError) as error:
        rule = f"{path} is no model that the JSON beside it describes ({first_line(error)})"
        raise DataError(f"{rule}; name another with --weights, or leave it out") from error
    return Model(
        path=path,
        network=network.to(machine.device).eval(),
        classes=known.classes,
        shape=known.images,
        mean=mean,
        std=std,
        calibration=calibration,
        machine=machine,
    )
