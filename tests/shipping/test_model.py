"""The command `locate` and the model that it loads, as a person meets them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from search.candidate import Candidate, Mlp, Recipe, Transfer
from search.deciding.calibration import Calibration
from search.description import ImageShape
from search.networks.build import build
from search.shipping.model import load_model
from search.slots.machine import survey

Call = Callable[..., tuple[int, str, str]]
CLASSES = ("first", "second", "third")


def written(folder: Path, network_of: Any = None, **changes: Any) -> Path:
    """A small network that nobody trained, in the files that a decision leaves."""
    candidate = Candidate(architecture=network_of or Mlp(hidden_layers=0), recipe=Recipe())
    network = build(candidate.architecture, images=ImageShape(32, 3, len(CLASSES)), seed=0)
    payload = save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    about = {
        "sha256": hashlib.sha256(payload).hexdigest(),
        **candidate.as_dict(),
        "classes": list(CLASSES),
        "input": "float32 [N, 3, 32, 32], RGB, (pixel - mean) / std with pixels 0..255",
        "mean": [120.0] * 3,
        "std": [60.0] * 3,
        "calibration": asdict(Calibration(temperature=0.1, known=1)),
        **changes,
    }
    (folder / "weights.safetensors").write_bytes(payload)
    (folder / "weights.json").write_text(json.dumps({key: value for key, value in about.items() if value is not None}))
    return folder / "weights.safetensors"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a [b].png")
    return tmp_path / "a [b].png"


def test_a_photo_becomes_boxes_and_two_pictures(call: Call, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = shutil.copy(photo, tmp_path / "other.png")
    words = ("locate", photo, other, "--weights", written(tmp_path), "--output", out, "--device", "cpu")
    code, text, errors = call(*words)
    assert (code, errors) == (0, "")
    assert "no trained detector" in " ".join(text.split())
    assert "no mAP" in " ".join(text.split())
    code, printed, _ = call(*words, "--json")
    found = json.loads(printed)
    assert (code, len(found["photos"]), "no mAP" in found["limits"]) == (0, 2, True)
    for row in found["photos"]:
        assert row["boxes"]  # with such a threshold
        for box in row["boxes"]:
            assert box["label"] in CLASSES
            assert 0 <= box["left"] < box["right"] <= 120
            assert 0 <= box["top"] < box["bottom"] <= 90
        for name in ("drawn", "heat"):
            with Image.open(row[name]) as picture:
                assert picture.size == (1024, 768)


def test_a_photo_in_which_nothing_is_known(call: Call, photo: Path, tmp_path: Path) -> None:
    weights = written(tmp_path, calibration={"temperature": 1.0, "known": 1000.0})
    code, text, _ = call("locate", photo, "--weights", weights, "--output", tmp_path)
    assert (code, "nothing that the model knows" in text) == (0, True)


def hostile(folder: Path) -> dict[Path, str]:
    """Files that are no photos, with what is said of them."""
    (folder / "text.png").write_text("<html>")
    Image.new("1", (9000, 9000)).save(folder / "bomb.png")
    Image.new("L", (5, 9000)).save(folder / "line.png")
    os.mkfifo(folder / "pipe.png")
    said = {"text": "no picture", "bomb": "pixels are over", "line": "too narrow", "pipe": "no file", "none": "No such"}
    return {folder / f"{name}.png": reason for name, reason in said.items()}


def test_what_is_no_photo_is_refused_by_name(call: Call, tmp_path: Path) -> None:
    for path, reason in hostile(tmp_path).items():
        code, output, errors = call("locate", path, "--weights", written(tmp_path), "--output", tmp_path / "out")
        assert (code, output, str(path) in errors, reason in errors) == (3, "", True, True), errors


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sha256": "ab"}, "has not the SHA-256"),
        ({"sha256": None}, "cannot be read"),
        ({"architecture": {"family": "unheard"}}, "cannot be read"),
        ({"architecture": {"family": "mlp", "hidden_layers": -1}}, "cannot be read"),
        ({"classes": ["one"]}, "is no model"),  # the weights are of three
        ({"input": "pixels"}, "cannot be read"),
        ({"calibration": {"temperature": -1, "known": 0}}, "is no model"),
        ({"calibration": None}, "make it again: cifar-search best --retrain"),  # it is of an older version
    ],
)
def test_a_file_that_is_no_model_is_refused(
    changes: dict[str, Any], reason: str, call: Call, photo: Path, tmp_path: Path
) -> None:
    weights = written(tmp_path, **changes)
    code, output, errors = call("locate", photo, "--weights", weights, "--output", tmp_path / "out")
    assert (code, output) == (3, "")
    assert str(weights.with_suffix("")) in errors  # or the JSON beside them
    assert reason in errors


def test_what_names_no_model_is_refused(call: Call, photo: Path, tmp_path: Path) -> None:
    code, _, errors = call("locate", photo, "--runs", tmp_path)
    assert (code, "there is no database" in errors) == (5, True)
    code, _, errors = call("locate", photo, "--weights", tmp_path / "nothing.safetensors")
    assert (code, "nothing.json" in errors) == (3, True)
    code, _, errors = call("locate", photo, "--weights", tmp_path, "--study", "mine")
    assert (code, "give one of them" in errors) == (2, True)
    code, _, errors = call("locate", photo, tmp_path / "elsewhere" / photo.name)  # one picture would be the other's
    assert (code, "two photos are called a [b]" in errors) == (2, True)


def test_a_backbone_needs_none_of_the_weights_that_it_began_with(tmp_path: Path) -> None:
    architecture = Transfer(backbone="mobilenet_v3_large", weights="none", input_size=32)
    about = Candidate(architecture=architecture, recipe=Recipe()).as_dict()["architecture"]
    weights = written(tmp_path, architecture, architecture={**about, "weights": "gone.pth"})
    model = load_model(weights, machine=survey("cpu", slots=1))
    assert model.logits(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).shape == (2, len(CLASSES))
