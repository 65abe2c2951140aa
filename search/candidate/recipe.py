"""How a network is trained."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from search.candidate.fields import STRICT, Share
from search.candidate.optimizers import OptimizerName


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """Optimiser, schedule, regularisation and augmentation; every random choice is drawn per image."""

    optimizer: OptimizerName = "sgd"
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 256  # images that a step trains on
    decoupled: bool = True  # learning rate and weight decay fit any batch (training.parameter_groups), or as torch's
    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 10.0  # peak of the schedule
    momentum: Share = 0.85  # Nesterov for SGD and Muon, the first beta for Adam
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.015  # part of the loss; adamw, muon: apart from it
    l1: Annotated[float, Field(ge=0, le=1)] = 0.0  # times the sum of the absolute weights, added to the loss
    bias_scale: Annotated[float, Field(gt=0, le=1000)] = 64.0  # learning rate of the batch-norm biases, relative
    backbone_scale: Annotated[float, Field(gt=0, le=1)] = 1.0  # learning rate of a pretrained backbone, relative
    head_first: Share = 0.0  # share of the steps in which only the head of a pretrained backbone is trained
    schedule: Literal["linear", "cosine", "one_cycle", "plateau", "constant"] = "linear"  # after the warm-up
    warmup: Share = 0.2  # share of the steps in which the learning rate rises
    patience: Annotated[int, Field(ge=0, le=1000)] = 3  # plateau: epochs without a better training loss
    drop: Annotated[float, Field(gt=0, lt=1)] = 0.5  # plateau: what the learning rate is then multiplied by
    clip: Annotated[float, Field(ge=0, le=1000)] = 0.0  # largest norm of the gradient of all weights; 0 is off
    label_smoothing: Share = 0.1
    averaging: bool = True  # report and keep the running average of the weights
    flip: Literal["none", "random", "alternating"] = "alternating"
    translate: Annotated[int, Field(ge=0, le=8)] = 2  # pixels, each way, edges reflected
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0  # degrees, each way
    scale: Annotated[float, Field(ge=0, le=0.9)] = 0.0  # largest relative change of the size, each way
    shear: Annotated[float, Field(ge=0, le=60)] = 0.0  # degrees, each way, along x and along y
    brightness: Share = 0.0  # largest relative change, each way
    contrast: Share = 0.0  # likewise
    saturation: Share = 0.0  # likewise
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # largest turn, each way; 0.5 is half of the colour circle
    policy: Literal["none", "randaugment", "trivialaugment"] = "none"  # arXiv 1909.13719, arXiv 2103.10158
    operations: Annotated[int, Field(ge=1, le=14)] = 2  # randaugment: how many of its operations change an image
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9  # randaugment: their strength, of 30
    cutout: Annotated[int, Field(ge=0, le=32)] = 0  # side of the erased square, pixels
    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0  # the Beta distribution's parameter; 0 is off
    cutmix: Annotated[float, Field(ge=0, le=10)] = 0.0  # likewise
