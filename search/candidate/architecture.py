"""What a network is: one typed architecture for each family."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass

from search.candidate.fields import MOST_STAGES, STRICT, Activation, Depth, Each, Kernel, Pool, Share, Width, cut

Operation = Literal["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
SHORT = dict(zip(get_args(Operation), ("0", "skip", "1x1", "3x3", "pool"), strict=True))
Backbone = Literal["vgg16", "resnet18", "resnet50", "efficientnet_b0", "convnext_tiny", "mobilenet_v3_large"]

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
    stages: Annotated[int, Field(ge=1, le=4)] = 3  # 31 -> 15 -> 7 -> 3 -> 1 pixels: a fifth would have none left
    width: Each[Width] = (32, 64, 64)  # channels of each stage
    depth: Each[Depth] = (2,) * MOST_STAGES  # convolutions of each stage, the pooled one included
    kernel: Each[Literal[1, 3, 5, 7]] = (3, 3, 3, 3)  # of each stage's convolutions
    residual: bool = False  # add each stage's pooled activation to its output
    whitening: bool = True  # the stem whitens the training patches and is frozen, or starts at random and is trained
    partial_identity: bool = True  # the stages' convolutions start by passing their input on, or at random
    activation: Activation = "gelu"
    dropout: Share = 0.0  # before the classifier

    def __post_init__(self) -> None:
        cut(self, self.stages, "width", "depth", "kernel", of="stage")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cnn(Architecture):
    """The plain family of hand-made notebooks, LeNet to VGG: convolution and pooling stages, then linear layers."""

    family: ClassVar[str] = "cnn"
    stages: Annotated[int, Field(ge=1, le=MOST_STAGES)] = 3
    width: Each[Width] = (32, 64, 128)  # channels of each stage
    depth: Each[Depth] = (1,) * MOST_STAGES  # convolutions before each pooling
    kernel: Each[Kernel] = (3,) * MOST_STAGES
    padding: Literal["same", "valid", 1, 2, 3] = "same"  # or pixels on each side
    pool: Each[Pool] = (2,) * MOST_STAGES  # side of the max pooling window and its stride; 1: none
    batch_norm: bool = True
    activation: Activation = "relu"
    dropout: Each[Share] = (0.1,) * MOST_STAGES  # after each stage
    hidden_layers: Annotated[int, Field(ge=0, le=MOST_STAGES)] = 1
    hidden: Each[Width] = (256,)  # neurons of each linear layer before the classifier
    hidden_batch_norm: bool = False
    hidden_dropout: Each[Share] = (0.3,) * MOST_STAGES  # after each linear layer before the classifier

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
    stages: Annotated[int, Field(ge=1, le=4)] = 3
    stem: Width = 16  # channels
    width: Each[Width] = (16, 32, 64)  # channels of each stage
    depth: Each[Depth] = (2,) * MOST_STAGES  # blocks of each stage, of two convolutions each
    pre_activation: bool = False  # norm and activation before each convolution (arXiv 1603.05027)
    shortcut: Literal[1, 3] = 1  # kernel of the shortcut where width or size change
    squeeze_excite: bool = False  # weigh each block's channels (arXiv 1709.01507), reduced to a sixteenth, 4 at least
    activation: Activation = "relu"
    stochastic_depth: Share = 0.0  # of the last block; earlier ones linearly less (arXiv 1603.09382)
    dropout: Share = 0.0  # between a block's two convolutions
    head_dropout: Share = 0.0  # before the classifier

    def __post_init__(self) -> None:
        cut(self, self.stages, "width", "depth", of="stage")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cell(Architecture):
    """The cell of NAS-Bench-201 (arXiv 2001.00326): four nodes, six edges, an operation on each.

    The edges are, in the benchmark's order, 0>1, 0>2, 1>2, 0>3, 1>3, 2>3. Three stages of equal cells, with a residual
    block between two stages that halves the picture and doubles the channels.
    """

    family: ClassVar[str] = "cell"
    edge: Each[Operation] = ("nor_conv_3x3",) * 6
    width: Width = 16  # channels of the first stage
    cells: Annotated[int, Field(ge=1, le=20)] = 5  # of each stage; the benchmark's networks have 5

    def __post_init__(self) -> None:
        cut(self, 6, "edge", of="edge")

    @property
    def title(self) -> str:
        return f"{self.width} " + " ".join(SHORT[operation] for operation in self.edge)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mlp(Architecture):
    """Linear layers over the pixels: the floor that convolution must beat."""

    family: ClassVar[str] = "mlp"
    hidden_layers: Annotated[int, Field(ge=0, le=MOST_STAGES)] = 2
    hidden: Each[Width] = (1024, 512)  # neurons of each
    batch_norm: bool = False
    activation: Activation = "relu"
    dropout: Share = 0.2  # after each

    def __post_init__(self) -> None:
        cut(self, self.hidden_layers, "hidden", of="hidden layer")

    @property
    def title(self) -> str:
        return "/".join(map(str, self.hidden)) or "linear"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Transfer(Architecture):
    """A backbone of torchvision with weights that were trained elsewhere, and a new head."""

    family: ClassVar[str] = "transfer"
    backbone: Backbone = "resnet18"
    weights: Annotated[str, Field(min_length=1)] = "imagenet"  # torchvision's default ones, none, or a file of a state
    input_size: Annotated[int, Field(ge=32, le=384)] = 64  # pixels; the images are enlarged to it
    frozen: Annotated[float, Field(ge=0, le=1)] = 0.0  # share of the backbone's blocks, from the input, never trained
    hidden_layers: Annotated[int, Field(ge=0, le=MOST_STAGES)] = 0
    hidden: Each[Width] = (256, 128)  # neurons of each linear layer before the classifier
    dropout: Share = 0.2  # before each linear layer of the head

    def __post_init__(self) -> None:
        cut(self, self.hidden_layers, "hidden", of="hidden layer")

    @property
    def title(self) -> str:
        return f"{self.backbone} at {self.input_size} pixels"
