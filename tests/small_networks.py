"""One small architecture for each option of each family."""

from __future__ import annotations

import pytest

from search.candidate import Architecture, Cell, Cnn, Fast, Mlp, Residual, Transfer
from search.description import CIFAR10 as CIFAR10

PROXY = Fast(width=(32, 64, 64), depth=(2, 2, 2), kernel=(3, 3, 3))  # the proxy network of airbench96
OPERATIONS = ("skip_connect", "nor_conv_1x1", "none", "none", "avg_pool_3x3", "nor_conv_3x3")
MORE = {"activation": "silu", "stochastic_depth": 0.5, "dropout": 0.2}
SMALL: dict[str, Architecture] = {
    "fast": Fast(width=(4, 6, 8), depth=(1, 2, 3), kernel=(1, 5, 7), residual=True, dropout=0.2),
    "fast, four stages": Fast(stages=4, width=(4,) * 4, depth=(1,) * 4, kernel=(7,) * 4),
    "fast, plain start": Fast(stages=2, width=(4, 6), depth=(1, 2), whitening=False, partial_identity=False),
    "cnn": Cnn(width=(4, 6, 8), depth=2, hidden=(9,)),
    "cnn, no batch norm": Cnn(stages=1, width=(3,), kernel=31, pool=1, batch_norm=False, hidden_layers=0),
    "cnn, valid": Cnn(stages=2, width=(3, 4), kernel=5, padding="valid", pool=3, hidden=(5, 6), hidden_layers=2),
    "residual": Residual(stem=4, width=(4, 6, 8), depth=(2, 1, 1), head_dropout=0.2),
    "residual, all options": Residual(
        stages=2, stem=5, width=(4, 6), depth=(1, 2), pre_activation=True, shortcut=3, squeeze_excite=True, **MORE
    ),
    "cell": Cell(width=4, cells=1),
    "cell, all operations": Cell(edge=OPERATIONS, width=4, cells=2),
    "mlp": Mlp(hidden=(9, 8)),
    "mlp, batch norm": Mlp(hidden_layers=1, hidden=(9,), batch_norm=True, activation="gelu"),
    "mlp, linear": Mlp(hidden_layers=0),
    "transfer": Transfer(
        backbone="mobilenet_v3_large", weights="none", input_size=32, frozen=0.5, hidden_layers=1, hidden=(9,)
    ),
}
BACKBONES = ("vgg16", "resnet18", "resnet50", "efficientnet_b0", "convnext_tiny", "mobilenet_v3_large")

each_network = pytest.mark.parametrize("architecture", SMALL.values(), ids=SMALL.keys())
