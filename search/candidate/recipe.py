"""How a network is trained."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from search.candidate.fields import STRICT, Share
from search.candidate.optimizers import OptimizerName

ScheduleName = Literal["linear", "cosine", "one_cycle", "plateau", "constant"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """Optimiser, schedule, regularisation and augmentation; every random choice is drawn per image."""

    optimizer: Annotated[OptimizerName, "of all weights; muon steps only the filters of convolutions"] = "sgd"
    batch_size: Annotated[int, Field(ge=1, le=65536), "images that a step trains on"] = 256
    decoupled: Annotated[bool, "learning rate and weight decay fit any batch, or as torch's"] = True  # parameter_groups
    learning_rate: Annotated[float, Field(gt=0, le=1000), "peak of the schedule"] = 10.0
    momentum: Annotated[Share, "Nesterov for SGD and Muon, the first beta for Adam"] = 0.85
    weight_decay: Annotated[float, Field(ge=0, le=10), "part of the loss; adamw, muon: apart from it"] = 0.015
    l1: Annotated[float, Field(ge=0, le=1), "times the sum of the absolute weights, added to the loss"] = 0.0
    bias_scale: Annotated[float, Field(gt=0, le=1000), "learning rate of the batch-norm biases, relative"] = 64.0
    backbone_scale: Annotated[float, Field(gt=0, le=1), "learning rate of a pretrained backbone, relative"] = 1.0
    depth_scale: Annotated[float, Field(gt=0, le=1), "learning rate of its blocks, relative to the next one above"] = (
        1.0
    )
    head_first: Annotated[Share, "share of the steps in which only the head of a pretrained backbone is trained"] = 0.0
    schedule: Annotated[ScheduleName, "of the learning rate, after the warm-up"] = "linear"
    warmup: Annotated[Share, "share of the steps in which the learning rate rises"] = 0.2
    patience: Annotated[int, Field(ge=0, le=1000), "plateau: epochs without a better training loss"] = 3
    drop: Annotated[float, Field(gt=0, lt=1), "plateau: what the learning rate is then multiplied by"] = 0.5
    clip: Annotated[float, Field(ge=0, le=1000), "largest norm of the gradient of all weights; 0 is off"] = 0.0
    label_smoothing: Annotated[Share, "share of the label, spread over all classes"] = 0.1
    class_weights: Annotated[float, Field(ge=0, le=1), "power of 1 / a class's share in the loss; 1: all alike"] = 0.0
    averaging: Annotated[bool, "report and keep the running average of the weights"] = True
    flip: Annotated[Literal["none", "random", "alternating"], "alternating: in every other epoch"] = "alternating"
    translate: Annotated[int, Field(ge=0, le=8), "pixels, each way, edges reflected"] = 2
    rotation: Annotated[float, Field(ge=0, le=180), "degrees, each way"] = 0.0
    scale: Annotated[float, Field(ge=0, le=0.9), "largest relative change of the size, each way"] = 0.0
    shear: Annotated[float, Field(ge=0, le=60), "degrees, each way, along x and along y"] = 0.0
    brightness: Annotated[Share, "largest relative change, each way"] = 0.0
    contrast: Annotated[Share, "largest relative change, each way"] = 0.0
    saturation: Annotated[Share, "largest relative change, each way"] = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5), "largest turn, each way; 0.5 is half of the colour circle"] = 0.0
    policy: Annotated[Literal["none", "randaugment", "trivialaugment"], "arXiv 1909.13719, 2103.10158"] = "none"
    operations: Annotated[int, Field(ge=1, le=14), "randaugment: how many of its operations change an image"] = 2
    magnitude: Annotated[int, Field(ge=0, le=30), "randaugment: their strength, of 30"] = 9
    cutout: Annotated[int, Field(ge=0, le=32), "pixels, side of the erased square"] = 0
    mixup: Annotated[float, Field(ge=0, le=10), "the Beta distribution's parameter; 0 is off"] = 0.0
    cutmix: Annotated[float, Field(ge=0, le=10), "the Beta distribution's parameter; 0 is off"] = 0.0
