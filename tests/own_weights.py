"""Weights of a network of ours, as a decision leaves them."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from search.candidate import Architecture, Candidate, Recipe
from search.description import ImageShape
from search.networks.build import build

OLD = ImageShape(24, 3, 7)
MEAN, STD = [120.0, 130.0, 140.0], [50.0, 60.0, 70.0]


def trained(network_of: Architecture, folder: Path, *, images: ImageShape = OLD, **changes: Any) -> Path:
    """Weights as a slot leaves them, with numbers that no fresh network has."""
    network = build(network_of, images=images, seed=5)
    random = torch.Generator().manual_seed(9)
    state = {
        name: torch.rand(part.shape, generator=random) + 0.1 if part.is_floating_point() else part
        for name, part in network.state_dict().items()
    }
    file = folder / "weights-1.safetensors"
    file.write_bytes(save(state))
    about = {
        **Candidate(architecture=network_of, recipe=Recipe()).as_dict(),
        "sha256": sha256(file.read_bytes()).hexdigest(),
        "classes": [f"class {index}" for index in range(images.classes)],
        "input": f"float32 [N, {images.channels}, {images.side}, {images.side}], ...",
        "mean": MEAN[: images.channels],
        "std": STD[: images.channels],
    }
    file.with_suffix(".json").write_text(json.dumps(about | changes))
    return file
