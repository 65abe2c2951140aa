"""The cell family: the networks of NAS-Bench-201."""

from collections.abc import Sequence

from torch import Tensor, nn

from search.candidate import Cell
from search.description import ImageShape
from search.networks.blocks import Convolution, NetworkError

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # the nodes that each edge joins, in the benchmark's order
WAYS = ((3,), (0, 4), (1, 5), (0, 2, 5))  # from the first node to the last, by the indices of their edges


class CellBlock(nn.Module):
    """Four nodes; each is the sum of the earlier ones, each after the operation of its edge.

    Only edges on a way from the first node to the last are built: the benchmark builds (and counts the weights of) the
    others too, but they change no answer.
    """

    def __init__(self, operations: Sequence[str], channels: int) -> None:
        super().__init__()
        self.ways = used(operations)
        self.operations = nn.ModuleList(_operation(operations[EDGES.index(way)], channels) for way in self.ways)

    def forward(self, images: Tensor) -> Tensor:
        nodes = {0: images}
        for (start, end), operation in zip(self.ways, self.operations, strict=True):  # in order: ends never decrease
            answer = operation(nodes[start])
            nodes[end] = nodes[end] + answer if end in nodes else answer
        return nodes[3]


class Reduction(nn.Module):
    """A residual block that halves the picture; its shortcut is a mean of 2x2 pixels and a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        halving = _activated_convolution(inputs, outputs, kernel=3, stride=2)
        self.branch = nn.Sequential(halving, _activated_convolution(outputs, outputs, kernel=3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.shortcut(images) + self.branch(images)
        return answer


class CellNetwork(nn.Module):
    """Logits [N, classes] of normalised images [N, C, S, S].

    The benchmark's best of all 15,625 cells reaches 94.37 % on the test set, the mean of its trainings of 200 epochs
    with 16 channels and 5 cells in each stage (arXiv 2001.00326): the yardstick for what a search finds here.
    """

    def __init__(self, architecture: Cell, *, images: ImageShape) -> None:
        super().__init__()
        channels = architecture.width
        self.stem = nn.Sequential(
            nn.Conv2d(images.channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.cells = nn.Sequential()
        for stage in range(3):
            if stage > 0:
                self.cells.append(Reduction(channels, 2 * channels))
                channels *= 2
            self.cells.extend(CellBlock(architecture.edge, channels) for _ in range(architecture.cells))
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, images.classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.last(self.cells(self.stem(images))).mean(dim=(2, 3))
        logits: Tensor = self.classifier(features)
        return logits


def used(operations: Sequence[str]) -> list[tuple[int, int]]:
    """The edges on a way from the first node to the last. Raises NetworkError where every way is cut."""
    kept = {index for way in WAYS if all(operations[i] != "none" for i in way) for index in way}
    if not kept:
        raise NetworkError(
            "no way leads from node 0 of the cell to node 3: 0>3 (edge.4), 0>1>3 (edge.1, edge.5), 0>2>3 (edge.2, "
            f"edge.6) and 0>1>2>3 (edge.1, edge.3, edge.6) each have a `none`, the edges are {', '.join(operations)}; "
            "give the edges of one way other operations"
        )
    return [EDGES[index] for index in sorted(kept)]


def _operation(name: str, channels: int) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return _activated_convolution(channels, channels, kernel={"nor_conv_1x1": 1, "nor_conv_3x3": 3}[name])


def _activated_convolution(inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), Convolution(inputs, outputs, kernel, stride=stride), nn.BatchNorm2d(outputs))
