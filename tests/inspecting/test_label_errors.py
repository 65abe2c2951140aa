"""Wrong labels are found by networks that did not learn them."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import MANIFEST

from search.data.images import Images
from search.data.split import Split
from search.inspecting.label_errors import LabelError, find_label_errors, label_errors
from search.searching.study_folder import StudyFolder
from studies import StudyError
from studies.history import History, TrialRecord

VALUES = {"architecture.family": "mlp", "architecture.hidden_layers": 0}
HISTORY = History(
    study="tiny", manifest=MANIFEST, planned=1, trials=(TrialRecord(number=0, state="complete", values=VALUES),)
)
SPLIT = Split(np.arange(10), np.arange(10, 20), 0)


def bright_or_dark(*, wrong: int) -> Images:
    """Two classes of uniform images, one of which has the label of the other class."""
    labels = torch.arange(20) % 2
    pixels = (labels * 200 + 20).to(torch.uint8)[:, None, None, None].expand(20, 8, 8, 1).contiguous()
    labels[wrong] = 1 - labels[wrong]
    return Images(pixels, labels, ("dark", "bright"))


def confirm(folder: StudyFolder, name: str = "confirmed-0-1.safetensors") -> Path:
    """A network that calls an image bright by the sum of its pixels."""
    path = folder.retraining / name
    path.parent.mkdir(parents=True, exist_ok=True)
    weight = torch.full((64,), 0.05)
    save_file({"layers.1.weight": torch.stack([-weight, weight]), "layers.1.bias": torch.zeros(2)}, path)
    about = {
        **{"mean": [120.0], "std": [100.0], "sha256": sha256(path.read_bytes()).hexdigest()},
        **{"input": "float32 [N, 1, 8, 8]", "classes": ["dark", "bright"], "recipe": {}},
        "architecture": {"family": "mlp", "hidden_layers": 0},
    }
    path.with_suffix(".json").write_text(json.dumps(about))
    return path


def test_the_confirmed_networks_find_a_planted_wrong_label_and_the_retrained_ones_are_not_asked(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "tiny")
    confirm(folder, name="weights-1.safetensors")
    ask = {"images": bright_or_dark(wrong=13), "split": SPLIT, "folder": folder}
    with pytest.raises(StudyError, match=r"has no confirmed-TRIAL-SEED\.safetensors.*best --retrain --study tiny"):
        find_label_errors(HISTORY, **ask)
    path = confirm(folder)
    (found,) = find_label_errors(HISTORY, **ask)
    assert (found.image, found.seen) == (13, 1)
    assert found.probability > 0.99
    path.write_bytes(b"half")
    with pytest.raises(StudyError, match=r"confirmed-0-1\.safetensors cannot be used"):
        find_label_errors(HISTORY, **ask)


def test_a_class_that_is_never_surer_is_believed_with_less() -> None:
    shares = torch.tensor([[0.9, 0.1], [0.95, 0.05], [0.4, 0.6], [0.45, 0.55], [0.35, 0.65], [0.8, 0.2]])
    labels = torch.tensor([0, 0, 1, 1, 0, 1])
    # 0.65 is more than is usual for the second class, and 0.8 less than for the first where all are as sure as 0.73.
    assert [each[:2] for each in label_errors(shares, labels)] == [(5, 0), (4, 1)]
    assert label_errors(shares[:4], labels[:4]) == []
    assert isinstance(label_errors(shares, labels)[0], LabelError)
