"""What a network is: one typed architecture for each family."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass

from search.candidate.fields import MOST_STAGES, STRICT, Activation, Depth, Each, Kernel, Pool, Share, Width, cut

Operation = Literal["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
SHORT = dict(zip(get_args(Operation), ("0", "skip", "1x1", "3x3", "pool"), strict=True))
Backbone = Literal["vgg16", "resnet18", "resnet50", "efficientnet_b0", "convnext_tiny", "mobilenet_v3_large", "own"]

FAMILIES: dict[str, type[Architecture]] = {}  # every architecture of this module, in their order


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Architecture:
    """What the architectures of all families have in common; a subclass becomes a family by its name for it."""

    family: ClassVar[str]

    def __init_subclass__(cls) -> None:
        FAMILIES[cls.family] = cls

    @property
    def title(self) -> str:
        """The network in a few words, without the family: the channels of each stage."""
        return "/".join(map(str, getattr(self, "width", ())))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Fast(Architecture):
    """A small, fast convolutional network after the airbench line (arXiv 2404.00498, section 3).

    A 2x2 stem of 24 filters, then stages of convolution, 2x2 max pooling, batch norm and activation.
    """

    family: ClassVar[str] = "fast"
    stages: Annotated[int, Field(ge=1, le=4), "31, 15, 7, 3, 1 pixels: a fifth would have none left"] = 3
    width: Annotated[Each[Width], "channels of each stage"] = (32, 64, 64)
    depth: Annotated[Each[Depth], "convolutions of each stage, the pooled one included"] = (2,) * MOST_STAGES
    kernel: Annotated[Each[Literal[1, 3, 5, 7]], "pixels along a side, of each stage"] = (3, 3, 3, 3)
    residual: Annotated[bool, "add each stage's pooled activation to its output"] = False
    whitening: Annotated[bool, "the stem whitens the training patches and is frozen, or is trained"] = True
    partial_identity: Annotated[bool, "convolutions start by passing their input on, or at random"] = True
    activation: Activation = "gelu"
    dropout: Annotated[Share, "before the classifier"] = 0.0

    def __post_init__(self) -> None:
        cut(self, self.stages, "width", "depth", "kernel", of="stage")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cnn(Architecture):
    """The plain family of hand-made notebooks, LeNet to VGG: convolution and pooling stages, then linear layers."""

    family: ClassVar[str] = "cnn"
    stages: Annotated[int, Field(ge=1, le=MOST_STAGES), "convolutions, then pooling"] = 3
    width: Annotated[Each[Width], "channels of each stage"] = (32, 64, 128)
    depth: Annotated[Each[Depth], "convolutions before each pooling"] = (1,) * MOST_STAGES
    kernel: Annotated[Each[Kernel], "pixels along a side, of each stage"] = (3,) * MOST_STAGES
    padding: Annotated[Literal["same", "valid", 1, 2, 3], "pixels, on each side"] = "same"
    pool: Annotated[Each[Pool], "pixels, side of the max pooling window and its stride; 1: none"] = (2,) * MOST_STAGES
    batch_norm: Annotated[bool, "after each convolution"] = True
    activation: Activation = "relu"
    dropout: Annotated[Each[Share], "after each stage"] = (0.1,) * MOST_STAGES
    hidden_layers: Annotated[int, Field(ge=0, le=MOST_STAGES), "linear layers before the classifier"] = 1
    hidden: Annotated[Each[Width], "neurons of each hidden layer"] = (256,)
    hidden_batch_norm: Annotated[bool, "after each hidden layer"] = False
    hidden_dropout: Annotated[Each[Share], "after each hidden layer"] = (0.3,) * MOST_STAGES

    def __post_init__(self) -> None:
        cut(self, self.stages, "width", "depth", "kernel", "pool", "dropout", of="stage")
        cut(self, self.hidden_layers, "hidden", "hidden_dropout", of="hidden layer")
        even = [kernel for kernel in self.kernel if kernel % 2 == 0]
        if self.padding == "same" and even:
            raise ValueError(f"a kernel of {even[0]} cannot be padded evenly; take an odd one, or padding valid")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Residual(Architecture):
    """ResNet and Wide ResNet for 32 x 32 pixels (arXiv 1512.03385, section 4.2; arXiv 1605.07146).

    A 3x3 stem, then stages of basic blocks, each but the first halving the picture, then the mean of each channel.
    """

    family: ClassVar[str] = "residual"
    stages: Annotated[int, Field(ge=1, le=4), "all but the first halve the picture"] = 3
    stem: Annotated[Width, "channels of the first convolution"] = 16
    width: Annotated[Each[Width], "channels of each stage"] = (16, 32, 64)
    depth: Annotated[Each[Depth], "blocks of each stage, of two convolutions each"] = (2,) * MOST_STAGES
    pre_activation: Annotated[bool, "norm and activation before each convolution (arXiv 1603.05027)"] = False
    shortcut: Annotated[Literal[1, 3], "pixels, its kernel where width or size change"] = 1
    squeeze_excite: Annotated[bool, "weigh each block's channels, reduced to a sixteenth (arXiv 1709.01507)"] = False
    activation: Activation = "relu"
    stochastic_depth: Annotated[Share, "of the last block; earlier ones linearly less (arXiv 1603.09382)"] = 0.0
    dropout: Annotated[Share, "between a block's two convolutions"] = 0.0
    head_dropout: Annotated[Share, "before the classifier"] = 0.0

    def __post_init__(self) -> None:
        cut(self, self.stages, "width", "depth", of="stage")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cell(Architecture):
    """The cell of NAS-Bench-201 (arXiv 2001.00326): four nodes, six edges, an operation on each.

    The edges are, in the benchmark's order, 0>1, 0>2, 1>2, 0>3, 1>3, 2>3. Three stages of equal cells, with a residual
    block between two stages that halves the picture and doubles the channels.
    """

    family: ClassVar[str] = "cell"
    edge: Annotated[Each[Operation], "operations on 0>1, 0>2, 1>2, 0>3, 1>3, 2>3"] = ("nor_conv_3x3",) * 6
    width: Annotated[Width, "channels of the first stage"] = 16
    cells: Annotated[int, Field(ge=1, le=20), "of each stage; the benchmark's networks have 5"] = 5

    def __post_init__(self) -> None:
        cut(self, 6, "edge", of="edge")

    @property
    def title(self) -> str:
        return f"{self.width} " + " ".join(SHORT[operation] for operation in self.edge)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mlp(Architecture):
    """Linear layers over the pixels: the floor that convolution must beat."""

    family: ClassVar[str] = "mlp"
    hidden_layers: Annotated[int, Field(ge=0, le=MOST_STAGES), "before the classifier"] = 2
    hidden: Annotated[Each[Width], "neurons of each hidden layer"] = (1024, 512)
    batch_norm: Annotated[bool, "after each hidden layer"] = False
    activation: Activation = "relu"
    dropout: Annotated[Share, "after each hidden layer"] = 0.2

    def __post_init__(self) -> None:
        cut(self, self.hidden_layers, "hidden", of="hidden layer")

    @property
    def title(self) -> str:
        return "/".join(map(str, self.hidden)) or "linear"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Transfer(Architecture):
    """A backbone with weights that were trained elsewhere, and a new head."""

    family: ClassVar[str] = "transfer"
    backbone: Annotated[Backbone, "of torchvision; own: what the JSON beside the weights says"] = "resnet18"
    weights: Annotated[str, Field(min_length=1), "imagenet (torchvision's), none, or a file of a state"] = "imagenet"
    input_size: Annotated[int, Field(ge=8, le=384), "pixels that the backbone sees; own: as before"] = 64
    frozen: Annotated[float, Field(ge=0, le=1), "share of the backbone's blocks, from the input, never trained"] = 0.0
    hidden_layers: Annotated[int, Field(ge=0, le=MOST_STAGES), "linear layers before the classifier"] = 0
    hidden: Annotated[Each[Width], "neurons of each hidden layer"] = (256, 128)
    dropout: Annotated[Share, "before each linear layer of the head"] = 0.2

    def __post_init__(self) -> None:
        cut(self, self.hidden_layers, "hidden", of="hidden layer")
        if self.backbone == "own" and not self.weights.endswith(".safetensors"):
            raise ValueError(f"backbone own needs weights: FILE.safetensors, not {self.weights}")

    @property
    def title(self) -> str:
        return f"{self.backbone} at {self.input_size} pixels"
